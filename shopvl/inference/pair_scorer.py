"""Retrieval pair by pair, slow: by the image-text matching (ITM) head of a fusion model, or by likelihood.

A design without such a head that writes judges a pair by how likely it is to write the title about the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shopvl.batch import Batch, Modality, Words
from shopvl.catalog.cells import folded
from shopvl.catalog.readers import Catalog
from shopvl.data.rows import Row, subcategory
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.inference.encode import BATCH_ROWS, Encoded, encode
from shopvl.inference.write import beginning
from shopvl.metrics.retrieval import Bidirectional, sample_candidates, sampled_101
from shopvl.models.generation import own_likelihoods
from shopvl.models.single_stream import SingleStreamModel
from shopvl.models.text_cross import OverTowersModel
from shopvl.recipes.capabilities import capabilities, require_capability

ITM_PROTOCOL = "sampled-101 judged"  # a name that trackers take
QUERIES, OTHERS = 250, 100
LONGEST = 32  # pieces of a title whose likelihood counts
MOST_ROWS = 5000  # whose pictures are held at once


def judges_pairs(design: Design) -> bool:
    """Whether it can say how well a picture and a title fit."""
    return "match" in capabilities(design.recipe)


def pair_scores(
    design: Design,
    titles: Words,
    pieces_M: Sequence[Sequence[int]],
    patches_MPD: Tensor,
    kept_MP: Tensor,
    vectors_MW: Tensor,
) -> Tensor:
    """How well (M,) titles, as words and as their pieces, fit pictures as `model.picture` reads them.

    By the matching head; where there is none, the log-probability of each title, written about its picture.
    """
    model = design.model
    assert isinstance(model, SingleStreamModel | OverTowersModel)
    if "match" in model.heads:
        return model.match_score(titles, patches_MPD, kept_MP, vectors_MW)
    given = beginning(design, len(pieces_M)).to(design.device)
    begun, go_on = model.begin_beside(given, patches_MPD, kept_MP)
    room = min(design.loader.max_tokens - given.ids_BT.shape[1], LONGEST)
    return own_likelihoods(begun, go_on, [ids[:room] for ids in pieces_M], end=design.tokenizer.end_id or 0)


class Matcher:
    """Scores pairs of a catalog's pictures and titles. Pictures are encoded once, up to where the title comes in.

    Reads the first `most` complete rows.
    """

    def __init__(
        self,
        design: Design,
        catalog: Catalog,
        report: Callable[[int], None] = lambda rows: None,
        *,
        most: int = MOST_ROWS,
        batch_rows: int = BATCH_ROWS,
        bfloat16: bool = False,
    ) -> None:
        """Raises DesignError for a design that judges no pairs, CatalogError where no row is complete."""
        require_capability(design.recipe, "match")
        assert isinstance(design.model, SingleStreamModel | OverTowersModel)
        self.design, self.model, self.bfloat16 = design, design.model, bfloat16
        self.rows: list[Row] = []
        patches, masks, vectors = [], [], []
        for item in encode(
            design, catalog.batches(), catalog.root, ("image", "title"), self._read, batch_rows=batch_rows
        ):
            if isinstance(item, Encoded) and item.values:
                self.rows += item.rows
                patches.append(torch.from_numpy(item.values["patches"]))
                masks.append(torch.from_numpy(item.values["kept"]) > 0)
                vectors.append(torch.from_numpy(item.values["vectors"]))
                report(len(self.rows))
            if len(self.rows) >= most:
                break
        if not self.rows:
            raise CatalogError(f"no row of {catalog.path} has both a picture and a title, so nothing can be matched")
        self.patches_NPD, self.kept_NP, self.vectors_NW = torch.cat(patches), torch.cat(masks), torch.cat(vectors)
        titles = [row["title"] for row in self.rows]
        self.titles, self.pieces = design.loader.words(titles), design.tokenizer.pieces(titles)

    def _read(self, batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        if len(inputs) < 2:
            return {}
        with self._precision():
            patches_BPD, kept_BP, vectors_BW = self.model.picture(batch)
        return {"patches": patches_BPD, "kept": kept_BP, "vectors": vectors_BW}

    def scores(self, titles: Sequence[int] | NDArray[np.int64], pictures: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """How well (M,) pairs fit, by row numbers of their titles and of their pictures."""
        title, picture = torch.as_tensor(np.asarray(titles)), torch.as_tensor(np.asarray(pictures))
        device = self.design.device
        words = self.titles.rows(title)
        longest = int(words.real_BT.sum(1).max())
        words = type(words)(ids_BT=words.ids_BT[:, :longest], real_BT=words.real_BT[:, :longest]).to(device)
        shown = (tensor[picture].to(device) for tensor in (self.patches_NPD, self.kept_NP, self.vectors_NW))
        with torch.inference_mode(), self._precision():
            return pair_scores(self.design, words, [self.pieces[number] for number in title.tolist()], *shown).cpu()

    def by_title(self, query: int, listed: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores (C,) of the title of row `query` with each listed picture."""
        return self.scores(np.full_like(listed, query), listed).double().numpy()

    def by_picture(self, query: int, listed: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores (C,) of the picture of row `query` with each listed title."""
        return self.scores(listed, np.full_like(listed, query)).double().numpy()

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.design.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()


def itm_retrieval(
    matcher: Matcher, *, queries: int = QUERIES, others: int = OTHERS, seed: int = 0
) -> dict[str, Bidirectional]:
    """Protocol `sampled-101` by the matching head, both ways; empty if there are too few titles for its lists."""
    titles = [folded(row["title"]) for row in matcher.rows]
    if len(set(titles)) <= others:
        return {}
    kinds = [subcategory(row) for row in matcher.rows]
    candidates = sample_candidates(titles, kinds, queries=queries, others=others, seed=seed)
    return {ITM_PROTOCOL: sampled_101(candidates, matcher.by_title, matcher.by_picture)}
