"""Real work on every tab, in a real browser; and nothing of it leaves this machine."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from shopvl.catalog.corrections import read_corrections
from shopvl.catalog.languages import SMALL_WORDS
from shopvl.design.design import Design
from shopvl.inference.grounds import words_of
from shopvl.inference.write import Telling, Written, WrittenAbout
from shopvl.service import suggesting
from shopvl.service.review_desk import ReviewDesk

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="there is no browser: apt-get install chromium chromium-driver"
)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1366,900"
)
PATIENCE_S = 60
TABS = ("product", "search", "catalog", "review", "run", "models")
BROKEN_OFF = ("AbortError: signal is aborted", '"Connection errored out. "')


class Browser:
    """A page, and what tests do with it."""

    def __init__(self, driver: Any, downloads: Path, url: str) -> None:
        self.driver, self.downloads, self.url = driver, downloads, url
        self.faults: list[str] = []

    def open(self, path: str = "/") -> None:
        self.faults += self.logged()
        self.driver.get(self.url + path)
        # a page that is left in the middle of a request says that it was broken off
        self.faults += [fault for fault in self.logged() if not any(broken in fault for broken in BROKEN_OFF)]
        self.one("#tabs button[role=tab]")
        for data in ("#product-picks .sv-pick", "#product-answers .sv-answer", "#product-heat img"):
            self.one(data)  # the page has opened on something

    def logged(self) -> list[str]:
        """Faults in the page's console since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def tab(self, name: str) -> None:
        self.driver.execute_script("arguments[0].click()", self.all("#tabs button[role=tab]")[TABS.index(name)])

    def all(self, css: str) -> list[Any]:
        return self.driver.find_elements("css selector", css)

    def one(self, css: str) -> Any:
        return self.until(lambda: next(iter(self.all(css)), None), css)

    def text(self, css: str) -> str:
        return self.driver.execute_script("return document.querySelector(arguments[0])?.innerText || ''", css)

    def until(self, found: Callable[[], Any], what: str = "") -> Any:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if result := found():
                return result
            time.sleep(0.1)
        raise AssertionError(f"waited in vain for {what or found}: {self.text('body')[:1500]}")

    def sees(self, css: str, words: str) -> None:
        self.until(lambda: words in self.text(css), f"{words!r} in {css}")

    def click(self, css: str) -> None:
        self.driver.execute_script("arguments[0].click()", self.one(css))

    def write(self, css: str, words: str, *, enter: bool = False) -> None:
        field = self.one(f"{css} textarea, {css} input")
        field.clear()
        field.send_keys(words + ("\n" if enter else ""))

    def upload(self, css: str, path: Path) -> None:
        """In place of what is there."""
        for button in self.all(f'{css} button[aria-label="Clear"]'):
            self.driver.execute_script("arguments[0].click()", button)
        self.one(f"{css} input[type=file]").send_keys(str(path))

    def press(self, key: str) -> None:
        self.driver.find_element("tag name", "body").send_keys(key)

    def width(self, pixels: int) -> None:
        size = {"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": pixels < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def box(self, css: str) -> dict[str, float]:
        return self.driver.execute_script(
            "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", css
        )

    def requests(self) -> set[str]:
        """Addresses asked for since the last time."""
        told = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [one["params"] for one in told if one["method"] == "Network.requestWillBeSent"]
        return {one["request"]["url"] for one in sent}


@pytest.fixture(scope="module")
def window(served, tmp_path_factory) -> Iterator[Browser]:
    with opened_window(served.url, tmp_path_factory) as window:
        yield window


@contextmanager
def opened_window(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that opens pages of that address."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    downloads = tmp_path_factory.mktemp("downloads")
    behaviour = {"behavior": "allow", "downloadPath": str(downloads)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    yield Browser(driver, downloads, url)
    driver.quit()


@pytest.fixture
def browser(window: Browser) -> Iterator[Browser]:
    window.width(1366)
    window.logged()  # of the test before, like the faults
    window.faults.clear()
    window.open()
    yield window
    assert not [*window.faults, *window.logged()]
    own = ("data:", "blob:", "chrome:", f"{window.url}/")  # chrome: is the browser's own empty tab
    outside = {url for url in window.requests() if not url.startswith(own)}
    assert not outside


def test_a_photo_is_read_asked_about_and_shown(browser: Browser, served, photos) -> None:
    browser.upload("#product-photo", photos[0])
    browser.one("#product-answers .sv-answer")
    found = served.bench.read(photos[0].read_bytes(), None)
    values = [found.replies[name].value for name in found.applicable]
    wanted = [value.split(" > ")[-1] for value in values if value is not None]
    browser.until(lambda: all(value in browser.text("#product-answers") for value in wanted), str(wanted))
    browser.one("#product-map img")
    browser.one("#product-heat img")

    def heat_of_colour() -> bool:  # again, if the page was still drawing what it opens on
        browser.click('#product-answers [data-property="Colour"]')
        time.sleep(1)
        return "Colour" in browser.text("#product-heat h4")

    browser.until(heat_of_colour, "the heat map of the colour")
    browser.write("#product-question", "what colour is it?", enter=True)
    browser.sees("#product-reply", found.replies["Colour"].value or "unknown")
    for width in (390, 1024, 1440):
        browser.width(width)
        assert browser.box("#product-reply .sv-value")["height"] < 50, "a word is broken into letters"
        assert browser.box("#product-reply .sv-chip")["right"] < browser.box("#product-reply")["right"]


def test_further_photos_of_a_product_are_read_and_go_with_it(browser: Browser, served, photos) -> None:
    browser.upload("#product-photo", photos[0])
    browser.one("#product-heat img")
    browser.write("#product-title", " ")
    browser.one("#product-more input[type=file]").send_keys(str(photos[1]))
    both = tuple(photo.read_bytes() for photo in photos[:2])
    found = served.bench.read(both, None)
    seen = {f"picture {reply.picture}" for reply in found.replies.values() if reply.picture and reply.value}
    browser.until(lambda: all(words in browser.text("#product-answers") for words in seen), str(seen))
    browser.click("#product-picks .sv-pick")  # another product, which has one
    browser.until(lambda: not any(words in browser.text("#product-answers") for words in seen), "one photo alone")
    assert photos[1].name not in browser.text("#product-more")


def test_a_title_is_read_too_and_a_photo_can_be_picked(browser: Browser, served) -> None:
    first = served.bench.first()
    shown = browser.one("#product-title textarea, #product-title input").get_attribute("value")
    assert shown == first.title, "the page does not open on the first product"
    browser.write("#product-title", "red shirt")
    browser.click("#product-read")
    browser.sees("#product-answers", "the title says Red")
    picked = browser.one("#product-picks .sv-pick").get_attribute("data-id")
    browser.click("#product-picks .sv-pick")
    title = served.bench.product(picked).title
    browser.until(lambda: browser.one("#product-title textarea, #product-title input").get_attribute("value") == title)
    browser.one("#product-map img")
    browser.write("#product-question", "what colour is it?", enter=True)
    browser.one("#product-reply .sv-answer")
    browser.driver.execute_script("arguments[0].click()", browser.all("#product-picks .sv-pick")[1])
    browser.until(lambda: not browser.text("#product-reply"), "the end of what was said of another product")


def test_a_title_is_suggested_with_what_it_rests_on_and_used_after_a_click(
    browser: Browser, served, photos, monkeypatch
) -> None:
    def kept() -> set[Path]:
        return {path for path in served.bench.work.rglob("*") if path.is_file()}

    monkeypatch.setattr(suggesting, "ProductWriter", SaysNames)
    titles = next(served.bench.catalog.batches(10))["title"].to_list()
    photo, title = next((photo, title) for photo, title in zip(photos, titles, strict=True) if title.isascii())
    before = kept()
    browser.upload("#product-photo", photo)
    browser.one("#product-answers .sv-answer")
    browser.write("#product-title", title, enter=True)
    browser.click("#product-suggest")
    browser.one("#product-suggested .sv-suggestion")
    suggested = browser.text("#product-suggested .sv-suggestion strong")
    assert set(words_of(suggested)) <= set(_words_known(served, photo, title))
    browser.sees("#product-suggested", "rests on")
    field = browser.one("#product-title textarea, #product-title input")
    assert field.get_property("value") == title
    assert kept() == before
    browser.click("#product-suggested .sv-use")
    browser.until(lambda: field.get_property("value") == suggested, suggested)
    assert kept() == before
    browser.open("/zh/")
    browser.sees("#product-suggest", "建议标题")


class SaysNames:
    """In the place of a writer that learned: titles that are names it may say."""

    def __init__(self, design: Design) -> None:
        pass

    def write(self, pictures: object, tellings: list[Telling], count: int) -> list[WrittenAbout]:
        return [WrittenAbout([Written(name, -1.0) for name in one.grounds.names[:count]]) for one in tellings]


def _words_known(served, photo: Path, title: str) -> Iterator[str]:
    """Words of the title, of accepted answers, and small ones."""
    yield from words_of(title)
    yield from SMALL_WORDS["en"]
    for reply in served.bench.read(photo.read_bytes(), title).replies.values():
        if reply.decision == "accept":
            yield from words_of(reply.value or "")


def test_a_bad_upload_gets_a_sentence(browser: Browser, tmp_path: Path, photos) -> None:
    (tmp_path / "words.jpg").write_bytes(b"just some words")
    browser.upload("#product-photo", tmp_path / "words.jpg")
    browser.sees("#product-answers [role=alert]", "not a picture that can be read")
    (tmp_path / "huge.jpg").write_bytes(photos[0].read_bytes() + b"\0" * (5 * 2**20))
    browser.open()
    browser.upload("#product-photo", tmp_path / "huge.jpg")
    browser.until(lambda: "size" in browser.text("body").lower(), "a word on the size")
    browser.driver.get_log("browser")  # the refusal is in the console as well
    browser.open()
    browser.upload("#product-photo", photos[0])
    browser.one("#product-map img")  # a page that is left while it waits for an answer complains of that


def test_search_filter_like_and_open(browser: Browser, served) -> None:
    browser.tab("search")
    browser.write("#search-words", "re")
    browser.click('#search-suggestions [data-id="red"]')
    browser.sees("#search-results", "Understood: Colour: Red")
    browser.width(1920)
    tabs = browser.box("#tabs")
    assert tabs["left"] == pytest.approx(1920 - tabs["right"], abs=20), "the page is not in the middle"
    browser.width(390)
    assert browser.box("#tabs")["left"] < 25, "a margin takes the little place there is"
    assert browser.box("#search-results .sv-hit")["top"] < 700, "results begin far below"
    before = len(browser.all("#search-results .sv-hit"))
    browser.write("#search-more", "colour=Red", enter=True)
    browser.until(lambda: 0 < len(browser.all("#search-results .sv-hit")) < before, "fewer results")
    browser.click("#search-results .sv-like")
    browser.sees("#search-results .sv-counts", "your photo")
    first = browser.one("#search-results .sv-open").get_attribute("data-id")
    browser.click("#search-results .sv-open")
    browser.one("#product-map img")
    title = served.bench.product(first).title
    browser.until(lambda: browser.one("#product-title textarea, #product-title input").get_attribute("value") == title)


@pytest.fixture
def catalog(browser: Browser, served) -> Iterator[Browser]:
    """The tab, with nothing decided before and after."""
    browser.tab("catalog")
    browser.one("#catalog-coverage button")
    browser.until(lambda: "of 60 products" in browser.text("#catalog-shown .sv-pager"), "all products")
    yield browser
    for by in {line.by for line in served.bench.log._standing()}:
        while served.bench.undo(by):
            pass


def cell(product_id: str, name: str) -> str:
    return f'#catalog-shown [data-list][data-id="{product_id}"][data-property="{name}"]'


def choose(browser: Browser, css: str, label: str) -> None:
    """An option of a dropdown, by what it is called."""
    field = browser.one(f"{css} input")
    browser.driver.execute_script("arguments[0].focus()", field)
    field.clear()
    field.send_keys(label)
    option = browser.one(f'{css} li[aria-label^="{label}"], ul[role=listbox] li[aria-label^="{label}"]')
    browser.driver.execute_script("arguments[0].dispatchEvent(new MouseEvent('mousedown', {bubbles: true}))", option)


def test_the_catalog_is_filtered_sorted_and_turned(catalog: Browser, served) -> None:
    rows = pl.read_parquet(served.table)
    shown = catalog.all("#catalog-shown tbody tr")
    assert len(shown) == 50
    assert catalog.one("#catalog-shown tbody th small").text == rows["product_id"][0]
    catalog.until(
        lambda: catalog.driver.execute_script("return document.querySelector('#catalog-shown img').naturalWidth")
    )
    catalog.click("#catalog-shown [data-do=page]:not([disabled])")
    catalog.sees("#catalog-shown .sv-pager", "51 to 60 of 60")
    words = rows["title"][7].split()[0]
    fitting = rows.filter(pl.col("title").str.to_lowercase().str.contains(words.lower(), literal=True))
    catalog.write("#catalog-text", words, enter=True)
    catalog.sees("#catalog-shown .sv-pager", f"of {len(fitting)} products")
    catalog.click("#catalog-clear")
    catalog.sees("#catalog-shown .sv-pager", "of 60 products")
    red = [any(pair == {"property": "Colour", "value": "Red"} for pair in row) for row in rows["attributes"].to_list()]
    catalog.write("#catalog-more", "colour=Red, price<1000", enter=True)
    catalog.sees("#catalog-shown .sv-pager", f"of {sum(red)} products")
    catalog.click("#catalog-shown [data-do=sort][data-id=title]")
    catalog.one("#catalog-shown th[aria-sort=ascending]")
    titles = [one.text for one in catalog.all("#catalog-shown tbody th b")]
    assert titles == sorted(titles, key=str.casefold)
    catalog.write("#catalog-more", "nonsense", enter=True)
    catalog.sees("#catalog-notice", "is not a condition")
    catalog.click("#catalog-clear")
    catalog.sees("#catalog-shown .sv-pager", "of 60 products")
    catalog.click('#catalog-layout input[value="grid"]')
    catalog.one("#catalog-shown .sv-products article")
    first = catalog.one("#catalog-shown .sv-open").get_attribute("data-id")
    catalog.click("#catalog-shown .sv-open")
    title = served.bench.product(first).title
    catalog.until(lambda: catalog.one("#product-title textarea, #product-title input").get_attribute("value") == title)


def test_coverage_leads_to_what_is_missing(catalog: Browser) -> None:
    catalog.click("#catalog-coverage button")
    share = catalog.one("#catalog-categories [data-do=lack]")
    category = share.get_attribute("data-category").split(" > ")[-1]
    catalog.driver.execute_script("arguments[0].click()", share)
    catalog.until(lambda: "of 60" not in catalog.text("#catalog-shown .sv-pager"), "fewer products")
    rows = catalog.all("#catalog-shown tbody tr")
    assert all(category in row.text for row in rows)


def test_a_cell_is_edited_where_it_stands_and_taken_back(catalog: Browser, served) -> None:
    from selenium.webdriver.common.keys import Keys

    product = catalog.one("#catalog-shown tbody th small").text
    place = cell(product, "Colour")
    before = catalog.text(place)
    catalog.click(f"{place} [data-edit]")
    catalog.one(f"{place} input").send_keys("Re" + Keys.ESCAPE)
    catalog.until(lambda: catalog.text(place) == before, "the value as it was")
    assert not served.bench.decisions()
    wanted = "Blue" if "Red" in before else "Red"
    assert wanted in [
        one.get_attribute("value") for one in catalog.all(f"#{catalog.one(place).get_attribute('data-list')} option")
    ]
    catalog.click(f"{place} [data-edit]")
    catalog.one(f"{place} input").send_keys(wanted + Keys.ENTER)
    catalog.sees("#catalog-notice", f"Saved: Colour = {wanted}")
    assert wanted in catalog.text(place)
    (made,) = served.bench.decisions()
    assert (made.product_id, made.property, made.value) == (product, "Colour", wanted)
    focused = "return document.activeElement.closest('[data-list]')?.dataset.id"
    catalog.until(lambda: catalog.driver.execute_script(focused) == product, "the cell in focus again")
    catalog.click(f"{place} [data-edit]")
    catalog.one(f"{place} input").send_keys("nonsense" + Keys.ENTER)
    catalog.sees("#catalog-notice", "is not a known Colour")
    catalog.click("#catalog-undo")
    catalog.sees("#catalog-notice", f"Taken back: Colour = {wanted}")
    assert catalog.text(place) == before
    assert not served.bench.decisions()


def test_what_is_shown_is_exported(catalog: Browser, served) -> None:
    from selenium.webdriver.common.keys import Keys

    product = catalog.one("#catalog-shown tbody th small").text
    catalog.click(f"{cell(product, 'Colour')} [data-edit]")
    catalog.one(f"{cell(product, 'Colour')} input").send_keys("Black" + Keys.ENTER)
    catalog.sees("#catalog-notice", "Saved: ")
    catalog.write("#catalog-text", product, enter=True)
    catalog.sees("#catalog-shown .sv-pager", "of 1 products")
    catalog.click("#catalog-export")
    catalog.click('#catalog-file a[href$="products.csv"]')
    path = catalog.downloads / "products.csv"
    catalog.until(path.exists, "the download")
    (row,) = pl.read_csv(path, infer_schema=False).rows(named=True)
    assert (row["product_id"], row["Colour"]) == (product, "Black")


def test_a_correction_survives_a_reload_and_can_be_undone(browser: Browser, served) -> None:
    browser.tab("review")
    card = browser.one("#review-card .sv-question")
    before = len(served.bench.decisions())
    product = card.find_element("css selector", ".sv-note").text
    second = browser.one('#review-card [data-key="2"]')
    value = second.get_attribute("data-value")
    browser.press("2")
    browser.sees("#review-progress", "Saved: ")
    saved = read_corrections(served.bench.log.path)[-1]
    assert (saved.product_id, saved.value) == (product, value)
    browser.open()
    browser.tab("review")
    browser.sees(f'#review-recent [data-product="{product}"]', value.split(" > ")[-1])
    taken = ReviewDesk(served.bench).progress(served.bench.runs()[0]).waiting[0]
    served.bench.correct(taken.product_id, taken.property, None, taken.answer, "somebody else")
    browser.driver.execute_script("document.querySelector('#review-conflicts input').focus()")
    browser.driver.switch_to.active_element.send_keys("a")
    browser.sees("#review-progress", "Already decided: ")
    assert served.bench.decision(taken.product_id, taken.property).value is None
    served.bench.undo("somebody else")
    browser.press("a")
    browser.until(lambda: len(served.bench.decisions()) == before + 2, "the second decision")
    browser.press("s")
    for count in (1, 0):
        browser.press("z")
        browser.until(lambda count=count: len(served.bench.decisions()) == before + count, "the undoing")
    browser.sees("#review-progress", "Taken back: ")
    browser.press("z")
    browser.sees("#review-progress", "There is nothing of yours to take back.")


def test_look_alikes_are_accepted_at_once_by_keyboard(browser: Browser, served) -> None:
    from selenium.webdriver.common.keys import Keys

    before = len(served.bench.decisions())
    browser.tab("review")
    browser.one("#review-card .sv-question")
    browser.driver.execute_script("document.querySelector('#review-mode input[value=bulk]').click()")
    browser.one("#review-card .sv-lookalike")
    cells = [one.get_attribute("data-toggle") for one in browser.all("#review-card .sv-lookalike")]
    browser.until(lambda: cells[0] == _at(browser), "the first look-alike in focus")
    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert _at(browser) == cells[1]
    browser.driver.switch_to.active_element.send_keys(" ")
    browser.sees("#review-card [data-count]", str(len(cells) - 1))
    browser.driver.switch_to.active_element.send_keys("a")
    browser.sees("#review-progress", f"Saved: {len(cells) - 1} times")
    made = [one for one in served.bench.decisions() if one.batch]
    assert {one.product_id for one in made} == {*cells} - {cells[1]}
    browser.driver.execute_script("document.querySelector('#review-mode input[value=check]').click()")
    browser.sees("#review-progress", f"0 of {len(made)} looked at again, of {len(made)} accepted at once")
    browser.press("u")  # the first of them was wrong
    browser.sees("#review-card", "1 of 1 were wrong: > 99%")
    browser.click("#review-card [data-do=return]")
    browser.sees("#review-progress", f"Taken back: {len(made) - 1} decisions")
    browser.driver.execute_script("document.querySelector('#review-mode input[value=one]').click()")
    browser.one("#review-card .sv-question")
    browser.press("z")
    browser.sees("#review-progress", "Taken back: ")
    browser.until(lambda: [one.batch for one in served.bench.decisions() if one.batch], "what was accepted first")
    browser.press("z")
    browser.until(lambda: len(served.bench.decisions()) == before, "the undoing")


def _at(browser: Browser) -> str:
    """The look-alike that has the focus."""
    return browser.driver.execute_script("return document.activeElement.dataset.toggle")


def test_a_catalog_run_and_its_results(browser: Browser, served, tmp_path: Path) -> None:
    table = tmp_path / "few.parquet"
    next(served.bench.catalog.batches(6)).select("product_id", "title", "image").write_parquet(table)
    browser.tab("run")
    browser.upload("#run-table", table)
    browser.sees("#run-table", "few")
    browser.click("#run-start")
    browser.sees("#run-shown", "few.parquet: done")
    assert "6\nrows in" in browser.text("#run-shown .sv-figures")
    browser.click('#run-files a[download="tags.csv"], #run-files a[href$="tags.csv"]')
    path = browser.downloads / "tags.csv"
    browser.until(path.exists, "the download")
    assert pl.read_csv(path)["product_id"].n_unique() == 6
    browser.click("#run-review")
    browser.one("#review-card .sv-question")
    browser.open()
    browser.tab("review")
    browser.one("#review-run input").click()
    browser.sees("body", f"{served.bench.runs()[1]} · few.parquet")


def test_a_run_is_still_there_after_a_reload(browser: Browser, served, monkeypatch) -> None:
    def slow(design, catalog, out, *, report, **_):
        while True:  # until the report says that it was stopped
            report(1)
            time.sleep(0.05)

    monkeypatch.setattr("shopvl.service.catalog_run.tag", slow)
    served.bench.start_run(served.table, name="shop")
    browser.open()
    browser.tab("run")
    browser.sees("#run-shown", "1 of 60 products")
    browser.click("#run-stop")
    browser.sees("#run-shown", "It was stopped")


def test_what_users_write_is_text_and_never_code(browser: Browser) -> None:
    bad = "${document.title='owned'}{{this}}<img src=x onerror=alert(1)>.csv"
    browser.tab("run")
    browser.write("#run-path", bad)
    browser.click("#run-start")
    browser.sees("#run-shown [role=alert]", bad)
    assert browser.driver.title == "shopvl"


def test_two_models_side_by_side(browser: Browser, photos) -> None:
    browser.tab("models")
    browser.sees("#models-facts", "Measured on held-out rows")
    browser.upload("#compare-photo", photos[2])
    browser.one("#compare-photo img")
    browser.click("#compare-go")
    browser.sees("#compare-shown", "answers are the same")
    assert len(browser.all("#compare-shown thead th")) == 3


def test_the_same_in_chinese(browser: Browser, served, photos) -> None:
    browser.open("/zh/")
    assert [one.text for one in browser.all("#tabs button[role=tab]")][:2] == ["商品", "搜索"]
    browser.upload("#product-photo", photos[0])
    browser.sees("#product-answers", "颜色")
    browser.one("#product-map img")
    browser.tab("search")
    browser.write("#search-words", "红色", enter=True)
    browser.sees("#search-results", "理解为: 颜色: 红色")
    browser.sees("#search-results", "最相符的 24 件商品")
    browser.click("#search-clear")
    browser.sees("#search-results", "最新的 24 件商品")
    browser.write("#search-more", "颜色=红色", enter=True)
    browser.until(lambda: 0 < len(browser.all("#search-results .sv-hit")) < 24, "red products alone")
    browser.tab("catalog")
    browser.sees("#catalog-shown .sv-pager", "共 60 件商品")
    browser.sees("#catalog-shown thead", "颜色")
    browser.tab("review")
    browser.one("#review-card .sv-question")
    browser.sees("#review-card", "最可能的取值")
