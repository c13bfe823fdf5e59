"""An afternoon in the browser on the drawn shop: how many checked decisions an hour has room for, and what is learned.

The person knows the true values, looks at a screen for SCREEN_S seconds, and needs KEY_S for each key or click beside
the one that ends the screen.
"""

import time
from pathlib import Path

import polars as pl
import pytest

from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.rows import label_of
from shopvl.paths import SHIPPED
from shopvl.review.bulk import sample_size
from shopvl.service.app_service import AppService
from shopvl.service.learning import BATCH, Learning
from shopvl.service.review_desk import ReviewDesk
from shopvl.start.starting import LOG, MODEL, TAGS_FOLDER, start
from shopvl.synthetic import write_shop
from tests.app.conftest import serving
from tests.app.test_app_browser import Browser, opened_window, pytestmark

SCREEN_S, KEY_S, HOUR_S, WANTED = 3.0, 1.0, 3600.0, 1200
PRODUCTS, SCREENS = 400, 12
__all__ = ["pytestmark"]


class Person:
    """Who knows what is true, and counts what has to be done."""

    def __init__(self, browser: Browser, truth: dict[tuple[str, str], str]) -> None:
        self.browser, self.truth = browser, truth
        self.screens = self.decisions = self.taken_out = 0

    def mode(self, name: str) -> None:
        """One by one, look-alikes at once, or the check."""
        self.browser.driver.execute_script(f"document.querySelector('#review-mode input[value={name}]').click()")

    def accept_those_that_are_right(self, saved: str) -> None:
        """One screen of look-alikes."""
        lot = self.browser.one("#review-card .sv-lot")
        name, value = lot.get_attribute("data-property"), lot.get_attribute("data-value")
        cells = self.browser.all("#review-card .sv-lookalike")
        assert {cell.get_attribute("aria-pressed") for cell in cells} == {"true"}
        wrong = [cell for cell in cells if self.truth.get((cell.get_attribute("data-toggle"), name)) != value]
        for cell in wrong:
            self.browser.driver.execute_script("arguments[0].click()", cell)
        shown = self.browser.text("#review-card .sv-lot")
        time.sleep(0.5)  # nobody is as fast as the page, which takes one key at a time
        self.browser.press("a")
        self.browser.until(lambda: self.browser.text("#review-card .sv-lot") != shown, "the next screen")
        self.browser.sees("#review-progress", saved)
        self.screens, self.taken_out = self.screens + 1, self.taken_out + len(wrong)
        self.decisions += len(cells) - len(wrong)

    def seconds(self) -> float:
        """What that took."""
        return SCREEN_S * self.screens + KEY_S * self.taken_out


@pytest.mark.zoo
@pytest.mark.timeout(900)
def test_an_hour_has_room_for_1200_checked_decisions(tmp_path: Path, tmp_path_factory) -> None:
    table = write_shop(tmp_path / "shop", PRODUCTS, seed=7, size_px=96)
    ontology = mine_ontology(open_catalog(table).batches())
    names = (CATEGORY, "Colour", "Pattern")
    truth = {
        (row["product_id"], name): value
        for frame in open_catalog(table).batches()
        for row in frame.iter_rows(named=True)
        for name in names
        if (value := label_of(row, name, ontology)) is not None
    }
    pl.read_parquet(table).select("product_id", "title", "image").write_parquet(tmp_path / "bare.parquet")
    lines = ["category:", *(f"- {CATEGORY_JOIN.join(leaf)}" for leaf in ontology.leaves())]
    for prop in ontology.properties:
        lines += [f"{prop.id}:", *(f"- '{value.id}'" for value in prop.values)] if prop.id in names else []
    (tmp_path / "labels.yaml").write_text("\n".join(lines), "utf-8")
    out = tmp_path / "start"
    start(open_catalog(tmp_path / "bare.parquet"), out, base=SHIPPED, labels=tmp_path / "labels.yaml")
    service = AppService.open(
        out / MODEL, out / "app", catalog=tmp_path / "bare.parquet", tags=out / TAGS_FOLDER, corrections=out / LOG
    )
    learning = Learning.open(out, service, SHIPPED)
    with serving(service, learning) as url, opened_window(url, tmp_path_factory) as browser:
        _afternoon(browser, truth, ReviewDesk(service, learning=learning))


def _afternoon(browser: Browser, truth: dict[tuple[str, str], str], desk: ReviewDesk) -> None:
    browser.open()
    browser.tab("review")
    browser.one("#review-card .sv-question")
    person = Person(browser, truth)
    person.mode("bulk")
    for _ in range(SCREENS):
        person.accept_those_that_are_right("Saved: ")
    made = desk.service.decisions()
    print(person.decisions, person.screens, person.taken_out)
    assert len(made) == person.decisions > 2 * BATCH
    assert all(truth[one.product_id, one.property] == one.value for one in made)
    browser.sees("#review-learned", "Learned from ")  # meanwhile, and nobody waited
    checks = SCREEN_S * sample_size(WANTED, 0)
    hour = person.seconds() / person.decisions * WANTED + checks
    print(
        f"{person.decisions} decisions on {person.screens} screens, {person.taken_out} taken out: {WANTED} and their "
        f"check take {hour:.0f} s"
    )
    assert hour <= HOUR_S
    person.mode("check")
    for number in range(3):
        browser.sees("#review-progress", f"{number} of ")
        time.sleep(0.5)
        browser.press("a")
    browser.sees("#review-progress", "3 of ")
    assert desk.check().errors == 0
    browser.open("/zh/")
    browser.tab("review")
    browser.one("#review-card .sv-question")
    person.mode("bulk")
    browser.sees("#review-card .sv-accept", "采纳")
    before = person.decisions
    person.accept_those_that_are_right("已保存：")
    browser.press("z")
    browser.sees("#review-progress", "已撤销：")
    assert len(desk.service.decisions()) == before
    person.mode("check")
    browser.sees("#review-card", "随机抽取")
