"""The README's figures are those of the results, to their last digit. Other pages are filled in from these."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PROSE = " ".join(README.split())
CHOICES = ("image+title", "image", "title")
LEVELS = {"type": 2, "sub-category": 1}
ROUNDED = 0.000501


def result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "experiments/results" / f"{name}.json").read_text("utf-8"))
    return found


def rows_of(heading: str) -> dict[str, list[str]]:
    """First cell (without what stands in brackets) -> the others, of the README's table with that heading."""
    table = README.split(f"| {heading} |")[1].split("\n\n")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {re.sub(r" \(.*\)", "", first): others for first, *others in lines}


def test_accuracies_of_the_bundled_model() -> None:
    answers, baseline = result("shipped_small")["answers"], result("tfidf_baseline")["figures"]
    for name, stated in rows_of("accuracy").items():
        by_choice = [answers[choice]["category" if name in LEVELS else name] for choice in CHOICES]
        measured = [one["levels"][LEVELS[name]] if name in LEVELS else one for one in by_choice]
        figures = [one["accuracy"] for one in (*measured, baseline[name])]
        shown = [float(one.strip("*")) for one in stated]
        assert shown == pytest.approx(figures, abs=ROUNDED), name
        assert {one for one in stated if one.startswith("*")} == {f"**{max(shown):.3f}**"}, f"{name}: bold is the best"


def test_what_is_accepted() -> None:
    answers = result("shipped_small")["answers"]["image+title"]
    for name, words in (("category", "of these are right"), ("colour", "")):
        share, right = (f"{answers[name][key]:.1%}" for key in ("accepted", "precision_of_accepted"))
        assert re.search(rf"{name} for {share}[^(]*\({right} ?{words}\)", PROSE), (name, share, right)


def test_how_large_the_bundled_model_is() -> None:
    folder = ROOT / "shopvl/shipped"
    stated = re.search(r"model of ([\d.]+) M parameters \((\d+) MB\)", PROSE)
    assert stated is not None
    assert stated[1] == f"{result('shipped_small')['parameters'] / 1e6:.1f}"
    assert float(stated[2]) == pytest.approx(sum(path.stat().st_size for path in folder.iterdir()) / 1e6, abs=1)


def test_figures_outside_the_shop() -> None:
    outside, languages = result("outside"), result("languages")
    goods, titles, snapshots = outside["goods"], outside["titles"], outside["snapshots"]["image/category"]
    by_language = [languages[code]["title/category"]["accuracy"] for code in ("en", "de", "fr", "es")]
    told = {
        f"{goods['products']:,} pictures of other goods": f"{goods['products_with_accepted']:.1%}",
        f"{titles['products']:,} titles of other goods": f"{titles['products_with_accepted']:.1%}",
        f"{snapshots['rows']:,} phone photos": " / ".join(
            f"{snapshots[key]:.0%}" for key in ("accuracy", "coverage", "precision")
        ),
        f"{languages['rows']:,} titles in English, German, French, Spanish": ", ".join(
            f"{share:.1%}" for share in by_language
        ),
    }
    stated = {name: cells[0] for name, cells in rows_of("rows").items()}
    for begins, figure in told.items():
        assert [cell for name, cell in stated.items() if name.startswith(begins)] == [figure], begins
    assert len(stated) == len(told)
