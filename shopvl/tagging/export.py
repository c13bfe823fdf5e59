"""Tags in the forms that other systems take: a table with a column per property, a Google product feed, JSON lines."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, starmap
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from shopvl.catalog.cells import folded
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.errors import ShopvlError
from shopvl.files import Table, atomic_write

Form = Literal["wide", "google", "jsonl"]
SUFFIXES: Mapping[Form, tuple[str, ...]] = {
    "wide": (".csv", ".tsv", ".parquet"),
    "google": (".tsv", ".txt", ".csv"),
    "jsonl": (".jsonl",),
}
DECISIONS = ("accept", "review")
# Our name of a property -> the attribute of Google's product data specification; others become product details.
GOOGLE_NAMES: Mapping[str, str] = {
    CATEGORY: "product_type",
    "colour": "color",
    "color": "color",
    "gender": "gender",
    "age group": "age_group",
    "size": "size",
    "material": "material",
    "pattern": "pattern",
    "brand": "brand",
}
GOOGLE_GENDERS: Mapping[str, str] = {
    **dict.fromkeys(("men", "man", "male", "boys", "boy"), "male"),
    **dict.fromkeys(("women", "woman", "female", "girls", "girl"), "female"),
    "unisex": "unisex",
}
GOOGLE_REQUIRED = ("color", "gender", "age_group", "size")  # of clothes and shoes
BATCH_ROWS = 8192

Answer = dict[str, Any]


@dataclass
class ExportSummary:
    """How many products were written, and how many have each attribute, and all that are required."""

    products: int = 0
    complete: int = 0
    required: tuple[str, ...] = ()
    filled: Counter[str] = field(default_factory=Counter)


def form_named(name: str) -> Form:
    """A form by its name. Raises ShopvlError for others."""
    for form in get_args(Form):
        if name == form:
            return form
    raise ShopvlError(f"there is no format {name!r}; write --format wide, google or jsonl")


def export_tags(
    tags: Path,
    target: Path,
    *,
    form: Form = "wide",
    catalog: Catalog | None = None,
    decisions: str = "accept",
    require: Sequence[str] = (),
    report: Callable[[int], None] = lambda products: None,
) -> ExportSummary:
    """Write the answers with one of these decisions, product by product; the file appears when it is whole.

    A Google feed needs the catalog they were made from, for titles and pictures. Raises ShopvlError where an option or
    a file is not what was wanted.
    """
    if target.suffix.lower() not in SUFFIXES[form]:
        raise ShopvlError(
            f"{target} cannot hold the format {form}; name a file that ends in {', '.join(SUFFIXES[form])}"
        )
    if form == "google" and catalog is None:
        raise ShopvlError("a Google feed has titles and pictures, which tags do not; name the catalog with --catalog")
    taken = {name.strip() for name in decisions.split(",")}
    if not taken <= set(DECISIONS):
        raise ShopvlError(f"--decisions knows accept and review, {decisions} came")
    path = tags / "tags.parquet" if tags.is_dir() else tags
    properties = _properties(path)
    names = list(dict.fromkeys(GOOGLE_NAMES.get(name, name) for name in properties)) if form == "google" else properties
    done = ExportSummary(required=tuple(require) or (GOOGLE_REQUIRED if form == "google" else ()))
    done.filled.update(dict.fromkeys([*names, *done.required], 0))
    products = _counted(_products(path, taken), done, form, report)
    match form:
        case "wide":
            _write_wide(products, properties, target)
        case "jsonl":
            _write_lines((json.dumps(_as_json(*product), ensure_ascii=False) for product in products), target)
        case "google":
            assert catalog is not None
            _write_google(products, catalog, names, target)
    return done


def _properties(path: Path) -> list[str]:
    """The properties that were asked, in their order."""
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows == 0:
                return []
            first = next(file.iter_batches(BATCH_ROWS, columns=["product_id", "property"]))
    except (OSError, pa.ArrowException, StopIteration) as error:
        raise ShopvlError(f"{path} cannot be read as tags ({error}); name a folder that `shopvl tag` wrote") from error
    return list(dict.fromkeys(first.column("property").to_pylist()))


def _products(path: Path, taken: set[str]) -> Iterator[tuple[str, list[Answer]]]:
    """Products with their answers, those that were not taken without value."""

    def rows() -> Iterator[Answer]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield from batch.to_pylist()

    for product_id, group in groupby(rows(), key=lambda row: row["product_id"]):
        yield product_id, [row if row["decision"] in taken else row | {"value": None} for row in group]


def _counted(
    products: Iterator[tuple[str, list[Answer]]], done: ExportSummary, form: Form, report: Callable[[int], None]
) -> Iterator[tuple[str, list[Answer]]]:
    for product_id, answers in products:
        told = [(row["property"], row["value"]) for row in answers if row["value"] is not None]
        filled = {name for name, value in (starmap(_as_google, told) if form == "google" else told) if value}
        done.products += 1
        done.filled.update(filled)
        done.complete += set(done.required) <= filled
        if done.products % BATCH_ROWS == 0:
            report(done.products)
        yield product_id, answers


def _write_wide(products: Iterator[tuple[str, list[Answer]]], properties: Sequence[str], target: Path) -> None:
    rows = (
        {"product_id": product_id} | {row["property"]: row["value"] for row in answers}
        for product_id, answers in products
    )
    header = ["product_id", *properties]
    if target.suffix.lower() == ".parquet":
        with Table(target, pa.schema([(name, pa.string()) for name in header])) as table:
            for row in rows:
                table.write([row])
    else:
        _write_table(header, rows, target)


def _write_google(
    products: Iterator[tuple[str, list[Answer]]], catalog: Catalog, names: Sequence[str], target: Path
) -> None:
    """Tab-separated, as Google's product data specification has it; our further properties are product details."""
    known = set(GOOGLE_NAMES.values())
    attributes = [name for name in names if name in known]
    header = ["id", "title", "image_link", *attributes, "product_detail"]

    def rows() -> Iterator[dict[str, str]]:
        catalog_rows = (
            row
            for frame in catalog.batches(columns=("product_id", "title", "image"))
            for row in frame.with_columns(frame["image"].struct.field("path").alias("image")).iter_rows(named=True)
        )
        for product_id, answers in products:
            # tags stand in the catalog's order, so one walk through both is enough
            own = next((row for row in catalog_rows if row["product_id"] == product_id), None)
            if own is None:
                raise ShopvlError(
                    f"{product_id} is not in {catalog.path}, or not in the order of the tags; "
                    "name the catalog that they were made from"
                )
            line = {"id": product_id, "title": own["title"] or "", "image_link": own["image"] or ""}
            details = []
            for row in answers:
                name, value = row["property"], row["value"]
                if value is None:
                    continue
                if name in GOOGLE_NAMES:
                    wanted, written = _as_google(name, value)
                    line[wanted] = written
                else:
                    details.append(f"General:{_plain(name)}:{_plain(value)}")
            yield line | {"product_detail": ",".join(details)}

    _write_table(header, rows(), target)


def _as_google(name: str, value: str) -> tuple[str, str]:
    """An attribute as Google calls it; nothing for a gender that Google does not know."""
    name = GOOGLE_NAMES.get(name, name)
    return name, GOOGLE_GENDERS.get(folded(value), "") if name == "gender" else value


def _plain(text: str) -> str:
    """Without the signs that separate product details."""
    return text.replace(":", " ").replace(",", " ")


def _write_table(header: Sequence[str], rows: Iterator[Mapping[str, Any]], target: Path) -> None:
    delimiter = "," if target.suffix.lower() == ".csv" else "\t"
    with atomic_write(target) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header, delimiter=delimiter, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_lines(lines: Iterator[str], target: Path) -> None:
    with atomic_write(target) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def _as_json(product_id: str, answers: Sequence[Answer]) -> dict[str, Any]:
    shown = ("property", "value", "probability", "decision", "evidence", "conflict")
    attributes = [{name: row[name] for name in shown} for row in answers if row["value"] is not None]
    return {"product_id": product_id, "attributes": attributes}
