"""README and docs are true where a machine can tell."""

import re
import sys
from pathlib import Path

import pytest
import typer
import yaml

import shopvl
from shopvl.cli import app

sys.path.insert(0, str(Path(__file__).parent))
from write_recipes import PAGE, page

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = {
    path.relative_to(ROOT): path.read_text("utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
}
COMMANDS = sorted(
    {
        found
        for text in PAGES.values()
        for found in re.findall(r"^shopvl ([a-z-]+(?: [a-z]+)?)(.*)$", text, re.MULTILINE)
    }
)
LONGEST_README = 160  # lines
SHOWN = re.compile(r"\[\S+\.md\]\(\S+\)<!-- here -->")


def known(words: str) -> bool:
    group = typer.main.get_command(app)
    name, _, sub = words.partition(" ")
    command = group.commands.get(name)
    return command is not None and (not hasattr(command, "commands") or sub in command.commands)


@pytest.mark.parametrize(("words", "rest"), COMMANDS)
def test_commands_and_options_exist(words: str, rest: str) -> None:
    assert known(words), words
    group = typer.main.get_command(app)
    command = group.commands[words.split()[0]]
    if hasattr(command, "commands"):
        command = command.commands[words.split()[1]]
    options = {name for parameter in command.params for name in parameter.opts}
    assert set(re.findall(r"(--[a-z-]+)", rest.split("#")[0])) <= options


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for text in PAGES.values():
        assert (
            set(re.findall(r"`make ([a-z-]+)", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
            <= targets
        )
    assert {"install", "demo", "test", "test-real", "bench", "lint"} <= targets


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGES[page]):
        if "://" not in target:
            assert (ROOT / page.parent / target).exists(), target


def test_every_page_is_linked_from_the_readme() -> None:
    """Or it shows a file that is."""
    linked = set(re.findall(r"\]\(([^)#]+)\)", README))
    own = {str(page) for page, text in PAGES.items() if page.parts[0] == "docs" and not SHOWN.match(text)}
    assert own <= linked
    assert len(README.splitlines()) <= LONGEST_README


def test_files_of_the_tree_exist() -> None:
    tree = (ROOT / "docs/architecture.md").read_text("utf-8").split("```")[1]
    for name in re.findall(r"(?:^|\s)([a-z_]+(?:\.py|/))", tree):
        assert (ROOT / name).exists() or (ROOT / "shopvl" / name).exists() or list(ROOT.rglob(name.strip("/"))), name


def test_the_page_of_recipes_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make recipes`"


def test_ci_runs_the_test_command() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "make test" in README


def test_contributing_names_files_and_names_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    paths = re.findall(r"`([a-z_]+/[a-z_/]*[a-z_]\.[a-z.]+|[a-z_]+\.toml)`", text)
    assert len(paths) > 10
    for path in (*paths, *re.findall(r"\]\(([^)#]+)\)", text)):
        there = [ROOT / path, *(ROOT / "shopvl").glob(f"**/{path}")]
        assert any(place.exists() for place in there), path
    for module, names in (
        ("shopvl/recipes/parts/objectives.py", ("loss_in", "needs", "towers", "problems", "heads", "Objective = ")),
        ("shopvl/catalog/known_properties.py", ("KNOWN_PROPERTIES",)),
        ("shopvl/tagging/exporters/base.py", ("class Exporter", "name:", "help:", "suffixes:", "def write")),
        ("shopvl/catalog/formats/base.py", ("class Source", "suffixes:", "refused:", "def names", "def chunks")),
        ("shopvl/search/stores/base.py", ("class VectorStore", "class VectorSearch")),
        ("shopvl/search/stores/factory.py", ("STORES",)),
    ):
        code = (ROOT / module).read_text("utf-8")
        assert all(name in code for name in names), module
    for test, name in (("tagging/test_export.py", "test_every_form"), ("catalog/test_catalog_formats.py", "ROWS")):
        assert name in (ROOT / "tests" / test).read_text("utf-8")


def test_the_version_to_cite_and_the_hooks_are_those_of_the_project() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == shopvl.__version__
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    lint = (ROOT / "Makefile").read_text("utf-8").split("lint: install\n")[1].split("\n\n")[0]
    asked = [line.split("/", 1)[1].removesuffix(" .") for line in lint.splitlines()]
    assert [hook["entry"].removeprefix(".venv/bin/") for hook in hooks] == asked
