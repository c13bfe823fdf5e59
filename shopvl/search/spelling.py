"""How words of a query are read: as names of the ontology and words of the catalog, whatever their spelling.

Words that shoppers join or split ("t shirt", "trackpants") are read by their letters alone. A word that neither the
ontology nor the catalog has is read as the nearest one that they have, by optimal string alignment (Boytsov 2011):
a letter more, less, another one, or two that changed places.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl
from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

from shopvl.catalog.cells import folded, language_of, without_accents
from shopvl.catalog.languages import OWN, SMALL_WORDS
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.plural import singular
from shopvl.catalog.queries import names_known, plain_words
from shopvl.search.lexical import STOP_WORDS

SHORTEST_JOINED = 4  # letters of a name that may be read from parts, or from a word
SHORTEST_PART = 3  # letters of a part of a word that is split
TWO_EDITS_FROM = 7  # letters of a word that may be two edits off; a shorter one is one
SPLIT_CERTAINTY = 0.95  # of two names that stand in one word
LONGEST_WINDOW = 3  # words that may be one
CANDIDATES = 8
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_SMALL = STOP_WORDS.union(*SMALL_WORDS.values())


@dataclass(frozen=True, slots=True)
class ReadAs:
    """Words as typed, and as they are read: `trackpants → track pants`."""

    typed: str
    read: str
    certainty: float

    def __str__(self) -> str:
        return f"{self.typed} → {self.read}"


class Spelling:
    """The words and names that queries on one index may mean."""

    def __init__(
        self, ontology: Ontology, titles: pl.Series, has_word: Callable[[str], bool], kept: frozenset[str]
    ) -> None:
        """`has_word` says whether a product has a word; `kept` are words that are never read as others."""
        self._ontology = ontology
        self._names: Mapping[str, frozenset[str]] = names_known(ontology)
        self._titles, self._has_word, self._kept = titles, has_word, kept | _SMALL

    def read(
        self, words: Sequence[str], language: str = OWN, taken_back: frozenset[str] = frozenset()
    ) -> tuple[list[str], list[ReadAs]]:
        """The words as they are read, and what was changed; changes in `taken_back`, as texts, are not made.

        An unknown word is read as one of the catalog's own words, or of `language`.
        """
        readings: list[ReadAs] = []
        parts = [part for word in words for part in self._parts(word, language)]
        words = self._joined(parts, language, readings, taken_back)
        alone = len(words) == 1
        near = {word: own for word in words if not self.knows(word) and (own := self._nearest(word, language, alone))}
        if not self._misspelt(words, near):
            near = {word: reading for word, reading in near.items() if reading.certainty == SPLIT_CERTAINTY}
        result: list[str] = []
        for word in words:
            reading = near.get(word)
            if reading is None or str(reading) in taken_back:
                result.append(word)
            else:
                readings.append(reading)
                result += reading.read.split()
        return self._joined(result, language, readings, taken_back), readings

    def _misspelt(self, words: Sequence[str], near: Mapping[str, ReadAs]) -> bool:
        """Whether unknown words are other spellings, not words for other goods: all of them are near known ones, and
        one of several words is known as it is ("couch pillows" asks for no pouch)."""
        unknown = self.unknown(words)
        return all(word in near for word in unknown) and (len(words) == 1 or len(unknown) < len(words))

    def unknown(self, words: Sequence[str]) -> list[str]:
        """The words that neither the ontology nor the catalog has."""
        return [word for word in words if not self.knows(word)]

    def knows(self, word: str) -> bool:
        """Whether it stands in a name or in the catalog, or is none of a product's words: a number, a small word."""
        plain = singular(word)
        return (
            word in self._kept
            or plain in self._name_words
            or len(word) < SHORTEST_PART
            or any(letter.isdigit() for letter in word)
            or language_of(word) == "zh"
            or self._has_word(word)
        )

    def _joined(
        self, words: Sequence[str], language: str, readings: list[ReadAs], taken_back: frozenset[str]
    ) -> list[str]:
        """Words whose letters are those of a name, as that name."""
        result: list[str] = []
        start = 0
        while start < len(words):
            for size in range(min(LONGEST_WINDOW, len(words) - start), 0, -1):
                window = words[start : start + size]
                name = self._name_of(window, language)
                if name is None:
                    continue
                exact = singular("".join(window)) in self._by_letters
                reading = ReadAs(" ".join(window), name, 0.95 if exact else 0.8)
                if str(reading) not in taken_back:
                    readings.append(reading)
                    result += name.split()
                    start += size
                    break
            else:
                result.append(words[start])
                start += 1
        return result

    def _name_of(self, window: Sequence[str], language: str) -> str | None:
        name = " ".join(singular(word) for word in window)
        if self._names.get(name, frozenset()) & {OWN, language} or any(word in self._kept for word in window[:-1]):
            return None
        small = window[-1] in self._kept  # "camiso les" is no French
        if small and all(map(self.knows, window)):
            return None
        if len(window) > 1 and len(window[-1]) < 2:  # "shirt s" is no plural
            return None
        letters = "".join(window)
        found = self._by_letters.get(singular(letters)) or self._by_letters.get(_bare(letters))
        if found == " ".join(window):  # of another language, and written alike
            return None
        if found is None and len(window) == 2 and len(letters) >= TWO_EDITS_FROM and not small:
            if all(map(self.knows, window)):
                return None
            near = [word for word, _ in self._near_letters.near(singular(letters), 1) if len(word) >= TWO_EDITS_FROM]
            found = self._by_letters[near[0]] if near else None
        return found

    def _parts(self, word: str, language: str) -> list[str]:
        """`black-white` is two words; `t-shirt` is a name."""
        parts = [part for part in word.replace("/", "-").split("-") if part]
        if len(parts) < 2 or self._name_of([word], language) or singular(word) in self._name_words:
            return [word]
        return parts if all(map(self.knows, parts)) else [word]

    def _nearest(self, word: str, language: str, alone: bool) -> ReadAs | None:
        """The reading of an unknown word: two names side by side, else the nearest name or word of the catalog;
        `alone`, if it is all of the query."""
        if split := self._split(word):
            return ReadAs(word, split, SPLIT_CERTAINTY)
        limit = 1 if len(word) < TWO_EDITS_FROM else 2
        ranked = [
            (distance, other[0] != word[0], OWN not in languages, -count, other)
            for vocabulary, near in self._vocabularies
            for form in dict.fromkeys((word, singular(word)))
            for other, distance in near.near(form, limit)
            for languages, count in [vocabulary[other]]
            if languages & {OWN, language} and self._may_be(word, form, other, distance, alone)
        ]
        if not ranked:
            return None
        distance, *_, best = min(ranked)
        return ReadAs(word, self._by_letters.get(best, best), round(1 - 1.5 * distance / len(word), 2))

    def _may_be(self, typed: str, form: str, other: str, distance: int, alone: bool) -> bool:
        """Whether a word may be meant by an unknown one, in the form that was compared: short words are near too many
        others, so these are names with the same beginning, with two letters that changed places, or one that was left
        out."""
        if len(other) < SHORTEST_PART or (distance > 1 and other[0] != form[0]):
            return False
        if len(typed) > SHORTEST_JOINED:
            return True
        left_out = len(other) > len(form)
        if len(typed) < SHORTEST_JOINED and (alone or other[0] != form[0]):
            left_out = False
        alike = len(form) == SHORTEST_JOINED and other[0] == form[0]
        return other in self._names and (alike or left_out or sorted(other) == sorted(form))

    def _split(self, word: str) -> str | None:
        """Two names side by side, such as the parts of a German compound: `Herrenschuhe`."""
        for cut in range(SHORTEST_PART, len(word) - SHORTEST_PART + 1):
            parts = (word[:cut], word[cut:])
            if all(singular(part) in self._names or _bare(part) in self._names for part in parts):
                return " ".join(parts)
        return None

    @cached_property
    def _vocabularies(self) -> list[tuple[dict[str, tuple[frozenset[str], int]], NearWords]]:
        return [(words, NearWords(words)) for words in (self._spellable, self._catalog_words)]

    @cached_property
    def _near_letters(self) -> NearWords:
        return NearWords(self._by_letters)

    @cached_property
    def _name_words(self) -> frozenset[str]:
        return frozenset(word for name in self._names for word in name.split())

    @cached_property
    def _by_letters(self) -> dict[str, str]:
        """The letters of a name without blanks and accents -> the name as it is written."""
        found: dict[str, str] = {}
        for name in sorted(self._names, key=lambda name: (OWN not in self._names[name], name)):
            if language_of(name) == "zh":
                continue
            written = self._written.get(name, name)
            for form in (name, written):
                spaced = form.replace(" ", "")
                for letters in (spaced, singular(spaced), _bare(spaced), singular(spaced.translate(_UMLAUTS))):
                    if len(letters) >= SHORTEST_JOINED:
                        found.setdefault(letters, written)
        return found

    @cached_property
    def _written(self) -> dict[str, str]:
        """Names in lower case and singular -> as the ontology writes them first: `sunglasses`."""
        found: dict[str, str] = {}
        for name in (name for names in self._ontology.names_of_facts.values() for name in names):
            found.setdefault(" ".join(map(singular, plain_words(name))), folded(name))
        return found

    @cached_property
    def _spellable(self) -> dict[str, tuple[frozenset[str], int]]:
        """Words of names, and names without blanks -> the languages in which they are one."""
        found: dict[str, frozenset[str]] = {}
        for name, languages in self._names.items():
            if language_of(name) != "zh":
                for word in {*name.split(), name.replace(" ", "")}:
                    found[word] = found.get(word, frozenset()) | languages
        return {word: (languages, 1 << 30) for word, languages in found.items()}

    @cached_property
    def _catalog_words(self) -> dict[str, tuple[frozenset[str], int]]:
        """Words of the titles, and how often each is there."""
        words = self._titles.drop_nulls().str.to_lowercase().str.extract_all(r"[^\W\d_]{3,}").explode().drop_nulls()
        counts = words.value_counts(name="count").iter_rows()
        return {word: (frozenset({OWN}), count) for word, count in counts if language_of(word) != "zh"}


class NearWords:
    """Words by what is near them: a word two edits off begins with the same letter, one that begins with another letter
    is one edit off, at its beginning."""

    def __init__(self, words: Iterable[str]) -> None:
        self._alike: dict[tuple[str, int], list[str]] = defaultdict(list)  # by first letter and length
        self._behind: dict[str, list[str]] = defaultdict(list)  # by all letters but the first
        for word in filter(None, words):
            self._alike[word[0], len(word)].append(word)
            self._behind[word[1:]].append(word)

    def near(self, word: str, limit: int) -> list[tuple[str, int]]:
        """(word, distance) of those up to `limit` edits off, 1 or 2, nearest first."""
        if not word:
            return []
        turned = word[1:2] + word[:1] + word[2:]
        elsewhere = {*self._behind.get(word[1:], ()), *self._behind.get(word, ())}
        elsewhere |= {other for other in (word[1:], turned) if other in self._behind.get(other[1:], ())}
        others = [(other, 1) for other in sorted(elsewhere) if other[0] != word[0]]
        for length in range(len(word) - limit, len(word) + limit + 1):
            alike = self._alike.get((word[0], length), [])
            found = extract(word, alike, scorer=OSA.distance, score_cutoff=limit, limit=CANDIDATES)
            others += [(other, int(distance)) for other, distance, _ in found]
        return sorted(others, key=lambda pair: pair[1])


def _bare(text: str) -> str:
    return singular(without_accents(folded(text)))
