"""Objectives about tags, questions and places: what a picture shows, and where."""

from typing import Literal

from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Share
from shopvl.recipes.parts.giving import Surroundings
from shopvl.recipes.parts.objective_part import BOTH, ObjectivePart


@dataclass(frozen=True, kw_only=True, config=STRICT)
class QuestionClasses(ObjectivePart):
    """Answer a question about a product, which stands in the title's place, by one of all facts (LXMERT's image QA).

    It asks for a value or the narrowest category, drawn from what is known of the product.
    """

    loss_in = "shopvl.objectives.tagged"
    needs = (*BOTH, "fused words")
    asks = ("asked facts",)
    kind: Literal["qa-cls"] = "qa-cls"
    weight: float = 1.0
    name: Literal["qa-cls"] = "qa-cls"
    heads = ("asked-fact",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TaggedPairs(ObjectivePart):
    """What both that judge words, tags and picture share: another product's stand beside a `share` of the products."""

    loss_in = "shopvl.objectives.tagged"
    needs = (*BOTH, "fused words", "dealt pairs", "regions")
    teaches = frozenset({"match"})
    share: Share = 0.5
    weight: float = 1.0
    heads = ("match",)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that there are tags."""
        problems = super().problems(recipe)
        if not problems and not recipe.part_in("image").tags:
            problems.append(f"{self.name} reads the tags of a picture; give region some tags")
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TagMatching(TaggedPairs):
    """Do tags belong to words and picture, or are they another product's (OSCAR)?"""

    kind: Literal["itm-tags"] = "itm-tags"
    name: Literal["itm-tags"] = "itm-tags"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ThreeWayMatching(TaggedPairs):
    """Do words, tags and picture belong together, and if not, what is false (VinVL)?

    Of half the `share` it is the picture, with its tags, of the other half the tags alone.
    """

    head_in = "shopvl.models.tags"
    kind: Literal["itm-3"] = "itm-3"
    name: Literal["itm-3"] = "itm-3"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Grounding(ObjectivePart):
    """Find what phrases name: a score of every phrase in every cell, a box from every cell, and whether it is there
    (GLIP, arXiv:2112.03857).

    Phrases are the names of parts, where the catalog has a column `part_boxes`, or else all that is known of a product,
    in its box; and those of other products that do not fit.
    """

    loss_in, head_in = "shopvl.objectives.grounding", "shopvl.models.locating"
    needs = (*BOTH, "fused words", "fused patches", "patch grid")
    asks = ("places",)
    teaches = frozenset({"locate"})
    kind: Literal["ground"] = "ground"
    weight: float = 1.0
    name: Literal["ground"] = "ground"
    heads = ("places",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Relate(ObjectivePart):
    """Say of statements whether the picture shows them, shows that it is otherwise, or does not show what they are
    about, and where to look: triples of a property, its value and its place, as entailment (arXiv:1901.06706).

    An `edited` share of the statements names another value than the product's. A `covered` share of the products has
    all that shows one property covered: what a statement says of that is then neither so nor otherwise. Boxes of a
    property are those of the column `part_boxes` that name it; where a catalog has none, the product's box shows all
    properties but those that no picture shows.
    """

    loss_in, head_in = "shopvl.objectives.relating", "shopvl.models.relating"
    needs = (*BOTH, "fused words", "fused patches", "patch grid")
    asks = ("relations",)
    teaches = frozenset({"verify"})
    kind: Literal["relate"] = "relate"
    edited: Share = 0.5
    covered: Share = 0.4
    weight: float = 1.0
    name: Literal["relate"] = "relate"
    heads = ("relations",)
