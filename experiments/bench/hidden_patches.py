"""What a step of prompt-decode saves because its encoder is not shown the patches that are left out.

    python experiments/bench/hidden_patches.py --out experiments/results/hidden_patches.json

Forward and backward at size mini, of a batch of drawn products: with half of the patches left out, beside the same
weights with the whole pictures; of the image tower alone, and of all losses. In turns, medians as `attention.py` has
them, one thread. `positions` is how many patches enter the tower.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from attention import Pairs, compared

from shopvl.batch import Batch
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.readers import open_catalog
from shopvl.data.training_rows import training_rows
from shopvl.design.build import tokenizer_for
from shopvl.design.design import build
from shopvl.recipes import find
from shopvl.synthetic import write_shop
from shopvl.tracking.provenance import write_result
from shopvl.training.pretraining import texts_of_training

PRODUCTS, BATCH = 120, 32


def main(out: Annotated[Path, typer.Option()], pairs: Pairs = 15) -> None:
    """Write the ratios as JSON."""
    torch.set_num_threads(1)
    recipe = find("prompt-decode", "mini")
    with tempfile.TemporaryDirectory() as folder:
        catalog = open_catalog(write_shop(Path(folder), PRODUCTS, seed=1, size_px=96))
        rows, ontology = training_rows(catalog, Path(folder) / "rows"), mine_ontology(catalog.batches())
        design = build(recipe, tokenizer_for(recipe, texts_of_training(rows, ontology)), ontology)
        batch = design.loader.training_batch([rows[number] for number in range(BATCH)], random.Random(0))
    assert batch.pictures is not None
    whole = replace(batch, pictures=replace(batch.pictures, kept_BP=None))
    design.model.train()

    def step(shown: Batch) -> None:
        design.total(design.losses(shown, torch.Generator())).backward()

    def tower(shown: Batch) -> None:
        design.model.encode_image(shown)[0].sum().backward()

    kept_BP = batch.pictures.kept_BP
    assert kept_BP is not None
    figures: dict[str, object] = {"batch": BATCH, "positions": {"kept": int(kept_BP.sum()), "whole": kept_BP.numel()}}
    for name, run in (("step", step), ("image tower", tower)):
        figures[name] = compared(partial(run, batch), partial(run, whole), pairs)
        print(name, figures[name], flush=True)
    write_result(out, figures)


if __name__ == "__main__":
    typer.run(main)
