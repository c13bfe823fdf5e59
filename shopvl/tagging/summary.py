"""What a long run over a catalog did, and where the time went."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

T = TypeVar("T")


@dataclass
class RunSummary:
    """Rows in, those that were rejected and why, those whose results were known already, and the seconds of stages."""

    worker_stages: ClassVar[tuple[str, ...]] = ("prepare", "model")  # the others are this process's own

    rows: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of rejects, without what differs from row to row
    reused: int = 0  # rows whose results were known already
    damaged: int = 0  # parts of the cache that were thrown away
    seconds: float = 0.0
    workers: int = 1
    stages: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # seconds, of all workers together

    @property
    def computed(self) -> int:
        """Rows that were worked on in this run."""
        return self.rows - self.reused

    def busy(self) -> dict[str, float]:
        """Share of the run's time that each stage was busy, over all its processes; the largest is the bottleneck."""
        return {name: spent / self.hands(name) / max(self.seconds, 1e-9) for name, spent in self.stages.items()}

    def hands(self, stage: str) -> int:
        """How many processes do it."""
        return self.workers if stage in self.worker_stages else 1

    def timed_each(self, stage: str, items: Iterator[T], less: str | None = None) -> Iterator[T]:
        """The items; the time to make each is added to a stage, without what went to the stage `less`."""
        while True:
            others = self.stages[less] if less else 0.0
            started = time.perf_counter()
            item = next(items, None)
            self.stages[stage] += time.perf_counter() - started - ((self.stages[less] - others) if less else 0.0)
            if item is None:
                return
            yield item

    def speed_line(self) -> str:
        """Rows a second, each stage's share of the time, and which of them is the bottleneck."""
        busy = sorted(self.busy().items(), key=lambda item: -item[1])
        shares = ", ".join(f"{name} {share:.0%}" for name, share in busy if share >= 0.005)
        slowest = f"; the bottleneck is {busy[0][0]}" if self.computed and busy else ""
        return f"{self.rows / max(self.seconds, 1e-9):,.0f} rows/s, busy: {shares}{slowest}"

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stages[stage] += time.perf_counter() - started


def reason_kind(reason: str) -> str:
    """A reason without what differs from row to row, so that reasons can be counted."""
    text = re.sub(r"https?://\S+?: ", "", reason)
    text = re.sub(r"(the title) (['\"]).*?\2 (?=is |has )", r"\1 … ", text)
    text = re.sub(r"(the id) \S+ (came)", r"\1 … \2", text)
    text = re.sub(r"(the file|there is no file) .+?( is empty| cannot be read|$)", r"\1 …\2", text)
    text = re.sub(r"(what is not known) \(.*\)", r"\1", text)
    return re.sub(r"\d+", "#", text)[:100]
