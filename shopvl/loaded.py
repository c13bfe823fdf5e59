"""A model in three lines: `import shopvl; model = shopvl.load(); model.tag("shirt.jpg", title="Linen shirt")`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from shopvl.catalog.vocabulary import DEFAULT_PRECISION, Decision, Reason
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.errors import ImageError
from shopvl.inference.ask import Product
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.paths import SHIPPED
from shopvl.runtime.collecting import no_collection


@dataclass(frozen=True)
class Tag:
    """What a model says of one property of a product; the fields are columns of `tags.parquet`."""

    property: str
    value: str | None  # None: unknown, or the model says that there is none
    best_guess: str | None
    probability: float
    decision: Decision
    reason: Reason
    evidence: tuple[str, ...]
    conflict: bool
    alternatives: tuple[tuple[str | None, float], ...]


class LoadedModel:
    """A design that is ready to answer about products; slow to make and quick to ask, so keep it."""

    def __init__(self, design: Design) -> None:
        self.design = design

    @cached_property
    def _answers(self) -> HeadAnswers:
        with _one_thread():
            return HeadAnswers(in_use(self.design))

    def tag(
        self, picture: str | Path | bytes | None, title: str | None = None, *, precision: float = DEFAULT_PRECISION
    ) -> tuple[Tag, ...]:
        """The category and every property of one product, as `shopvl tag` answers them.

        The picture is a file or its bytes. Raises CatalogError where there is neither picture nor title, or the picture
        cannot be read; ImageError for a file that is not there; DesignError for a model without heads.
        """
        product = Product(self.design, _bytes_of(picture), title, self._answers)
        return tuple(
            Tag(
                property=row["property"],
                value=row["value"],
                best_guess=row["best_guess"],
                probability=row["probability"],
                decision=row["decision"],
                reason=row["reason"],
                evidence=tuple(row["evidence"]),
                conflict=row["conflict"],
                alternatives=tuple((other["value"], other["probability"]) for other in row["alternatives"]),
            )
            for row in self._answers.rows(product.item, precision)
        )


def load(name_or_folder: str | Path = SHIPPED) -> LoadedModel:
    """The model in that folder, or of that name in MLflow (`models:/NAME@champion`); the bundled one if left out.

    Raises DesignError for a folder that is no model.
    """
    with no_collection(), _one_thread():
        return LoadedModel(Design.from_pretrained(name_or_folder))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small steps: several threads would mostly wait for each other, and take processor time for that."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _bytes_of(picture: str | Path | bytes | None) -> bytes | None:
    if picture is None or isinstance(picture, bytes):
        return picture
    if not Path(picture).is_file():
        raise ImageError(f"there is no picture {picture}; name a JPEG, PNG or WebP file")
    return Path(picture).read_bytes()
