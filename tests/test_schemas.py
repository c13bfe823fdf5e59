"""The schemas say what the code reads and writes."""

import json
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from shopvl.paths import resource_dir
from shopvl.recipes import RECIPES, SIZES, find
from shopvl.tagging.run import TAGS

sys.path.insert(0, str(Path(__file__).parent))
from write_schemas import MADE, schema


def stored(name: str) -> dict:
    return json.loads((resource_dir("data_schemas") / f"{name}.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("name", MADE)
def test_made_schemas_are_up_to_date(name: str) -> None:
    assert stored(name) == schema(name), "run `make schemas`"


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("size", SIZES)
def test_recipes_hold_to_their_schema(name: str, size: str) -> None:
    jsonschema.validate(find(name, size).to_dict(), stored("recipe"))


@pytest.mark.parametrize("path", sorted(resource_dir("experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_experiments_hold_to_their_schema(path: Path) -> None:
    jsonschema.validate({"name": path.stem, **yaml.safe_load(path.read_text("utf-8"))}, stored("experiment"))


def test_tag_columns_are_those_of_the_schema() -> None:
    assert set(TAGS.names) == set(stored("tag")["properties"])
