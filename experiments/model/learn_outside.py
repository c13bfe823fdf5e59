"""Stage 7 of the bundled model: the towers stay, what reads them learns the world outside one shop as well.

    python experiments/model/learn_outside.py runs/model/ensemble --rows runs/model/outside.parquet \
        --ontology runs/model/answers.json --out runs/model/outside

The head's linear terms per answer are fitted anew on the rows of `prepare_outside.py`, how familiar an input is is
measured on them, and answers are calibrated on their split `val`. The names of the ontology, which may be in more
languages than before, are those of `--ontology`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from shopvl.catalog.ontology import Ontology
from shopvl.design.design import Design, build
from shopvl.training.answer_heads import PromptHeadFit
from shopvl.training.stages import refit

# photos of several kinds need more than the catalog photos of one shop
PICTURES_LONGER = PromptHeadFit(picture_epochs=10, picture_weight_decay=1.0)


def main() -> None:
    """Read one, write one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--ontology", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    start = Design.from_pretrained(args.model)
    ontology = Ontology.load(args.ontology)
    design = build(start.recipe, start.tokenizer, ontology, towers=start.towers, random_weights=True)
    design.start_from(start)
    refit(design, args.rows, args.out, PICTURES_LONGER)


if __name__ == "__main__":
    main()
