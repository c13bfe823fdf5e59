"""Objectives that compare embeddings: of titles, pictures, queries, and other forms of these."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.recipes.parts.giving import Given, Surroundings
from shopvl.recipes.parts.objective_part import Asked, ObjectivePart, Pair


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Contrast(ObjectivePart):
    """InfoNCE both ways between two of query, title and image, with every true match as a positive.

    `smoothing` of each target is shared out over the whole batch (arXiv:1512.00567). `of_views`: the pictures are the
    two strong views, each in its turn (A-CLIP).
    """

    loss_in = "shopvl.objectives.contrastive"
    kind: Literal["itc"] = "itc"
    between: Pair
    smoothing: Share = 0.0
    of_views: bool = False
    weight: float = 1.0

    @property
    def name(self) -> str:
        """`itc:title-image` and the like."""
        return f"itc:{self.between}"

    @property
    def asks(self) -> tuple[Asked, ...]:  # type: ignore[override]  # of every other part it does not depend on settings
        """Strong views, where they are what is compared."""
        return ("two views",) if self.of_views else ()

    @property
    def needs(self) -> tuple[Given, ...]:
        """Queries are made of titles, or of what a product is, so rows may lack either."""
        sides: dict[Pair, tuple[Given, ...]] = {
            "title-image": ("image", "title"),
            "query-image": ("image", "queries"),
            "query-title": ("title", "queries"),
        }
        return (*sides[self.between], "two towers" if self.of_views else "embeddings")

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that views stand beside titles."""
        problems = super().problems(recipe)
        if self.of_views and self.between != "title-image":
            problems.append(f"{self.name} has no strong views; give of_views to itc:title-image")
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OverlayConsistency(ObjectivePart):
    """A picture and the same picture with promotions drawn on it should have the same embedding."""

    loss_in = "shopvl.objectives.consistency"
    needs = ("image", "embeddings")
    asks = ("overlaid pictures",)
    kind: Literal["overlay-consistency"] = "overlay-consistency"
    weight: float = 1.0
    name: Literal["overlay-consistency"] = "overlay-consistency"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SelfContrast(ObjectivePart):
    """Two views of a picture are near each other and far from those of other products (SimCLR, as SLIP has it).

    They are compared behind a projector of three layers of `hidden` and an output of `width`, which is left behind.
    """

    loss_in = "shopvl.objectives.self_contrast"
    needs = ("image", "two towers")
    asks = ("two views",)
    kind: Literal["simclr"] = "simclr"
    temperature: Annotated[float, Field(gt=0)] = 0.1
    hidden: Count = 4096
    width: Count = 256
    weight: float = 1.0
    name: Literal["simclr"] = "simclr"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ViewDistillation(ObjectivePart):
    """Strong views tell what the teacher makes of the whole picture (BYOL, as A-CLIP has it).

    They are compared behind a projector of two layers of `hidden` and `width`; a view's goes on through a predictor.
    """

    loss_in = "shopvl.objectives.self_distilled"
    needs = ("image", "two towers", "whole pictures")
    asks = ("two views",)
    kind: Literal["byol"] = "byol"
    hidden: Count = 4096
    width: Count = 256
    weight: float = 1.0
    name: Literal["byol"] = "byol"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedDistillation(ObjectivePart):
    """Tell the teacher's states of patches that the tower was not shown (masked self-distillation, MaskCLIP).

    A `share` of the patches is left out, of a picture that is sometimes under promotions, as the teacher's never
    is; `layers` of a light decoder tell of each its features, as a distribution of `temperature`.
    """

    loss_in = "shopvl.objectives.self_distilled"
    needs = ("image", "two towers", "whole pictures")
    asks = ("masked pictures",)
    kind: Literal["msd"] = "msd"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.75
    layers: Count = 1
    temperature: Annotated[float, Field(gt=0)] = 1.0
    weight: float = 1.0
    name: Literal["msd"] = "msd"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TextContrast(ObjectivePart):
    """InfoNCE both ways between a title and a line of what is known of its product, behind a projection of their own.

    MURAL's task for translations of a text, by the same text tower that meets pictures.
    """

    loss_in = "shopvl.objectives.contrastive"
    needs = ("title", "two towers")
    asks = ("lines of facts",)
    kind: Literal["t2t"] = "t2t"
    weight: float = 1.0
    name: Literal["t2t"] = "t2t"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EditContrast(ObjectivePart):
    """A picture is nearer to its title than to the title with one thing exchanged that then does not hold.

    A value or category gives way to another of its kind, or two values of a line of facts to each other (CLIP-Event;
    UNIMO). Titles that name nothing that a picture shows are passed over.
    """

    loss_in = "shopvl.objectives.edited"
    needs = ("image", "title", "embeddings")
    asks = ("edited titles",)
    kind: Literal["edits"] = "edits"
    weight: float = 1.0
    name: Literal["edits"] = "edits"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class BagContrast(ObjectivePart):
    """A picture is near some of its product's clauses and far from those of others (MIL-NCE, as VATT has it).

    A clause is the category's name, or a property with its value; one that several products have is near all of them.
    """

    loss_in = "shopvl.objectives.bags"
    needs = ("image", "title", "embeddings")
    asks = ("clauses",)
    kind: Literal["mil-nce"] = "mil-nce"
    weight: float = 1.0
    name: Literal["mil-nce"] = "mil-nce"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Distillation(ObjectivePart):
    """Learn the cosines of pictures and titles from the experiment's `teachers`, on mixup pictures.

    Applied to a `share` of each batch, which passes through student and teachers once more.
    """

    loss_in = "shopvl.objectives.distillation"
    needs = ("image", "title", "two towers")
    kind: Literal["distil"] = "distil"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    weight: float = 1.0
    name: Literal["distil"] = "distil"
