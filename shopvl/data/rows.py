"""Rows of a catalog: what is true of them, and whether they can be used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from shopvl.batch import Modality
from shopvl.catalog.images import decode, image_bytes
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import facts_by_name
from shopvl.catalog.shared_pictures import picture_digest
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, NO_CATEGORY, UNKNOWN
from shopvl.data.absent_title import TitleCheck
from shopvl.errors import ImageError
from shopvl.paths import cache_folder
from shopvl.vision.absent_picture import picture_fault
from shopvl.vision.ocr import Word
from shopvl.vision.picture_words import PictureReader

Row = Mapping[str, Any]  # one product in the catalog's canonical columns
ANY_MODEL = TitleCheck()  # what no model can learn from


@dataclass(frozen=True)
class RejectedRow:
    """A row that could not be used, and why."""

    product_id: str
    reason: str


def pairs(attributes: Sequence[Mapping[str, str]] | None) -> tuple[tuple[str, str], ...]:
    """`[{property, value}, ...]` as (property, value) pairs."""
    return tuple((item["property"], item["value"]) for item in attributes or ())


def subcategory(row: Row) -> str:
    """The upper two levels of its category as one text."""
    return CATEGORY_JOIN.join((row["category_path"] or ())[:2])


def is_of_no_category(row: Row) -> bool:
    """Whether the row says that its product is of none of the categories: a category path of `unknown` alone."""
    return tuple(step.lower() for step in row["category_path"] or ()) == NO_CATEGORY


def facts_of(row: Row, ontology: Ontology) -> list[int]:
    """Ids of the ontology's facts that hold for a row's product; none for one that is of no category."""
    if is_of_no_category(row):
        return []
    return ontology.fact_ids(row["category_path"] or (), pairs(row["attributes"]))


def label_of(row: Row, name: str, ontology: Ontology) -> str | None:
    """The row's true value of a property, as the ontology calls it, or its joined category path; None if not known.

    `unknown` for every property of a product that is of no category.
    """
    if is_of_no_category(row):
        return UNKNOWN
    if name == CATEGORY:
        return CATEGORY_JOIN.join(row["category_path"]) if row["category_path"] else None
    return ontology.value_of(name, pairs(row["attributes"]))


def agrees(row: Row, ontology: Ontology) -> bool:
    """Whether its title names its own category and a value of its own, and nothing that does not hold for it."""
    own = frozenset(ontology.fact_ids(row["category_path"] or (), pairs(row["attributes"])))
    said = facts_by_name(row["title"] or "", ontology)
    kinds = {ontology.facts[number].kind for named in said for number in named & own}
    return kinds == {"category", "value"} and all(named & own for named in said)


@dataclass(frozen=True)
class ValidRow:
    """A row whose inputs are all good: its decoded picture, if it was asked for, and which inputs it has.

    Where words were read, `image` is without text laid over it, `original` is what it was before if that differs, and
    `printed` is what stands on the product. `note` says why nothing could be read, or what the picture lacks. `absent`
    says of an input that is there why it does not count among `inputs`: a placeholder, a file name for a title.
    """

    row: Row
    inputs: tuple[Modality, ...]
    data: bytes | None = None
    image: Image.Image | None = None
    original: Image.Image | None = None
    printed: tuple[Word, ...] = ()
    note: str = ""
    absent: Mapping[Modality, str] = field(default_factory=dict)


def validate_row(
    row: Row,
    root: Path,
    wanted: tuple[Modality, ...],
    *,
    at_least_px: int | None = None,
    title_check: TitleCheck = ANY_MODEL,
    shared: Collection[bytes] = frozenset(),
) -> ValidRow | RejectedRow:
    """Decode and check one row. A missing input is left out, and so is one that says nothing; a broken one rejects the
    row.

    A large JPEG is decoded at a fraction of its size, as long as both sides keep `at_least_px`. `shared` are the
    catalog's `shared_pictures`.
    """
    product_id = str(row.get("product_id") or "")
    if row.get("fault"):
        return RejectedRow(product_id, str(row["fault"]))
    if not product_id:
        return RejectedRow(product_id, "the product has no id")
    image = row["image"] or {}
    present = {"title": bool((row["title"] or "").strip()), "image": bool(image.get("bytes") or image.get("path"))}
    inputs = tuple(name for name in wanted if present[name])
    absent: dict[Modality, str] = {}
    data = picture = None
    if "title" in inputs and (fault := title_check.fault(row["title"])):
        absent["title"] = fault
    if "image" in inputs:
        try:
            data = image_bytes(image, root)
            picture = decode(data, at_least_px=at_least_px)
        except ImageError as error:
            return RejectedRow(product_id, str(error))
        address = image.get("path") or ""
        if shared and (picture_digest(data) in shared or picture_digest(address) in shared):
            absent["image"], data, picture = "the picture stands under many different products", None, None
        elif fault := picture_fault(picture):
            absent["image"], data, picture = fault, None, None
    inputs = tuple(name for name in inputs if name not in absent)
    if not inputs:
        missing = [absent.get(name) or f"the product has no {name}" for name in wanted]
        return RejectedRow(
            product_id, "; ".join(missing) if absent else f"the product has no {' and no '.join(wanted)}"
        )
    note = str(picture.info.get("note", "")) if picture is not None else ""
    return ValidRow(row, inputs, data, picture, note=note, absent=absent)


def picture_reader() -> PictureReader:
    """A reader whose results are cached for this user."""
    return PictureReader(decode, cache_folder() / "ocr.sqlite")


def with_words(reader: PictureReader, items: Sequence[ValidRow]) -> list[ValidRow]:
    """The same rows after OCR, with overlaid text painted out. Raises ShopvlError if the OCR engine does not start."""
    readings = iter(reader.bare([(item.data, item.image) for item in items if item.data and item.image]))
    read_items = []
    for item in items:
        if item.data and item.image:
            reading = next(readings)
            original = None if reading.picture is item.image else item.image
            item = replace(
                item, image=reading.picture, original=original, printed=reading.printed, note=item.note or reading.note
            )
        read_items.append(item)
    return read_items
