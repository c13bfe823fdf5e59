"""Rows of a catalog: what is true of them, and whether they can be used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from shopvl.batch import Modality
from shopvl.catalog.cells import is_storable
from shopvl.catalog.images import decode, image_bytes
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import facts_by_name
from shopvl.catalog.schema import MORE_IMAGES, PICTURE_FAULTS
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
MOST_TITLE = 10_000  # letters of a title that is read


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
class FurtherPicture:
    """A further picture of a product."""

    number: int
    data: bytes
    image: Image.Image


@dataclass(frozen=True)
class ValidRow:
    """A row whose inputs are all good: its decoded picture, if it was asked for, and which inputs it has.

    `views` are the product's further pictures that can be used, by their numbers; the main one is number 1. Where words
    were read, `image` is without text laid over it, `original` is what it was before if that differs, and `printed` is
    what stands on the product. `note` says why nothing could be read, or what the pictures lack. `absent` says of an
    input that is there why it does not count among `inputs`: a placeholder, a file name for a title.
    """

    row: Row
    inputs: tuple[Modality, ...]
    data: bytes | None = None
    image: Image.Image | None = None
    original: Image.Image | None = None
    printed: tuple[Word, ...] = ()
    note: str = ""
    absent: Mapping[Modality, str] = field(default_factory=dict)
    number: int = 1  # of the picture that stands for the product: the main one, unless it cannot be used
    views: tuple[FurtherPicture, ...] = ()

    def each_picture(self) -> list[ValidRow]:
        """The row by each of its pictures, as if it were the only one."""
        others = [replace(self, data=view.data, image=view.image, number=view.number, views=()) for view in self.views]
        return [replace(self, views=()) if others else self, *others]


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
    row. Of several pictures each is checked alone, and the first good one stands for the product.

    A large JPEG is decoded at a fraction of its size, as long as both sides keep `at_least_px`. `shared` are the
    catalog's `shared_pictures`.
    """
    product_id = str(row.get("product_id") or "")
    if row.get("fault"):
        return RejectedRow(product_id, str(row["fault"]))
    if not product_id:
        return RejectedRow(product_id, "the product has no id")
    for name in ("title", "description"):
        if not is_storable(row.get(name) or ""):
            return RejectedRow(product_id, f"the {name} holds half of a character; write it anew")
    pictures = [row["image"] or {}, *(row.get(MORE_IMAGES) or ())]
    faults = row.get(PICTURE_FAULTS) or ()
    there = any(faults) or any(image.get("bytes") or image.get("path") for image in pictures)
    present = {"title": bool((row["title"] or "").strip()), "image": there}
    inputs = tuple(name for name in wanted if present[name])
    absent: dict[Modality, str] = {}
    if "title" in inputs and (fault := _too_long(row["title"]) or title_check.fault(row["title"])):
        absent["title"] = fault
    seen = _Usable()
    if "image" in inputs:
        seen = _seen(pictures, faults, root, at_least_px, shared)
        if not seen.good and seen.broken:
            return RejectedRow(product_id, next(iter(seen.broken.values())))
        if not seen.good:
            absent["image"] = next(iter(seen.empty.values()))
    inputs = tuple(name for name in inputs if name not in absent)
    if not inputs:
        missing = [absent.get(name) or f"the product has no {name}" for name in wanted]
        return RejectedRow(
            product_id, "; ".join(missing) if absent else f"the product has no {' and no '.join(wanted)}"
        )
    if not seen.good:
        return ValidRow(row, inputs, absent=absent)
    number, (data, picture) = next(iter(seen.good.items()))
    views = tuple(FurtherPicture(other, *good) for other, good in seen.good.items() if other != number)
    note = "; ".join(filter(None, [str(picture.info.get("note", "")), *seen.notes]))
    return ValidRow(row, inputs, data, picture, note=note, absent=absent, number=number, views=views)


@dataclass
class _Usable:
    """A product's pictures by their numbers: those that can be used, and of the others why not."""

    good: dict[int, tuple[bytes, Image.Image]] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    empty: dict[int, str] = field(default_factory=dict)  # they say nothing of the product

    @property
    def notes(self) -> list[str]:
        """What is to be said of broken pictures of a product that has others."""
        return [f"picture {number} was left out: {reason}" for number, reason in self.broken.items()]


def _seen(
    pictures: Sequence[Mapping[str, Any]],
    faults: Sequence[str | None],
    root: Path,
    at_least_px: int | None,
    shared: Collection[bytes],
) -> _Usable:
    seen, known = _Usable(), set[bytes]()
    for number, image in enumerate(pictures, 1):
        if number <= len(faults) and (reason := faults[number - 1]):
            seen.broken[number] = reason
            continue
        address = image.get("path") or ""
        if not (image.get("bytes") or address):
            continue
        try:
            data = image_bytes(image, root)
            picture = decode(data, at_least_px=at_least_px)
        except ImageError as error:
            seen.broken[number] = str(error)
            continue
        if shared and (picture_digest(data) in shared or picture_digest(address) in shared):
            seen.empty[number] = "the picture stands under many different products"
        elif fault := picture_fault(picture):
            seen.empty[number] = fault
        elif data not in known:
            seen.good[number] = data, picture
            known.add(data)
    return seen


def _too_long(title: str) -> str:
    """Why a title is too long to be one; empty where it is not."""
    return f"the title has {len(title):,} letters; at most {MOST_TITLE:,} are read" if len(title) > MOST_TITLE else ""


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
