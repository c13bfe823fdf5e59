"""Two people review in two browsers at once: nobody decides over another, and a third settles what they dispute."""

import time
from pathlib import Path

import pytest

from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import UNKNOWN
from shopvl.design.design import Design
from shopvl.service.app_service import AppService
from shopvl.tagging.run import tag
from tests.app.conftest import serving
from tests.app.test_app_browser import Browser, opened_window, pytestmark

__all__ = ["pytestmark"]


STORED_S = 1.0  # until a browser has kept a name


def sits_down(browser: Browser, name: str, path: str = "/") -> tuple[str, str]:
    """Somebody opens the review, says who it is, and sees the first question: product and property."""
    browser.open(path)
    browser.tab("review")
    browser.one("#review-card .sv-question")
    browser.write("#review-name", name, enter=True)
    time.sleep(STORED_S)
    browser.open(path)
    browser.tab("review")
    return asked(browser)


def asked(browser: Browser) -> tuple[str, str]:
    """What the question is about."""
    browser.one("#review-card .sv-question")
    return browser.text("#review-card .sv-note"), browser.text("#review-card .sv-asked b")


@pytest.mark.zoo
@pytest.mark.timeout(300)
def test_two_people_and_a_third(tuned_folder: Path, toy_catalog: Catalog, tmp_path: Path, tmp_path_factory) -> None:
    design = Design.from_pretrained(tuned_folder)
    tag(design, toy_catalog, tmp_path / "tags", precision=1.0)
    bench = AppService.open(tuned_folder, tmp_path / "app", catalog=toy_catalog.path, tags=tmp_path / "tags")
    with (
        serving(bench) as url,
        opened_window(url, tmp_path_factory) as first,
        opened_window(url, tmp_path_factory) as second,
    ):
        question = sits_down(first, "Ann")
        assert sits_down(second, "Bo", "/zh/")[0] == question[0]  # in Chinese, the same that waits
        value = first.one('#review-card [data-key="2"]').get_attribute("data-value")
        first.press("2")
        first.sees("#review-progress", "Saved: ")
        second.press("a")
        second.sees("#review-progress", "已有人审过：")  # Ann was faster, and hers stands
        (made,) = bench.decisions()
        assert (made.product_id, made.value, made.by) == (question[0], value, "Ann")
        # Bo says otherwise in a sheet of his
        other = next(own for own in design.labels[made.property] if own not in (value, UNKNOWN))
        bench.correct(made.product_id, made.property, other, made.previous, "Bo")
        assert sits_down(first, "Ann")[0] != made.product_id  # it waits for neither of the two
        assert sits_down(second, "Bo")[0] != made.product_id
        assert sits_down(second, "Cy")[0] == made.product_id  # but for a third, before all else
        second.sees("#review-card", "People disagree: ")
        second.press("2")
        second.sees("#review-progress", "Saved: ")
        said = {one.by: one.value for one in bench.log.standing() if one.key() == made.key()}
        assert said.keys() == {"Ann", "Bo", "Cy"}
        settled = next(one for one in bench.decisions() if one.key() == made.key())
        assert settled.value == said["Cy"]
