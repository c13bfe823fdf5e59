"""A table that is cut into several files, as `datasets`, Spark and exports in parts write it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from shopvl.catalog.formats.base import Chunk, Source
from shopvl.catalog.schema import SPLIT_SYNONYMS, SPLITS
from shopvl.errors import CatalogError

FILE_NAMES = ("file_name", "image_file_name")  # of pictures beside the table
_OF = re.compile(r"(\d+)-of-(\d+)$")


@dataclass(frozen=True)
class ShardsSource(Source):
    """The files of one folder, one after the other. Their names say the split: `train-00000-of-00002.parquet`."""

    parts: tuple[Source, ...] = field(default=(), kw_only=True)

    label = "shards"

    @staticmethod
    def split_of(path: Path) -> str | None:
        """The split that a file's name begins with, or that its folder is called."""
        words = (re.split(r"[-_.]", path.name.casefold(), maxsplit=1)[0], path.parent.name.casefold())
        known = (SPLIT_SYNONYMS.get(word, word) for word in words)
        return next((word for word in known if word in SPLITS), None)

    @classmethod
    def stem(cls, path: Path) -> str:
        """The file's name without the split."""
        return re.sub(r"^[^-_.]*", "", path.stem) if cls.split_of(path) else path.stem

    @property
    def title(self) -> str:
        """Of how many files."""
        return f"{len(self.parts)} files of {self.parts[0].title}"

    def names(self) -> list[str]:
        """Those of the first file; all have to have them."""
        names = self.parts[0].names()
        for part in self.parts[1:]:
            if (other := part.names()) != names:
                raise CatalogError(
                    f"{self.path} holds tables with different columns: {self.parts[0].path.name} has "
                    f"{', '.join(names)}, {part.path.name} has {', '.join(other)}; name one of them"
                )
        return names if "split" in names or not self._splits() else [*names, "split"]

    def rows(self) -> int | None:
        """Of all files."""
        counts = [part.rows() for part in self.parts]
        return None if None in counts else sum(count for count in counts if count is not None)

    def chunks(self, rows: int, wanted: Collection[str]) -> Iterator[Chunk]:
        """At most `rows` rows at a time, file by file."""
        self._say_missing()
        splits = self._splits() if "split" in wanted and "split" not in self.parts[0].names() else {}
        for part in self.parts:
            for chunk in part.chunks(rows, wanted):
                own = _with_split(chunk, splits[part.path]) if splits else chunk
                yield own if part.root == self.root else _from(part.root.name, own)

    def _say_missing(self) -> None:
        found = [match for part in self.parts if (match := _OF.search(part.path.stem))]
        totals = {(self.split_of(part.path), match[2]) for part, match in zip(self.parts, found, strict=False)}
        wanted = sum(int(total) for _, total in totals)
        if wanted > len(found):
            self.notes.add("missing shards", f"{wanted - len(found)} of {wanted} shards are not in the folder")

    @property
    def root(self) -> Path:
        """The folder that the files lie in; where there are several, the one above."""
        roots = {part.root for part in self.parts}
        return roots.pop() if len(roots) == 1 else self.path

    def digest(self) -> str:
        """SHA-256 of all files."""
        return hashlib.sha256("".join(part.digest() for part in self.parts).encode()).hexdigest()

    def _splits(self) -> dict[Path, str | None]:
        splits = {part.path: self.split_of(part.path) for part in self.parts}
        return splits if any(splits.values()) else {}


def _from(folder: str, chunk: Chunk) -> Chunk:
    """File names as they are seen from the folder above."""
    records = [
        (record | {name: f"{folder}/{record[name]}" for name in FILE_NAMES if isinstance(record.get(name), str)}, fault)
        for record, fault in chunk.rows()
    ]
    return Chunk(records=records)


def _with_split(chunk: Chunk, split: str | None) -> Chunk:
    if chunk.frame is not None:
        return Chunk(frame=chunk.frame.with_columns(pl.lit(split, dtype=pl.String).alias("split")))
    return Chunk(records=[(record | {"split": split}, fault) for record, fault in chunk.records])
