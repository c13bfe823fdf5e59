"""Objectives about what pictures show: what is hidden of them, the codes that they are made of, and facts."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.recipes.parts.giving import RecipePart, Surroundings, heads_fault
from shopvl.recipes.parts.objective_part import BOTH, ObjectivePart


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedAutoencoding(ObjectivePart):
    """Guess the pixels of patches that `leave_out` leaves out, so that the encoder never saw them (MAE,
    arXiv:2111.06377).

    A light decoder of `layers` blocks guesses, as wide as `width`, with so many `attention_heads`.
    """

    loss_in, head_in = "shopvl.objectives.visual", "shopvl.models.patch_decoder"
    needs = ("image", "fused patches", "one stream", "square patches")
    kind: Literal["mae"] = "mae"
    layers: Count = 8
    width: Count = 512
    attention_heads: Count = 16
    weight: float = 1.0
    name: Literal["mae"] = "mae"
    heads = ("left-out-pixels",)

    def faults(self) -> list[str]:
        """The heads share the width."""
        return heads_fault("a decoder's width", self.width, self.attention_heads)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that patches are left out."""
        problems = [*super().problems(recipe), *self.faults()]
        if getattr(recipe.part_in("leave_out"), "kind", None) != "bias-drop":
            problems.append(f"{self.name} guesses the patches that were left out; give bias-drop as leave_out")
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CodeBook(RecipePart):
    """How a picture becomes a code for each of its patches: one of `codes` vectors, each of `code_width`.

    `gumbel`: one is drawn, and a divergence from even odds keeps all in use (DALL-E's dVAE); `moving`: the nearest is
    taken, and each is the moving mean of what it is taken for (VQ-VAE). The nets are as wide as `width`. Within the
    first `settle` steps draws become sure, or codes that are hardly used are given up.
    """

    kind: Literal["codes"] = "codes"
    codes: Count = 8192
    width: Count = 256
    code_width: Count = 128
    quantizer: Literal["gumbel", "moving"] = "gumbel"
    settle: Count = 10000


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OfCodes(ObjectivePart):
    """What those of codes share: with one another the book, too."""

    loss_in, head_in = "shopvl.objectives.visual", "shopvl.models.picture_codes"
    needs = ("image", "fused patches", "one stream", "square patches")
    book: CodeBook = CodeBook()
    weight: float = 1.0
    heads = ("codes",)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that there is one book."""
        problems = super().problems(recipe)
        first = next(part for part in recipe.objectives if isinstance(part, OfCodes))
        if first.book != self.book:
            problems.append(f"{first.name} and {self.name} are about the same codes; give them one book")
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VisualCodes(OfCodes):
    """Learn the codes: a picture is made again out of its own. `hold` weighs what keeps codes together or in use."""

    kind: Literal["vq"] = "vq"
    hold: Annotated[float, Field(ge=0)] = 0.25
    name: Literal["vq"] = "vq"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedCodes(OfCodes):
    """Tell the codes of masked patches (BEiT, arXiv:2106.08254).

    At most a `share` of the patches is masked, in blocks of `at_least` patches, whose sides differ by three and a third
    times at most; they lie rather where the product is.
    """

    asks = ("product shares",)
    kind: Literal["mim-tok"] = "mim-tok"
    share: Share = 0.4
    at_least: Count = 16
    name: Literal["mim-tok"] = "mim-tok"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedEntries(ObjectivePart):
    """Tell which entry of the dictionary hidden cells had: all of a picture that share one (SOHO, arXiv:2104.03135).

    Cells are hidden of a `share` of the pictures, in the same pass as words are.
    """

    loss_in, head_in = "shopvl.objectives.visual", "shopvl.models.dictionary"
    needs = ("image", "fused patches", "one stream", "patch grid")
    kind: Literal["mvm"] = "mvm"
    share: Share = 0.5
    weight: float = 1.0
    name: Literal["mvm"] = "mvm"
    heads = ("entries",)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that there is a dictionary."""
        problems = super().problems(recipe)
        if not problems and getattr(recipe.part_in("image"), "dictionary", None) is None:
            problems.append(f"{self.name} tells entries of a dictionary; give grid-cnn a dictionary")
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RebuiltMaps(ObjectivePart):
    """Make the picture again from the states of its cells, of which some are masked (MLIM, arXiv:2109.12178).

    Which share of a product's words is masked, and which of its cells, is one of the pairs of `rates`, all alike:
    hardly anything, or so much of one that the other has to tell. Cells and words are masked by one vector, that of
    [MASK], in the pass of `mlm`. `detail`: a cell becomes so many pixels a side.
    """

    loss_in, head_in = "shopvl.objectives.visual", "shopvl.models.rebuilt_maps"
    needs = (*BOTH, "fused patches", "one stream", "patch grid")
    kind: Literal["map-rec"] = "map-rec"
    rates: Annotated[tuple[tuple[Share, Share], ...], Field(min_length=1)] = ((0.15, 0.0), (0.0, 0.75), (0.5, 0.5))
    detail: Count = 4
    weight: float = 1.0
    name: Literal["map-rec"] = "map-rec"
    heads = ("rebuilt-map",)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that cells are those of a map, and that words are told too."""
        problems = super().problems(recipe)
        if not problems and recipe.part_in("image").kind != "grid-cnn":
            problems.append(f"{self.name} masks cells of a map; give grid-cnn as image")
        if not problems and not any(part.kind == "mlm" for part in recipe.objectives):
            problems.append(f"{self.name} masks words as well, which are to be told; add the objective mlm")
        return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FactClasses(ObjectivePart):
    """Tell from the picture alone which of the ontology's facts hold for a product (FashionViL's pseudo attributes)."""

    loss_in = "shopvl.objectives.facts"
    needs = ("image", "fused patches")
    kind: Literal["attr-cls"] = "attr-cls"
    weight: float = 1.0
    name: Literal["attr-cls"] = "attr-cls"
    heads = ("facts",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class KaleidoTask(ObjectivePart):
    """One of Kaleido-BERT's five tasks, each on the cells of its level, all in one pass with the hidden words.

    rotation: by how many quarter turns is the product turned (level 1)? jigsaw: how are the four quarters ordered (2)?
    camouflage: which cell is another product's (3)? grey (4) and blank (5): what were the cells that lost their
    colours, or all?
    """

    loss_in = "shopvl.objectives.kaleido"
    needs = ("image", "title", "fused patches", "nested cells", "one stream")
    kind: Literal["kaleido"] = "kaleido"
    task: Literal["rotation", "jigsaw", "camouflage", "grey", "blank"]
    weight: float = 1.0

    @property
    def name(self) -> str:
        """`kaleido:rotation` and the like."""
        return f"kaleido:{self.task}"

    @property
    def heads(self) -> tuple[str, ...]:
        """Of puzzles, or of cells that were changed beyond telling."""
        return ("masked-patches",) if self.task in ("grey", "blank") else (self.task,)

    def problems(self, recipe: Surroundings) -> list[str]:
        """As of any objective, and that there are the cells of its level."""
        problems, image = super().problems(recipe), recipe.part_in("image")
        if not problems and image.levels < 5:
            problems.append(f"{self.name} needs the cells of all 5 levels, there are {image.levels}")
        return problems
