"""A design as a value: image + text -> fusion; objectives; schedule. No torch here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from shopvl.errors import RecipeError
from shopvl.recipes.parts import (
    MAX_PLACES,
    STRICT,
    Adversarial,
    Answering,
    AttentionDrop,
    Augment,
    Blocks,
    BridgedTowers,
    DualEncoder,
    Fusion,
    GridCnn,
    Image,
    OcrWords,
    OverTowers,
    PatchCnn,
    PatchLinear,
    PatchTower,
    Regions,
    SharedSpace,
    SingleStream,
    SplitDecoder,
    Stage,
    Teacher,
    Text,
    TextCross,
    TextModes,
    TextTransformer,
    TokenDropping,
    WarmupCosine,
    WordBag,
    stage_problems,
)
from shopvl.recipes.parts.giving import SENTENCES, Given, RecipePart, Role, givers_among, heads_fault, lacking
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


OPTIONAL = ("ocr", "space", "teacher", "leave_out", "adversarial")  # parts that a recipe can do without


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
    teacher: Teacher | None = None
    augment: Augment = Augment()
    leave_out: TokenDropping | None = None  # patches to drop before the encoder
    adversarial: Adversarial | None = None  # how states before fusion are moved while it trains
    source: str  # the paper
    differs: str  # what is not as in the paper, and why

    def problems(self) -> list[str]:
        """Every fault of the recipe as a sentence; empty where it can be built."""
        if absent := self._absent_problems():
            return absent
        parts = [part for part in (self.image, self.text, self.fusion, self.answering) if part is not None]
        problems = [fault for part in parts for fault in part.faults()]
        for who, needs in self._demands():
            problems += lacking(who, needs, self)
        problems += self._space_problems() + self._answering_problems() + self._word_problems()
        if (
            isinstance(self.image, Regions)
            and self.image.tags
            and not any(o.kind == "region-facts" for o in self.objectives)
        ):
            problems.append("what stands in tags is never learned; add the objective region-facts")
        if isinstance(self.fusion, OverTowers):
            problems += self._over_towers_problems(self.fusion)
        begins = isinstance(self.fusion, DualEncoder) and self.fusion.start is not None
        if begins and not (isinstance(self.image, PatchTower) and isinstance(self.text, TextTransformer)):
            problems.append("dual-enc begins as a CLIP where its towers are vit and text-transformer")
        if self.combine != "sum" and len(self.objectives) == 1:
            problems.append(f"{self.combine} weighs objectives against each other, there is one; combine by sum")
        problems += [problem for objective in self.objectives for problem in objective.problems(self)]
        names = [objective.name for objective in self.objectives]
        problems += [
            f"the objective {name} stands twice; once is enough"
            for name in sorted({n for n in names if names.count(n) > 1})
        ]
        problems += stage_problems(self.stages, names, self.patch_grid is not None) + self._sampling_problems()
        if self.adversarial is not None and self.combine != "sum":
            problems.append(f"{self.combine} weighs one pass, {self.adversarial.kind} has several; combine by sum")
        schedule = self.schedule
        if schedule.chunk_size is not None and schedule.batch_size % schedule.chunk_size:
            problems.append(
                f"a batch of {schedule.batch_size} does not fall into chunks of {schedule.chunk_size}; "
                "choose a divisor as chunk_size"
            )
        if schedule.chunk_size is not None and not all(isinstance(o, Contrast) for o in self.objectives):
            problems.append("chunk_size (gradient cache) serves contrastive objectives only; leave it out here")
        if schedule.chunk_size is not None and isinstance(self.leave_out, AttentionDrop):
            problems.append("attention-drop is told by whole pictures, not by chunks of them; leave out chunk_size")
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
        """The inputs that a row to train on has: all of the recipe's, or what an objective does with.

        One input alone can be read by a single stream and by two towers; a teacher's queue holds whole products.
        """
        apart = isinstance(self.fusion, SingleStream | DualEncoder) and self.teacher is None
        alone = [(name,) for name in self.inputs if apart and (name,) != self.inputs]
        return (self.inputs, *(only for only in alone if any(o.inputs == only for o in self.objectives)))

    @property
    def given(self) -> frozenset[Given]:
        """What its parts give each other, and what it reads of a product."""
        parts = (self.image, self.text, self.fusion, self.space, self.answering, self.teacher)
        given: set[Given] = {*self.inputs, *(("queries",) if self.text is not None else ())}
        return frozenset(given).union(*(part.gives for part in parts if part is not None))

    def part_in(self, role: Role) -> RecipePart | None:
        """The part that stands there."""
        part: RecipePart | None = getattr(self, role)
        return part

    def givers(self, need: Given, role: Role) -> list[str]:
        """Kinds of the parts that could stand there and give it."""
        kinds = {"image": Image, "text": Text, "fusion": Fusion, "answering": Answering, "teacher": Teacher}
        return givers_among(kinds.get(role), need)

    def _demands(self) -> list[tuple[str, tuple[Given, ...]]]:
        """Who needs what of other parts, but for the objectives."""
        absent = {SENTENCES[need][0] for need in ("image", "title") if need not in self.inputs}
        there = tuple(need for need in self.fusion.needs if SENTENCES[need][0] not in absent)
        demands: list[tuple[str, tuple[Given, ...]]] = [(self.fusion.kind, there)]
        others = (part for part in (self.answering, self.leave_out, self.teacher, self.adversarial) if part is not None)
        demands += [(part.kind, part.needs) for part in others]
        if self.schedule.half_size_share:
            demands.append(("half_size_share", ("any size",)))
        if self.combine == "adaptive-gradients":
            demands.append((self.combine, ("one stream",)))
        return demands

    def _space_problems(self) -> list[str]:
        if self.space is None:
            return []
        if "embeddings" in self.fusion.gives:
            return [f"{self.fusion.kind} has a space of its own; leave out the {self.space.kind}"]
        if not any(isinstance(objective, Contrast) for objective in self.objectives):
            return ["the shared-space is never trained; add the objective itc"]
        return []

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

    def _word_problems(self) -> list[str]:
        """Pairs are judged, and words written, from pictures and words that were read apart."""
        carries = isinstance(self.image, Regions) and self.image.on_words
        return [
            f"{part.name} reads words before it knows their picture; leave out on_words, by which they carry it"
            for part in self.objectives
            if carries and {"match", "next-word"} & set(part.heads)
        ]

    def _answering_problems(self) -> list[str]:
        problems = []
        is_trained = any(isinstance(objective, Answers) for objective in self.objectives)
        if self.answering is not None and not is_trained:
            problems.append(f"{self.answering.kind} is never trained; add the objective prompt-vqa")
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

    def with_contrast(self) -> Recipe:
        """The same with the three-way contrast of query, title and image, of what it reads, among its objectives."""
        own, given = {objective.name for objective in self.objectives}, self.given | {"embeddings"}
        more = tuple(c for c in THREE_WAY if c.name not in own and given.issuperset(c.needs))
        if not more:
            return self
        space = self.space or (None if "embeddings" in self.fusion.gives else SharedSpace())
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
        if any(stage.pauses is not None for stage in self.stages):
            problems.append("sample_objective trains one task a step, stop-and-go several; leave out one of them")
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
        roles = ("image", "text", "fusion", "space", "ocr", "answering", "leave_out", "teacher", "adversarial")
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

    def _over_towers_problems(self, fusion: OverTowers) -> list[str]:
        """Of words that go on from a tower's, and look at all cells."""
        problems = []
        if isinstance(self.text, TextTransformer | WordBag):
            if isinstance(fusion, Blocks):
                problems += heads_fault("a text width", self.text.width, fusion.heads)
            if isinstance(fusion, TextCross) and fusion.start is not None and isinstance(self.text, WordBag):
                problems.append(
                    f"text-cross begins as a BERT where its text is a text-transformer, not {self.text.kind}"
                )
            sight = "causal" if isinstance(fusion, SplitDecoder) else "bidirectional"
            if (
                isinstance(fusion, SplitDecoder | TextModes | BridgedTowers)
                and getattr(self.text, "sight", None) != sight
            ):
                problems.append(f"{fusion.kind} goes on from a text-transformer with a sight of {sight}; give one")
        if isinstance(fusion, BridgedTowers) and getattr(self.text, "layers", 2) < 2:
            problems.append("query-bridge shows words a picture from their second layer on; give the text two layers")
        if self.leave_out is not None:
            problems.append(f"{fusion.kind} looks at all cells; leave out {self.leave_out.kind}")
        return problems

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON and YAML; `from_dict` is the way back."""
        return RECIPE_TYPE.dump_python(self, mode="json")

    @classmethod
    def from_dict(cls, values: Any) -> Recipe:
        """The recipe in `values`. Raises one RecipeError naming every unknown, missing and ill-typed field."""
        return validated(RECIPE_TYPE, values, what="recipe")


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
