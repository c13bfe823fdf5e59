"""Labelled rows as a model sees them: what heads are fitted on, and what answers are measured on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shopvl.batch import MODALITIES, Batch, Modality
from shopvl.catalog.cells import folded
from shopvl.catalog.readers import Catalog, spread
from shopvl.data.rows import RejectedRow, label_of
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.inference.encode import Encoded, encode

MAX_ROWS = 200_000  # most rows, whose features are held in memory; a linear head learns little from more

ABSENT, FOREIGN = -1, -2  # label numbers: the row's value is not known; it is none of the design's labels

Report = Callable[[str, float], None]  # stage, share done


@dataclass(frozen=True)
class Labelled:
    """What was read of N rows (N, ...), their titles, and per property each row's label number, ABSENT or FOREIGN."""

    values: dict[str, Tensor]
    titles: list[str]
    labels: dict[str, Tensor]  # (N,) int64
    rejects: list[RejectedRow]  # rows without picture or title, or with a broken one


def labelled(
    design: Design,
    catalog: Catalog,
    labels: Mapping[str, Sequence[str]],
    read: Callable[[Batch], Mapping[str, Tensor]],
    *,
    report: Report = lambda stage, share: None,
    max_rows: int = MAX_ROWS,
) -> Labelled:
    """Outputs of `read` for the catalog's complete rows (at most `max_rows`, spread evenly), and their labels."""
    total = catalog.count()
    numbers = {name: {folded(value): i for i, value in enumerate(values)} for name, values in labels.items()}
    values: dict[str, list[np.ndarray]] = defaultdict(list)
    truth: dict[str, list[int]] = defaultdict(list)
    titles: list[str] = []
    rejects: list[RejectedRow] = []

    def read_complete(batch: Batch, inputs: tuple[Modality, ...]) -> Mapping[str, Tensor]:
        return read(batch) if len(inputs) == len(MODALITIES) else {}

    for item in encode(design, spread(catalog.batches(), total, max_rows), catalog.root, MODALITIES, read_complete):
        report("encode", (len(titles) + len(rejects)) / min(total, max_rows))
        match item:
            case RejectedRow():
                rejects.append(item)
                continue
            case Encoded(inputs=(only,)):
                rejects += [RejectedRow(row["product_id"], f"there is only the {only}") for row in item.rows]
                continue
        for name, array in item.values.items():
            values[name].append(array)
        for name, number_of in numbers.items():
            true_values = (label_of(row, name, design.ontology) for row in item.rows)
            truth[name] += [ABSENT if value is None else number_of.get(folded(value), FOREIGN) for value in true_values]
        titles += [row["title"] for row in item.rows]
    report("encode", 1.0)
    if not titles:
        raise CatalogError(
            f"no row of {catalog.path} has both a picture and a title, so there is nothing to learn or measure on"
        )
    return Labelled(
        {name: torch.from_numpy(np.concatenate(parts)) for name, parts in values.items()},
        titles,
        {name: torch.tensor(numbers_) for name, numbers_ in truth.items()},
        rejects,
    )
