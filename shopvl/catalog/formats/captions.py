"""Pictures with captions, as vision-language training has them: open_clip, LAION, img2dataset, ImageFolder metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from shopvl.catalog.cells import text_of
from shopvl.catalog.formats.base import TableLayout, is_empty
from shopvl.catalog.records import Record
from shopvl.catalog.schema import canonical_column, folded_name

PLACES = ("filepath", "file_name", "filename", "image_path", "image", "img", "jpg", "url", "image_url")
CAPTIONS = ("caption", "text", "title", "top_caption", "txt")


class Captions(TableLayout):
    """Products without ids: a picture's place is one, else the row's number."""

    name = "captions"
    label = "pictures with captions"
    columns: ClassVar = {
        "product_id": ("key", "image_id", "uid"),
        "title": CAPTIONS,
        "image": PLACES,
        "category_path": ("label", "labels", "class", "fine_label"),
    }

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """No id, and a picture beside its caption or class under names of that trade."""
        folded = set(map(folded_name, names))
        if "product_id" in map(canonical_column, names):
            return False
        told = bool(folded & {"filepath", "file_name"}) or bool(folded & {"caption", "text", "label", "top_caption"})
        return told and bool(folded & set(PLACES)) and bool(folded & {*CAPTIONS, *cls.columns["category_path"]})

    def names(self) -> list[str]:
        """An id is made."""
        return list(dict.fromkeys(["product_id", *super().names()]))

    def products(self, records: Iterable[Record]) -> Iterator[Record]:
        """Each row is one."""
        for number, (own, fault) in enumerate(super().products(records), start=1):
            if fault is None and is_empty(own.get("product_id")):
                image = own.get("image")
                place = image.get("path") if isinstance(image, Mapping) else None if isinstance(image, bytes) else image
                own["product_id"] = text_of(place) or f"row {number}"
                said = f"the table has no ids; the picture's place or the row's number is one, as {own['product_id']!r}"
                self.notes.add("no ids", said)
            yield own, fault
