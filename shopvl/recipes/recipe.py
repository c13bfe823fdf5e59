"""A design as a value: image + text -> fusion; objectives; schedule. No torch here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from shopvl.errors import RecipeError
from shopvl.recipes.parts import (
    BOX_CELL_PX,
    MAX_PLACES,
    STRICT,
    Answering,
    Augment,
    BytePieces,
    CoAttention,
    ConcatTowersImage,
    DualEncoder,
    Fusion,
    GridCnn,
    Image,
    JointThenSplit,
    KaleidoCells,
    Momentum,
    OcrWords,
    PatchCnn,
    PatchLinear,
    PatchTower,
    Regions,
    SharedSpace,
    SingleStream,
    Stage,
    Text,
    TextCross,
    TextTransformer,
    ThumbnailImage,
    TokenDropping,
    WarmupCosine,
    WordBag,
    WordPieces,
    stage_problems,
)
from shopvl.recipes.parts.objectives import (
    BOTH,
    Answers,
    Combine,
    Contrast,
    Distillation,
    Input,
    Objective,
)

# on top of a recipe's own objectives; queries weigh less, most are made from what the title says too
THREE_WAY = (
    Contrast(between="title-image"),
    Contrast(between="query-image", weight=0.5),
    Contrast(between="query-title", weight=0.25),
)


OPTIONAL = ("ocr", "space", "teacher", "leave_out")  # parts that a recipe can do without


class PartSummary(NamedTuple):
    """A part for display. `name` distinguishes objectives of one kind, such as `itc:title-image`."""

    role: str
    kind: str
    name: str
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Recipe:
    """One vision-language design, complete. `problems()` says what does not fit together."""

    name: str
    image: Image | None  # None: it reads words alone
    text: Text | None  # None: it reads pictures alone
    ocr: OcrWords | None = None  # words printed on the product as an input of their own
    fusion: Fusion
    space: SharedSpace | None = None  # for contrast, where the fusion has no towers
    answering: Answering | None = None  # how prompted questions are answered, if they are
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    combine: Combine = "sum"
    sample_objective: bool = False  # one objective a step, drawn by weight, instead of all of them
    schedule: WarmupCosine
    stages: tuple[Stage, ...] = ()  # one after the other; none: all of it at once, throughout
    teacher: Momentum | None = None
    augment: Augment = Augment()
    leave_out: TokenDropping | None = None  # patches to drop before the encoder
    source: str  # the paper
    differs: str  # what is not as in the paper, and why

    def problems(self) -> list[str]:
        """Every fault of the recipe as a sentence; empty where it can be built."""
        if absent := self._absent_problems():
            return absent
        match self.fusion:
            case DualEncoder():
                problems = self._two_tower_problems()
            case SingleStream():
                problems = self._fused_problems()
            case CoAttention() | JointThenSplit():
                problems = self._fused_problems() + self._two_stream_problems()
            case TextCross():
                problems = self._two_tower_problems() + self._text_cross_problems()
        if self.schedule.half_size_share and not isinstance(self.image, ThumbnailImage):
            kind = _kind(self.image)
            problems.append(f"half_size_share needs an image tower that reads any size (thumbnail-conv), not {kind}")
        problems += self._answering_problems() + self._patch_problems()
        if self.combine == "adaptive-gradients" and not isinstance(self.fusion, SingleStream):
            problems.append(
                f"adaptive-gradients weighs losses by the gradient of a shared layer; {self.fusion.kind} has none"
            )
        if self.combine != "sum" and len(self.objectives) == 1:
            problems.append(f"{self.combine} weighs objectives against each other, there is one; combine by sum")
        if self.teacher is not None and self.space is None and not isinstance(self.fusion, DualEncoder | TextCross):
            problems.append(
                f"momentum remembers embeddings, which {self.fusion.kind} has only with a shared-space; "
                "give one as space"
            )
        problems += [problem for objective in self.objectives for problem in objective.problems(self)]
        names = [objective.name for objective in self.objectives]
        problems += [
            f"the objective {name} stands twice; once is enough"
            for name in sorted({n for n in names if names.count(n) > 1})
        ]
        problems += stage_problems(self.stages, names, self.patch_grid is not None) + self._sampling_problems()
        schedule = self.schedule
        if schedule.chunk_size is not None and schedule.batch_size % schedule.chunk_size:
            problems.append(
                f"a batch of {schedule.batch_size} does not fall into chunks of {schedule.chunk_size}; "
                "choose a divisor as chunk_size"
            )
        if schedule.chunk_size is not None and not all(isinstance(o, Contrast) for o in self.objectives):
            problems.append("chunk_size (gradient cache) serves contrastive objectives only; leave it out here")
        return problems

    def checked(self) -> Recipe:
        """This recipe, or one RecipeError that carries all of its faults."""
        if problems := self.problems():
            raise RecipeError(f"the recipe {self.name!r} cannot be built: " + "; ".join(problems))
        return self

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it reads of a product: image, title, or both."""
        there: dict[Input, object] = {"image": self.image, "title": self.text}
        return tuple(name for name in BOTH if there[name] is not None)

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of a picture. Raises RecipeError for a recipe that reads none."""
        if self.image is None:
            raise RecipeError(f"{self.name} reads words alone; use a model that reads pictures")
        return self.image.size_px

    @property
    def max_tokens(self) -> int:
        """Of a text, at most. Raises RecipeError for a recipe that reads none."""
        if self.text is None:
            raise RecipeError(f"{self.name} reads pictures alone; use a model that reads words")
        return self.text.max_tokens

    @property
    def row_inputs(self) -> tuple[tuple[Input, ...], ...]:
        """The inputs that a row to train on has: all of the recipe's, or in a single stream what an objective does
        with."""
        alone = [(name,) for name in self.inputs if isinstance(self.fusion, SingleStream) and self.teacher is None]
        return (
            self.inputs,
            *(only for only in alone if only != self.inputs and any(o.inputs == only for o in self.objectives)),
        )

    def _absent_problems(self) -> list[str]:
        """Of a recipe without picture or text."""
        if self.inputs == BOTH:
            return []
        if not self.inputs:
            return ["a recipe without picture and text reads nothing; give an image, a text, or both"]
        if not isinstance(self.fusion, SingleStream):
            return [f"{self.fusion.kind} brings picture and text together; use single-stream for one of them alone"]
        (only,) = self.inputs
        problems = []
        if self.ocr is not None:
            problems.append("ocr words are read beside picture and text; leave them out")
        if self.fusion.crossing != "none":
            problems.append(f"{self.fusion.crossing} tells words from patches, and there are none of one; leave it out")
        if self.space is not None and only == "image":
            problems.append("the shared-space compares pictures with words, which the recipe does not read")
        return problems

    def _answering_problems(self) -> list[str]:
        problems = []
        is_trained = any(isinstance(objective, Answers) for objective in self.objectives)
        if self.answering is not None and not is_trained:
            problems.append(f"{self.answering.kind} is never trained; add the objective prompt-vqa")
        if self.answering is not None and not isinstance(self.fusion, DualEncoder):
            problems.append(f"{self.answering.kind} reads the cells and words of two towers; use dual-enc as fusion")
        if self.answering is not None and self.answering.width % self.answering.heads:
            problems.append(
                f"an answering width of {self.answering.width} is not a multiple of {self.answering.heads} heads"
            )
        if self.answering is not None and self.text is not None and self.text.max_tokens > MAX_PLACES:
            problems.append(
                f"{self.answering.kind} has places for {MAX_PLACES} tokens, the text gives up to "
                f"{self.text.max_tokens}; lower its max_tokens to {MAX_PLACES}"
            )
        if self.ocr is not None and self.answering is None:
            problems.append("ocr words are read by a head that answers; give prompt-mask or prompt-decode as answering")
        if self.answering is not None and self.schedule.half_size_share:
            problems.append("half_size_share changes how many cells a picture has, which a head that answers counts on")
        return problems

    def _patch_problems(self) -> list[str]:
        problems = []
        patches = self.patch_grid is not None
        if isinstance(self.image, PatchLinear | PatchTower) and any(
            side % self.image.patch_px for side in self.image.size_px
        ):
            problems.append(
                f"a picture of {self.image.size_px[0]}x{self.image.size_px[1]} px does not fall into "
                f"patches of {self.image.patch_px} px"
            )
        if isinstance(self.image, PatchCnn | GridCnn) and any(
            side % cells for side, cells in zip(self.image.size_px, self.image.grid, strict=True)
        ):
            height, width = self.image.size_px
            problems.append(
                f"a picture of {height}x{width} px does not fall into {self.image.grid[0]} x {self.image.grid[1]} cells"
            )
        if isinstance(self.image, KaleidoCells | Regions) and any(side % BOX_CELL_PX for side in self.image.size_px):
            height, width = self.image.size_px
            problems.append(
                f"the sides of a picture for {self.image.kind} are multiples of {BOX_CELL_PX} px, not {height}x{width}"
            )
        if isinstance(self.image, PatchCnn | KaleidoCells | Regions) and len(set(self.image.net.size_px)) != 1:
            problems.append(f"the net of {self.image.kind} reads square cells, not {self.image.net.size_px}")
        if self.leave_out is not None and not patches:
            problems.append(
                f"{self.leave_out.kind} leaves out patches, which {_kind(self.image)} does not have; "
                "use vit, patch-linear, patch-cnn or grid-cnn"
            )
        return problems

    def with_contrast(self) -> Recipe:
        """The same with all of the three-way contrast of query, title and image among its objectives."""
        own, readable = {objective.name for objective in self.objectives}, set(self.inputs)
        more = tuple(c for c in THREE_WAY if c.name not in own and readable.issuperset(c.inputs))
        if not more:
            return self
        space = self.space or (None if isinstance(self.fusion, DualEncoder | TextCross) else SharedSpace())
        names = tuple(contrast.name for contrast in more)
        stages = tuple(replace(s, objectives=s.objectives and s.objectives + names) for s in self.stages)
        return replace(self, space=space, objectives=self.objectives + more, stages=stages)

    def in_stage(self, stage: Stage) -> Recipe:
        """The recipe that a stage trains: with its objectives alone, and its way to leave out patches."""
        chosen = tuple(part for part in self.objectives if stage.objectives is None or part.name in stage.objectives)
        return replace(
            self,
            objectives=chosen,
            combine=self.combine if len(chosen) > 1 else "sum",
            leave_out=stage.leaves_out(self.leave_out),
            stages=(),
        )

    def alone(self) -> list[tuple[float, Recipe]]:
        """Each of its objectives as the only one of a recipe, with the weight that it is drawn by.

        Its loss then counts in full. One that judges the pass of another (`beside`) stays with that, as before.
        """
        kinds = {part.kind for part in self.objectives}
        leads = [part for part in self.objectives if part.beside not in kinds]
        drawn = []
        for lead in leads:
            along = [part for part in self.objectives if part is lead or part.beside == lead.kind]
            shown = tuple(replace(part, weight=part.weight / lead.weight) for part in along)
            drawn.append((lead.weight, replace(self, objectives=shown, sample_objective=False, stages=())))
        return drawn

    def _sampling_problems(self) -> list[str]:
        if not self.sample_objective:
            return []
        problems = []
        if len(self.objectives) == 1:
            problems.append("sample_objective draws one of several objectives, there is one")
        if self.combine != "sum":
            problems.append(f"sample_objective leaves nothing to {self.combine}; combine by sum")
        if any(objective.weight <= 0 for objective in self.objectives):
            problems.append("sample_objective draws by weight; give every objective a weight above 0")
        return problems

    def without(self, names: Collection[str]) -> Recipe:
        """The same without these objectives or optional parts. Raises RecipeError for what it does not have."""
        parts = [role for role in OPTIONAL if getattr(self, role)]
        own = [objective.name for objective in self.objectives]
        if unknown := sorted(set(names) - {*parts, *own}):
            raise RecipeError(
                f"the recipe {self.name!r} has no {' and no '.join(unknown)} to leave out; it has "
                f"{', '.join([*parts, *own])}"
            )
        left = tuple(objective for objective in self.objectives if objective.name not in names)
        if not left:
            raise RecipeError(f"the recipe {self.name!r} learns nothing without {', '.join(own)}; leave some of them")
        if not names:
            return self
        values: dict[str, Any] = {role: None for role in parts if role in names}
        return replace(self, objectives=left, stages=_left_of(self.stages, {part.name for part in left}), **values)

    def parts(self) -> list[PartSummary]:
        """What it is made of, for people: its parts in their order, objectives last."""
        values = self.to_dict()
        roles = ("image", "text", "fusion", "space", "ocr", "answering", "leave_out", "teacher")
        single = [(role, values[role]["kind"], values[role]) for role in roles if values[role] is not None]
        several = zip(self.objectives, values["objectives"], strict=True)
        every = [*single, *(("objective", objective.name, settings) for objective, settings in several)]
        return [
            PartSummary(role, settings["kind"], name, {key: value for key, value in settings.items() if key != "kind"})
            for role, name, settings in every
        ]

    @property
    def reads(self) -> bool:
        """Whether OCR has to read every picture before the model looks."""
        return self.ocr is not None or (isinstance(self.image, Regions) and self.image.words > 0)

    @property
    def query_segment(self) -> Literal["query", "title"]:
        """What queries are embedded as: titles, where contrast is of titles and pictures alone (CLIP)."""
        pairs = {objective.between for objective in self.objectives if isinstance(objective, Contrast)}
        return "title" if pairs == {"title-image"} and not self.distils else "query"

    @property
    def distils(self) -> bool:
        """Whether it learns from teachers, which an experiment names."""
        return any(isinstance(objective, Distillation) for objective in self.objectives)

    def without_teachers(self) -> Recipe:
        """The same without the objective that needs teachers, and without stages of nothing else."""
        return self.without([part.name for part in self.objectives if isinstance(part, Distillation)])

    @property
    def patch_grid(self) -> tuple[int, int] | None:
        """Rows and columns of patches; None where the picture is not cut into any."""
        match self.image:
            case (
                PatchLinear(size_px=(height, width), patch_px=side) | PatchTower(size_px=(height, width), patch_px=side)
            ):
                return height // side, width // side
            case PatchCnn(grid=grid) | GridCnn(grid=grid):
                return grid
            case _:
                return None

    def _two_tower_problems(self) -> list[str]:
        problems = []
        if self.space is not None:
            problems.append(f"{self.fusion.kind} has a space of its own; leave out the {self.space.kind}")
        if isinstance(self.image, PatchLinear | PatchCnn | GridCnn | KaleidoCells | Regions):
            problems.append(
                "dual-enc needs an image tower (timm-image, thumbnail-conv, side-by-side, transformers-image, vit), "
                f"not {self.image.kind}"
            )
        begins = isinstance(self.fusion, DualEncoder) and self.fusion.start is not None
        if begins and not (isinstance(self.image, PatchTower) and isinstance(self.text, TextTransformer)):
            problems.append("dual-enc begins as a CLIP where its towers are vit and text-transformer")
        if isinstance(self.image, PatchTower) and self.image.width % self.image.heads:
            problems.append(f"an image width of {self.image.width} is not a multiple of {self.image.heads} heads")
        towers = self.image.towers if isinstance(self.image, ConcatTowersImage) else (self.image,)
        problems += [
            f"thumbnail-conv has {len(tower.widths)} widths but {len(tower.blocks)} numbers of blocks; "
            "give one of each per stage"
            for tower in towers
            if isinstance(tower, ThumbnailImage) and len(tower.widths) != len(tower.blocks)
        ]
        if isinstance(self.text, WordPieces | BytePieces):
            problems.append(
                f"dual-enc needs a text tower (text-transformer, word-bag, transformers-text), not {self.text.kind}"
            )
        if isinstance(self.text, TextTransformer) and self.text.width % self.text.heads:
            problems.append(f"a text width of {self.text.width} is not a multiple of {self.text.heads} heads")
        return problems

    def _text_cross_problems(self) -> list[str]:
        problems = []
        assert isinstance(self.fusion, TextCross)
        if not isinstance(self.text, TextTransformer | WordBag):
            problems.append(
                f"text-cross goes on from the words of a text-transformer or word-bag, not of {_kind(self.text)}"
            )
        elif self.text.width % self.fusion.heads:
            problems.append(f"a text width of {self.text.width} is not a multiple of {self.fusion.heads} heads")
        if self.leave_out is not None:
            problems.append(f"text-cross looks at all cells; leave out {self.leave_out.kind}")
        return problems

    def _fused_problems(self) -> list[str]:
        """Of what a fusion of words and patches reads and learns, in one stream or in two."""
        problems = []
        fusion = self.fusion
        assert isinstance(fusion, SingleStream | CoAttention | JointThenSplit)
        if fusion.width % fusion.heads:
            problems.append(f"a width of {fusion.width} is not a multiple of {fusion.heads} heads")
        if not isinstance(self.image, PatchLinear | PatchCnn | GridCnn | KaleidoCells | Regions | None):
            problems.append(
                f"{fusion.kind} needs patches (patch-linear, patch-cnn, grid-cnn, kaleido, region), "
                f"not {self.image.kind}"
            )
        if not isinstance(self.text, WordPieces | BytePieces | None):
            problems.append(f"{fusion.kind} needs words (wordpiece or bytes), not {self.text.kind}")
        if self.space is not None and not any(isinstance(objective, Contrast) for objective in self.objectives):
            problems.append("the shared-space is never trained; add the objective itc")
        return problems

    def _two_stream_problems(self) -> list[str]:
        if isinstance(self.image, KaleidoCells | Regions):
            return []
        return [
            f"{self.fusion.kind} judges a pair by its first word and first patch, which must show the whole product; "
            f"give region or kaleido, not {_kind(self.image)}"
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON and YAML; `from_dict` is the way back."""
        return RECIPE_TYPE.dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, values: Any) -> Recipe:
        """The recipe in `values`. Raises one RecipeError naming every unknown, missing and ill-typed field."""
        return validated(RECIPE_TYPE, values, what="recipe")


def _kind(part: Image | Text | None) -> str:
    return "nothing" if part is None else part.kind


def _left_of(stages: Sequence[Stage], names: Collection[str]) -> tuple[Stage, ...]:
    """The stages that train by any of these objectives, by these alone; together they are the whole run again."""
    left = [stage for stage in stages if stage.objectives is None or set(names) & set(stage.objectives)]
    return tuple(
        replace(
            stage,
            share=stage.share / sum(other.share for other in left),
            objectives=stage.objectives and tuple(name for name in stage.objectives if name in names),
        )
        for stage in left
    )


RECIPE_TYPE: TypeAdapter[Recipe] = TypeAdapter(Recipe)


def validated(kind: TypeAdapter[Any], values: Any, what: str) -> Any:
    """`values` as that type, or a RecipeError that names every faulty field in one sentence."""
    try:
        return kind.validate_python(values)
    except ValidationError as fault:
        listed = "; ".join(_sentence(error) for error in fault.errors())
        raise RecipeError(f"this {what} cannot be used: {listed}") from None


def _sentence(error: Any) -> str:
    field = ".".join(str(step) for step in error["loc"]) or "the whole"
    match error["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{field} is not a known field; remove it or correct its spelling"
        case "missing":
            return f"{field} is missing"
        case _:
            return f"{field} is {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
