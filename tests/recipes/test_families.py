"""A published design is a few lines of code, and no two are one design by two names."""

import ast
import itertools
from pathlib import Path

import pytest

import shopvl.recipes
from shopvl.recipes import RECIPES, SIZES, find

LONGEST = 40  # lines
FOLDER = Path(shopvl.recipes.__file__).parent


def lines_by_family() -> dict[str, int]:
    """How many lines each family takes, with what stands beside it for it alone."""
    lines = {}
    for path in FOLDER.glob("*.py"):
        statements = {
            target.id: statement
            for statement in ast.parse(path.read_text("utf-8")).body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        reads = {
            name: {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)} & statements.keys()
            for name, statement in statements.items()
        }
        for name, statement in statements.items():
            if getattr(getattr(statement.value, "func", None), "id", "") != "Family":
                continue
            own = {other for other in reads[name] if sum(other in read for read in reads.values()) == 1}
            private = {other for other in own if other.startswith("_")}
            parts = (statements[each] for each in (name, *private))
            lines[name] = sum(part.end_lineno - part.lineno + 1 for part in parts)
    return lines


def test_every_family_is_short() -> None:
    lines = lines_by_family()
    assert len(lines) == len(RECIPES)
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


@pytest.mark.parametrize("size", SIZES)
def test_no_two_recipes_are_one_design(size: str) -> None:
    told = {}
    for name in RECIPES:
        values = find(name, size).to_dict()
        told[name] = {role: value for role, value in values.items() if role not in ("name", "source", "differs")}
    twins = [(one, other) for one, other in itertools.combinations(told, 2) if told[one] == told[other]]
    assert twins == []


@pytest.mark.parametrize("name", RECIPES)
def test_only_the_paper_s_size_begins_with_downloaded_weights(name: str) -> None:
    for size in ("tiny", "mini"):
        text = str(find(name, size).to_dict())
        assert "'pretrained': True" not in text
        assert "'frozen': True" not in text  # of a net that begins with random weights nothing would learn
