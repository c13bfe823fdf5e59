"""How long a run lasts and how fast it learns at each moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from shopvl.recipes.parts import Stage
from shopvl.training.checkpoint import Progress


@dataclass(frozen=True)
class Budget:
    """A run ends after a number of steps, minutes, or minutes of processor time; exactly one of them is given."""

    steps: int | None = None
    minutes: float | None = None
    cpu_minutes: float | None = None

    def share_done(self, progress: Progress) -> float:
        """In [0, 1]; 1 means the run is over."""
        if self.steps is not None:
            return min(1.0, progress.step / self.steps) if self.steps else 1.0
        limits = (progress.seconds, self.minutes), (progress.cpu_seconds, self.cpu_minutes)
        return min(1.0, *(seconds / (60 * limit) for seconds, limit in limits if limit is not None))


def rate(share_done: float, warmup_share: float) -> float:
    """Learning rate as a share of its peak: a line up over `warmup_share`, then a cosine down to zero."""
    if share_done < warmup_share:
        return (share_done + 1e-3) / (warmup_share + 1e-3)  # not zero at the very first step
    return 0.5 * (1 + math.cos(math.pi * (share_done - warmup_share) / max(1 - warmup_share, 1e-9)))


def span_of(stages: Sequence[Stage], number: int) -> tuple[float, float]:
    """Where a stage begins and ends, in shares of the budget; one without any stages is the whole run."""
    ends = [*accumulate(stage.share for stage in stages[:-1]), 1.0]  # shares of .1 do not add up to 1 exactly
    return (ends[number - 1] if number else 0.0), ends[number]


def stage_at(stages: Sequence[Stage], share_done: float) -> int:
    """The number of the stage that goes on after that share of the budget; the last, where all is done."""
    return sum(span_of(stages, number)[1] <= share_done for number in range(len(stages) - 1))
