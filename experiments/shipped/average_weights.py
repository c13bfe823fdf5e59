"""A mean of two designs' weights, with its last fit and calibration made anew: surer than either.

    python experiments/shipped/average_weights.py runs/model/answers runs/model/more --rows runs/model/rows.parquet \
        --out runs/model/averaged

The second must have been trained from the first: then all weights between them are as good (model soups,
arXiv:2203.05482).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from shopvl.design.design import Design
from shopvl.models.momentum import ema_update
from shopvl.training.stages import refit

PICTURES = ("image_tower", "image_projection")


def main() -> None:
    """Read two, write one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--rows", type=Path, required=True, help="What both learned from, with its validation split.")
    parser.add_argument("--share", type=float, default=0.5, help="The second's share of the weights.")
    parser.add_argument("--pictures", type=float, help="Its share of those that look at pictures; as of the others.")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    design, first, second = (Design.from_pretrained(path) for path in (args.second, args.first, args.second))
    ema_update(design.model, first.model, args.share)
    for name in PICTURES if args.pictures is not None else ():
        part = design.model.get_submodule(name)
        part.load_state_dict(second.model.get_submodule(name).state_dict())
        ema_update(part, first.model.get_submodule(name), args.pictures)
    refit(design, args.rows, args.out)


if __name__ == "__main__":
    main()
