"""How long a run lasts and how fast it learns at each moment."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shopvl.training.checkpoint import Progress


@dataclass(frozen=True)
class Budget:
    """A run ends after a number of steps or of minutes of training; exactly one of them is given."""

    steps: int | None = None
    minutes: float | None = None

    def share_done(self, progress: Progress) -> float:
        """In [0, 1]; 1 means the run is over."""
        limits = (progress.step, self.steps), (progress.seconds, self.minutes and 60 * self.minutes)
        return min(1.0, *(done / limit for done, limit in limits if limit is not None))


def rate(share_done: float, warmup_share: float) -> float:
    """Learning rate as a share of its peak: a line up over `warmup_share`, then a cosine down to zero."""
    if share_done < warmup_share:
        return (share_done + 1e-3) / (warmup_share + 1e-3)  # not zero at the very first step
    return 0.5 * (1 + math.cos(math.pi * (share_done - warmup_share) / max(1 - warmup_share, 1e-9)))
