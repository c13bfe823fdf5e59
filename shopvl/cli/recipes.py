"""Commands that show recipes."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.table import Table

from shopvl.cli.console import out
from shopvl.cli.options import AsJson

if TYPE_CHECKING:
    from shopvl.recipes.recipe import Recipe

recipes_app = typer.Typer(no_args_is_help=True, help="Published designs as short recipes over one set of parts.")


@recipes_app.command("list")
def recipes_list(as_json: AsJson = False) -> None:
    """Every design by name.

    With its main parts, what it can do once it is trained, and its paper.

    Example: shopvl recipes list
    """
    from shopvl.recipes import RECIPES

    if as_json:
        print(json.dumps(list(RECIPES)))
        return
    table = Table("name", "picture + words: fusion", "can", "source", box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for name, family in RECIPES.items():
        recipe = family.base
        meet = recipe.fusion if recipe.answering is None else recipe.answering
        table.add_row(name, f"{_inputs(recipe)}: {meet.kind}", ", ".join(_can(recipe)), recipe.source)
    out.print(table)
    out.print("one of them: shopvl recipes show NAME; all parts: shopvl recipes table", highlight=False)


@recipes_app.command("show")
def recipes_show(
    name: str, size: Annotated[str, typer.Option(help="tiny, mini or base.")] = "mini", as_json: AsJson = False
) -> None:
    """One design as a card, or as JSON to copy from.

    Example: shopvl recipes show vilt --size base
    """
    from shopvl.recipes import SIZES, find

    recipe = find(name, size)
    if as_json:
        print(json.dumps(recipe.to_dict(), indent=1))
        return
    out.print(f"{recipe.name} ({size})", style="bold")
    out.print(f"paper:   {recipe.source}", highlight=False)
    out.print(f"differs: {recipe.differs}", highlight=False)
    for number, (name, meaning) in enumerate(_can(recipe).items()):
        out.print(f"{'' if number else 'can:':8} {name} ({meaning})", highlight=False)
    out.print()
    table = Table("part", "kind", "settings")
    values = recipe.to_dict()
    for part in recipe.parts():
        table.add_row(part.role, part.kind, _settings(part.settings))
    table.add_row("combine", recipe.combine, "")
    for role in ("schedule", "augment"):
        table.add_row(role, values[role].get("kind", ""), _settings(values[role]))
    for number, stage in enumerate(values["stages"], 1):
        told = {name: value for name, value in stage.items() if name != "share" and value is not None}
        table.add_row(f"stage {number}", f"{stage['share']:.0%}", _settings(told))
    out.print(table)
    others = [other for other in SIZES if other != size]
    out.print(f"sizes: {', '.join(SIZES)} (--size {' or '.join(others)}); as JSON: --json", highlight=False)


def _settings(part: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in part.items() if name != "kind")


@recipes_app.command("table")
def recipes_table() -> None:
    """All designs beside each other.

    What each can do once it is trained, and which part it uses at size base.

    Example: shopvl recipes table
    """
    from shopvl.recipes import RECIPES

    used = {name: {"can": _can(family.base), **_names_by_role(family.base)} for name, family in RECIPES.items()}
    table = Table(box=SIMPLE_HEAD, padding=0)
    table.add_column("role", no_wrap=True)
    table.add_column("part", no_wrap=True)
    for number in range(1, len(used) + 1):  # names would not fit a terminal side by side
        table.add_column(str(number), justify="center", no_wrap=True, min_width=2)
    for role in dict.fromkeys(role for parts in used.values() for role in parts):
        names = dict.fromkeys(part for parts in used.values() for part in parts.get(role, ()))
        for part in names if role == "can" else sorted(names):
            marks = ("x" if part in parts.get(role, ()) else "" for parts in used.values())
            table.add_row(role.replace("_", " "), part, *marks)
        table.add_section()
    legend = (f"{number} {name}" for number, name in enumerate(used, 1))
    out.print(Columns(legend, padding=(0, 2)), table)


def _can(recipe: Recipe) -> dict[str, str]:
    """What it can do, each with what that means."""
    from shopvl.recipes.capabilities import CAPABILITIES, capabilities

    can = capabilities(recipe)
    return {name: meaning for name, meaning in CAPABILITIES.items() if name in can}


def _inputs(recipe: Recipe) -> str:
    return " + ".join(part.kind for part in (recipe.image, recipe.text) if part is not None)


def _names_by_role(recipe: Recipe) -> Mapping[str, Collection[str]]:
    names: dict[str, list[str]] = {}
    for part in recipe.parts():
        names.setdefault(part.role, []).append(part.name)
    return names | {"combine": [recipe.combine]}
