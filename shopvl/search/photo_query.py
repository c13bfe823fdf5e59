"""Composed queries ("like this, but in red"): the words replace the picture's own values; the rest is kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import Batch
from shopvl.catalog.cells import folded
from shopvl.catalog.images import decode
from shopvl.catalog.ontology import Fact
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.inference.calibrate import calibration_of
from shopvl.inference.predict import ModelAnswers, answers_of
from shopvl.search.filters import Facts, fact_of
from shopvl.search.folder import State
from shopvl.search.near_duplicates import compute_image_hash
from shopvl.search.segments import THUMBNAIL_SOURCE_PX
from shopvl.search.stores.base import RowFilter, VectorSearch
from shopvl.search.stores.raw_vectors import best

NEIGHBOURS = 12  # nearest products that vote on what a query picture shows
TARGET_WEIGHT, CATEGORY_WEIGHT = 1.0, 1.0  # of the value that is asked for, and of the picture's own category


class PhotoQuery:
    """A photo to search with: decoded once, and read by the image tower once.

    Decoded like the photos of a catalog, so that the same file has the same vector and image hash as in an index.
    Raises ImageError for one that cannot be read.
    """

    def __init__(self, image: bytes, design: Design) -> None:
        self.design = design
        self.picture = decode(image, at_least_px=max(design.loader.decoded_px, THUMBNAIL_SOURCE_PX))
        self.image_hash = compute_image_hash(self.picture)

    @property
    def batch(self) -> Batch:
        """The picture alone, as the model reads it."""
        return self.design.loader.pictures([self.picture]).to(self.design.device)

    @cached_property
    def vector(self) -> np.ndarray:
        """(D,), unit length."""
        with torch.inference_mode():
            return unit_vectors(self.design.model.embed_image(self.batch))[0]

    def read(self, head: ModelAnswers | None) -> dict[str, dict[str, float]]:
        """Property -> value -> probability, from the picture alone; nothing where there is no head.

        The vector comes out of the same pass.
        """
        if head is None:
            return {}
        design = self.design
        with torch.inference_mode():
            vector_BD, answers = head.read_picture(self.batch)
        self.vector = unit_vectors(vector_BD)[0]
        return {
            name: dict(zip(map(folded, design.labels[name]), shares.tolist(), strict=True))
            for name, logp in answers.items()
            for shares in [calibration_of(design, "image", name).probabilities(logp)[0]]
        }


def unit_vectors(vectors_BD: Tensor) -> np.ndarray:
    """(B, D) as numpy, float32, unit length."""
    unit: np.ndarray = F.normalize(vectors_BD, dim=-1).float().cpu().numpy()
    return unit


class PhotoIndex(Protocol):
    """The part of an index that is used here; `search.SearchIndex` implements it."""

    state: State

    @property
    def vectors(self) -> VectorSearch: ...

    @property
    def facts(self) -> Facts: ...

    @property
    def head(self) -> ModelAnswers | None: ...

    @property
    def live_filter(self) -> RowFilter | None: ...

    def mask(self, row_filter: RowFilter | None) -> np.ndarray: ...

    def rows_of_photo(self, photo: PhotoQuery) -> np.ndarray: ...

    def text_vectors(self, texts: Sequence[str]) -> np.ndarray: ...

    def query_vector(self, text: str | None, photo: PhotoQuery | None = None) -> np.ndarray: ...


def composed(
    index: PhotoIndex, photo: PhotoQuery, text: str, facts: Sequence[Fact], row_filter: RowFilter | None, pool: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and scores, best first: near the picture, with what the words name, and otherwise of its category.

    The words' value takes the place of the picture's own in the query vector too. Words that name nothing are only
    mixed with the picture.
    """
    if not facts:
        scores, rows = index.vectors.search(index.query_vector(text, photo), pool, row_filter)
        return rows, scores
    # before `photo.vector`: where the model answers, the vector comes out of the same pass
    photo_facts = PhotoFacts(index, photo)
    photo_D = photo.vector
    own_facts = [photo_facts.value(name) for name in dict.fromkeys(fact.property for fact in facts if fact.property)]
    named = any(fact.kind == "category" for fact in facts)
    own_category = None if named else photo_facts.value(CATEGORY)
    phrases = _phrase(facts, own_category), _phrase([fact for fact in own_facts if fact], own_category)
    texts = [text for text in phrases if text]
    vectors = iter(index.text_vectors(texts) if texts else ())
    requested_D, replaced_D = (next(vectors) if text else np.zeros_like(photo_D) for text in phrases)
    query_D = photo_D + requested_D - replaced_D
    query_D /= max(float(np.linalg.norm(query_D)), 1e-9)
    wanted = [*facts, own_category] if own_category else list(facts)
    rows = np.unique(
        np.concatenate(
            [
                index.vectors.search(query_D, pool, row_filter)[1],
                index.vectors.search(photo_D, pool, row_filter)[1],
                index.facts.likely(wanted, 5 * pool, index.mask(row_filter)),
            ]
        )
    ).astype(np.int64)
    target = np.mean([index.facts.share(fact, rows) for fact in facts], axis=0)
    total = (
        index.vectors.raw.scores(photo_D, rows) / 2
        + index.vectors.raw.scores(query_D, rows) / 2
        + TARGET_WEIGHT * target
    )
    if own_category is not None:
        total += CATEGORY_WEIGHT * index.facts.share(own_category, rows)
    scores, rows = best(total, rows, pool)
    return rows, scores


class PhotoFacts:
    """What a picture shows: the facts of the products whose photo it is.

    For a photo that is not in the index, it is the value with the highest sum of the model's calibrated probability
    and the votes of the products nearest to the picture.
    """

    def __init__(self, index: PhotoIndex, photo: PhotoQuery) -> None:
        self.index = index
        self.rows = index.rows_of_photo(photo)
        self.answers: dict[str, dict[str, float]] = {}
        if not len(self.rows):
            self.answers = photo.read(index.head)
            self.rows = index.vectors.search(photo.vector, NEIGHBOURS, index.live_filter)[1]

    def value(self, name: str) -> Fact | None:
        """The picture's value of that property; of the category, the whole path."""
        said = next((values for own, values in self.answers.items() if folded(own) == folded(name)), None)
        if said is None:
            return self.index.facts.vote(name, self.rows)
        near = self.index.facts.votes(name, self.rows)
        total = {value: said.get(value, 0.0) + share for value, share in near.items() if value in said}
        return fact_of(name, max(total, key=lambda value: total[value])) if total else None


def head_of(design: Design) -> ModelAnswers | None:
    """The heads that the design answers with, if it has any."""
    try:
        return answers_of(design)
    except DesignError:
        return None


def _phrase(facts: Sequence[Fact], own_category: Fact | None) -> str:
    """ "red shirts"; empty where there is nothing to say."""
    words = [folded(fact.value) for fact in facts if fact.kind == "value"]
    nouns = [fact.path[-1] for fact in (*facts, own_category) if fact is not None and fact.kind == "category"]
    return " ".join([*words, *map(folded, nouns[:1])])
