"""The site is built without a warning, no link in it is dead, and it needs no network."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from written import schema, written

ROOT = Path(__file__).parents[1]
LOADED = {"script": "src", "img": "src", "link": "href", "a": "href"}


class Page(HTMLParser):
    """What a page links to, by tag, and the ids in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.ids.add(told.get("id") or "")
        if target := told.get(LOADED.get(tag, "")):
            self.links.append((tag, target))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def test_no_link_is_dead_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > len(list((ROOT / "docs").glob("*.md")))
    for path, page in pages.items():
        for tag, target in page.links:
            address, place = urldefrag(target)
            if "://" in address or address.startswith("mailto:"):
                assert tag == "a", f"{path.name} loads {target}"
                continue
            address = unquote(address.partition("?")[0])
            found = (path.parent / address).resolve() if address else path
            assert found.is_file(), f"{path.name} links to {target}"
            if tag == "a" and place and found in pages:
                assert place in pages[found].ids, f"{path.name} links to {target}"


def test_the_python_reference_has_what_people_import(site: Path) -> None:
    text = (site / "python.html").read_text("utf-8")
    for name in ("open_catalog", "Design", "SearchIndex", "Recipe", "tag"):
        assert f'.{name}"' in text, name


def test_pages_take_figures_from_the_results(site: Path) -> None:
    told = json.loads((ROOT / "experiments/results/shipped_small.json").read_text("utf-8"))
    accuracy = told["answers"]["image"]["colour"]["accuracy"]
    assert f"<td><p>{accuracy:.3f}</p></td>" in (site / "performance.html").read_text("utf-8")
    for page in site.glob("*.html"):
        assert not re.search(r"&lt;!-- |<!-- (?:here|begin|end|\w+ >)", page.read_text("utf-8")), page.name
    assert written("9.999<!-- shipped_small > answers > image > colour > accuracy :.3f -->") == f"{accuracy:.3f}"


def test_schemas_are_rendered(site: Path) -> None:
    text = (site / "formats.html").read_text("utf-8")
    for path in (ROOT / "data_schemas").glob("*.schema.json"):
        name = path.name.partition(".")[0]
        fields = json.loads(path.read_text("utf-8"))["properties"]
        assert all(f">{field}</span>" in text for field in fields), name
        assert schema(name)
    assert "list of [category](#schema-ontology-category)" in schema("ontology")
    assert "| `probability` | number ≥ 0, ≤ 1 | required | Calibrated:" in schema("tag")
