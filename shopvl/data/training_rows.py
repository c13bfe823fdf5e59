"""The rows of a training run, ready on disk, and its steps."""

from __future__ import annotations

import hashlib
import io
import json
import random
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock
from PIL import Image
from torch.utils.data import Dataset

from shopvl.batch import MODALITIES, Batch, Modality
from shopvl.catalog.fetching import Fetcher, limit_pictures
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.query_log import QueryLog
from shopvl.catalog.readers import Catalog
from shopvl.catalog.shared_pictures import shared_pictures
from shopvl.catalog.vocabulary import MOST_PICTURES
from shopvl.checksums import Remedy, file_digests, read_object, verify_all
from shopvl.data.collate import Collator
from shopvl.data.rows import RejectedRow, Row, ValidRow, agrees, validate_row, with_words
from shopvl.errors import CatalogError, DamagedError
from shopvl.files import atomic_write, write_object
from shopvl.recipes.parts import WhichRows
from shopvl.vision.picture_words import PictureReader

SOURCE, ROWS = "source.json", "rows.arrow"  # what the rows were made from, with checksums; and the rows
REJECTED, NOTED = "rejects.json", "notes.json"
FILES = "files"  # the key of the checksums in SOURCE
MAIN = 1  # number of a product's main picture
AGAIN = Remedy("run the same command again, which prepares the rows anew")
# what is where in a main picture: a part by what it is called, what shows a property, or both
PART_BOX = pa.struct([("text", pa.string()), ("property", pa.string()), ("box", pa.list_(pa.float32()))])
_COLUMNS = pa.schema(
    [
        ("product_id", pa.string()),
        ("title", pa.string()),
        ("image", pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])),
        ("category_path", pa.list_(pa.string())),
        ("attributes", pa.list_(pa.struct([("property", pa.string()), ("value", pa.string())]))),
        ("queries", pa.list_(pa.string())),
        ("printed", pa.list_(pa.struct([("text", pa.string()), ("box", pa.list_(pa.float32()))]))),
        ("part_boxes", pa.list_(PART_BOX)),
        ("bare", pa.large_binary()),  # the picture as PNG, where text laid over it was painted out
    ]
)
FILTERED_WORDS, FILTERED_PRODUCTS = (3, 20), 10  # of a title that ALIGN's rules keep, and that may share it
DECODED_BYTES = 512_000_000  # of pictures that a training run keeps decoded
_ROWS_PER_GROUP, _ROWS_IN_SIGHT = 1024, 32  # decoded pictures are large, but OCR workers want several at once


class TrainingCache:
    """Random access to a split's usable rows through a memory-mapped Arrow file: never the table in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open()

    def _open(self) -> None:
        self._file = pa.ipc.open_file(pa.memory_map(str(self.folder / ROWS)))
        groups = [self._file.get_batch(i) for i in range(self._file.num_record_batches)]
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)]).tolist()
        self._groups = groups

    def __getstate__(self) -> dict[str, Any]:  # a worker process maps the file anew
        return {"folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.folder = state["folder"]
        self._open()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, number: int) -> Row:
        group = bisect_right(self._starts, number) - 1
        row: Row = self._groups[group].slice(number - self._starts[group], 1).to_pylist()[0]
        return row

    def numbers(self, which: WhichRows, ontology: Ontology) -> np.ndarray:
        """The numbers of those rows. Raises CatalogError where there are none."""
        kept = [self._fit(group, which, ontology) for group in self._groups]
        numbers = np.flatnonzero(np.concatenate(kept))
        if not len(numbers):
            raise CatalogError(
                f"none of the {len(self)} rows to train on is {which}, as a stage of the recipe wants them"
            )
        return numbers

    @cached_property
    def _common_titles(self) -> pl.Series:
        """Those of more products than ALIGN's rules let share one."""
        titles = pl.Series("title", pa.chunked_array([group["title"] for group in self._groups]))
        counted = titles.value_counts()
        return counted.filter(pl.col("count") > FILTERED_PRODUCTS)["title"]

    def _fit(self, group: pa.RecordBatch, which: WhichRows, ontology: Ontology) -> np.ndarray:
        """(rows,) bool of a group, without a look at pictures' bytes."""
        match which:
            case "all":
                return np.ones(len(group), dtype=bool)
            case "pictured":
                return _present(group["image"], "image")
            case "titled":
                return _present(group["title"], "title")
            case "agreeing":
                told = group.select(["title", "category_path", "attributes"]).to_pylist()
                return np.array([agrees(row, ontology) for row in told])
            case "filtered":  # but for rare words, which nearly every title of a small catalog has
                titles = pl.Series("title", group["title"])
                words = titles.str.split(" ").list.len()
                fits = words.is_between(*FILTERED_WORDS) & ~titles.is_in(self._common_titles.implode())
                return fits.fill_null(False).to_numpy()

    def __iter__(self) -> Iterator[Row]:
        for group in self._groups:
            yield from group.to_pylist()

    def has(self, name: Modality) -> np.ndarray:
        """(N,) bool: rows that have that input."""
        there = [_present(group.column(name), name) for group in self._groups]
        return np.concatenate(there)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder

    root = path  # no picture lies outside

    def count(self) -> int:
        """Number of rows."""
        return len(self)

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows as frames, like a catalog's, with the original pictures."""
        for group in self._groups:
            frame = pl.from_arrow(group)
            assert isinstance(frame, pl.DataFrame)
            yield frame

    @property
    def data_digest(self) -> str:
        """`Catalog.digest` of what the rows were made from."""
        return str(read_object(self.folder / SOURCE, AGAIN)["digest"])

    def rejects(self) -> list[RejectedRow]:
        """Rows that were left out, with reasons."""
        return [RejectedRow(**item) for item in json.loads((self.folder / REJECTED).read_text("utf-8"))]


def training_rows(
    catalog: Catalog,
    folder: Path,
    log: QueryLog | None = None,
    report: Callable[[int], None] = lambda count: None,
    reader: PictureReader | None = None,
    row_inputs: Sequence[tuple[Modality, ...]] = (MODALITIES,),
    *,
    shared: bool = False,
) -> TrainingCache:
    """Check every row once (picture decodes, title present) and store those in `folder` that have any of `row_inputs`.

    A product with several pictures has a row for each, up to MOST_PICTURES.
    Queries of the `log` are added to those of the catalog's rows. Made again only if catalog or log changed, or a file
    of the folder is damaged.
    Pictures by URL or path are fetched here, so training needs neither network nor the original files. With a `reader`
    text laid over them is painted out here, and words on products are kept; `notes.json` says which pictures could not
    be read. Where the folder is `shared`, each kind of rows has a folder below it. Raises CatalogError where no row is
    usable.
    """
    several = any("image" in inputs for inputs in row_inputs) and catalog.has_further_pictures()
    source = {
        "digest": catalog.digest(),
        "split": catalog.split,
        "log": None if log is None else int(log.table.hash_rows().sum()),
        "words": None if reader is None else reader.version(),
        "columns": _COLUMNS.names,
        "inputs": [list(inputs) for inputs in row_inputs],
        **({"pictures": MOST_PICTURES} if several else {}),
    }
    if shared:
        folder /= hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not is_whole(folder, source):
            # a chart of sizes under many products shows none of them
            charts = shared_pictures(catalog) if several else frozenset[bytes]()
            _write_rows(catalog, folder, log, report, reader, row_inputs, charts)
            note_source(folder, source)
    return TrainingCache(folder)


def is_whole(folder: Path, source: dict[str, Any]) -> bool:
    """Whether the folder has rows that were made from that, as they were written."""
    try:
        noted = read_object(folder / SOURCE, AGAIN)
        verify_all(folder, noted.pop(FILES, {}), AGAIN)
    except (DamagedError, OSError, AttributeError, TypeError):
        return False
    return noted == source


def note_source(folder: Path, source: dict[str, Any]) -> None:
    """Say that the rows are complete, and what they were made from; a run killed before this prepares them anew."""
    names = [name for name in (ROWS, REJECTED, NOTED) if (folder / name).is_file()]
    write_object(folder / SOURCE, {**source, FILES: file_digests(folder, names)})


def _write_rows(
    catalog: Catalog,
    folder: Path,
    log: QueryLog | None,
    report: Callable[[int], None],
    reader: PictureReader | None,
    row_inputs: Sequence[tuple[Modality, ...]],
    shared: Collection[bytes],
) -> None:
    rejects: list[RejectedRow] = []
    notes: list[RejectedRow] = []
    with ExitStack() as stack:  # another process may still read the former rows
        draft = stack.enter_context(atomic_write(folder / ROWS))
        sink = stack.enter_context(pa.OSFile(str(draft), "wb"))
        writer = stack.enter_context(pa.ipc.new_file(sink, _COLUMNS))
        good: list[dict[str, Any]] = []
        pictured = any("image" in inputs for inputs in row_inputs)
        frames = (limit_pictures(frame, MOST_PICTURES) for frame in catalog.batches(_ROWS_PER_GROUP))
        parts = (part for frame in frames for part in frame.iter_slices(_ROWS_IN_SIGHT))
        for part in Fetcher().with_pictures(parts) if pictured else parts:
            usable = _usable(part, catalog.root, row_inputs, rejects, shared)
            read = usable if reader is None else with_words(reader, usable)
            notes += [RejectedRow(item.row["product_id"], item.note) for item in read if item.note]
            notes += [RejectedRow(item.row["product_id"], note) for item in usable if (note := _parts_note(item))]
            good += [_stored_row(*pair, log) for pair in zip(usable, read, strict=True)]
            if len(good) >= _ROWS_PER_GROUP:
                writer.write_batch(pa.RecordBatch.from_pylist(good, schema=_COLUMNS))
                good = []
            report(len(part))
        if good:
            writer.write_batch(pa.RecordBatch.from_pylist(good, schema=_COLUMNS))
    for name, listed in ((REJECTED, rejects), (NOTED, notes)):
        (folder / name).write_text(json.dumps([vars(item) for item in listed], ensure_ascii=False), "utf-8")
    if not len(TrainingCache(folder)):
        first = f", the first because {rejects[0].reason}" if rejects else ""
        raise CatalogError(
            f"no row of {catalog.path} can be trained on: {len(rejects)} were rejected{first}; "
            "`shopvl catalog check` lists every fault"
        )


def _usable(
    part: pl.DataFrame,
    root: Path,
    row_inputs: Sequence[tuple[Modality, ...]],
    rejects: list[RejectedRow],
    shared: Collection[bytes],
) -> list[ValidRow]:
    """The rows to train on, one for each picture of a product; the others are added to `rejects`."""
    usable = []
    wanted = tuple(name for name in MODALITIES if any(name in inputs for inputs in row_inputs))
    for row in part.iter_rows(named=True):
        match validate_row(row, root, wanted, shared=shared):
            case ValidRow(inputs=inputs) as item if inputs in row_inputs:
                usable += item.each_picture()
            case ValidRow(inputs=(only,), absent=absent):
                reason = f"training needs picture and title, there is only the {only}"
                reason = "; ".join((reason, *absent.values()))
                rejects.append(RejectedRow(row["product_id"], reason))
            case RejectedRow() as reject:
                rejects.append(reject)
    return usable


def _stored_row(valid: ValidRow, read: ValidRow, log: QueryLog | None) -> dict[str, Any]:
    """A training row as it is stored."""
    row = valid.row
    bare = io.BytesIO()
    if read.image is not None and read.image is not valid.image:
        read.image.save(bare, "PNG")
    logged = [] if log is None else [text for text, _ in log.of(row["product_id"])]
    stored = {
        **row,
        "title": None if "title" in valid.absent else row["title"],
        "image": {"bytes": valid.data, "path": None},
        "bare": bare.getvalue() or None,
        "queries": [*(row["queries"] or ()), *logged],
        "printed": [{"text": word.text, "box": word.box} for word in read.printed],
        "part_boxes": _part_boxes(valid),
    }
    return {name: stored.get(name) for name in _COLUMNS.names}


def _part_boxes(valid: ValidRow) -> list[dict[str, Any]] | None:
    """The named parts of the main picture that the column `part_boxes` tells; of others nothing is told."""
    told = valid.row.get("part_boxes")
    if valid.number != MAIN or not isinstance(told, list):
        return None
    return [
        {"text": part.get("text"), "property": part.get("property"), "box": [float(side) for side in part["box"]]}
        for part in told
        if _is_part(part)
    ]


def _is_part(told: object) -> bool:
    """Whether it is `{text, box}`, `{property, box}` or all three, the box x0 y0 x1 y1 in [0, 1]."""
    if not isinstance(told, dict):
        return False
    said = [told[name] for name in ("text", "property") if told.get(name) is not None]
    if not said or not all(isinstance(words, str) and words.strip() for words in said):
        return False
    sides = told.get("box")
    if not isinstance(sides, list) or len(sides) != 4 or not all(isinstance(side, int | float) for side in sides):
        return False
    x0, y0, x1, y1 = sides
    return 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1


def _parts_note(valid: ValidRow) -> str | None:
    """What of the column `part_boxes` is left out, if anything."""
    told = valid.row.get("part_boxes")
    if told is None or valid.number != MAIN:
        return None
    if not isinstance(told, list):
        return "part_boxes is no list of {text, property, box}; left out"
    wrong = sum(not _is_part(part) for part in told)
    if not wrong:
        return None
    return f"part_boxes: {wrong} of {len(told)} are no {{text, property, box}} with x0 y0 x1 y1 in [0, 1]; left out"


def _present(column: pa.Array, name: Modality) -> np.ndarray:
    """(N,) bool: which rows of a stored column have something."""
    there = pc.is_valid(pc.struct_field(column, "bytes")) if name == "image" else pc.greater(pc.utf8_length(column), 0)
    present: np.ndarray = pc.fill_null(there, False).to_numpy(zero_copy_only=False)
    return present


def _by_inputs(
    rows: TrainingCache, numbers: np.ndarray, row_inputs: Sequence[tuple[Modality, ...]]
) -> list[np.ndarray]:
    """These rows in lots that have the same of the inputs that a recipe reads, and which it learns from.

    A single row beside others is left out: there is nothing to compare it with, nor to norm it by.
    """
    has = {name: rows.has(name)[numbers] for name in row_inputs[0]}
    lots = []
    for inputs in row_inputs:
        same = np.ones(len(numbers), dtype=bool)
        for name, has_N in has.items():
            same &= has_N == (name in inputs)
        lots.append(numbers[same])
    lots = [lot for lot in lots if len(lot) > 1] or [lot for lot in lots if len(lot)]
    if not lots:
        needed = " or ".join(" and ".join(inputs) for inputs in row_inputs)
        raise CatalogError(f"none of the {len(numbers)} rows to train on has what the recipe learns from: {needed}")
    return lots


class TrainingDataset(Dataset):
    """Training step number -> Batch. All randomness follows from (seed, step), so any step can be reproduced.

    `which` says which of the rows it takes; those of a step have the same inputs. In a run over several processes,
    process `rank` of `world` makes its own rows of each step, all with all inputs: every weight needs a gradient there.
    The `held_out` share of the rows is left out, or taken alone. The first pictures, up to `keep_decoded_bytes` of
    them, are decoded once.
    """

    def __init__(
        self,
        rows: TrainingCache,
        loader: Collator,
        seed: int,
        rank: int = 0,
        world: int = 1,
        *,
        which: WhichRows = "all",
        held_out: float = 0.0,
        only_held_out: bool = False,
        keep_decoded_bytes: int = DECODED_BYTES,
    ) -> None:
        self.rows, self.loader, self.seed, self.rank, self.world = rows, loader, seed, rank, world
        numbers = rows.numbers(which, loader.ontology)
        if held_out:
            spared = np.arange(len(numbers)) % round(1 / held_out) == 0
            numbers = numbers[spared if only_held_out else ~spared]
        self._decoded: dict[int, np.ndarray] = {}
        self._cache_bytes_left = keep_decoded_bytes
        self.batch_size = min(loader.recipe.schedule.batch_size, len(numbers))
        self._lots = _by_inputs(rows, numbers, loader.recipe.row_inputs[: 1 if world > 1 else None])
        self._steps = [max(1, len(lot) // self.batch_size) for lot in self._lots]
        self.steps_per_epoch = sum(self._steps)

    def numbers(self, step: int) -> np.ndarray:
        """The rows of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        rng = np.random.default_rng([self.seed, epoch])
        orders = [lot[rng.permutation(len(lot))] for lot in self._lots]
        if len(orders) > 1:
            position = int(rng.permutation(self.steps_per_epoch)[position])
        first = np.cumsum([0, *self._steps])
        lot = int(np.searchsorted(first, position, side="right")) - 1
        start = (position - int(first[lot])) * self.batch_size
        return orders[lot][start : start + self.batch_size]

    def __getitem__(self, step: int) -> Batch:
        numbers = self.numbers(step)
        rng = random.Random(f"{self.seed}/{step}")
        seeds = [rng.getrandbits(64) for _ in numbers]
        mine = slice(self.rank, None, self.world)
        own = numbers[mine].tolist()
        rows = [self.rows[number] for number in own]
        pictures = None
        if "image" in self.loader.inputs_of(rows[0]):
            pictures = [self._picture(number, row) for number, row in zip(own, rows, strict=True)]
        return self.loader.training_batch(rows, rng, seeds[mine], pictures)

    def _picture(self, number: int, row: Row) -> Image.Image:
        if number in self._decoded:
            return Image.fromarray(self._decoded[number])
        picture = self.loader.training_picture(row)
        pixels = np.asarray(picture)
        if pixels.nbytes <= self._cache_bytes_left:
            self._decoded[number] = pixels
            self._cache_bytes_left -= pixels.nbytes
        return picture
