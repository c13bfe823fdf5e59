"""Learn from rows that a design did not learn from how much its heads say of properties with several values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from shopvl.batch import MODALITIES, inputs_name
from shopvl.catalog.descriptions import described, description_columns
from shopvl.catalog.readers import Catalog, spread
from shopvl.catalog.schema import FAULT, MORE_IMAGES
from shopvl.catalog.shared_pictures import shared_pictures
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.inference.encode import encode
from shopvl.inference.head_sets import several_of
from shopvl.inference.stated import StatedFit
from shopvl.inference.tag_rows import HeadAnswers

COLUMNS = ("product_id", "title", "image", MORE_IMAGES, "attributes", FAULT)
MOST_ROWS = 5000  # that are looked at


def learned_sets(
    design: Design, held_out: Catalog, report: Callable[[float], None] = lambda share: None
) -> dict[str, dict[str, Any]]:
    """By property with several values what is to be known of it; {} where there is none, or too few rows.

    How sure heads are depends on what they see, so rows with one choice of inputs are learned from, the one that most
    have, and `inputs` says which: sets are made of products with these alone. All pictures of a product are looked at.
    """
    names = several_of(design)
    if not names:
        return {}
    asked = [prop for prop in design.ontology.properties if prop.id in names]
    by_inputs: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for inputs, row in _rows(design, held_out, names, report):
        by_inputs[inputs].append(row)
    if not by_inputs:
        return {}
    inputs, rows = max(by_inputs.items(), key=lambda own: len(own[1]))
    learned = StatedFit(design.ontology, (), rows, asked).learned()
    return {name: {**own, "inputs": inputs} for name, own in learned.items()}


def _rows(
    design: Design, held_out: Catalog, names: list[str], report: Callable[[float], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Which inputs a row has, and the row with its texts and what heads say of it from all of them."""
    answers = HeadAnswers(in_use(design))
    told, total = description_columns(held_out.columns), held_out.count()
    frames = spread(held_out.batches(columns=(*COLUMNS, *told)), total, MOST_ROWS)
    done = 0
    shared = shared_pictures(held_out)
    read, pool = answers.read, answers.pool
    for item in encode(answers.design, frames, held_out.root, MODALITIES, read, pool=pool, shared=shared):
        if isinstance(item, RejectedRow):
            continue
        for number, row in enumerate(item.rows):
            heads = answers.heads(item, number, names)
            # without the further pictures, which would be held in memory
            kept = {**row, MORE_IMAGES: None, "description": described(row, told), "heads": heads}
            yield inputs_name(item.inputs), kept
        done += len(item.items)
        report(min(1.0, done / max(1, min(total, MOST_ROWS))))
