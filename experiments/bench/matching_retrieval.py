"""`sampled-101` retrieval of a design with a matching head, pair by pair.

    python experiments/bench/matching_retrieval.py --model runs/fashionbert/design \\
        --data $SHOPVL_DATA/fashion-products-small.parquet --out experiments/results/fashionbert_mini.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shopvl.catalog.readers import open_catalog
from shopvl.design import Design
from shopvl.tasks.matching import Matcher, sampled_101_by_matching


def main(
    model: Annotated[Path, typer.Option()],
    data: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    split: str = "test",
    queries: int = 1000,
    seed: int = 0,
) -> None:
    """Write recalls in both directions, beside what the design is."""
    design = Design.from_pretrained(model)
    matcher = Matcher(design, open_catalog(data, split=split))
    found, count = sampled_101_by_matching(matcher, queries=queries, seed=seed)
    told = {
        "recipe": design.recipe.to_dict(),
        "parameters": design.parameter_count(),
        "data": data.name,
        "split": split,
        "queries": count,
        "seed": seed,
        "sampled-101": found.as_dict(),
    }
    out.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
