"""What a prompted design knows of its own ignorance, how it finds contradictions, and what packing questions costs.

    python experiments/bench/prompted_answers.py MODEL --data $SHOPVL_DATA \\
        --out experiments/results/prompted_answers.json

Reads the test split of the small real table. Accuracy, calibration and coverage are `shopvl evaluate`'s; here are:
`unknown` with nothing shown and where the answer is known; conflicts among 200 products whose colour words were changed
for another colour's, and among untouched ones, at the design's own threshold and along the whole curve; the time of six
questions against one.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from shopvl.batch import INPUT_CHOICES, MODALITIES
from shopvl.catalog.cells import folded
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.data.rows import label_of
from shopvl.design.design import Design
from shopvl.inference.calibrate import calibration_of, conflict_score
from shopvl.inference.encode import Encoded, encode, prepare
from shopvl.inference.predict import PromptedAnswers
from shopvl.models.answering_encoder import AnsweringDualEncoder
from shopvl.text.prompts import questions_of
from shopvl.tracking.provenance import write_result

TABLE, PROPERTY, SWAPPED, FLAGGED_ALLOWED = "fashion-products-small.parquet", "colour", 200, 0.02


def unknowns(design: Design, catalog: Catalog) -> dict[str, Any]:
    """Share answered `unknown`: with nothing shown, and of the rows whose value is known, per inputs."""
    answers = PromptedAnswers(design)
    choices = (*INPUT_CHOICES, ())
    counts: dict[tuple[str, str], list[bool]] = {}

    def read(batch: Any, inputs: Any) -> dict[str, torch.Tensor]:
        found = answers.read(batch, choices)
        return {f"{i}/{name}": logp.argmax(-1).float() for i, by in found.items() for name, logp in by.items()}

    for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), read):
        assert isinstance(item, Encoded)
        for key, best in item.values.items():
            inputs, name = key.split("/")
            known = [label_of(row, name, design.ontology) is not None for row in item.rows]
            silent = best == design.labels[name].index(UNKNOWN)
            counts.setdefault((inputs or "nothing", name), []).extend(
                bool(s) for s, k in zip(silent, known, strict=True) if k or not inputs
            )
    found: dict[str, Any] = {}
    for (inputs, name), silent in counts.items():
        found.setdefault(inputs, {})[name] = round(float(np.mean(silent)), 4)
    return found


def named_in(title: str, values: list[str]) -> str | None:
    """The longest of the values that stands in the title as whole words."""
    padded = f" {folded(title)} "
    found = [value for value in values if f" {folded(value)} " in padded]
    return max(found, key=len, default=None)


def conflicts(design: Design, catalog: Catalog, seed: int) -> dict[str, Any]:
    """Flags among products with an exchanged colour word, and among untouched ones."""
    rng = random.Random(seed)
    rows = [row for frame in catalog.batches() for row in frame.iter_rows(named=True)]
    prop = design.ontology.property(PROPERTY)
    assert prop is not None
    common = [value.id for value in sorted(prop.values, key=lambda v: -v.count)[:12]]
    values = [value.id for value in prop.values]
    able = [number for number, row in enumerate(rows) if named_in(row["title"], values)]
    chosen = rng.sample(able, SWAPPED)
    swapped = []
    for number in chosen:
        row = rows[number]
        word, truth = named_in(row["title"], values), label_of(row, PROPERTY, design.ontology)
        assert word is not None
        taken = {*folded(word).split(), *folded(truth or "").split()}
        other = rng.choice([value for value in common if not taken & set(folded(value).split())])
        place = folded(row["title"]).find(folded(word))
        swapped.append({**row, "title": row["title"][:place] + other + row["title"][place + len(word) :]})
    untouched = scores(design, rows, catalog)
    lying = scores(design, swapped, catalog)
    own = calibration_of(design, "image+title", PROPERTY).conflict_from
    best = float(np.quantile(untouched, 1 - FLAGGED_ALLOWED))
    curve = {
        str(share): round(float((lying > np.quantile(untouched, 1 - share)).mean()), 4)
        for share in (0.005, 0.01, 0.02, 0.05, 0.1)
    }
    return {
        "products_with_an_exchanged_colour_word": SWAPPED,
        "flagged_at_the_designs_threshold": round(float((lying >= own).mean()), 4),
        "untouched_flagged_at_the_designs_threshold": round(float((untouched >= own).mean()), 4),
        "flagged_where_untouched_are_flagged_2_percent": round(float((lying > best).mean()), 4),
        "flagged_by_share_of_untouched_flagged": curve,
    }


def scores(design: Design, rows: list[dict[str, Any]], catalog: Catalog) -> np.ndarray:
    """Disagreement of picture and title about the colour, per row."""
    answers = PromptedAnswers(design)

    def read(batch: Any, inputs: Any) -> dict[str, torch.Tensor]:
        alone = answers.read(batch, (("image",), ("title",)))
        picture, title = (
            calibration_of(design, one, PROPERTY).probabilities(alone[one][PROPERTY]) for one in ("image", "title")
        )
        return {"score": conflict_score(picture, title, design.labels[PROPERTY])}

    frame = pl.DataFrame(rows, schema=next(catalog.batches()).schema)
    parts = list(encode(design, [frame], catalog.root, ("image", "title"), read))
    return np.concatenate([part.values["score"] for part in parts if isinstance(part, Encoded)])


def packing(design: Design, catalog: Catalog, pairs: int = 25) -> dict[str, float]:
    """Median of paired runs: six questions in one pass against one question; a batch of 64 products."""
    model = design.model
    assert isinstance(model, AnsweringDualEncoder)
    questions = design.loader.questions(questions_of(design.ontology)[:6])
    rows = next(catalog.batches(64)).head(64).to_dicts()
    (group,) = prepare(design.loader, rows, catalog.root, MODALITIES).groups
    seconds: dict[str, list[float]] = {"six": [], "one": []}
    ratios = []
    with torch.inference_mode():
        for pair in range(pairs + 3):
            for name, asked in (("six", questions), ("one", questions.only(slice(1)))):
                prepared = model.prepare(asked)
                begun = time.perf_counter()
                model.answer(group.batch, prepared, (("image", "title"),))
                seconds[name].append(time.perf_counter() - begun)
            if pair >= 3:
                ratios.append(seconds["six"][-1] / seconds["one"][-1])
    return {
        "ratio": round(float(np.median(ratios)), 3),
        "six_ms_per_product": round(float(np.median(seconds["six"][3:])) / 64 * 1000, 3),
        "one_ms_per_product": round(float(np.median(seconds["one"][3:])) / 64 * 1000, 3),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {TABLE}")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    design = Design.from_pretrained(args.model)
    catalog = open_catalog(args.data / TABLE, split="test")
    found = {
        "rows": catalog.count(),
        "unknown": unknowns(design, catalog),
        "conflicts": conflicts(design, catalog, args.seed),
        "packing": packing(design, catalog),
        "visual": {prop.id: [prop.visual, prop.visual_score] for prop in design.ontology.properties},
    }
    write_result(args.out, found, model=design.name, data=[args.data / TABLE])
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
