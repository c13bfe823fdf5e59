"""Titles that a model suggests for a product, each with the facts that it states and what says that they are so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shopvl.catalog.cells import language_of
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.instructions import telling
from shopvl.design.design import Design
from shopvl.inference.ask import Product, Reply
from shopvl.inference.grounds import Grounds
from shopvl.inference.write import ProductWriter, Telling, Written

TITLES = 3


@dataclass(frozen=True)
class StatedFact:
    """A fact that a title states, and the inputs that an accepted answer rests on, or the title that names it."""

    property: str
    value: str
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class SuggestedTitle:
    """A title and what it states."""

    text: str
    facts: tuple[StatedFact, ...]


@dataclass(frozen=True)
class SuggestedTitles:
    """Titles, the best first. Where there are none: whether anything is `known`, and what was said `beyond` that."""

    titles: list[SuggestedTitle] = field(default_factory=list)
    known: bool = True
    beyond: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        titles = [{"text": one.text, "facts": [vars(fact) for fact in one.facts]} for one in self.titles]
        return {"titles": titles, "known": self.known, "beyond": list(self.beyond)}


def suggested(writer: Design, product: Product, replies: Mapping[str, Reply], count: int = TITLES) -> SuggestedTitles:
    """Titles of nothing but accepted answers and what the product's own title says, in that title's language.

    Nothing is kept of them. Raises DesignError for a `writer` that has not learned to write.
    """
    sure = {name: reply for name, reply in replies.items() if reply.decision == "accept" and reply.value is not None}
    values = [(name, reply.value or "") for name, reply in sure.items() if name != CATEGORY]
    path = (sure[CATEGORY].value or "").split(CATEGORY_JOIN) if CATEGORY in sure else []
    title = "" if "title" not in product.inputs else product.usable.row["title"]
    language = "zh" if language_of(title) == "zh" else "en"
    grounds = Grounds.of(product.design.ontology, path, values, title, language)
    if not grounds.names:
        return SuggestedTitles(known=False)
    image, pictures = product.usable.image, None
    if image is not None and "image" in writer.recipe.inputs:
        pictures = writer.loader.pictures([image]).pictures
    told = telling("title", path, values, title, language)
    (outcome,) = ProductWriter(writer).write(pictures, [Telling(told, grounds)], count)
    if not outcome.texts:
        return SuggestedTitles(beyond=tuple(dict.fromkeys(outcome.beyond)))
    return SuggestedTitles([_with_facts(one, grounds, sure) for one in outcome.texts])


def _with_facts(one: Written, grounds: Grounds, sure: Mapping[str, Reply]) -> SuggestedTitle:
    facts = [grounds.ontology.facts[number] for number in grounds.said(one.text)]
    stated: Sequence[tuple[str, str]] = [
        (CATEGORY, CATEGORY_JOIN.join(fact.path)) if fact.kind == "category" else (fact.property, fact.value)
        for fact in facts
    ]
    return SuggestedTitle(one.text, tuple(StatedFact(*fact, _evidence(*fact, sure)) for fact in stated))


def _evidence(name: str, value: str, sure: Mapping[str, Reply]) -> tuple[str, ...]:
    answer = sure.get(name)
    agrees = answer is not None and f"{answer.value}{CATEGORY_JOIN}".startswith(f"{value}{CATEGORY_JOIN}")
    return answer.evidence if answer is not None and agrees else ("title",)
