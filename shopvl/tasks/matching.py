"""Retrieval by the matching head of a fusion model, pair by pair: slow, and all that a design without towers has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shopvl.batch import Batch, Modality
from shopvl.catalog.cells import folded
from shopvl.catalog.readers import Catalog
from shopvl.design import Design
from shopvl.encoding import Encoded, encode
from shopvl.errors import CatalogError, DesignError
from shopvl.loading import CATEGORY_JOIN, Row
from shopvl.metrics import Sampled, sample_candidates, sampled_101
from shopvl.models.single_stream import SingleStream
from shopvl.models.text_cross import TextCross


class Matcher:
    """Pictures read once as far as no title is needed, and the titles; scores any pair of them."""

    def __init__(self, design: Design, catalog: Catalog, report: Callable[[int], None] = lambda rows: None) -> None:
        """Raises DesignError for a design that has no matching head, CatalogError where no row is complete."""
        if not isinstance(design.model, SingleStream | TextCross):
            raise DesignError(
                f"{design.recipe.name} has towers and no matching head; `shopvl evaluate` compares its embeddings"
            )
        self.design, self.model = design, design.model
        self.rows: list[Row] = []
        patches, kept = [], []
        for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), self._read):
            if isinstance(item, Encoded) and item.values:
                self.rows += item.rows
                patches.append(torch.from_numpy(item.values["patches"]))
                kept.append(torch.from_numpy(item.values["kept"]) > 0)
                report(len(self.rows))
        if not self.rows:
            raise CatalogError(f"no row of {catalog.path} has both a picture and a title, so nothing can be matched")
        self.patches_NPD, self.kept_NP = torch.cat(patches), torch.cat(kept)
        self.titles = design.loader.words([row["title"] for row in self.rows])

    def _read(self, batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        if len(inputs) < 2:
            return {}
        patches_BPD, kept_BP = self.model.picture(batch)
        return {"patches": patches_BPD, "kept": kept_BP}

    def logits(self, titles: Sequence[int] | NDArray[np.int64], pictures: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """(M,) for the title of the first row beside the picture of the second, pair by pair."""
        title, picture = torch.as_tensor(np.asarray(titles)), torch.as_tensor(np.asarray(pictures))
        device = self.design.device
        words = self.titles.rows(title)
        longest = int(words.real_BT.sum(1).max())
        words = type(words)(ids_BT=words.ids_BT[:, :longest], real_BT=words.real_BT[:, :longest]).to(device)
        with torch.inference_mode():
            return self.model.judge(words, self.patches_NPD[picture].to(device), self.kept_NP[picture].to(device)).cpu()


def sampled_101_by_matching(
    matcher: Matcher, *, queries: int = 1000, others: int = 100, seed: int = 0
) -> tuple[Sampled, int]:
    """Protocol `sampled-101`, both ways, and how many queries of each; every list is scored in one pass."""
    titles = [folded(row["title"]) for row in matcher.rows]
    kinds = [CATEGORY_JOIN.join((row["category_path"] or ())[:2]) for row in matcher.rows]
    candidates = sample_candidates(titles, kinds, queries=queries, others=others, seed=seed)

    def by_title(query: int, listed: NDArray[np.int64]) -> NDArray[np.float64]:
        return matcher.logits(np.full_like(listed, query), listed).double().numpy()

    def by_picture(query: int, listed: NDArray[np.int64]) -> NDArray[np.float64]:
        return matcher.logits(listed, np.full_like(listed, query)).double().numpy()

    return sampled_101(candidates, by_title, by_picture), len(candidates.query_Q)
