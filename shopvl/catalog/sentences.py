"""Facts of a product as one sentence, the same for the same facts: what is known, as no person would write it."""

from __future__ import annotations

from collections.abc import Sequence

from shopvl.catalog.cells import folded
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.ontology import Fact, Ontology
from shopvl.catalog.queries import AUDIENCE_WORDS, fact_name, says


def fact_sentence(ids: Sequence[int], ontology: Ontology, language: str = "en") -> str:
    """`Puma navy blue t-shirt for men, for summer, with sleeve long.`; in Chinese `彪马男士夏季藏青色T恤。`.

    Of several categories the narrowest is named. Values without a name in that language, and those that the category's
    name says already, are left out; empty where not even the category has one.
    """
    facts = [(number, ontology.facts[number]) for number in ids]
    nodes = sorted((len(fact.path), number) for number, fact in facts if fact.kind == "category")
    if not nodes:
        return ""
    noun = fact_name(ontology, nodes[-1][1], language)
    if not noun:
        return ""
    named = [(fact, fact_name(ontology, number, language)) for number, fact in facts if fact.kind == "value"]
    said = [(fact, name) for fact, name in named if name and not says(noun, name)]
    text = _chinese(noun, said) if language == "zh" else _english(noun, said)
    return text[:1].upper() + text[1:]


def _english(noun: str, said: Sequence[tuple[Fact, str]]) -> str:
    front: list[tuple[int, str]] = []
    behind: list[tuple[int, str]] = []
    for fact, name in said:
        prop = known_property(fact.property)
        if prop.audience:
            behind.append((0, f"for {AUDIENCE_WORDS.get(name, name)}"))
        elif prop.purpose:
            behind.append((1, f"for {name}"))
        elif prop.behind or prop.name not in _ADJECTIVES:
            behind.append((2, f"with {folded(fact.property)} {name}"))
        else:
            front.append((prop.position, name))
    words = [name for _, name in sorted(front)]
    first, *others = [phrase for _, phrase in sorted(behind)] or [""]
    return ", ".join([" ".join([*words, noun, *([first] if first else [])]), *others]) + "."


_ADJECTIVES = {"brand", "colour", "pattern", "usage", "occasion", "style", "material", "fabric"}


def _chinese(noun: str, said: Sequence[tuple[Fact, str]]) -> str:
    ranked = sorted((known_property(fact.property).position, name) for fact, name in said)
    return "".join(name for _, name in ranked) + noun + "。"
