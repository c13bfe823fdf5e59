"""A segment: products that were added together, in files that never change: vectors, a table of facts, display records.

Display records are read row by row from a memory-mapped Arrow file: a query reads ten rows of a million.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import pyarrow as pa
from pydantic_core import from_json  # several times faster than json's

from shopvl.catalog.images import shrunk
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.schema import ATTRIBUTES, GROUP_COLUMN, folded_name
from shopvl.checksums import MappedBlocks, write_blocks
from shopvl.data.rows import ValidRow
from shopvl.search.folder import PRODUCTS, SHOWN, VECTORS, Segment
from shopvl.search.near_duplicates import HASH_BITS, NearDuplicateGroups, compute_image_hash, variant_key
from shopvl.search.stores.base import REBUILD

ARROW = b"ARROW1\0\0"  # what an Arrow file begins with
THUMBNAIL_PX = 160
THUMBNAIL_SOURCE_PX = THUMBNAIL_PX + 1  # a larger photo is decoded at no less, so that it is known to be larger
FRAME_ROWS = 10_000  # of the tables that a segment is written in

COLUMNS = pl.Schema(
    {
        "product_id": pl.String(),
        "title": pl.String(),
        "category_path": pl.List(pl.String),
        "attributes": ATTRIBUTES,
        "photo": pl.String(),
        "variant": pl.String(),
    }
)
OWN = frozenset({*COLUMNS, "row"})  # names that a catalog's further columns cannot have here
_RECORD = pa.schema(
    [
        ("record", pa.large_binary()),  # JSON: what a Hit says of the product
        ("thumbnail", pa.large_binary()),
        ("print", pa.large_binary()),
        ("hash", pa.uint64()),  # the difference hash of the print; 0 where there is no picture
    ]
)
_TABLE_TYPES = (pl.String, pl.Boolean, pl.Int32, pl.Int64, pl.Float32, pl.Float64)
Pictured = tuple[bytes | None, bytes | None]  # thumbnail and image hash


@dataclass(slots=True)  # not frozen: that doubles the time to make one
class Hit:
    """One result: its score (a cosine in [-1, 1] for a dense search) and what is needed to show the product."""

    product_id: str
    score: float
    title: str
    category_path: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    photo: str  # group of products with the same photo: the id of its first one
    variant: str  # group of products that differ in colour only
    row: int = field(repr=False)  # in the index that found it
    pictures: Binary = field(repr=False, compare=False)

    @property
    def thumbnail(self) -> bytes:
        """Its picture as JPEG or PNG, read from the index when it is asked for; empty where there is none."""
        return self.pictures[self.row]

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON: without the picture."""
        return {
            "product_id": self.product_id,
            "score": round(self.score, 4),
            "title": self.title,
            "category_path": list(self.category_path),
            "attributes": [{"property": name, "value": value} for name, value in self.attributes],
            "photo": self.photo,
            "variant": self.variant,
        }


class Writer:
    """One new segment of an index folder: vectors, what is shown, pictures. The last row of an id wins."""

    def __init__(self, out: Path, version: int, ontology: Ontology, groups: NearDuplicateGroups | None = None) -> None:
        self.name = f"segment-{version:05d}"
        self.folder = out / self.name
        self.folder.mkdir(parents=True)
        self.ontology, self.groups = ontology, groups or NearDuplicateGroups()
        self.rows, self.dimension = 0, 0
        self._vectors = (self.folder / VECTORS).open("wb")
        self._shown = pa.ipc.new_file(str(self.folder / SHOWN), _RECORD)
        self._frames: list[pl.DataFrame] = []
        self._waiting: list[dict[str, Any]] = []
        self._pictures: list[Pictured] = []

    def add(self, matrix_ND: np.ndarray, items: Sequence[ValidRow], further: Collection[str] = ()) -> None:
        """Products with their unit vectors; their pictures were decoded at THUMBNAIL_SOURCE_PX or more."""
        pictures = [_pictured(item) for item in items]
        shown = []
        group_column = next((name for name in further if folded_name(name) == GROUP_COLUMN), "")
        for row, (_, image_hash) in zip((item.row for item in items), pictures, strict=True):
            own = {name: row[name] for name in ("product_id", "title", "category_path", "attributes")}
            own["photo"] = self.groups.group(row["product_id"], image_hash)
            told = (row["title"], row["category_path"], row["attributes"])
            own["variant"] = variant_key(*told, self.ontology, row.get(group_column)) or own["photo"]
            shown.append(own | {name: row[name] for name in further})
        self.put(matrix_ND, shown, pictures)

    def put(self, matrix_ND: np.ndarray, shown: Sequence[dict[str, Any]], pictures: Sequence[Pictured]) -> None:
        """The same for finished rows: as they stand in the products table, with thumbnails and image hashes."""
        self.dimension = int(matrix_ND.shape[1])
        self._vectors.write(np.ascontiguousarray(matrix_ND, dtype="<f4").tobytes())
        self._waiting.extend(shown)
        self._pictures.extend(pictures)
        self.rows += len(shown)
        if len(self._waiting) >= FRAME_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        frame = pl.DataFrame(self._waiting, schema_overrides=COLUMNS, infer_schema_length=None).with_columns(
            cs.decimal().cast(pl.Float64), cs.temporal().cast(pl.String)
        )
        columns = [name for name, kind in frame.schema.items() if name in COLUMNS or kind in _TABLE_TYPES]
        self._frames.append(frame.select(columns))
        thumbnails, image_hashes = zip(*self._pictures, strict=True)
        arrays = [
            pa.array([_record(row) for row in self._waiting], pa.large_binary()),
            pa.array(thumbnails, pa.large_binary()),
            pa.array(image_hashes, pa.large_binary()),
            pa.array([difference_hash(image_hash) for image_hash in image_hashes], pa.uint64()),
        ]
        self._shown.write_batch(pa.record_batch(arrays, schema=_RECORD))
        self._waiting, self._pictures = [], []

    def close(self) -> Segment:
        """Write what is left."""
        self._flush()
        self._vectors.close()
        self._shown.close()
        for name in (VECTORS, SHOWN):
            write_blocks(self.folder / name)
        pl.concat(self._frames, how="diagonal_relaxed").write_parquet(self.folder / PRODUCTS)
        return Segment(name=self.name, rows=self.rows)


def _record(row: Mapping[str, Any]) -> bytes:
    attributes = [(pair["property"], pair["value"]) for pair in row["attributes"] or ()]
    path = list(row["category_path"] or ())
    shown = (row["product_id"], row["title"] or "", path, attributes, row["photo"], row["variant"])
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()


def difference_hash(image_hash: bytes | None) -> int:
    """The first HASH_BITS of an image hash, by which photos are compared first."""
    return int.from_bytes(image_hash[: HASH_BITS // 8], "little") if image_hash else 0


class Records:
    """Display records of the products by row number, over all segments: memory-mapped, read on demand."""

    def __init__(self, segments: Sequence[Path]) -> None:
        opened = [_open_shown(segment) for segment in segments]
        self._rows = sum(len(table) for table, _ in opened)
        self._records, self._thumbnails, self._image_hashes = (
            Binary([(chunk, mapped) for table, mapped in opened for chunk in table.column(name).chunks])
            for name in ("record", "thumbnail", "print")
        )
        self._hashes = [(chunk, mapped) for table, mapped in opened for chunk in table.column("hash").chunks]

    def __len__(self) -> int:
        return self._rows

    def hits(self, rows: Sequence[int], scores: Sequence[float]) -> list[Hit]:
        """The rows as results."""
        records = from_json(b"[%b]" % b",".join(self._records.take(rows)))
        pictures = self._thumbnails
        return [
            Hit(product_id, score, title, tuple(path), tuple(map(tuple, attributes)), photo, variant, row, pictures)
            for (product_id, title, path, attributes, photo, variant), score, row in zip(
                records, scores, rows, strict=True
            )
        ]

    def thumbnail(self, row: int) -> bytes:
        """The row's picture; empty where it has none."""
        return self._thumbnails[row]

    def image_hash(self, row: int) -> bytes:
        """The image hash of the row's photo; empty where it has none."""
        return self._image_hashes[row]

    def hashes(self) -> np.ndarray:
        """(N,) uint64: `difference_hash` of every row."""
        for chunk, mapped in self._hashes:
            mapped.check(chunk.buffers()[1])
        return np.concatenate([*(chunk.to_numpy() for chunk, _ in self._hashes), np.empty(0, np.uint64)])


@dataclass(frozen=True)
class _Mapped:
    """The file that buffers are in."""

    buffer: pa.Buffer
    blocks: MappedBlocks | None

    def start(self, buffer: pa.Buffer | None) -> int:
        """Where a buffer of the file begins in it."""
        return 0 if buffer is None else buffer.address - self.buffer.address

    def check(self, buffer: pa.Buffer | None) -> None:
        """Verify a whole buffer of the file."""
        if self.blocks is not None and buffer is not None and buffer.size:
            self.blocks.check(self.start(buffer), self.start(buffer) + buffer.size)


class Binary:
    """A column of bytes, read by row from where Arrow mapped it: several times faster than through Arrow's scalars."""

    def __init__(self, chunks: Sequence[tuple[Any, _Mapped]]) -> None:
        self._starts = [0, *itertools.accumulate(len(chunk) for chunk, _ in chunks)]
        self._buffers = []
        for chunk, mapped in chunks:
            _, offsets, data = chunk.buffers()
            places = mapped.start(offsets) + 8 * chunk.offset, mapped.start(data)
            self._buffers.append(
                (memoryview(offsets).cast("q")[chunk.offset :], memoryview(data), mapped.blocks, *places)
            )

    def __getitem__(self, row: int) -> bytes:
        """The bytes of that row; none of a row that is null."""
        return bytes(self.take([row])[0])

    def take(self, rows: Sequence[int]) -> list[memoryview]:
        """The bytes of several rows, without copying. Raises IndexFolderError where they are damaged."""
        starts, buffers, values = self._starts, self._buffers, []
        for row in rows:
            number = bisect_right(starts, row) - 1
            offsets, data, blocks, offsets_at, data_at = buffers[number]
            row -= starts[number]
            if blocks is not None:
                blocks.check(offsets_at + 8 * row, offsets_at + 8 * row + 16)
            start, end = offsets[row], offsets[row + 1]
            if blocks is not None and end > start:
                blocks.check(data_at + start, data_at + end)
            values.append(data[start:end])
        return values


def read_shown(segment: Path) -> pa.Table:
    """(record, thumbnail, print, hash) of a segment's rows, memory-mapped and verified."""
    table, mapped = _open_shown(segment)
    if mapped.blocks is not None:
        mapped.blocks.check_all()
    return table


def _open_shown(segment: Path) -> tuple[pa.Table, _Mapped]:
    """The same, with only verified what says where the columns are."""
    path = segment / SHOWN
    try:
        buffer = pa.memory_map(str(path)).read_buffer()
        blocks = MappedBlocks.of(path, buffer, REBUILD)
        if blocks is not None:
            _check_messages(buffer, blocks)
        table = pa.ipc.open_file(pa.BufferReader(buffer)).read_all()
        if table.schema != _RECORD:
            raise REBUILD.damaged(path, "it has other columns")
    except (pa.ArrowException, ValueError) as fault:
        raise REBUILD.damaged(path, str(fault)[:200]) from fault
    return table, _Mapped(buffer, blocks)


def _check_messages(buffer: pa.Buffer, blocks: MappedBlocks) -> None:
    """Verify the messages of an Arrow file, but not the columns that follow each, and its footer."""
    data, start = memoryview(buffer), len(ARROW)
    blocks.check(0, start)
    while True:
        blocks.check(start, start + 8)
        end = start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        if end == start + 8:  # the end of the messages
            break
        blocks.check(start, end)
        start = end + pa.ipc.read_message(pa.BufferReader(buffer.slice(start))).body.size
    blocks.check(start, len(data))


def read_matrix(segment: Path, rows: int, *, whole: bool = False) -> np.ndarray:
    """(N, D): the vectors of a segment of so many rows, memory-mapped; verified if they are wanted as a `whole`."""
    try:
        flat = np.asarray(np.memmap(segment / VECTORS, dtype="<f4", mode="r"))
        matrix: np.ndarray = flat.reshape(rows, -1)
    except ValueError as fault:  # empty, or of no whole rows
        raise REBUILD.damaged(segment / VECTORS, str(fault)) from fault
    if whole and (blocks := matrix_blocks(segment, matrix)) is not None:
        blocks.check_all()
    return matrix


def matrix_blocks(segment: Path, matrix: np.ndarray) -> MappedBlocks | None:
    """The blocks of a segment's vectors; None where they have no checksums."""
    return MappedBlocks.of(segment / VECTORS, matrix.reshape(-1).view(np.uint8), REBUILD)


def _pictured(item: ValidRow) -> Pictured:
    """Thumbnail and image hash of a row's original picture, if it has one."""
    picture = item.original or item.image
    if picture is None:
        return None, None
    if max(picture.size) <= THUMBNAIL_PX:  # a small picture is kept unchanged
        return item.data, compute_image_hash(picture)
    return shrunk(picture, size_px=THUMBNAIL_PX, quality=88).jpeg, compute_image_hash(picture)
