"""What a text about a product may say: facts that are known of it, and words that its inputs hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.languages import OWN, SMALL_WORDS
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.plural import singular
from shopvl.catalog.queries import facts_by_name

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, in lower case and singular."""
    return [singular(word) for word in _WORD.findall(folded(text))]


@dataclass(frozen=True)
class Grounds:
    """Facts by their numbers in an ontology, and the `names` that may be written: of these facts, and of the inputs."""

    ontology: Ontology
    facts: frozenset[int]
    names: tuple[str, ...]
    language: str = "en"
    _spelled: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        ontology: Ontology,
        path: Sequence[str],
        attributes: Iterable[tuple[str, str]],
        words: str = "",
        language: str = "en",
    ) -> Grounds:
        """What category, attributes and other words of a product say: their names, and the facts that they name."""
        attributes = list(attributes)
        facts = {*ontology.fact_ids(path, attributes)}
        facts.update(number for group in facts_by_name(words, ontology) for number in group)
        names = [*path, *(value for _, value in attributes), *([words] if words else [])]
        for number in sorted(facts):
            spoken = ontology.names_by_language[number]
            names += [*spoken.get(OWN, ()), *spoken.get(language, ())]
        return cls(ontology, frozenset(facts), tuple(dict.fromkeys(names)), language)

    @property
    def spelled(self) -> Mapping[str, str]:
        """Word -> as a name spells it; of several spellings the first."""
        if not self._spelled:
            for name in self.names:
                for word in _WORD.findall(name):
                    self._spelled.setdefault(singular(folded(word)), word)
        return self._spelled

    def beyond(self, text: str) -> list[str]:
        """What a text says that is not known: words that no name has, and names of other facts."""
        if language_of(text) == "zh":
            left = folded(text).replace(" ", "")
            for name in sorted({folded(name).replace(" ", "") for name in self.names}, key=len, reverse=True):
                left = left.replace(name, " ")
            unknown = re.findall(r"\w+", left)
        else:
            small = SMALL_WORDS.get(self.language, frozenset())
            unknown = [word for word in words_of(text) if word not in self.spelled and word not in small]
        others = [group for group in facts_by_name(text, self.ontology) if not group & self.facts]
        return [*unknown, *(str(self.ontology.facts[min(group)]) for group in others)]

    def said(self, text: str) -> list[int]:
        """The known facts that a text names."""
        return sorted({n for group in facts_by_name(text, self.ontology) for n in group & self.facts})

    def spell(self, text: str) -> str:
        """The text with its words as the names write them: `navy blue shirt` as `Navy Blue Shirt`, of `Shirts`."""
        return _WORD.sub(lambda found: _like(found[0], self.spelled.get(singular(folded(found[0])))), text)


def _like(word: str, spelled: str | None) -> str:
    if spelled is None or word == spelled:
        return word
    if folded(word) == folded(spelled):
        return spelled
    if spelled.isupper() and len(spelled) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if spelled[:1].isupper() else word
