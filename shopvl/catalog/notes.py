"""What a reader took something for without being told: each kind of guess is said once a table, with an example."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

log = logging.getLogger("shopvl.catalog")


@dataclass
class ReadingNotes:
    """The guesses made while one table was read: the first sentence of each kind, and how often it was made.

    A sentence is logged as a warning the first time. Copies that travel to other processes count for themselves.
    """

    where: str = ""  # the table's name, before each sentence
    sentences: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    logged: bool = True

    @classmethod
    def silent(cls) -> ReadingNotes:
        """Notes that nobody is told: of a trial."""
        return cls(logged=False)

    def add(self, kind: str, sentence: str) -> None:
        """Count a guess of that kind; the sentence says what was taken for what, by an example."""
        self.counts[kind] += 1
        if kind not in self.sentences:
            self.sentences[kind] = sentence
            if self.logged:
                log.warning("%s", f"{self.where}: {sentence}" if self.where else sentence)

    def __iter__(self) -> Iterator[str]:
        return iter(self.sentences.values())

    def __len__(self) -> int:
        return len(self.sentences)
