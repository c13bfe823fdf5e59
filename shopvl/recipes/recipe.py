"""A design as a value: image + text -> fusion; objectives; schedule. No torch here."""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from shopvl.errors import RecipeError
from shopvl.recipes.parts import (
    STRICT,
    Answering,
    Answers,
    Augment,
    Contrast,
    DualEncoder,
    Fusion,
    Image,
    LeaveOut,
    Objective,
    OcrWords,
    OverlayConsistency,
    PatchLinear,
    PatchTower,
    SingleStream,
    Text,
    TextTransformer,
    ThumbnailImage,
    WarmupCosine,
    WordPieces,
)

SizeName = Literal["tiny", "mini", "base"]
SIZES: tuple[SizeName, ...] = ("tiny", "mini", "base")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """One vision-language design, complete. `problems()` says what does not fit together."""

    name: str
    image: Image
    text: Text
    ocr: OcrWords | None = None  # words printed on the product as an input of their own
    fusion: Fusion
    answering: Answering | None = None  # how prompted questions are answered, if they are
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    schedule: WarmupCosine
    augment: Augment = Augment()
    leave_out: LeaveOut | None = None  # patches that the encoder does not see
    source: str  # the paper
    differs: str  # what is not as in the paper, and why

    def problems(self) -> list[str]:
        """Every fault of the recipe as a sentence; empty where it can be built."""
        match self.fusion:
            case DualEncoder():
                found = self._two_tower_problems()
            case SingleStream():
                found = self._single_stream_problems()
        if self.schedule.half_size_share and not isinstance(self.image, ThumbnailImage):
            found.append(
                f"half_size_share needs an image tower that reads any size (thumbnail-conv), not {self.image.kind}"
            )
        found += self._answering_problems() + self._patch_problems()
        names = [objective.name for objective in self.objectives]
        found += [
            f"the objective {name} stands twice; once is enough"
            for name in sorted({n for n in names if names.count(n) > 1})
        ]
        schedule = self.schedule
        if schedule.chunk_size is not None and schedule.batch_size % schedule.chunk_size:
            found.append(
                f"a batch of {schedule.batch_size} does not fall into chunks of {schedule.chunk_size}; "
                "choose a divisor as chunk_size"
            )
        if schedule.chunk_size is not None and not all(isinstance(o, Contrast) for o in self.objectives):
            found.append("chunk_size (gradient cache) serves contrastive objectives only; leave it out here")
        return found

    def checked(self) -> Recipe:
        """This recipe, or one RecipeError that carries all of its faults."""
        if found := self.problems():
            raise RecipeError(f"the recipe {self.name!r} cannot be built: " + "; ".join(found))
        return self

    def _answering_problems(self) -> list[str]:
        found = []
        asked = any(isinstance(objective, Answers) for objective in self.objectives)
        if asked and self.answering is None:
            found.append("prompt-vqa needs a head that answers; give prompt-mask or prompt-decode as answering")
        if self.answering is not None and not asked:
            found.append(f"{self.answering.kind} is never trained; add the objective prompt-vqa")
        if self.answering is not None and not isinstance(self.fusion, DualEncoder):
            found.append(f"{self.answering.kind} reads the cells and words of two towers; use dual-enc as fusion")
        if self.answering is not None and self.answering.width % self.answering.heads:
            found.append(
                f"an answering width of {self.answering.width} is not a multiple of {self.answering.heads} heads"
            )
        if self.ocr is not None and self.answering is None:
            found.append("ocr words are read by a head that answers; give prompt-mask or prompt-decode as answering")
        if self.answering is not None and self.schedule.half_size_share:
            found.append("half_size_share changes how many cells a picture has, which a head that answers counts on")
        return found

    def _patch_problems(self) -> list[str]:
        found = []
        patches = self.patch_grid is not None
        if isinstance(self.image, PatchLinear | PatchTower) and any(
            side % self.image.patch_px for side in self.image.size_px
        ):
            found.append(
                f"a picture of {self.image.size_px[0]}x{self.image.size_px[1]} px does not fall into "
                f"patches of {self.image.patch_px} px"
            )
        if self.leave_out is not None and not patches:
            found.append(
                f"{self.leave_out.kind} leaves out patches, which {self.image.kind} does not have; "
                "use vit or patch-linear"
            )
        return found

    @property
    def patch_grid(self) -> tuple[int, int] | None:
        """Rows and columns of patches; None where the picture is not cut into any."""
        if not isinstance(self.image, PatchLinear | PatchTower):
            return None
        height, width = self.image.size_px
        return height // self.image.patch_px, width // self.image.patch_px

    def _two_tower_problems(self) -> list[str]:
        found = []
        if isinstance(self.image, PatchLinear):
            found.append(
                "dual-enc needs an image tower (timm-image, thumbnail-conv, transformers-image, vit), "
                f"not {self.image.kind}"
            )
        if isinstance(self.image, PatchTower) and self.image.width % self.image.heads:
            found.append(f"an image width of {self.image.width} is not a multiple of {self.image.heads} heads")
        if isinstance(self.image, ThumbnailImage) and len(self.image.widths) != len(self.image.blocks):
            found.append(
                f"thumbnail-conv has {len(self.image.widths)} widths but {len(self.image.blocks)} numbers of blocks; "
                "give one of each per stage"
            )
        if isinstance(self.text, WordPieces):
            found.append("dual-enc needs a text tower (text-transformer, word-bag, transformers-text), not wordpiece")
        if isinstance(self.text, TextTransformer) and self.text.width % self.text.heads:
            found.append(f"a text width of {self.text.width} is not a multiple of {self.text.heads} heads")
        found += [
            f"{objective.kind} reads fused words and patches, which dual-enc does not have; use single-stream"
            for objective in self.objectives
            if not isinstance(objective, Contrast | OverlayConsistency | Answers)
        ]
        return found

    def _single_stream_problems(self) -> list[str]:
        found = []
        assert isinstance(self.fusion, SingleStream)
        if self.fusion.width % self.fusion.heads:
            found.append(f"a width of {self.fusion.width} is not a multiple of {self.fusion.heads} heads")
        if not isinstance(self.image, PatchLinear):
            found.append(f"single-stream needs patches (patch-linear), not {self.image.kind}")
        if not isinstance(self.text, WordPieces):
            found.append(f"single-stream needs words (wordpiece), not {self.text.kind}")
        found += [
            f"{objective.name} compares embeddings of separate towers, which single-stream does not have; use dual-enc"
            for objective in self.objectives
            if isinstance(objective, Contrast | OverlayConsistency)
        ]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON and YAML; `from_dict` is the way back."""
        return RECIPE_TYPE.dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, values: Any) -> Recipe:
        """The recipe in `values`. Raises one RecipeError naming every unknown, missing and ill-typed field."""
        return validated(RECIPE_TYPE, values, what="recipe")


RECIPE_TYPE: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def validated(kind: TypeAdapter[Any], values: Any, what: str) -> Any:
    """`values` as that type, or a RecipeError that names every faulty field in one sentence."""
    try:
        return kind.validate_python(values)
    except ValidationError as fault:
        listed = "; ".join(_sentence(error) for error in fault.errors())
        raise RecipeError(f"this {what} cannot be used: {listed}") from None


def _sentence(error: Any) -> str:
    place = ".".join(str(step) for step in error["loc"]) or "the whole"
    match error["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{place} is not a known field; remove it or correct its spelling"
        case "missing":
            return f"{place} is missing"
        case _:
            return f"{place} is {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


@plain_dataclass(frozen=True, kw_only=True)
class Family:
    """One published design at its three sizes. Each is one step (`replace`) from `base`."""

    tiny: Recipe  # tests
    mini: Recipe  # trains on a two-core CPU
    base: Recipe  # the paper's size, from pretrained weights

    def at(self, size: str) -> Recipe:
        """The recipe of that size; RecipeError names the sizes there are."""
        if size not in SIZES:
            raise RecipeError(f"no size called {size!r}; there are {', '.join(SIZES)}")
        recipe: Recipe = getattr(self, size)
        return recipe
