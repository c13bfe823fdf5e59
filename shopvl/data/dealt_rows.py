"""Training rows with another product's picture: a control, from which nothing about pairs can be learned."""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from filelock import FileLock

from shopvl.catalog.cells import folded
from shopvl.checksums import read_object
from shopvl.data.rows import Row
from shopvl.data.training_rows import AGAIN, FILES, REJECTED, ROWS, SOURCE, TrainingCache, is_whole, note_source
from shopvl.errors import CatalogError
from shopvl.files import atomic_write

OF_THE_PICTURE = ("image", "bare", "printed")  # columns that go where the picture goes
ROWS_PER_GROUP = 1024


def dealt_rows(rows: TrainingCache, seed: int) -> TrainingCache:
    """The same rows with their pictures dealt to products of other titles, in a folder below that of `rows`.

    Title, queries, category and attributes of a product stay together. Dealt once. Raises CatalogError where most rows
    have one title, so that there are not enough others.
    """
    folder = rows.folder / f"dealt-{seed}"
    source = read_object(rows.folder / SOURCE, AGAIN) | {"dealt": seed}
    source.pop(FILES, None)
    folder.mkdir(exist_ok=True)
    with FileLock(folder / ".lock"):
        if not is_whole(folder, source):
            _write(rows, folder, seed)
            note_source(folder, source)
    return TrainingCache(folder)


def _write(rows: TrainingCache, folder: Path, seed: int) -> None:
    titles = [title for frame in rows.batches() for title in frame["title"].to_list()]
    givers = list(range(len(rows)))
    paired = np.flatnonzero(rows.has("image") & rows.has("title")).tolist()
    for taker, giver in _deal(paired, titles, seed).items():
        givers[taker] = giver
    with pa.memory_map(str(rows.folder / ROWS)) as file:
        schema = pa.ipc.open_file(file).schema
    with (
        atomic_write(folder / ROWS) as draft,
        pa.OSFile(str(draft), "wb") as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        for start in range(0, len(rows), ROWS_PER_GROUP):
            numbers = range(start, min(start + ROWS_PER_GROUP, len(rows)))
            dealt = [_with_picture(rows[taker], rows[givers[taker]]) for taker in numbers]
            writer.write_batch(pa.RecordBatch.from_pylist(dealt, schema=schema))
    shutil.copyfile(rows.folder / REJECTED, folder / REJECTED)


def _deal(numbers: Sequence[int], titles: Sequence[str], seed: int) -> dict[int, int]:
    """Whose picture each of the rows `numbers` gets.

    Rows of one title stand together, in an order by chance; each gets the picture as many rows further on as the most
    frequent title has rows, which is that of another title.
    """
    rng = random.Random(seed)
    groups: dict[str, list[int]] = defaultdict(list)
    for number in rng.sample(numbers, len(numbers)):
        groups[folded(titles[number])].append(number)
    most = max(map(len, groups.values()), default=0)
    if 2 * most > len(numbers):
        raise CatalogError(
            f"{most} of {len(numbers)} rows have one title, so their pictures cannot be dealt to products of others; "
            "leave shuffle_pairs out, or give a catalog of different products"
        )
    order = [number for group in groups.values() for number in group]
    return dict(zip(order, order[most:] + order[:most], strict=True))


def _with_picture(row: Row, other: Row) -> Row:
    return {**row, **{name: other[name] for name in OF_THE_PICTURE}}
