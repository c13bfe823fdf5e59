"""Features of labelled rows: what heads are fitted on, and what they are measured on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shopvl.batch import INPUT_CHOICES, Batch, Modality, Words
from shopvl.catalog.cells import folded
from shopvl.catalog.readers import Catalog
from shopvl.design import Design
from shopvl.encoding import Encoded, encode
from shopvl.errors import CatalogError
from shopvl.loading import label_of

MAX_ROWS = 200_000  # features of so many rows are kept in memory; a linear head learns little from more

Report = Callable[[str, float], None]  # stage, share done


@dataclass(frozen=True)
class Labelled:
    """Features by choice of inputs (N, F), the titles' words, and per property each row's label number or -1."""

    features: dict[str, Tensor]
    title: Words
    labels: dict[str, Tensor]  # (N,) int64


def labelled(
    design: Design, catalog: Catalog, labels: Mapping[str, Sequence[str]], report: Report = lambda stage, share: None
) -> Labelled:
    """Features and labels of the catalog's complete rows, up to MAX_ROWS."""
    total = min(catalog.count(), MAX_ROWS)
    numbers = {name: {folded(value): i for i, value in enumerate(values)} for name, values in labels.items()}
    features: dict[str, list[np.ndarray]] = defaultdict(list)
    truth: dict[str, list[int]] = defaultdict(list)
    titles: list[str] = []

    def read(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        return design.model.features(batch, INPUT_CHOICES) if len(inputs) == 2 else {}

    for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), read):
        if not isinstance(item, Encoded) or not item.values:
            continue
        for inputs, values in item.values.items():
            features[inputs].append(values)
        for name, number_of in numbers.items():
            truth[name] += [number_of.get(folded(label_of(row, name) or ""), -1) for row in item.rows]
        titles += [row["title"] for row in item.rows]
        report("encode", len(titles) / max(total, 1))
        if len(titles) >= MAX_ROWS:
            break
    if not titles:
        raise CatalogError(
            f"no row of {catalog.path} has both a picture and a title, so there is nothing to fit heads on"
        )
    return Labelled(
        {inputs: torch.from_numpy(np.concatenate(parts)) for inputs, parts in features.items()},
        design.loader.words(titles),
        {name: torch.tensor(numbers_) for name, numbers_ in truth.items()},
    )
