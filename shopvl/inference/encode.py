"""A catalog through a model, batch by batch; a row that cannot be read becomes a reject with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from shopvl.batch import Batch, Modality
from shopvl.catalog.fetching import Fetcher, limit_pictures
from shopvl.catalog.vocabulary import MOST_PICTURES
from shopvl.data.collate import Collator
from shopvl.data.rows import RejectedRow, Row, ValidRow, validate_row, with_words
from shopvl.design.design import Design
from shopvl.device import decoders_for
from shopvl.runtime.malloc import disable_malloc_trim
from shopvl.runtime.prefetching import prefetch

BATCH_ROWS = 128


Read = Callable[[Batch, tuple[Modality, ...]], Mapping[str, Tensor]]
Values = dict[str, np.ndarray]  # name -> (rows, ...) float32


@dataclass(frozen=True)
class Pool:
    """How several pictures of one product become one: `read` reads further pictures, each beside the product's title.

    `combine` takes what was read of R products, what was read of V further pictures, (V,) whose these are and (V,)
    their numbers, and returns what is read of the products from all of their pictures.
    """

    read: Read
    combine: Callable[[Values, Values, np.ndarray, np.ndarray], Values]


@dataclass(frozen=True)
class Encoded:
    """Rows that have the same inputs, and what the model read from them."""

    inputs: tuple[Modality, ...]
    items: list[ValidRow]
    values: Values

    @property
    def rows(self) -> list[Row]:
        """The rows as they stand in the catalog."""
        return [item.row for item in self.items]

    def one(self, number: int) -> Encoded:
        """What was read of one of the rows."""
        values = {name: array[number : number + 1] for name, array in self.values.items()}
        return Encoded(self.inputs, [self.items[number]], values)

    def only(self, inputs: tuple[Modality, ...]) -> Encoded:
        """What was read of some of the inputs, as if the rows had no others."""
        hidden = set(self.inputs) - set(inputs)
        # `image+title/colour`, `familiarity/title`; a conflict is between two inputs
        kept = {
            name: array
            for name, array in self.values.items()
            if not hidden & set(re.split(r"[/+]", name)) and not (hidden and name.startswith("conflict/"))
        }
        return Encoded(inputs, [replace(item, inputs=inputs) for item in self.items], kept)


@dataclass(frozen=True)
class Views:
    """Further pictures of a group's products, each with the product's title, as batches."""

    batches: list[Batch]
    owner_V: np.ndarray  # the product's place in the group
    number_V: np.ndarray  # of the picture


@dataclass(frozen=True)
class Group:
    """Valid rows with the same inputs as one batch; `places` are their numbers among the prepared rows."""

    places: list[int]
    items: list[ValidRow]
    batch: Batch
    views: Views | None = None


@dataclass(frozen=True)
class Prepared:
    """Some rows, ready for the model. By the row's number: rejects, notes on what OCR could not read, and inputs that
    are there but say nothing."""

    groups: list[Group] = field(default_factory=list)
    rejects: dict[int, RejectedRow] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    absent: dict[int, str] = field(default_factory=dict)


def encode(
    design: Design,
    frames: Iterable[pl.DataFrame],
    root: Path,
    wanted: tuple[Modality, ...],
    read: Read,
    *,
    pool: Pool | None = None,
    shown_px: int = 0,
    batch_rows: int = BATCH_ROWS,
    shared: Collection[bytes] = frozenset(),
) -> Iterator[Encoded | RejectedRow]:
    """Every row of the frames exactly once, as part of an `Encoded` or as a `RejectedRow`.

    With `pool` the further pictures of products are read, too, and what is read of all of them put together by it.

    `read` is called with a batch and the inputs it holds (`wanted`, less what a row does not have). Every picture
    is fetched and decoded once, and keeps at least `shown_px` a side if it has that many. Downloading and decoding
    overlap with the model. `shared` are the catalog's `shared_pictures`, which show none of its products.
    """
    loader = design.loader
    design.model.eval()
    disable_malloc_trim()

    def ready(pictured: pl.DataFrame, own: pl.DataFrame) -> Prepared:
        rows = list(pictured.iter_rows(named=True))
        prepared = prepare(loader, rows, root, wanted, shown_px=shown_px, shared=shared)
        if pictured is not own:  # rows may be kept for long: without what was downloaded for them
            own_rows = own.to_dicts()
            for group in prepared.groups:
                group.items[:] = [
                    replace(item, row=own_rows[index]) for item, index in zip(group.items, group.places, strict=True)
                ]
        return prepared

    most = 1 if pool is None else MOST_PICTURES
    parts = (part for frame in frames for part in limit_pictures(frame, most).iter_slices(batch_rows))
    fetched = Fetcher().fetched((part, part) for part in parts)
    for prepared in prefetch(lambda pair: ready(*pair), fetched, decoders_for(design.device)):
        yield from prepared.rejects.values()
        for group in prepared.groups:
            yield encoded(design, group, read, pool)


def encoded(design: Design, group: Group, read: Read, pool: Pool | None = None) -> Encoded:
    """A prepared group through the model, which must be in evaluation mode."""
    inputs = group.items[0].inputs
    values = _read(design, group.batch, inputs, read)
    if pool is not None and (views := group.views) is not None:
        parts = [_read(design, batch, inputs, pool.read) for batch in views.batches]
        seen = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        values = pool.combine(values, seen, views.owner_V, views.number_V)
    return Encoded(inputs, group.items, values)


def _read(design: Design, batch: Batch, inputs: tuple[Modality, ...], read: Read) -> Values:
    with torch.inference_mode():
        read_now = read(batch.to(design.device), inputs)
    return {name: tensor.float().cpu().numpy() for name, tensor in read_now.items()}


def prepare(
    loader: Collator,
    rows: Sequence[Row],
    root: Path,
    wanted: tuple[Modality, ...],
    *,
    shown_px: int = 0,
    shared: Collection[bytes] = frozenset(),
) -> Prepared:
    """Decode and check rows, and make batches of those with the same inputs.

    Pictures keep at least `shown_px` a side if they have that many, even if the model reads fewer. With the loader's
    `reader`, text laid over pictures is removed first; raises ShopvlError if the OCR engine does not start. In several
    batches, titles of similar length go together to save padding.
    """
    prepared = Prepared()
    usable: dict[int, ValidRow] = {}
    for index, row in enumerate(rows):
        match validated(loader, row, root, wanted, shown_px=shown_px, shared=shared):
            case RejectedRow() as reject:
                prepared.rejects[index] = reject
            case ValidRow() as good:
                usable[index] = good
                if good.absent:
                    prepared.absent[index] = "; ".join(good.absent.values())
    if loader.reader is not None:
        usable = dict(zip(usable, with_words(loader.reader, list(usable.values())), strict=True))
    prepared.notes.update((index, good.note) for index, good in usable.items() if good.note)
    prepared.groups.extend(_grouped(loader, usable))
    return prepared


def validated(
    loader: Collator,
    row: Row,
    root: Path,
    wanted: tuple[Modality, ...],
    *,
    shown_px: int = 0,
    shared: Collection[bytes] = frozenset(),
) -> RejectedRow | ValidRow:
    """One row, decoded and checked as the loader's model wants it."""
    at_least_px = max(loader.decoded_px, shown_px)
    wanted = loader.readable(wanted)
    return validate_row(row, root, wanted, at_least_px=at_least_px, title_check=loader.title_check, shared=shared)


def encoded_each(design: Design, items: Sequence[ValidRow], read: Read, pool: Pool | None = None) -> list[Encoded]:
    """Checked rows through the model together: what was read of each, in their order."""
    parts: dict[int, Encoded] = {}
    for group in _grouped(design.loader, dict(enumerate(items))):
        whole = encoded(design, group, read, pool)
        parts.update((place, whole.one(number)) for number, place in enumerate(group.places))
    return [parts[place] for place in range(len(items))]


def _grouped(loader: Collator, usable: Mapping[int, ValidRow]) -> Iterator[Group]:
    """Batches of rows with the same inputs."""
    by_inputs: dict[tuple[Modality, ...], list[tuple[int, ValidRow]]] = {}
    for index, good in usable.items():
        by_inputs.setdefault(good.inputs, []).append((index, good))
    for same_inputs in by_inputs.values():
        if len(same_inputs) > BATCH_ROWS:
            same_inputs.sort(key=lambda item: len(item[1].row["title"] or ""))
        for start in range(0, len(same_inputs), BATCH_ROWS):
            indices, items = (list(column) for column in zip(*same_inputs[start : start + BATCH_ROWS], strict=True))
            yield Group(indices, items, loader.inference_batch(items), _views(loader, items))


def _views(loader: Collator, items: Sequence[ValidRow]) -> Views | None:
    """The further pictures of these products; None where there are none."""
    each = [(owner, one) for owner, item in enumerate(items) for one in item.each_picture()[1:]]
    if not each:
        return None
    rows = [replace(one, original=None, printed=()) for _, one in each]
    batches = [loader.inference_batch(rows[start : start + BATCH_ROWS]) for start in range(0, len(rows), BATCH_ROWS)]
    return Views(batches, np.array([owner for owner, _ in each]), np.array([one.number for one in rows]))
