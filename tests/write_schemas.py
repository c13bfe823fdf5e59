"""Write the schemas of recipes, experiments and grids into data_schemas/ from the types that read those files."""

import json
from pathlib import Path
from typing import Any

from shopvl.recipes.recipe import RECIPE_TYPE
from shopvl.runs.grid import GRID_TYPE
from shopvl.training.experiment import EXPERIMENT_TYPE

MADE = {"recipe": RECIPE_TYPE, "experiment": EXPERIMENT_TYPE, "grid": GRID_TYPE}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of that kind of file."""
    made = MADE[name].json_schema()
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://shopvl.org/schemas/{name}.schema.json",
    }
    return head | made


if __name__ == "__main__":
    for name in MADE:
        path = Path(__file__).parent.parent / "data_schemas" / f"{name}.schema.json"
        path.write_text(json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n", "utf-8")
