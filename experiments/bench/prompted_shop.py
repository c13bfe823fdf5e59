"""Questions in two languages, and properties that a category does not have, on the synthetic shop.

    python experiments/bench/prompted_shop.py MODEL SHOP/catalog.parquet --out experiments/results/prompted_shop.json

Reads the test split. Each question is asked in English and in Chinese, with the prompts and value names of that
language; answers agree when the value is the same. `not_had`: how often a property that the true category does not have
is answered `unknown` by the head itself, which is overruled only about properties that the likeliest category has.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shopvl.batch import INPUT_CHOICES
from shopvl.catalog.cells import folded
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY, UNKNOWN
from shopvl.data.rows import label_of
from shopvl.design.design import Design
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.predict import PromptedAnswers
from shopvl.tracking.provenance import write_result


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    design = Design.from_pretrained(args.model)
    catalog = open_catalog(args.catalog, split="test")
    asked = {language: PromptedAnswers(design, language=language) for language in design.loader.languages}
    agree: dict[str, list[bool]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    not_had: dict[str, list[bool]] = defaultdict(list)
    had_but_silent: list[bool] = []

    def read(batch: Any, inputs: Any) -> dict[str, torch.Tensor]:
        return {
            f"{language}/{choice}/{name}": logp.argmax(-1).float()
            for language, answers in asked.items()
            for choice, by_name in answers.read(batch, INPUT_CHOICES).items()
            for name, logp in by_name.items()
        }

    for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), read):
        assert isinstance(item, Encoded)
        for name, values in design.labels.items():
            english, chinese = (item.values[f"{language}/image+title/{name}"].astype(int) for language in ("en", "zh"))
            for row, e, z in zip(item.rows, english, chinese, strict=True):
                path, truth = tuple(row["category_path"]), label_of(row, name, design.ontology)
                agree[name].append(bool(e == z))
                if truth is not None:
                    right[name].append(folded(values[e]) == folded(truth))
                    had_but_silent.append(values[e] == UNKNOWN)
                elif name != CATEGORY and not design.ontology.applies(name, path):
                    not_had[name].append(values[e] == UNKNOWN)

    def mean(marks: list[bool]) -> float:
        return round(float(np.mean(marks)), 4)

    found = {
        "products": catalog.count(),
        "english_and_chinese_agree": mean([mark for marks in agree.values() for mark in marks]),
        "agree_by_property": {name: mean(marks) for name, marks in agree.items()},
        "questions": sum(map(len, agree.values())),
        "accuracy": {name: mean(marks) for name, marks in right.items()},
        "not_had_is_unknown": mean([mark for marks in not_had.values() for mark in marks]),
        "not_had_questions": sum(map(len, not_had.values())),
        "had_but_unknown": mean(had_but_silent),
    }
    write_result(args.out, found, model=design.name, data=[args.catalog])
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
