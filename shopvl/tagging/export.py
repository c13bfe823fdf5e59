"""Tags in the forms that other systems take; a module of `shopvl.tagging.exporters` is one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from shopvl.catalog.cells import path_of
from shopvl.catalog.readers import Catalog
from shopvl.catalog.taxonomy_map import id_of, read_map
from shopvl.catalog.vocabulary import CATEGORY, TAXONOMY_ID
from shopvl.checksums import verify_sealed
from shopvl.discovery import classes
from shopvl.errors import ShopvlError
from shopvl.inference.decide import DECIDED, LATER_COLUMNS, TAG_AGAIN
from shopvl.inference.several import by_property
from shopvl.tagging import exporters
from shopvl.tagging.exporters.base import Answer, Exporter, TaggedProduct

EXPORTERS: Mapping[str, type[Exporter]] = {kind.name: kind for kind in classes(exporters, Exporter)}  # type: ignore[type-abstract]
DEFAULT = "wide"
DECISIONS = ("accept", "review")
BATCH_ROWS = 8192


@dataclass
class ExportSummary:
    """How many products were written, and how many have each attribute, and all that are required."""

    products: int = 0
    complete: int = 0
    required: tuple[str, ...] = ()
    filled: Counter[str] = field(default_factory=Counter)


def form_of(target: Path) -> str:
    """The form that a file of that name has, where none is named."""
    suffix = target.suffix.lower()
    return next((name for name, kind in EXPORTERS.items() if suffix in kind.default_for), DEFAULT)


def exporter_named(name: str) -> type[Exporter]:
    """The form of that name. Raises ShopvlError for others."""
    if name not in EXPORTERS:
        known = ", ".join(f"{kind.name} ({kind.help})" for kind in EXPORTERS.values())
        raise ShopvlError(f"there is no format {name!r}; write --format with one of: {known}")
    return EXPORTERS[name]


def decisions_named(text: str) -> set[str]:
    """`accept,review` as a set. Raises ShopvlError for other words."""
    taken = {name.strip() for name in text.split(",")}
    if not taken <= set(DECISIONS):
        raise ShopvlError(f"--decisions takes accept and review, not {text}")
    return taken


def export_tags(
    tags: Path,
    target: Path,
    *,
    form: str = DEFAULT,
    catalog: Catalog | None = None,
    decisions: str = "accept",
    require: Sequence[str] = (),
    taxonomy: Path | None = None,
    report: Callable[[int], None] = lambda products: None,
) -> ExportSummary:
    """Write the answers with one of these decisions, product by product; the file appears when it is complete.

    An accepted category may be a node above the leaves: so much of its path holds.

    `taxonomy` is a map of `shopvl catalog taxonomy`: the id of a product's category is an answer more.
    A Google feed needs the catalog they were made from, for titles and pictures. Raises ShopvlError where an option or
    a file is not what was wanted.
    """
    path = tags / "tags.parquet" if tags.is_dir() else tags
    _checked(form, target)
    taken = decisions_named(decisions)
    properties, products = _properties(path), _products(path, taken)
    if taxonomy is not None:
        properties, products = [*properties, TAXONOMY_ID], _with_ids(products, read_map(taxonomy))
    return export_products(products, properties, target, form=form, catalog=catalog, require=require, report=report)


def export_products(
    products: Iterator[TaggedProduct],
    properties: Sequence[str],
    target: Path,
    *,
    form: str = DEFAULT,
    catalog: Catalog | None = None,
    require: Sequence[str] = (),
    report: Callable[[int], None] = lambda products: None,
) -> ExportSummary:
    """The same for products in memory, in the catalog's order; answers without a value are not written."""
    exporter = _checked(form, target).of(catalog)
    done = ExportSummary(required=tuple(require) or exporter.required)
    done.filled.update(dict.fromkeys([*map(exporter.attribute_name, properties), *done.required], 0))
    exporter.write(_counted(products, done, exporter, report), properties, target)
    return done


def _checked(form: str, target: Path) -> type[Exporter]:
    """The form of that name. Raises ShopvlError where a file of the target's name cannot hold it."""
    kind = exporter_named(form)
    if target.suffix.lower() not in kind.suffixes:
        raise ShopvlError(
            f"{target} cannot hold the format {kind.name}; name a file that ends in {', '.join(kind.suffixes)}"
        )
    return kind


def _properties(path: Path) -> list[str]:
    """The properties that were asked, in their order."""
    verify_sealed(path, TAG_AGAIN)
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows == 0:
                return []
            needed = [name for name in DECIDED.names if name not in LATER_COLUMNS]
            if missing := [name for name in needed if name not in file.schema_arrow.names]:
                raise ShopvlError(
                    f"{path} has no column {', '.join(missing)}; `shopvl tag` of this version writes them"
                )
            first = next(file.iter_batches(BATCH_ROWS, columns=["product_id", "property"]))
    except (OSError, pa.ArrowException, StopIteration) as error:
        raise ShopvlError(f"{path} cannot be read as tags ({error}); name a folder that `shopvl tag` wrote") from error
    return list(dict.fromkeys(first.column("property").to_pylist()))


def _products(path: Path, taken: set[str]) -> Iterator[TaggedProduct]:
    """Products with their answers, those that were not taken without value."""

    def rows() -> Iterator[Answer]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield from batch.to_pylist()

    for product_id, group in groupby(rows(), key=lambda row: row["product_id"]):
        yield product_id, list(by_property(row if row["decision"] in taken else row | {"value": None} for row in group))


def tagged_categories(tags: Path) -> Iterator[list[list[str] | None]]:
    """The paths that products have by their tags, batch by batch. Raises ShopvlError for a table of no tags."""
    path = tags / "tags.parquet" if tags.is_dir() else tags
    if _properties(path):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=["property", "value"]):
                rows = batch.to_pylist()
                yield [path_of(row["value"]) for row in rows if row["property"] == CATEGORY]


def _with_ids(products: Iterator[TaggedProduct], ids: Mapping[tuple[str, ...], str]) -> Iterator[TaggedProduct]:
    """The products with the id of their category, or of the nearest one above it that the map has."""
    for product_id, answers in products:
        about = next((row for row in answers if row["property"] == CATEGORY), None)
        found = id_of((path_of(about["value"]) if about else None) or (), ids)
        row = {**(about or answers[0]), "property": TAXONOMY_ID, "value": found}
        yield product_id, [*answers, row]


def _counted(
    products: Iterator[TaggedProduct], done: ExportSummary, exporter: Exporter, report: Callable[[int], None]
) -> Iterator[TaggedProduct]:
    for product_id, answers in products:
        values = [(row["property"], row["value"]) for row in answers if row["value"] is not None]
        filled = {exporter.attribute_name(name) for name, value in values if exporter.attribute_value(name, value)}
        done.products += 1
        done.filled.update(filled)
        done.complete += set(done.required) <= filled
        if done.products % BATCH_ROWS == 0:
            report(done.products)
        yield product_id, answers
