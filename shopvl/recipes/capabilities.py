"""What people can do with a design once it is trained, as its parts say."""

from __future__ import annotations

from shopvl.errors import DesignError
from shopvl.recipes import RECIPES
from shopvl.recipes.parts import Capability, DualEncoder, OverTowers
from shopvl.recipes.parts.objectives import BOTH
from shopvl.recipes.recipe import Recipe

CAPABILITIES: dict[Capability, str] = {
    "embed": "pictures and texts as vectors of one space: `embed`, `index`, `search`",
    "zero-shot": "choose among values without having been tuned, by where their names lie in that space, or by how "
    "likely they are to be written: `tag --zero-shot`; `tag`, `ask` and `evaluate` before `tune`",
    "tag": "category and attributes, after `tune`: `tag`, `ask`",
    "match": "judge whether a picture and a text belong together, by a head, or by how likely the text is to be "
    "written about the picture: `search --rerank`",
    "write": "write about products, or go on with a text: `write`",
    "locate": "say where in a picture something is, or that it is not there: `locate`",
    "verify": "say of statements about a product whether its picture shows or denies them, and where: `verify`",
    "picture": "make a picture of a description",
}
# what a design without it lacks, and what people can do instead
LACKING: dict[Capability, tuple[str, str]] = {
    "embed": (
        "has no space in which pictures and texts are compared",
        "train it with `contrast: true` in its experiment file",
    ),
    "zero-shot": (
        "cannot choose values by their names, for it neither compares pictures with texts nor writes",
        "run `shopvl tune` on it first, and tag without --zero-shot",
    ),
    "tag": ("learns nothing that answers can be read from", "tune another design"),
    "match": ("has no head that judges pairs and does not write", "add the objective itm or lm to its recipe"),
    "write": ("has not learned to write", "train it with the objective lm or instruct"),
    "locate": ("has not learned where things are", "add the objective ground to its recipe"),
    "verify": ("has not learned to judge statements by pictures", "add the objective relate to its recipe"),
    "picture": ("has not learned to make pictures", "search for one instead"),
}


def capabilities(recipe: Recipe) -> frozenset[Capability]:
    """What the design can do after training: what it learned by its objectives, and what its parts make of that."""
    can: set[Capability] = {"tag"}  # linear heads can be fitted to whatever it reads
    can.update(*(objective.teaches for objective in recipe.objectives))
    if isinstance(recipe.fusion, DualEncoder | OverTowers) or recipe.space is not None:
        can |= {"embed", "zero-shot"}
    if "write" in can:  # what is likelier to be written is the better answer
        can |= {"zero-shot"} if recipe.inputs != BOTH else {"zero-shot", "match"}
    return frozenset(can)


def require_capability(recipe: Recipe, wanted: Capability) -> None:
    """Raises DesignError, with what to do instead, where the design cannot do that."""
    if wanted in capabilities(recipe):
        return
    others = [name for name, family in RECIPES.items() if wanted in capabilities(family.base)]
    lacks, instead = LACKING[wanted]
    use = f"; or use a design that can: {', '.join(others)}" if others else ""
    raise DesignError(f"{recipe.name} {lacks}; {instead}{use}")
