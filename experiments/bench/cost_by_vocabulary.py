"""What a product costs by how many properties and values a model knows.

    python experiments/bench/cost_by_vocabulary.py --out experiments/results/cost_by_vocabulary.json

A `prompt-mask` at size tiny with random weights, which take the same time, over drawn ontologies: 5 to 500 properties
of 10 values each, and one property of 10 to 10,000 values. Titles and pictures are drawn too. In CPU seconds of one
thread, medians of rounds, in batches of 32: the model with what it says about a product, the decisions about that, and
making the answers ready once; and how much memory is taken on top. `against_a_line` is the last cost over what a
straight line through the first and the second last has there: above 1 it grows faster than in proportion.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from shopvl.catalog.ontology import Category, Ontology, Property, Value
from shopvl.data.rows import Row, ValidRow
from shopvl.design.build import tokenizer_for
from shopvl.design.design import Design, build
from shopvl.inference.encode import Group, encoded
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.recipes import find
from shopvl.tracking.provenance import write_result

PRODUCTS, CATEGORIES, VALUES = 32, 20, 10
PROPERTIES = (5, 15, 50, 150, 500)
VALUES_OF_ONE = (10, 100, 1000, 10_000)


def drawn_ontology(properties: int, values: int) -> Ontology:
    """Names are two words each, the second a number, so that titles name some."""
    names = [f"trait {number}" for number in range(properties)]
    paths = [("goods",), *(("goods", f"kind {number}") for number in range(CATEGORIES))]
    return Ontology(
        categories=tuple(Category(path=path, properties=dict.fromkeys(names, 9), count=9) for path in paths),
        properties=tuple(
            Property(id=name, values=tuple(Value(id=f"value {number} of {name}") for number in range(values)))
            for name in names
        ),
    )


def drawn_design(ontology: Ontology) -> Design:
    """Random weights; every property is answered."""
    recipe = find("prompt-mask", "tiny")
    design = build(recipe, tokenizer_for(recipe, ["goods kind value trait of 0 1 2 3 4 5 6 7 8 9"] * 4), ontology)
    design.model.eval()
    leaves = [" > ".join(path) for path in ontology.leaves()]
    known = {name: [*values, "unknown"] for name, values in ontology.values().items()}
    design.labels = {"category": [*leaves, "unknown"], **known}
    return design


def drawn_rows(design: Design) -> list[ValidRow]:
    """Noise for pictures, and titles that name a kind and a value."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(PRODUCTS):
        title = f"kind {number % CATEGORIES} with value {number % VALUES} of trait 0"
        row: Row = {"product_id": str(number), "title": title, "image": {}, "category_path": None, "attributes": None}
        pixels = draw.integers(0, 255, (*design.loader.size_px, 3), dtype=np.uint8)
        rows.append(ValidRow(row, ("image", "title"), b"", Image.fromarray(pixels)))
    return rows


def spent(run: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, and what it gave."""
    started = time.process_time()
    found = run()
    return time.process_time() - started, found


def measured(properties: int, values: int, rounds: int) -> dict[str, float]:
    """Milliseconds a product, seconds to begin, MB on top."""
    before = psutil.Process().memory_info().rss
    design = drawn_design(drawn_ontology(properties, values))
    begin, answers = spent(lambda: HeadAnswers(design))
    rows = drawn_rows(design)
    group = Group(list(range(len(rows))), rows, design.loader.inference_batch(rows))
    times: dict[str, list[float]] = {"answers": [], "decisions": []}
    for _ in range(rounds + 1):
        seconds, item = spent(lambda: encoded(design, group, answers.read))
        times["answers"].append(seconds)
        times["decisions"].append(spent(partial(answers.rows, item, 0.95))[0])
    return {
        "properties": properties,
        "values": values,
        "begin_s": round(begin, 3),
        **{f"{name}_ms": round(statistics.median(of[1:]) / PRODUCTS * 1e3, 3) for name, of in times.items()},
        "memory_mb": round((psutil.Process().memory_info().rss - before) / 2**20, 1),
    }


def against_a_line(sizes: list[float], costs: list[float]) -> float:
    """The last cost over what the line through the first and the second last has there."""
    slope = (costs[-2] - costs[0]) / (sizes[-2] - sizes[0])
    return round(costs[-1] / (costs[-2] + slope * (sizes[-1] - sizes[-2])), 2)


def plot(figures: dict[str, Any], target: Path) -> None:
    """Both curves on axes where a straight line through the origin has the slope of the dotted one."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "shopvl"  # the same figures give the same file
    drawn, places = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for place, kind in zip(places, ("properties", "values"), strict=True):
        rows = figures[f"by_{kind}"]
        sizes = [one[kind] for one in rows]
        for cost, name in (("answers_ms", "model"), ("decisions_ms", "decisions")):
            place.loglog(sizes, [one[cost] for one in rows], marker="o", label=name)
        first = rows[0]["answers_ms"]
        place.loglog(sizes, [first * size / sizes[0] for size in sizes], "k:", label="in proportion")
        place.set(xlabel=kind, ylabel="CPU ms a product")
    places[0].legend()
    drawn.savefig(target, metadata={"Date": None})


def main() -> None:
    """Measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    torch.set_num_threads(1)
    measured(PROPERTIES[0], VALUES, 1)  # what is paid once
    by_properties = [measured(count, VALUES, told.rounds) for count in PROPERTIES]
    by_values = [measured(1, count, told.rounds) for count in VALUES_OF_ONE]
    figures = {
        "products": PRODUCTS,
        "by_properties": by_properties,
        "by_values": by_values,
        "against_a_line": {
            kind: {
                cost: against_a_line([one[kind] for one in rows], [one[cost] for one in rows])
                for cost in ("answers_ms", "decisions_ms", "begin_s")
            }
            for kind, rows in (("properties", by_properties), ("values", by_values))
        },
    }
    print(json.dumps(figures, indent=1))
    if told.out:
        write_result(told.out, figures)
        plot(figures, told.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
