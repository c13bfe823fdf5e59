"""Titles in other words that state the same facts (LaCLIP, arXiv:2305.20088), by the ontology's names.

The paper has a language model write them; here words change places, names give way to synonyms, or all that the title
names becomes a line of its own. A text that would name other facts is not taken: the title stays.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.languages import OWN
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.plural import singular
from shopvl.catalog.queries import facts_named


@dataclass(frozen=True)
class Phrase:
    """Words of a title that stand together, and the fact that they name, if it is one."""

    text: str
    fact: int | None = None


def rewritten(title: str, ontology: Ontology, rng: random.Random) -> str:
    """The title by one of WAYS, each as likely.

    With audiences, colours and kinds in the ontology, `Acme Men Navy Blue T-shirt` becomes, say, `Acme T-shirt Men Navy
    Blue`, `Acme Men Navy Blue Tee`, or `Men Navy Blue T-shirt, Acme`.
    """
    way = rng.choice(WAYS)
    if language_of(title) == "zh":  # whose words no blank parts
        return title
    facts = facts_named(title, ontology)
    other = way(phrases(title, facts, ontology), ontology, rng)
    return other if facts_named(other, ontology) == facts else title


def phrases(title: str, facts: Sequence[int], ontology: Ontology) -> list[Phrase]:
    """The title's words, those of a name as one phrase: the longest name first."""
    names = {
        tuple(singular(word) for word in folded(name).split()): fact
        for fact in facts
        for name in ontology.names_of_facts[fact]
    }
    longest = max(map(len, names), default=0)
    words, parts = title.split(), []
    plain = [singular(folded(word).strip(",.;:()")) for word in words]
    start = 0
    while start < len(words):
        for size in range(min(longest, len(words) - start), 0, -1):
            if (fact := names.get(tuple(plain[start : start + size]))) is not None:
                parts.append(Phrase(" ".join(words[start : start + size]), fact))
                start += size
                break
        else:
            parts.append(Phrase(words[start]))
            start += 1
    return parts


def _reordered(parts: Sequence[Phrase], ontology: Ontology, rng: random.Random) -> str:
    """Names change places; the words between them stay in their order."""
    order = [number for number, part in enumerate(parts) if part.fact is not None]
    shuffled = rng.sample(order, len(order))
    moved = dict(zip(order, shuffled, strict=True))
    return " ".join(parts[moved.get(number, number)].text for number in range(len(parts)))


def _with_synonyms(parts: Sequence[Phrase], ontology: Ontology, rng: random.Random) -> str:
    """Each name by any of the fact's names in the catalog's own language."""
    return " ".join(
        part.text if part.fact is None else rng.choice(ontology.names_by_language[part.fact][OWN]) for part in parts
    )


def _as_line(parts: Sequence[Phrase], ontology: Ontology, rng: random.Random) -> str:
    """Values, then categories, then all other words."""
    kinds = [part for part in parts if part.fact is not None and ontology.facts[part.fact].kind == "category"]
    values = [part for part in parts if part.fact is not None and part not in kinds]
    said = " ".join(part.text for part in (*values, *kinds))
    others = " ".join(part.text for part in parts if part.fact is None)
    return ", ".join(filter(None, (said, others)))


WAYS: tuple[Callable[[Sequence[Phrase], Ontology, random.Random], str], ...] = (_reordered, _with_synonyms, _as_line)
