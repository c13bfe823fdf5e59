"""Like this, but: a picture and words. The words replace what they name of the picture; the rest of it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from shopvl.catalog.cells import folded
from shopvl.catalog.images import decode
from shopvl.catalog.ontology import Fact
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.inference.calibrate import trust_of
from shopvl.inference.predict import LinearAnswers, PromptedAnswers, answers_of
from shopvl.search.filters import Facts, fact_of
from shopvl.search.folder import State
from shopvl.search.stores.faiss import Allowed, Vectors, best

NEIGHBOURS = 12  # products that say what a query picture shows
TARGET_WEIGHT, KEPT_WEIGHT = 1.0, 1.0  # of the value that is asked for, and of the picture's own category


class PhotoIndex(Protocol):
    """What is asked of an index here; `search.SearchIndex` is one."""

    design: Design
    state: State

    @property
    def vectors(self) -> Vectors: ...

    @property
    def facts(self) -> Facts: ...

    @property
    def head(self) -> LinearAnswers | PromptedAnswers | None: ...

    @property
    def everywhere(self) -> Allowed | None: ...

    def mask(self, allowed: Allowed | None) -> np.ndarray: ...

    def rows_of_photo(self, image: bytes) -> np.ndarray: ...

    def image_vector(self, image: bytes) -> np.ndarray: ...

    def text_vector(self, text: str) -> np.ndarray: ...


def composed(
    index: PhotoIndex,
    image: bytes,
    facts: Sequence[Fact],
    vector_D: np.ndarray,
    allowed: Allowed | None,
    pool: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and scores, best first: near the picture, with what the words name, and otherwise of its category.

    The words' value takes the place of the picture's own in the query vector too. Words that name nothing are only
    mixed with the picture (`vector_D`).
    """
    if not facts:
        scores, rows = index.vectors.search(vector_D, pool, allowed)
        return rows, scores
    shown_D = index.image_vector(image)
    seen = PhotoFacts(index, image, shown_D)
    own = [seen.value(name) for name in dict.fromkeys(fact.property for fact in facts if fact.property)]
    named = any(fact.kind == "category" for fact in facts)
    kept = None if named else seen.value(CATEGORY)
    moved_D = shown_D + _phrase(index, facts, kept) - _phrase(index, [fact for fact in own if fact], kept)
    moved_D /= max(float(np.linalg.norm(moved_D)), 1e-9)
    wanted = [*facts, kept] if kept else list(facts)
    rows = np.unique(
        np.concatenate(
            [
                index.vectors.search(moved_D, pool, allowed)[1],
                index.vectors.search(shown_D, pool, allowed)[1],
                index.facts.likely(wanted, 5 * pool, index.mask(allowed)),
            ]
        )
    ).astype(np.int64)
    target = np.mean([index.facts.share(fact, rows) for fact in facts], axis=0)
    total = index.vectors.scores(shown_D, rows) / 2 + index.vectors.scores(moved_D, rows) / 2 + TARGET_WEIGHT * target
    if kept is not None:
        total += KEPT_WEIGHT * index.facts.share(kept, rows)
    scores, rows = best(total, rows, pool)
    return rows, scores


class PhotoFacts:
    """What a picture shows: what is known of the products whose photo it is.

    Of a photo that the index has not, it is the value that the model's own calibrated answer and the products nearest
    to the picture most surely have together.
    """

    def __init__(self, index: PhotoIndex, image: bytes, vector_D: np.ndarray) -> None:
        self.index = index
        self.rows = index.rows_of_photo(image)
        self.answers: dict[str, dict[str, float]] = {}
        if not len(self.rows):
            self.rows = index.vectors.search(vector_D, NEIGHBOURS, index.everywhere)[1]
            self.answers = answered(index.design, index.head, image)

    def value(self, name: str) -> Fact | None:
        """Its value of that property; of the category the whole path."""
        said = next((values for own, values in self.answers.items() if folded(own) == folded(name)), None)
        if said is None:
            return self.index.facts.vote(name, self.rows)
        near = self.index.facts.votes(name, self.rows)
        total = {value: said.get(value, 0.0) + share for value, share in near.items() if value in said}
        return fact_of(name, max(total, key=lambda value: total[value])) if total else None


def answered(
    design: Design, answers: LinearAnswers | PromptedAnswers | None, image: bytes
) -> dict[str, dict[str, float]]:
    """Property -> value -> probability, from the picture alone; nothing of a design that has no heads."""
    if answers is None:
        return {}
    with torch.inference_mode():
        batch = design.loader.pictures([decode(image)]).to(design.device)
        found = answers.read(batch, [("image",)])["image"]
    return {
        name: dict(zip(map(folded, design.labels[name]), shares.tolist(), strict=True))
        for name, logp in found.items()
        for shares in [trust_of(design, "image", name).probabilities(logp)[0]]
    }


def head_of(design: Design) -> LinearAnswers | PromptedAnswers | None:
    """What the design answers with, if it has anything."""
    try:
        return answers_of(design)
    except DesignError:
        return None


def _phrase(index: PhotoIndex, facts: Sequence[Fact], kept: Fact | None) -> np.ndarray:
    """The vector of "red shirts"; zeros where there is nothing to say."""
    words = [folded(fact.value) for fact in facts if fact.kind == "value"]
    nouns = [fact.path[-1] for fact in (*facts, kept) if fact is not None and fact.kind == "category"]
    text = " ".join([*words, *map(folded, nouns[:1])])
    return index.text_vector(text) if text else np.zeros(index.state.dimension, dtype=np.float32)
