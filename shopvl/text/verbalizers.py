"""Answers as texts: every category and value of an ontology by its names, and which of them a question may have."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from shopvl.catalog.cells import language_of
from shopvl.catalog.ontology import Category, Ontology, Value
from shopvl.text.prompts import PromptBook, Question


class Verbalizer:
    """The K = facts + 1 answers of an ontology; the last one is `unknown`. Names in any language mean the same id."""

    def __init__(self, ontology: Ontology, book: PromptBook) -> None:
        self.ontology = ontology
        self.book = book
        self.unknown = len(ontology.facts)

    def names(self, language: str, rng: random.Random | None = None, synonym_share: float = 0.0) -> list[str]:
        """One name per answer: its own in that language, else its id. With `rng` a share of synonyms instead."""
        own = (self._name(number, language, rng, synonym_share) for number in range(self.unknown))
        return [*own, self.book.unknown(language)]

    def _name(self, number: int, language: str, rng: random.Random | None, synonym_share: float) -> str:
        fact = self.ontology.facts[number]
        part: Category | Value
        if fact.kind == "category":
            own, part = fact.path[-1], self.ontology.category_of(fact)
        else:
            own, part = fact.value, self._values[fact.property, fact.value]
        own = part.name(language) or own
        spoken = [synonym for synonym in part.synonyms if (language_of(synonym) == "zh") == (language == "zh")]
        spoken += part.further.get(language, ())
        if rng is not None and spoken and rng.random() < synonym_share:
            return rng.choice(spoken).lower()
        return own.lower()

    @cached_property
    def _values(self) -> dict[tuple[str, str], Value]:
        return {(p.id, v.id): v for p in self.ontology.properties for v in p.values}

    def legal(self, questions: Sequence[Question]) -> np.ndarray:
        """(Q, K) bool: which answers each question may have; `unknown` is always one of them."""
        table = np.zeros((len(questions), self.unknown + 1), dtype=bool)
        table[:, self.unknown] = True
        leaves = set(self.ontology.leaves())
        for row, question in zip(table, questions, strict=True):
            for number, fact in enumerate(self.ontology.facts):
                match question.family:
                    case "is":
                        row[number] = len(fact.path) == question.level
                    case "sold":
                        row[number] = fact.path in leaves
                    case "has":
                        row[number] = fact.kind == "value"
                    case "property":
                        row[number] = fact.property == question.about
        return table
