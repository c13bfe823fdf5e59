"""A catalog through a model, batch by batch: what can be read is read, what cannot is a reject with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from shopvl.batch import Batch, Modality
from shopvl.design import Design
from shopvl.loading import Loader, Reject, Row, Usable, examine

BATCH_ROWS = 128

Read = Callable[[Batch, tuple[Modality, ...]], Mapping[str, Tensor]]
T = TypeVar("T")


@dataclass(frozen=True)
class Encoded:
    """Rows that have the same inputs, and what the model read from them: name -> (rows, ...) float32."""

    inputs: tuple[Modality, ...]
    rows: list[Row]
    values: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Prepared:
    groups: list[tuple[list[Usable], Batch]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def encode(
    design: Design, frames: Iterable[pl.DataFrame], root: Path, wanted: tuple[Modality, ...], read: Read
) -> Iterator[Encoded | Reject]:
    """Every row of the frames exactly once, as part of an `Encoded` or as a `Reject`.

    `read` is called with a batch and the inputs it holds (`wanted`, less what a row does not have). Decoding the next
    batch goes on while the model reads this one.
    """
    loader = design.loader
    design.model.eval()
    with ThreadPoolExecutor(max_workers=1) as pool:
        chunks = (rows for frame in frames for rows in _chunks(frame))
        for prepared in _ahead(pool, lambda rows: _prepare(loader, rows, root, wanted), chunks):
            yield from prepared.rejects
            for group, batch in prepared.groups:
                yield _encoded(design, group, batch, read)


def encoded_group(design: Design, group: list[Usable], read: Read) -> Encoded:
    """The same for a few rows at hand, all with the same inputs."""
    design.model.eval()
    return _encoded(design, group, design.loader.inference_batch(group), read)


def _encoded(design: Design, group: list[Usable], batch: Batch, read: Read) -> Encoded:
    inputs = group[0].inputs
    with torch.inference_mode():
        read_now = read(batch.to(design.device), inputs)
    values = {name: tensor.float().cpu().numpy() for name, tensor in read_now.items()}
    return Encoded(inputs, [item.row for item in group], values)


def _chunks(frame: pl.DataFrame) -> Iterator[list[Row]]:
    for start in range(0, len(frame), BATCH_ROWS):
        yield list(frame.slice(start, BATCH_ROWS).iter_rows(named=True))


def _prepare(loader: Loader, rows: list[Row], root: Path, wanted: tuple[Modality, ...]) -> _Prepared:
    prepared = _Prepared()
    by_inputs: dict[tuple[Modality, ...], list[Usable]] = {}
    for row in rows:
        match examine(row, root, wanted):
            case Reject() as reject:
                prepared.rejects.append(reject)
            case Usable() as good:
                by_inputs.setdefault(good.inputs, []).append(good)
    prepared.groups.extend((group, loader.inference_batch(group)) for group in by_inputs.values())
    return prepared


def _ahead(pool: ThreadPoolExecutor, work: Callable[[list[Row]], T], items: Iterator[list[Row]]) -> Iterator[T]:
    """Results in order, with two pieces of work under way beyond the one in hand: bounded memory."""
    waiting = [pool.submit(work, item) for item in islice(items, 2)]
    while waiting:
        done = waiting.pop(0).result()
        waiting.extend(pool.submit(work, item) for item in islice(items, 1))
        yield done
