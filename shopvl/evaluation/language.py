"""How well a model foretells texts or fills their gaps, beside a trigram of the same pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator

from shopvl.batch import IGNORED, Batch, require
from shopvl.catalog.readers import Catalog
from shopvl.design.design import Design
from shopvl.metrics.trigram import Trigram
from shopvl.objectives.masking import masked_words
from shopvl.objectives.views import NextWordsView
from shopvl.recipes.capabilities import capabilities
from shopvl.recipes.parts.objectives import MaskedWords

BATCH = 256


def reads_titles_alone(design: Design) -> bool:
    """Whether it is a model of language that can be compared with a trigram: no picture helps it."""
    return design.recipe.image is None and not design.recipe.answering


def titles_of(catalog: Catalog) -> list[str]:
    """All titles that there are."""
    return [title for frame in catalog.batches() for title in frame["title"].to_list() if title]


def language_scores(
    design: Design, learned_from: Sequence[str], texts: Sequence[str], *, seed: int = 0
) -> dict[str, float]:
    """Of a model that foretells: perplexities of the texts, and those of a trigram. Of one that fills gaps: the share
    of the hidden pieces it tells, as a trigram does that sees the two before, and the most frequent piece."""
    trigram = Trigram(pieces_of(design, learned_from), design.tokenizer.size)
    figures: dict[str, float] = {}
    if "write" in capabilities(design.recipe):
        told, beside = by_model(design, texts), surprises(design, trigram, texts)
        figures |= foretold(design, texts, told).as_dict()
        figures |= {f"trigram_{name}": value for name, value in foretold(design, texts, beside).as_dict().items()}
    if any(isinstance(objective, MaskedWords) for objective in design.recipe.objectives):
        figures |= gaps_filled(design, trigram, texts, seed=seed)
    return figures


def gaps_filled(design: Design, trigram: Trigram, texts: Sequence[str], *, seed: int = 0) -> dict[str, float]:
    """Shares of the pieces that training would ask for which are told: by the design, by the trigram from the two
    pieces before (which it sees as they were), and by the most frequent piece."""
    design.model.eval()
    view, generator = masked_words(design.recipe, design.tokenizer), Generator().manual_seed(seed)
    right = beside = most = asked = 0
    for start in range(0, len(texts), BATCH):
        words = design.loader.words(texts[start : start + BATCH]).to(design.device)
        batch = view(Batch(texts={"title": words}), generator)
        with torch.inference_mode():
            prediction = design.model(batch).prediction("words", by="masked words")
        right += int((prediction.made.argmax(1) == prediction.true).sum())
        targets_BT = require(batch.texts["title"].targets_BT, "masked words", by="their measure").cpu()
        for row, place in (targets_BT != IGNORED).nonzero().tolist():
            true, before = int(targets_BT[row, place]), words.ids_BT[row, :place].tolist()
            beside += trigram.likeliest(before) == true
            most += trigram.likeliest(()) == true
            asked += 1
    return {"masked": right / asked, "trigram_masked": beside / asked, "most_frequent_masked": most / asked}


@dataclass(frozen=True)
class Foretold:
    """Nats of texts, each with its end, and how much text that is."""

    nats: float
    pieces: int
    words: int
    letters: int

    def as_dict(self) -> dict[str, float]:
        """Perplexity per piece and per word (their ends count as one of each), and bits per letter."""
        return {
            "perplexity": math.exp(self.nats / self.pieces),
            "perplexity_per_word": math.exp(self.nats / self.words),
            "bits_per_letter": self.nats / math.log(2) / self.letters,
        }


def by_model(design: Design, texts: Sequence[str]) -> np.ndarray:
    """Nats of each text under a design of the objective lm (N,), as far as it reads."""
    design.model.eval()
    nats = []
    for start in range(0, len(texts), BATCH):
        words = design.loader.words(texts[start : start + BATCH]).to(design.device)
        batch = NextWordsView()(Batch(texts={"title": words}), Generator())
        with torch.inference_mode():
            prediction = design.model(batch).prediction("next-word", by="perplexity")
        follows_BT = words.real_BT[:, 1:]
        lost_BT = torch.zeros(follows_BT.shape, device=design.device)
        lost_BT[follows_BT] = F.cross_entropy(prediction.made, prediction.true, reduction="none")
        nats.append(lost_BT.double().sum(1).cpu().numpy())
    return np.concatenate(nats)


def by_trigram(design: Design, learned_from: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """Nats of each text (N,) under a trigram of the design's own pieces, cut where the design stops reading."""
    return surprises(design, Trigram(pieces_of(design, learned_from), design.tokenizer.size), texts)


def surprises(design: Design, trigram: Trigram, texts: Sequence[str]) -> np.ndarray:
    """Nats of each text (N,) under a trigram of the design's pieces."""
    return np.array([trigram.surprise(ids) for ids in pieces_of(design, texts)])


def pieces_of(design: Design, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text as the design reads it, with what frames it."""
    ids, real = design.tokenizer.encode(texts, design.loader.max_tokens)
    return [row[kept].tolist() for row, kept in zip(ids, real, strict=True)]


def foretold(design: Design, texts: Sequence[str], nats_N: np.ndarray) -> Foretold:
    """The sum over texts."""
    pieces = sum(len(ids) - 1 for ids in pieces_of(design, texts))
    words = sum(len(text.split()) + 1 for text in texts)
    return Foretold(float(nats_N.sum()), pieces, words, sum(map(len, texts)))
