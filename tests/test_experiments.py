"""Scripts of experiments are no part of the package, so nobody else sees when a name they import is gone."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

SCRIPTS = sorted((Path(__file__).parents[1] / "experiments").rglob("*.py"))


def test_scripts_import_what_the_package_has() -> None:
    wanted = {
        (node.module, alias.name): path.name
        for path in SCRIPTS
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "shopvl"
        for alias in node.names
    }
    assert len(wanted) > 50
    gone = [
        f"{script}: {module}.{name}"
        for (module, name), script in wanted.items()
        if not hasattr(import_module(module), name) and find_spec(f"{module}.{name}") is None
    ]
    assert not gone
