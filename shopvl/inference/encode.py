"""A catalog through a model, batch by batch: what can be read is read, what cannot is a reject with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from shopvl.batch import Batch, Modality
from shopvl.data.collate import Collator
from shopvl.data.rows import RejectedRow, Row, ValidRow, validate_row, with_words
from shopvl.design.design import Design
from shopvl.runtime.prefetching import prefetch
from shopvl.vision.ocr import Word
from shopvl.vision.subject import LETTERS_PX

BATCH_ROWS = 128
DECODED_SIDES = 2  # a JPEG is decoded at no less than so many times the size that the model reads

Read = Callable[[Batch, tuple[Modality, ...]], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Encoded:
    """Rows that have the same inputs, and what the model read from them: name -> (rows, ...) float32.

    `printed` are the words that OCR read on each product, where it was asked to.
    """

    inputs: tuple[Modality, ...]
    rows: list[Row]
    values: dict[str, np.ndarray]
    printed: list[tuple[Word, ...]]


@dataclass(frozen=True)
class Group:
    """Usable rows with the same inputs as one batch; `places` says which of the prepared rows they are."""

    places: list[int]
    items: list[ValidRow]
    batch: Batch


@dataclass(frozen=True)
class Prepared:
    """Some rows, ready for the model; by their place among the rows rejects, and notes on what OCR could not read."""

    groups: list[Group] = field(default_factory=list)
    rejects: dict[int, RejectedRow] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)


def encode(
    design: Design, frames: Iterable[pl.DataFrame], root: Path, wanted: tuple[Modality, ...], read: Read
) -> Iterator[Encoded | RejectedRow]:
    """Every row of the frames exactly once, as part of an `Encoded` or as a `RejectedRow`.

    `read` is called with a batch and the inputs it holds (`wanted`, less what a row does not have). Decoding the next
    batch goes on while the model reads this one.
    """
    loader = design.loader
    design.model.eval()
    chunks = (rows for frame in frames for rows in _chunks(frame))
    for prepared in prefetch(lambda rows: prepare(loader, rows, root, wanted), chunks):
        yield from prepared.rejects.values()
        for group in prepared.groups:
            yield encoded(design, group.items, group.batch, read)


def encoded(design: Design, group: list[ValidRow], batch: Batch, read: Read) -> Encoded:
    """A prepared batch through the model, which must be in evaluation mode."""
    inputs = group[0].inputs
    with torch.inference_mode():
        read_now = read(batch.to(design.device), inputs)
    values = {name: tensor.float().cpu().numpy() for name, tensor in read_now.items()}
    return Encoded(inputs, [item.row for item in group], values, [item.printed for item in group])


def prepare(loader: Collator, rows: Sequence[Row], root: Path, wanted: tuple[Modality, ...]) -> Prepared:
    """Decode and check rows, and make batches of those with the same inputs.

    With the loader's `reader`, pictures are bared of the text laid over them first; raises ShopvlError where the OCR
    engine does not start.
    Where there are enough for several batches, titles of like length go together: padding costs as much as words.
    """
    prepared = Prepared()
    usable: dict[int, ValidRow] = {}
    at_least_px = DECODED_SIDES * max(loader.size_px)
    if loader.reader is not None:
        at_least_px = max(at_least_px, LETTERS_PX)
    for place, row in enumerate(rows):
        match validate_row(row, root, wanted, at_least_px=at_least_px):
            case RejectedRow() as reject:
                prepared.rejects[place] = reject
            case ValidRow() as good:
                usable[place] = good
    if loader.reader is not None:
        usable = dict(zip(usable, with_words(loader.reader, list(usable.values())), strict=True))
        prepared.notes.update((place, good.note) for place, good in usable.items() if good.note)
    by_inputs: dict[tuple[Modality, ...], list[tuple[int, ValidRow]]] = {}
    for place, good in usable.items():
        by_inputs.setdefault(good.inputs, []).append((place, good))
    for together in by_inputs.values():
        if len(together) > BATCH_ROWS:
            together.sort(key=lambda item: len(item[1].row["title"] or ""))
        for start in range(0, len(together), BATCH_ROWS):
            places, items = (list(column) for column in zip(*together[start : start + BATCH_ROWS], strict=True))
            prepared.groups.append(Group(places, items, loader.inference_batch(items)))
    return prepared


def _chunks(frame: pl.DataFrame) -> Iterator[list[Row]]:
    for start in range(0, len(frame), BATCH_ROWS):
        yield list(frame.slice(start, BATCH_ROWS).iter_rows(named=True))
