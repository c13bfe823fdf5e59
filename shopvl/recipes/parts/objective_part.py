"""What every objective is, as a part of a recipe."""

from typing import ClassVar, Literal

from shopvl.recipes.parts.fields import Capability
from shopvl.recipes.parts.giving import RecipePart, Surroundings, lacking

Pair = Literal["title-image", "query-image", "query-title"]
Input = Literal["image", "title"]
BOTH: tuple[Input, ...] = ("image", "title")
NAMED: dict[Input, str] = {"image": "pictures", "title": "words"}
# what a batch holds only where an objective asks for it (`data/collate.py`)
Asked = Literal[
    "product shares",
    "overlaid pictures",
    "masked pictures",
    "two views",
    "lines of facts",
    "edited titles",
    "clauses",
    "asked facts",
    "places",
    "relations",
    "instructions",
]
Task = Literal["title", "sentence", "value", "match", "gap", "restore"]


class ObjectivePart(RecipePart):
    """The class attributes of every objective, beside its fields `kind`, `weight` and `name`."""

    loss_in: ClassVar[str]  # the module whose `build` makes its loss
    head_in: ClassVar[str] = "shopvl.models.prediction_heads"  # the module whose `build_head` makes its heads
    asks: ClassVar[tuple[Asked, ...]] = ()
    beside: ClassVar[str | None] = None  # the kind of the objective whose pass it judges as well; drawn along with it
    teaches: ClassVar[frozenset[Capability]] = frozenset()  # that no part has without it

    @property
    def name(self) -> str:
        """Of its loss, in results."""
        raise NotImplementedError

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it cannot do without; a batch that lacks one of them is no matter of this objective."""
        return tuple(name for name in BOTH if name in self.needs)

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads on fused states that it learns by; objectives may share one."""
        return ()

    def problems(self, recipe: Surroundings) -> list[str]:
        """Conflicts with the rest of its recipe, as sentences: of what it lacks, the first."""
        return lacking(self.name, self.needs, recipe)[:1]
