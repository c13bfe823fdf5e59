"""Schedule, stages and data augmentation."""

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.recipes.parts.image import TokenDropping

# which rows a stage sees: all; those that have a title; those that have a picture; those whose title names the row's
# own category and a value of its own, and nothing that does not hold for it; or those whose title has 3 to 20 words and
# is that of ten products at most (ALIGN's rules for raw texts)
WhichRows = Literal["all", "titled", "pictured", "agreeing", "filtered"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WarmupCosine:
    """AdamW; the rate climbs for `warmup_share` of the run to `peak_lr`, then falls to zero along a cosine."""

    kind: Literal["one-stage"] = "one-stage"
    peak_lr: Annotated[float, Field(gt=0)]
    warmup_share: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Count = 256
    chunk_size: Count | None = None  # products per forward pass; smaller than the batch = gradient cache
    average: Share = 0.0  # decay of an EMA of the weights, which is the result; 0: the last weights are
    half_size_share: Share = 0.0  # of the run, from its start, on pictures of half the sides, which is faster


@dataclass(frozen=True, kw_only=True, config=STRICT)
class StopAndGo:
    """Tasks rest while they gain nothing (12-in-1, arXiv:1912.02315).

    After `every` steps each task's loss is measured on the `held_out` share of the rows, which nobody learns from. One
    whose loss fell by less than a share `gain` over `patience` looks rests: it is trained at every `rest`-th step only,
    until its loss is more than a share `drop` above its least.
    """

    kind: Literal["stop-and-go"] = "stop-and-go"
    every: Count = 40
    patience: Count = 2
    gain: Share = 0.001
    drop: Annotated[float, Field(ge=0)] = 0.005
    rest: Annotated[int, Field(ge=2)] = 4
    held_out: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    batches: Count = 2  # of a look


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Stage:
    """A piece of a run with its own task. Its rate has a warm-up and a cosine of its own, AdamW starts anew.

    `trains` names parts of the model (`text_tower`) or patterns over names of parameters (`encoder.blocks.1*`); all
    else is frozen and runs as it does in use: no dropout, batch norms by their running statistics. None: everything
    trains.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 1.0  # of the run's budget
    objectives: Annotated[tuple[str, ...], Field(min_length=1)] | None = None  # their names; None: all of the recipe
    trains: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    peak_lr_scale: Annotated[float, Field(gt=0)] = 1.0  # times the schedule's peak
    leave_out: TokenDropping | Literal["none"] | None = None  # in place of the recipe's; "none": whole pictures
    rows: WhichRows = "all"
    pauses: StopAndGo | None = None

    def trains_parameter(self, name: str) -> bool:
        """Whether the parameter of that name learns in this stage."""
        return self.trains is None or any(matches(pattern, name) for pattern in self.trains)

    def leaves_out(self, otherwise: TokenDropping | None) -> TokenDropping | None:
        """How patches are left out in it, where the recipe says `otherwise`."""
        if self.leave_out is None:
            return otherwise
        return None if self.leave_out == "none" else self.leave_out


def matches(pattern: str, parameter: str) -> bool:
    """Whether a pattern is a parameter's name, a part that holds it, or a glob pattern of its name."""
    return parameter.startswith(f"{pattern}.") or fnmatchcase(parameter, pattern)


def stage_problems(stages: Sequence[Stage], objectives: Sequence[str], has_patches: bool) -> list[str]:
    """What is wrong with a recipe's stages, given the names of its objectives, as sentences."""
    if not stages:
        return []
    problems = []
    if not math.isclose(total := sum(stage.share for stage in stages), 1.0, abs_tol=1e-6):
        problems.append(f"the stages' shares of the budget add up to {total:g}; make them add up to 1")
    for number, stage in enumerate(stages, 1):
        unknown = [name for name in stage.objectives or () if name not in objectives]
        problems += [
            f"stage {number} trains by {name}, which is no objective of the recipe; it has {', '.join(objectives)}"
            for name in unknown
        ]
        if not (stage.leave_out in (None, "none") or has_patches):
            problems.append(f"stage {number} leaves out patches, which the picture is not cut into")
    named = {name for stage in stages for name in (objectives if stage.objectives is None else stage.objectives)}
    problems += [
        f"no stage trains by {name}; name it in one, or leave it out" for name in objectives if name not in named
    ]
    return problems


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Augment:
    """How training pictures, titles and queries vary without changing a label: no colour jitter, no tight crops."""

    flip: bool = True
    crop_share: Share = 0.1  # a random window leaves out at most this share of each side
    word_dropout: Share = 0.0  # of a title's or query's words
    rewrites: Share = 0.0  # of the titles are put in other words that state the same facts
    fact_lines: Share = 0.0  # of the titles give way to a line of the product's category and values
    chinese: Share = 0.0  # of the titles give way to a Chinese sentence of the same, where the ontology has the names
    overlays: Share = 0.0  # of the pictures get promotions drawn on them, half of those a wrong word
    painted_out: Share = 0.5  # of these promotions, as in inference with OCR on
    logged_queries: Share = 0.5  # of the queries of products that have logged ones: made ones name rarer facts
    title_queries: Share = 0.2  # of the made queries are some words of the title
    leaf_queries: Share = 0.85  # of the others name the most special category, not one above it
