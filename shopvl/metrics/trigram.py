"""The bar for language models: an interpolated trigram of tokens, fitted in seconds."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

Tokens = Sequence[int]
Gram = tuple[int, ...]


class Trigram:
    """Interpolated Kneser-Ney trigram (Chen and Goodman, 1999, section 3.1) over ids below `size`.

    `texts` are ids that begin and end with what frames a text. Shorter grams count in how many longer ones they stand,
    and below single tokens is the uniform distribution.
    """

    def __init__(self, texts: Iterable[Tokens], size: int) -> None:
        counts = Counter(gram for text in texts for gram in _grams(text))
        self.levels = []
        while True:
            self.levels.append(_Level(counts))
            if len(next(iter(counts), ())) < 2:
                break
            counts = Counter(gram[1:] for gram in counts)
        self.size = size

    def probability(self, token: int, before: Tokens) -> float:
        """Of a token after those before it, of which the last two count."""
        result = 1 / self.size
        for level in reversed(self.levels):
            result = level.probability(token, (*before[:1], *before)[-2:], result)
        return result

    def likeliest(self, before: Tokens) -> int:
        """The token seen most often after as many of the last two as were seen; of equals the least."""
        for level, after in zip(self.levels, self._after, strict=True):
            known = (*before[:1], *before)[-2:]
            history = known[len(known) - level.length :] if len(known) >= level.length else None
            if history in after:
                return after[history]
        raise AssertionError("the shortest history is known")

    @cached_property
    def _after(self) -> list[dict[Gram, int]]:
        """By level: what follows each history most often."""
        tables = []
        for level in self.levels:
            best: dict[Gram, tuple[int, int]] = {}
            for gram, count in level.counts.items():
                best[gram[:-1]] = max(best.get(gram[:-1], (0, 0)), (count, -gram[-1]))
            tables.append({history: -token for history, (_, token) in best.items()})
        return tables

    def surprise(self, text: Tokens) -> float:
        """Nats of all tokens but the first, which is given."""
        return -sum(math.log(self.probability(text[end], text[:end])) for end in range(1, len(text)))


def _grams(text: Tokens) -> Iterator[Gram]:
    """Each token but the first, behind the two before it; the first stands twice."""
    padded = (text[0], *text)
    return (tuple(padded[end - 2 : end + 1]) for end in range(2, len(padded)))


class _Level:
    """Grams of one length: what follows each history, with an absolute discount (Ney, Essen and Kneser, 1994)."""

    def __init__(self, counts: Counter[Gram]) -> None:
        once, twice = (sum(count == number for count in counts.values()) for number in (1, 2))
        self.discount = once / (once + 2 * twice) if once and twice else 0.5
        self.length = len(next(iter(counts), (0,))) - 1  # of histories
        self.counts = counts
        self.totals: defaultdict[Gram, int] = defaultdict(int)
        self.kinds: defaultdict[Gram, int] = defaultdict(int)
        for gram, count in counts.items():
            self.totals[gram[:-1]] += count
            self.kinds[gram[:-1]] += 1

    def probability(self, token: int, before: Gram, shorter: float) -> float:
        """With that of the next `shorter` gram."""
        history = before[len(before) - self.length :]
        total = self.totals.get(history, 0)
        if not total:
            return shorter
        own = max(self.counts[(*history, token)] - self.discount, 0.0)
        return (own + self.discount * self.kinds[history] * shorter) / total
