"""The tab Catalog over 50,000 products, in a real browser: everything answers. How fast is for the bench to say."""

import shutil
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "experiments/bench"
PRODUCTS = 50_000


@pytest.mark.zoo
@pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="there is no browser")
def test_fifty_thousand_products_are_shown_filtered_edited_and_turned(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", [str(BENCH), *sys.path])
    import app_catalog
    from running_app import running_app

    catalog, tags = app_catalog.drawn(tmp_path, PRODUCTS)
    options = ("--model", app_catalog.SHIPPED, "--catalog", catalog, "--tags", tags, "--work", tmp_path / "work")
    with running_app(*options) as app:
        waits = app_catalog.waits(app.url, PRODUCTS)  # fails where something does not come
    assert {"first rows", "all rows", "sort", "title typed", "accept an answer", "undo"} <= waits.keys()
    log = (tmp_path / "work/corrections.jsonl").read_text("utf-8").splitlines()
    assert len(log) == 2 * app_catalog.ROUNDS  # each decision, and its undoing
