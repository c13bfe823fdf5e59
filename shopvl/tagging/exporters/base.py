"""What a form to export tags in has to be; `shopvl.tagging.export` finds every one in this package."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from shopvl.catalog.readers import Catalog
from shopvl.files import atomic_write

Answer = dict[str, Any]  # a row of tags.parquet
TaggedProduct = tuple[
    str, list[Answer]
]  # a product's id and its answers; of those that were not taken the value is None


class Exporter(ABC):
    """Writes products with their tags to one file, which appears when it is complete."""

    name: ClassVar[str]  # after `--format`, and of the module
    help: ClassVar[str]  # what it is, in a few words
    suffixes: ClassVar[tuple[str, ...]]  # that its files may have
    default_for: ClassVar[tuple[str, ...]] = ()  # suffixes that mean this form where none is named
    required: ClassVar[tuple[str, ...]] = ()  # attributes that must be filled, by default

    @classmethod
    def of(cls, catalog: Catalog | None) -> Self:
        """For tags of that catalog; raises ShopvlError where the form needs the catalog and has none."""
        return cls()

    def attribute_name(self, name: str) -> str:
        """What the form calls a property of ours."""
        return name

    def attribute_value(self, name: str, value: str) -> str:
        """What it writes for the property's value; nothing for one that it does not know."""
        return value

    @abstractmethod
    def write(self, products: Iterator[TaggedProduct], properties: Sequence[str], target: Path) -> None:
        """Write the products in their order; `properties` are all that were asked, in theirs."""


def write_table(header: Sequence[str], rows: Iterator[Mapping[str, Any]], target: Path) -> None:
    """A CSV file, or a tab-separated one where the name does not end in `.csv`."""
    delimiter = "," if target.suffix.lower() == ".csv" else "\t"
    with atomic_write(target) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, delimiter=delimiter, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
