"""Texts of a training batch beside titles and queries, where an objective asks for them."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from shopvl.batch import EditedTitles, Words
from shopvl.catalog.ontology import Ontology
from shopvl.data.augment import told_line
from shopvl.data.editing import edited
from shopvl.data.instructions import Instructor, joined
from shopvl.data.rows import Row
from shopvl.recipes.parts.objectives import Asked, Instructed
from shopvl.recipes.recipe import Recipe
from shopvl.text.prompts import PromptBook
from shopvl.text.tokenizer import Tokenizer


class Reading(Protocol):
    """How texts become pieces: a collator."""

    recipe: Recipe
    tokenizer: Tokenizer
    ontology: Ontology

    def asks(self, asked: Asked) -> bool:
        """Whether an objective asks for that."""

    def words(self, texts: Sequence[str], limit: int | None = None) -> Words:
        """Padded pieces."""

    def told(self, texts: Sequence[str]) -> Words:
        """What a writer is told."""


def further_texts(
    reading: Reading,
    rows: Sequence[Row],
    titles: Sequence[str],
    facts: Sequence[Collection[int]],
    own: Sequence[random.Random],
    book: PromptBook,
) -> dict[str, Any]:
    """Fields of a batch by name, of rows with these titles, of which these facts hold; each row draws from its own."""
    told: dict[str, Any] = {}
    if reading.asks("lines of facts"):
        told["fact_lines"] = reading.words([told_line(row, draw) for row, draw in zip(rows, own, strict=True)])
    if reading.asks("edited titles"):
        told["edits"] = _edits(reading, titles, facts, own)
    if reading.asks("instructions"):
        tasks = next(part.tasks for part in reading.recipe.objectives if isinstance(part, Instructed))
        asked, written = Instructor(reading.ontology, book, tasks).drawn(rows, own)
        words = joined(reading.told(asked), reading.words(written), reading.recipe.max_tokens, reading.tokenizer.pad_id)
        told["told"] = words
    return told


def _edits(
    reading: Reading, titles: Sequence[str], facts: Sequence[Collection[int]], own: Sequence[random.Random]
) -> EditedTitles:
    drawn = zip(titles, facts, own, strict=True)
    edits = [edited(title, holding, reading.ontology, draw) for title, holding, draw in drawn]
    texts = [title if edit is None else edit.text for title, edit in zip(titles, edits, strict=True)]
    both = reading.words([*titles, *texts])  # of a title that is cut off the edit may be as well
    title_BT, edited_BT = both.ids_BT.split(len(titles))
    return EditedTitles(words=both.rows(slice(len(titles), None)), lies_B=(title_BT != edited_BT).any(1))
