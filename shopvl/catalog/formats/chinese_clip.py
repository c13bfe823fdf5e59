"""The pictures of Chinese-CLIP's data sets: a table without a header, of ids and base64."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from shopvl.catalog.formats.base import Chunk, Head, Source, record_chunks
from shopvl.catalog.packed import open_binary
from shopvl.catalog.records import Record, excerpt

MAX_LINE_BYTES = 64 << 20
# How JPEG, PNG, WebP and GIF begin in base64
_LINE = re.compile(rb"[^\t\r\n]{1,200}\t(/9j/|iVBORw0K|UklGR|R0lGOD)[A-Za-z0-9+/_=-]{50}")


@dataclass(frozen=True)
class ChineseClipSource(Source):
    """`train_imgs.tsv`: an id, a tab and a picture per line. Texts of `train_texts.jsonl` beside it are queries."""

    label = "pictures of Chinese-CLIP"

    @classmethod
    def claims(cls, head: Head) -> bool:
        """The first line is an id and a picture."""
        return _LINE.match(head.data.removeprefix(b"\xef\xbb\xbf")) is not None

    def names(self) -> list[str]:
        """The same for each such table."""
        return ["product_id", "image", *(["queries"] if self._texts().is_file() else [])]

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` pictures at a time."""
        return record_chunks(self._records(self._queries() if "queries" in wanted else {}), rows)

    def _records(self, queries: dict[str, list[str]]) -> Iterator[Record]:
        with open_binary(self.path) as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                name, tab, picture = line.decode("utf-8", "replace").lstrip("\ufeff").rstrip("\r\n").partition("\t")
                if tab and name.strip():
                    picture = picture.strip().replace("-", "+").replace("_", "/")
                    yield (
                        {"product_id": name, "image": {"bytes": picture, "path": None}, "queries": queries.get(name)},
                        None,
                    )
                elif line.strip():
                    yield {}, f"line {number}: no id and picture with a tab between: {excerpt(name)}"

    def _texts(self) -> Path:
        return self.path.with_name(f"{self.path.name.partition('_imgs')[0]}_texts.jsonl")

    def _queries(self) -> dict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        if self._texts().is_file():
            with self._texts().open(encoding="utf-8") as lines:
                for line in lines:
                    try:
                        entry = json.loads(line)
                        for image in entry["image_ids"]:
                            found[str(image)].append(str(entry["text"]))
                    except (ValueError, KeyError, TypeError):
                        self.notes.add("texts", f"a line of {self._texts().name} is not understood: {excerpt(line)}")
        return found
