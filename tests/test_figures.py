"""Figures that pages state are those of the results, to their last digit."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs/performance.md")
CHOICES = ("image+title", "image", "title")
OUTSIDE = {"README.md": "rows that nothing was learned from", "performance.md": "rows"}  # headings of the tables
ROUNDED = 0.000501


def result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "experiments/results" / f"{name}.json").read_text("utf-8"))
    return found


def rows_of(page: Path, heading: str) -> dict[str, list[str]]:
    """First cell (without what stands in brackets) -> the others, of the table with that heading."""
    table = page.read_text("utf-8").split(f"| {heading} |")[1].split("\n\n")[0]
    lines = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {re.sub(r" \(.*\)", "", first): others for first, *others in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_accuracies_of_the_bundled_model(page: Path) -> None:
    answers, baseline = result("shipped_small")["answers"], result("tfidf_baseline")["figures"]
    levels = {"type": 2, "sub-category": 1}
    for name, stated in rows_of(page, "accuracy").items():
        measured = [
            answers[choice]["category"]["levels"][levels[name]] if name in levels else answers[choice][name]
            for choice in CHOICES
        ]
        everything = [*measured, baseline[name.replace("-", "")]]
        assert [float(one) for one in stated] == pytest.approx([one["accuracy"] for one in everything], abs=ROUNDED), (
            name
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_outside_the_shop(page: Path) -> None:
    outside, languages = result("outside"), result("languages")
    stated = {name.split(" ")[1]: cells[1] for name, cells in rows_of(page, OUTSIDE[page.name]).items()}
    snapshots = outside["snapshots"]["image/category"]
    assert stated["pictures"] == f"{outside['goods']['products_with_accepted']:.1%}"
    assert stated["titles"] == f"{outside['titles']['products_with_accepted']:.1%}"
    assert stated["phone"] == " / ".join(f"{snapshots[key]:.0%}" for key in ("accuracy", "coverage", "precision"))
    foreign = [languages[code]["title/category"]["accuracy"] for code in ("de", "fr", "es")]
    assert stated["in"] == ", ".join(f"{share:.1%}" for share in foreign)
