"""How well a model foretells texts, beside a trigram of the same pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator

from shopvl.batch import Batch
from shopvl.design.design import Design
from shopvl.metrics.trigram import Trigram
from shopvl.objectives.views import NextWordsView

BATCH = 256


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
    model = Trigram(pieces_of(design, learned_from), design.tokenizer.size)
    return np.array([model.surprise(ids) for ids in pieces_of(design, texts)])


def pieces_of(design: Design, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text as the design reads it, with what frames it."""
    ids, real = design.tokenizer.encode(texts, design.loader.max_tokens)
    return [row[kept].tolist() for row, kept in zip(ids, real, strict=True)]


def foretold(design: Design, texts: Sequence[str], nats_N: np.ndarray) -> Foretold:
    """The sum over texts."""
    pieces = sum(len(ids) - 1 for ids in pieces_of(design, texts))
    words = sum(len(text.split()) + 1 for text in texts)
    return Foretold(float(nats_N.sum()), pieces, words, sum(map(len, texts)))
