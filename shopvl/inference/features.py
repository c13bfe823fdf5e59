"""Labelled rows as a model sees them: what heads are fitted on, and what answers are measured on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shopvl.batch import MODALITIES, Batch
from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog, spread
from shopvl.catalog.shared_pictures import shared_pictures
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.rows import RejectedRow, Row, is_of_no_category, label_of
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.inference.encode import Encoded, Pool, encode
from shopvl.inference.levels import is_category
from shopvl.metrics.retrieval import group_ids

MAX_ROWS = 200_000  # most rows, whose features are held in memory; a linear head learns little from more

ABSENT, FOREIGN = -1, -2  # label numbers: the row's value is not known; it is none of the design's labels

Report = Callable[[str, float], None]  # stage, share done


@dataclass(frozen=True)
class Labelled:
    """What was read of N rows (N, ...), their titles, and per property each row's label number, ABSENT or FOREIGN."""

    values: dict[str, Tensor]  # NaN where a row lacks an input of it
    titles: list[str]  # empty where there is none
    labels: dict[str, Tensor]  # (N,) int64
    no_category_N: Tensor  # bool: the product is of none of the categories
    rejects: list[RejectedRow]  # rows that could not be read

    def has(self, name: str) -> Tensor:
        """(N,) bool: whether the value of that name was read of a row."""
        return ~self.values[name].flatten(1)[:, 0].isnan() if name in self.values else torch.zeros(len(self.titles)) > 0

    def where(self, chosen_N: Tensor) -> Labelled:
        """Some of the rows, by mask."""
        return Labelled(
            {name: values[chosen_N] for name, values in self.values.items()},
            [title for title, chosen in zip(self.titles, chosen_N.tolist(), strict=True) if chosen],
            {name: labels[chosen_N] for name, labels in self.labels.items()},
            self.no_category_N[chosen_N],
            self.rejects,
        )

    @classmethod
    def joined(cls, lots: Sequence[Labelled]) -> Labelled:
        """The rows of several, one after the other."""
        if len(lots) == 1:
            return lots[0]
        names = dict.fromkeys(name for lot in lots for name in lot.values)
        values = {
            name: _laid_out(
                [
                    (sum(len(lot.titles) for lot in lots[:number]), lot.values[name].numpy())
                    for number, lot in enumerate(lots)
                    if name in lot.values
                ],
                sum(len(lot.titles) for lot in lots),
            )
            for name in names
        }
        return cls(
            values,
            [title for lot in lots for title in lot.titles],
            {name: torch.cat([lot.labels[name] for lot in lots]) for name in lots[0].labels},
            torch.cat([lot.no_category_N for lot in lots]),
            [reject for lot in lots for reject in lot.rejects],
        )


def labelled(
    design: Design,
    catalog: Catalog,
    labels: Mapping[str, Sequence[str]],
    read: Callable[[Batch], Mapping[str, Tensor]],
    *,
    pool: Pool | None = None,
    report: Report = lambda stage, share: None,
    max_rows: int = MAX_ROWS,
) -> Labelled:
    """Outputs of `read` for the catalog's rows (at most `max_rows`, spread evenly), and their labels.

    With `pool`, further pictures are read as well; pictures under many products have no part then, as in tags. Raises
    CatalogError for no rows.
    """
    total = catalog.count()
    numbers = {name: {folded(value): i for i, value in enumerate(values)} for name, values in labels.items()}
    values: dict[str, list[tuple[int, np.ndarray]]] = defaultdict(list)  # from which row on, and of these
    truth: dict[str, list[int]] = defaultdict(list)
    titles: list[str] = []
    no_category: list[bool] = []
    rejects: list[RejectedRow] = []

    frames = spread(catalog.batches(), total, max_rows)
    shared = shared_pictures(catalog) if pool is not None else frozenset()
    rows = encode(design, frames, catalog.root, MODALITIES, lambda batch, _: read(batch), pool=pool, shared=shared)
    for item in rows:
        report("encode", (len(titles) + len(rejects)) / min(total, max_rows))
        if not isinstance(item, Encoded):
            rejects.append(item)
            continue
        for name, array in item.values.items():
            values[name].append((len(titles), array))
        for name, number_of in numbers.items():
            truth[name] += [label_number(row, name, number_of, design.ontology) for row in item.rows]
        titles += [row["title"] if "title" in item.inputs else "" for row in item.rows]
        no_category += [is_of_no_category(row) for row in item.rows]
    report("encode", 1.0)
    if not titles:
        wanted = " or ".join({"image": "a picture", "title": "a title"}[one] for one in design.recipe.inputs)
        raise CatalogError(f"no row of {catalog.path} has {wanted}, so there is nothing to learn or measure on")
    return Labelled(
        {name: _laid_out(parts, len(titles)) for name, parts in values.items()},
        titles,
        {name: torch.tensor(numbers_) for name, numbers_ in truth.items()},
        torch.tensor(no_category),
        rejects,
    )


def title_ids(titles: Sequence[str]) -> np.ndarray:
    """(N,) a number for each title: products of one title are often right or wrong together; without a title, each is
    by itself."""
    return group_ids([folded(title) or number for number, title in enumerate(titles)])


def _laid_out(parts: Sequence[tuple[int, np.ndarray]], rows: int) -> Tensor:
    """(rows, ...) float32: every part in its place, NaN where there is none."""
    whole = np.full((rows, *parts[0][1].shape[1:]), np.nan, dtype=np.float32)
    for start, array in parts:
        whole[start : start + len(array)] = array
    return torch.from_numpy(whole)


def label_number(row: Row, name: str, number_of: Mapping[str, int], ontology: Ontology) -> int:
    """The number of the row's true value among those of a property, or of a level of the category.

    Of a category path that goes on below the names, the part that they have; one that ends above them does not say
    which it is.
    """
    value = label_of(row, CATEGORY if is_category(name) else name, ontology)
    if value is None:
        return ABSENT
    number = number_of.get(folded(value), FOREIGN)
    if number != FOREIGN or not is_category(name):
        return number
    path = value.split(CATEGORY_JOIN)
    for depth in range(len(path) - 1, 0, -1):
        if (number := number_of.get(folded(CATEGORY_JOIN.join(path[:depth])), FOREIGN)) != FOREIGN:
            return number
    return ABSENT if any(known.startswith(folded(value + CATEGORY_JOIN)) for known in number_of) else FOREIGN
