"""The columns of a product table: their canonical names and types, and the names that other tables use for them."""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

import polars as pl

from shopvl.catalog.cells import without_accents
from shopvl.catalog.column_labels import LABELS
from shopvl.catalog.known_properties import BY_COLUMN

IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})  # the encoded file, or where it is: a path or a URL
ATTRIBUTES = pl.List(pl.Struct({"property": pl.String, "value": pl.String}))

PRODUCT_SCHEMA = pl.Schema(
    {
        "product_id": pl.String(),
        "split": pl.String(),
        "title": pl.String(),
        "image": IMAGE,
        "more_images": pl.List(IMAGE),
        "category_path": pl.List(pl.String),
        "attributes": ATTRIBUTES,
        "queries": pl.List(pl.String),
    }
)
FAULT = "fault"
PICTURE_FAULTS = "picture_faults"  # of frames whose pictures were fetched: why one of several could not be had, or null
# What a reader hands out: the product columns, then `fault` (why a row could not be read in full, null for good rows),
# then the table's further columns.
FRAME_SCHEMA = pl.Schema({**PRODUCT_SCHEMA, FAULT: pl.String()})

REQUIRED = ("product_id", "title", "image")
SPLITS = ("train", "val", "test")
SPLIT_SYNONYMS: Mapping[str, str] = {"training": "train", "validation": "val", "valid": "val", "dev": "val"}

# Names are compared as `column_key` writes them. Earlier names win.
COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "product_id": (
        *("product_id", "id", "sku", "item_id", "item_sku", "offer_id", "article_id", "asin", "product_code"),
        *("product_number", "article_number", "article_no", "item_number", "item_no", "item_code", "article_code"),
        *("_id", "product_sku", "sku_id", "code", "custom_label", "custom_label_(sku)", "seller_sku"),
        *("simple_sku", "merchant_product_id", "aw_product_id"),
        *("contribution_sku", "outer_id", "token", *LABELS["product_id"]),
    ),
    "split": ("split", "subset", "fold"),
    "title": (
        *("title", "product_title", "product_name", "product_display_name", "item_name", "name", "item_title"),
        *("article_name", "display_name", *LABELS["title"]),
    ),
    "image": (
        "image",
        "image_link",
        "image_url",
        "image_path",
        "main_image",
        "main_image_url",
        "image_src",
        "photo",
        "picture",
        *("images", "image_urls", "img", "img_url", "img_src", "picture_url", "photo_url", "product_image"),
        *("product_image_url", "primary_image", "primary_image_url", "featured_image", "image_1", "photos", "pictures"),
        *("hosted_image_urls", "item_photo_url", "cover_image", "cover_url", "cover_media_url", "pic_url"),
        *("main_product_image_locator", "product_image_file_1", "media_url"),
        *("image_name", "merchant_image_url", "aw_image_url"),
        *LABELS["image"],
    ),
    "more_images": (
        *("more_images", "additional_image_link", "additional_image_links", "additional_images"),
        *("additional_image_url", "additional_image_urls", "further_images", "other_images", "other_image_urls"),
        *("more_pictures", "extra_images", "alternate_images", "alternative_images", "gallery", "gallery_images"),
        *("image_gallery", "media_gallery", "product_gallery", "back_image", "detail_image", "detail_images"),
        *("model_image", "swatch_image"),
    ),
    "category_path": (
        *("category_path", "product_type", "google_product_category", "product_category", "category"),
        *("category_text", "category_name", "merchant_category", *LABELS["category_path"]),
    ),
    "attributes": ("attributes", "cpv", "product_detail", "properties", "specifications"),
    "queries": ("queries", "search_terms", "search_queries"),
    FAULT: (FAULT,),
}
MORE_IMAGES = "more_images"
GROUP_COLUMN = "item_group_id"  # a further column by which a shop says which products are variants of one
MAX_COLUMNS, MAX_NAME = 10_000, 10_000  # of a table; letters of a column's name
SHOWN_COLUMNS, SHOWN_LETTERS = 20, 30  # of a table's columns, in a sentence about them
ATTRIBUTE_PREFIX = "attribute:"  # before the name of any other column that holds a property
_SPECIFICS = "c:"  # what eBay writes there


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """Which column of a table becomes what."""

    sources: Mapping[str, str]  # canonical name -> the table's name
    attributes: Mapping[str, str]  # the table's name -> property
    further: tuple[str, ...]  # kept as they are
    pictures: tuple[str, ...] = ()  # the table's names of columns with further pictures, which are kept, too
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by canonical name: where its cell is empty

    @property
    def missing(self) -> tuple[str, ...]:
        """Required columns that the table has not."""
        return tuple(name for name in REQUIRED if name not in self.sources)


def plan_columns(names: Iterable[str]) -> ColumnPlan:
    """Find the canonical columns, the attribute columns and the rest among a table's names."""
    names = list(names)
    pictures = tuple(name for name in names if holds_more_pictures(column_key(name)))
    if MORE_IMAGES in pictures:  # a table that this reader's frames were written to
        pictures = (MORE_IMAGES,)
    sources: dict[str, str] = {}
    fallbacks: dict[str, tuple[str, ...]] = {}
    for canonical in _RANKS:
        if canonical == MORE_IMAGES:
            continue
        ranked = [(*rank, name != canonical, name) for name in names if (rank := _rank(name, canonical)) is not None]
        if ranked:
            sources[canonical], *others = (name for *_, name in sorted(ranked))
            if canonical in REQUIRED and others:
                fallbacks[canonical] = tuple(others)
    rest = [name for name in names if name not in (*sources.values(), MORE_IMAGES)]
    attributes = {name: prop for name in rest if (prop := _property_of(name))}
    further = tuple(name for name in rest if name not in attributes)
    return ColumnPlan(sources=sources, attributes=attributes, further=further, pictures=pictures, fallbacks=fallbacks)


def holds_more_pictures(key: str) -> bool:
    """Whether a column with that key (`column_key`) holds pictures besides the main one: `image_2`, `gallery`."""
    return key in _RANKS[MORE_IMAGES] or _NUMBERED.fullmatch(key) is not None


def _property_of(name: str) -> str | None:
    """The property that a column of this name holds, if any."""
    plain = name.strip().lstrip("*")
    if plain.casefold().startswith(ATTRIBUTE_PREFIX):
        return plain[len(ATTRIBUTE_PREFIX) :].strip() or None
    specific = plain.casefold().startswith(_SPECIFICS)
    own = plain[len(_SPECIFICS) :].strip() if specific else name
    known = _PROPERTIES.get(column_key(own))
    return known.name if known else (own or None) if specific else None


@lru_cache(maxsize=1 << 14)
def canonical_column(name: str) -> str | None:
    """The canonical column that one of this name may become, if any."""
    return next((canonical for canonical in _RANKS if _rank(name, canonical) is not None), None)


def is_known_column(name: str) -> bool:
    """Whether a column of this name holds something of a product that is known."""
    return column_key(name) in _PROPERTIES or canonical_column(name) is not None


def folded_name(name: str) -> str:
    """A column name as it is compared: `g:Product Type` is `product_type`."""
    return re.sub(r"[\s\-]+", "_", name.strip().casefold().removeprefix("g:"))


# image2, other_image_url1, photos/3, picture_url_4; an image1 is the main one where there is no other
_NUMBERED = re.compile(
    r"(?:(?:other|additional|extra|more|further|alternat(?:e|ive)|gallery|detail)(?:image|picture|photo|img)s?"
    r"(?:url|link|src|path|file)?[/.#]?\d{1,2}|(?:product)?(?:image|picture|photo|img)s?(?:url|link|src|path|file)?[/.#]?"
    r"(?:0?[2-9]|[1-4]\d))"
)
# Product ID [Non Editable], Images (x,y,z...), item_name[marketplace_id=A1]#1.value
_REMARK = re.compile(r"(?<=\w)[_ *]*((\[[^\]]*\])+|\((?:\w,)+\w?\.*\))?(#\d+(\.\w+)*)?$")
# name(en-gb), title_de, Name:fr; for texts that shops translate
_LANGUAGES = "ar|bg|cs|da|de|el|en|es|et|fi|fr|he|hr|hu|it|ja|ko|lt|lv|nb|nl|pl|pt|ro|ru|sk|sl|sv|th|tr|uk|vi|zh"
_LOCALE = re.compile(rf"(?<=\w)(?:[_.:]|[_.:]?[(\[])({_LANGUAGES})(?:_[a-z]{{2}})?[)\]]?$")
_TRANSLATED = ("title", "category_path")


@lru_cache(maxsize=1 << 14)
def column_key(name: str) -> str:
    """A column name without case, accents, blanks and remarks around it: `imageUrl` is `*Image URL *`."""
    plain = without_accents(folded_name(name)).replace("ı", "i").lstrip("*!")
    return re.sub(r"(?<=\w)_|[*:.]+$", "", _REMARK.sub("", plain))


_RANKS: Mapping[str, Mapping[str, int]] = {
    canonical: {column_key(name): rank for rank, name in reversed([*enumerate(names)])}
    for canonical, names in COLUMN_NAMES.items()
}
_PROPERTIES = {column_key(name): own for name, own in BY_COLUMN.items()}


def _rank(name: str, canonical: str) -> tuple[int, int] | None:
    """How soon a column of that name is taken for the canonical one, the smaller the sooner; of several languages the
    text without one, then English, come before others. None where it may not be."""
    ranks, key = _RANKS[canonical], column_key(name)
    if (rank := ranks.get(key)) is not None:
        return rank, 0
    if canonical == "image" and key.endswith("1"):  # the first of several columns
        rank = ranks.get(key[:-1])
        return None if rank is None else (rank, 0)
    if canonical in _TRANSLATED and (match := _LOCALE.search(own := folded_name(name))):
        rank = ranks.get(column_key(own[: match.start()]))
        return None if rank is None else (rank, 1 if match[1] == "en" else 2)
    return None


def missing_columns_message(where: str, names: Iterable[str], missing: Iterable[str]) -> str:
    """One sentence: the missing columns, the columns there are, and what to do."""
    names, missing = list(names), list(missing)
    hints, taken = [], set(plan_columns(names).sources.values())
    free = [name for name in names[:SHOWN_COLUMNS] if name not in taken]
    for column in missing:
        likely = max(free, key=lambda name: _likeness(name, column), default="")
        if likely and _likeness(likely, column) >= 0.75:
            hints.append(f"rename {likely!r} to {column}")
        else:
            hints.append(f"add {column} (also understood: {', '.join(COLUMN_NAMES[column][1:6])})")
    shown = [name if len(name) <= SHOWN_LETTERS else f"{name[:SHOWN_LETTERS]}…" for name in names[:SHOWN_COLUMNS]]
    more = f" and {len(names) - SHOWN_COLUMNS:,} more" if len(names) > SHOWN_COLUMNS else ""
    present = ", ".join(shown) + more if names else "none"
    return f"{where} has no column for {' and '.join(missing)}; its columns are: {present}; {'; '.join(hints)}"


def _likeness(name: str, column: str) -> float:
    """How near a name comes to the best of the names for a column, in [0, 1]."""
    return max(SequenceMatcher(None, folded_name(name), known).ratio() for known in COLUMN_NAMES[column])


def row_as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a frame as data_schemas/product.schema.json describes it: picture bytes as base64."""
    more = row.get(MORE_IMAGES)
    return {
        **row,
        "image": _picture_as_json(row.get("image")),
        MORE_IMAGES: more and [_picture_as_json(picture) for picture in more],
    }


def _picture_as_json(picture: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if picture is None or picture["bytes"] is None:
        return picture
    return {**picture, "bytes": base64.b64encode(picture["bytes"]).decode("ascii")}
