"""Let a new model take the champion's place in MLflow's registry, if it answers no property worse; and use it by name.

    python docs/examples/promote.py runs/tagger products.csv --name shop --store sqlite:///runs/mlflow.db --out gate

The first model of a name has nobody to be compared with. Ends with 1 where the gate refuses, and `--out` says why.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import shopvl
from shopvl.runs.releasing import promote
from shopvl.tracking.registry import Registry


def main() -> int:
    """Promote, then answer as the champion."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder, or runs:/RUN_ID/model")
    parser.add_argument("products", type=Path, help="labelled products to compare on")
    parser.add_argument("--name", default="shop")
    parser.add_argument("--store", default="sqlite:///runs/mlflow.db")
    parser.add_argument("--out", type=Path, default=Path("gate"))
    told = parser.parse_args()

    os.environ["MLFLOW_TRACKING_URI"] = told.store
    registry = Registry(told.name, told.store)
    version, verdicts = promote(told.model, registry, shopvl.open_catalog(told.products), told.out)
    if version is None:
        print(f"the gate refused {told.model}; {told.out} says why", file=sys.stderr)
        return 1
    print(f"{told.model} is {told.name} version {version}" + (", compared with the one before" if verdicts else ""))
    champion = shopvl.load(f"models:/{told.name}@champion")
    print(champion.tag(None, title="Red cotton shirt")[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
