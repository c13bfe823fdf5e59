"""Figures in pages are those of the results, and pages name results that are there."""

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
import figures
from figures import PAGES, ROOT, TABLES, figure, filled, unmarked


def result(name: str) -> dict:
    return json.loads((ROOT / "experiments/results" / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_figures_of_a_page_are_those_of_the_results(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text == filled(text), "run `make figures`"
    for name in re.findall(r"experiments/results/([\w-]+\.\w+)", text):
        assert (ROOT / "experiments/results" / name).is_file() or "NAME" in name, name


def test_a_stale_figure_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"one": {"top": [{"R@10": 0.8768, "all": 17_800_000}]}}
    monkeypatch.setattr(figures, "result", told.__getitem__)
    page = "| **0.1<!-- one > top > 0 > R@10 :.3f -->** | (99%<!-- one > top > 0 > R@10 :.1% -->) "
    now = filled(page + "3<!-- one > top > 0 > all :.1fM --> M")
    assert unmarked(now) == "| **0.877** | (87.7%) 17.8 M"
    assert filled(now) == now
    with pytest.raises(KeyError, match="no such"):
        filled("0<!-- one > no such :.1f -->")


def test_a_table_takes_its_figures_from_where_it_says() -> None:
    """Second opinions: the files, read here."""
    rows = {
        line.split("|")[1].strip(): [cell.strip(" *") for cell in line.split("|")[2:-1]]
        for line in TABLES["accuracy-with-sub-category"]().splitlines()[2:]
    }
    answers, baseline = result("shipped_small")["answers"], result("tfidf_baseline")["figures"]
    titled = answers["title"]
    assert rows["colour (46)"][1] == f"{answers['image']['colour']['accuracy']:.3f}"
    assert rows["sub-category (45)"][2] == f"{titled['category']['levels'][1]['accuracy']:.3f}"
    (types,) = [cells for name, cells in rows.items() if name.startswith("type (")]
    assert types[2:] == [f"{titled['category']['levels'][2]['accuracy']:.3f}", f"{baseline['type']['accuracy']:.3f}"]
    assert f"| {result('promotions')['properties']['colour']['ocr']['fall']:.1f} |" in TABLES["promotions"]()


def test_how_large_the_bundled_model_is() -> None:
    stated = re.search(r"M parameters, (\d+) MB\)", (ROOT / "README.md").read_text("utf-8"))
    assert stated is not None
    size = sum(path.stat().st_size for path in (ROOT / "shopvl/shipped").iterdir())
    assert float(stated[1]) == pytest.approx(size / 1e6, abs=1)


def test_the_form_of_a_figure() -> None:
    told = result("shipped_small")
    assert figure("shipped_small > answers > image > category > levels > 0 > rows :d") == "4481"
    assert figure("shipped_small > parameters :.1fM") == f"{told['parameters'] / 1e6:.1f}"
