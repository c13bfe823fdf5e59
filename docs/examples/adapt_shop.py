"""Teach the bundled model a shop's own categories and values, and see which of them it can answer from now on.

    python docs/examples/adapt_shop.py products.csv --out mine --minutes 30

The table has a category or attributes for a few hundred products or more. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import shopvl


def main() -> None:
    """Adapt, report, tag a first product."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("products", type=Path)
    parser.add_argument("--out", type=Path, default=Path("mine"))
    parser.add_argument("--minutes", type=float, default=20)
    told = parser.parse_args()

    model, abilities = shopvl.load().adapt(told.products, told.out, minutes=told.minutes)
    for one in abilities:
        print(f"{one.name}: {one.grade}; {one.accuracy:.0%} right, {one.accepted:.0%} accepted, on {one.rows} products")
    for tag in model.tag(None, title="Red cotton shirt"):
        print(tag.property, tag.value, f"{tag.probability:.2f}", tag.decision)
    print(f"from now on: shopvl.load({str(told.out)!r})")


if __name__ == "__main__":
    main()
