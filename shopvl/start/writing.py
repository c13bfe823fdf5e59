"""Tags of a catalog out of kept outputs, as `shopvl tag` writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from shopvl.arrow import record_batch
from shopvl.batch import INPUT_CHOICES, inputs_name
from shopvl.catalog.readers import Catalog
from shopvl.data.rows import ValidRow
from shopvl.design.design import Design
from shopvl.files import REJECTS, Table
from shopvl.inference.decide import ANSWERED, Rules, calibrations_of
from shopvl.inference.encode import Encoded
from shopvl.inference.looks import Said, looks_of
from shopvl.inference.predict import mix_in_title
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.start.outputs import CatalogOutputs, NameReader
from shopvl.tagging.run import NOTES, TAGS, tag_rows


def write_tags(
    design: Design,
    reader: NameReader,
    outputs: CatalogOutputs,
    lines: dict[str, np.ndarray],
    catalog: Catalog,
    folder: Path,
    precision: float,
) -> dict[str, tuple[int, int]]:
    """Write tags.parquet and rejects.parquet as `shopvl tag` does, in the catalog's order.

    Returns of each property for how many products there is an answer, and how many answers are accepted.
    """
    answers, model = HeadAnswers(design, reader.answers), design.name
    rules = Rules.of(design.ontology, calibrations_of(design), precision, design.stated)
    answered: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    with (
        Table(folder / "tags.parquet", TAGS) as tags,
        Table(folder / "rejects.parquet", REJECTS) as rejects,
        Table(folder / NOTES, REJECTS),
    ):
        for products in _products(answers, reader, outputs, lines, catalog):
            rows = tag_rows(record_batch(products, ANSWERED), rules, model)
            tags.write_batch(rows)
            _count(rows, answered, accepted)
        rejects.write([{"product_id": row.product_id, "reason": row.reason} for row in outputs.rejects])
    return {name: (answered[name], accepted[name]) for name in design.labels}


def _count(rows: pa.RecordBatch, answered: Counter[str], accepted: Counter[str]) -> None:
    frame = pl.DataFrame(rows.select(["property", "value", "decision"]))
    counts = frame.group_by("property").agg(
        pl.col("value").is_not_null().sum(), (pl.col("decision") == "accept").sum().alias("accepted")
    )
    for name, some, sure in counts.iter_rows():
        answered[name] += some
        accepted[name] += sure


def _products(
    answers: HeadAnswers, reader: NameReader, outputs: CatalogOutputs, lines: dict[str, np.ndarray], catalog: Catalog
) -> Iterator[list[dict[str, Any]]]:
    """What the model says of each product, a frame of the catalog at a time."""
    place = {name: number for number, name in enumerate(outputs.ids)}
    looks = looks_of(answers.design)
    for frame in catalog.batches(columns=("product_id", "title")):
        ids = [name for name in frame["product_id"].to_list() if name in place]
        numbers = np.array([place.pop(name) for name in dict.fromkeys(ids)], dtype=np.int64)
        found: dict[int, dict[str, Any]] = {}
        for inputs in dict.fromkeys(outputs.inputs[number] for number in numbers):
            own_B = np.array([number for number in numbers if outputs.inputs[number] == inputs])
            choices = [choice for choice in INPUT_CHOICES if set(choice) <= set(inputs)]
            said = {inputs_name(choice): reader.by_property(lines[inputs_name(choice)][own_B]) for choice in choices}
            mixed = mix_in_title(said, answers.design, choices)
            looked = {name: torch.full((len(own_B),), looks) for name in said if "image" in name}
            values = answers.values_of(Said(mixed, mixed.get("image", {}), {}, looked))
            items = [
                ValidRow({"product_id": outputs.ids[number], "title": outputs.titles[number]}, inputs)
                for number in own_B
            ]
            item = Encoded(inputs, items, {name: value.numpy() for name, value in values.items()})
            found |= zip(own_B.tolist(), answers.products(item), strict=True)
        if len(numbers):
            yield [found[number] for number in numbers.tolist()]
