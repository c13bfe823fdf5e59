"""Write docs/recipes.md, the page of all designs, from the recipes themselves."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from shopvl.recipes import RECIPES
from shopvl.recipes.capabilities import CAPABILITIES, capabilities
from shopvl.recipes.parts import Augment, Stage
from shopvl.recipes.recipe import Recipe

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"
HEAD = """# Recipes

What each published design is made of here, what is not as in its paper, and what it can do once it is trained. Parts
are those of size `base`; `shopvl recipes show NAME --size mini` shows what trains on a CPU. Written by `make recipes`.
"""


def page() -> str:
    """The page as Markdown."""
    can = "\n".join(f"- **{name}**: {meaning}" for name, meaning in CAPABILITIES.items())
    rows = ["| design | reads | meets in | learns by | can |", "| --- | --- | --- | --- | --- |"]
    rows += [_row(name, family.base) for name, family in RECIPES.items()]
    sections = [_section(family.base) for family in RECIPES.values()]
    return "\n".join([HEAD, can, "", *rows, "", *sections])


def _row(name: str, recipe: Recipe) -> str:
    reads = " and ".join(part.kind for part in (recipe.image, recipe.text) if part is not None)
    able = capabilities(recipe)
    cells = (
        f"[{name}](#{name})",
        reads,
        recipe.fusion.kind if recipe.answering is None else recipe.answering.kind,
        ", ".join(objective.name for objective in recipe.objectives),
        ", ".join(capability for capability in CAPABILITIES if capability in able),
    )
    return f"| {' | '.join(cells)} |"


def _section(recipe: Recipe) -> str:
    lines = [f"## {recipe.name}\n", f"{recipe.source}. Not as there: {recipe.differs}.\n"]
    for part in recipe.parts():
        settings = _settings({name: value for name, value in part.settings.items() if name != "name"})
        lines.append(f"- {part.role.replace('_', ' ')}: **{part.name}**" + (f" ({settings})" if settings else ""))
    changed = {"augment": recipe.augment, **{f"stage {n}": stage for n, stage in enumerate(recipe.stages, 1)}}
    lines += [f"- {name}: {told}" for name, part in changed.items() if (told := _changed(part))]
    return "\n".join(lines) + "\n"


def _changed(part: Augment | Stage) -> str:
    """What is not as by default."""
    own, default = asdict(part), asdict(type(part)())
    return ", ".join(f"{name} {_shown(value)}" for name, value in own.items() if value != default[name])


def _settings(values: dict[str, Any]) -> str:
    """Those that say something: nothing that is off or empty."""
    said = {name: value for name, value in values.items() if value not in (None, False, {}, [], "none")}
    return ", ".join(name if value is True else f"{name} {_shown(value)}" for name, value in said.items())


def _shown(value: Any) -> str:
    match value:
        case {"kind": kind, **settings}:
            return f"{kind} ({told})" if (told := _settings(settings)) else kind
        case [*items]:
            return " x ".join(_shown(item) for item in items)
        case _:
            return str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
