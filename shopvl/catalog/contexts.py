"""What stands around a place in a text: the names of a property, other labels, and words that tell by experience."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from shopvl.catalog.cells import folded
from shopvl.catalog.plural import singular

AROUND = 4  # words on each side
MOST_WORDS = 400  # of a property, that tell most
LEAST_SEEN = 3  # times, for a word to tell anything
CLIP = 6.0  # nats that the words around one place may say together

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[\u3400-\u9fff]")
_LABEL = re.compile(
    r"(?:^|[.;,·|•\n(/]|\s[-–]\s)\s*([^\W\d_][^:：;.,|•\n()]{0,40}?)\s*(?:\([^)]{1,12}\)\s*)?[:=：]\s*[^\w]{0,3}$"
)


def words_of(text: str) -> list[str]:
    """The words of a text, folded and singular."""
    return [singular(folded(word)) for word in _WORD.findall(text)]


@dataclass(frozen=True, slots=True)
class Around:
    """The words before and behind a place, as `words_of` has them, and those of its label: none, where it has none."""

    before: tuple[str, ...]
    behind: tuple[str, ...]
    label: tuple[str, ...]

    @property
    def words(self) -> Iterator[str]:
        """`<heel` for a word before, `>heel` for one behind; the nearest are named with their place too: `<1heel`."""
        yield from (f"<1{word}" for word in self.before[-1:])
        yield from (f">1{word}" for word in self.behind[:1])
        yield from (f"<{word}" for word in self.before)
        yield from (f">{word}" for word in self.behind)

    def names(self, names: Iterable[Sequence[str]]) -> dict[str, float]:
        """Whether one of the names (as `words_of`) labels the place, stands beside it, or stands near it in parts."""
        clues: dict[str, float] = {}
        every, best = {*self.before, *self.behind}, 0.0
        for name in names:
            size = len(name)
            if not size:
                continue
            if self.label[-size:] == name:
                clues["labelled"] = 1.0
            if self.before[-size:] == name or self.before[-size - 1 : -1] == name:
                clues["named before"] = 1.0
            if self.behind[:size] == name or self.behind[1 : size + 1] == name:
                clues["named behind"] = 1.0
            best = max(best, sum(word in every for word in name) / size)
        if best:
            clues["name words"] = best
        if self.label and "labelled" not in clues:
            clues["other label"] = 1.0
        return clues


@lru_cache(maxsize=1 << 13)
def surroundings(text: str, start: int, end: int) -> Around:
    """What stands around a place of a text."""
    before, behind = words_of(text[max(0, start - 60) : start]), words_of(text[end : end + 60])
    return Around(tuple(before[-AROUND:]), tuple(behind[:AROUND]), label_before(text, start))


def label_before(text: str, start: int) -> tuple[str, ...]:
    """What a place is labelled as: the words of `Heel height` in `Heel height: 8 cm`."""
    match = _LABEL.search(text[max(0, start - 64) : start]) if any(sign in text for sign in ":=：") else None
    return tuple(words_of(match[1])) if match else ()


def telling_words(seen: Iterable[tuple[Iterable[str], bool]]) -> dict[str, float]:
    """Word around a place -> by how many nats it speaks for a right one; of places, the words and whether they are.

    A smoothed difference of log-odds, as naive Bayes has it.
    """
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    rights = wrongs = 0
    for words, is_right in seen:
        (right if is_right else wrong).update(set(words))
        rights, wrongs = rights + is_right, wrongs + (not is_right)
    if not rights or not wrongs:
        return {}
    told = {
        word: math.log((right[word] + 0.5) / (rights + 1)) - math.log((wrong[word] + 0.5) / (wrongs + 1))
        for word in {*right, *wrong}
        if right[word] + wrong[word] >= LEAST_SEEN
    }
    ranked = sorted(told, key=lambda word: (-abs(told[word]) * math.log1p(right[word] + wrong[word]), word))
    return {word: round(told[word], 3) for word in ranked[:MOST_WORDS]}


def said_by(words: Iterable[str], telling: Mapping[str, float]) -> float:
    """What the words around a place say together, in nats, between -CLIP and CLIP."""
    return max(-CLIP, min(CLIP, sum(telling.get(word, 0.0) for word in set(words))))
