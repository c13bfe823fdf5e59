"""Texts of a training batch beside titles and queries, where an objective asks for them."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import torch

from shopvl.batch import IGNORED, AskedFacts, Clauses, EditedTitles, Words
from shopvl.catalog.ontology import Ontology
from shopvl.data.augment import fact_line, told_line
from shopvl.data.editing import edited
from shopvl.data.instructions import Instructor, asking, drawn_fact, joined
from shopvl.data.rows import Row, pairs
from shopvl.recipes.parts.objectives import Asked, Instructed
from shopvl.recipes.recipe import Recipe
from shopvl.text.prompts import PromptBook
from shopvl.text.tokenizer import Tokenizer

CLAUSES = 4  # of a product, in a batch


class TextReader(Protocol):
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
    reading: TextReader,
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
    if reading.asks("clauses"):
        told["clauses"] = _clauses(reading, rows, own)
    if reading.asks("asked facts"):
        told["asked"] = _asked(reading, rows, own, book)
    if reading.asks("instructions"):
        tasks = next(part.tasks for part in reading.recipe.objectives if isinstance(part, Instructed))
        asked, written = Instructor(reading.ontology, book, tasks).drawn(rows, own)
        words = joined(reading.told(asked), reading.words(written), reading.recipe.max_tokens, reading.tokenizer.pad_id)
        told["told"] = words
    return told


def _asked(reading: TextReader, rows: Sequence[Row], own: Sequence[random.Random], book: PromptBook) -> AskedFacts:
    """A question about each product, and its answer; of one of which nothing is known none."""
    drawn = [drawn_fact(row, reading.ontology, draw) for row, draw in zip(rows, own, strict=True)]
    texts = ["" if fact is None else asking(book, reading.ontology, fact[1]) for fact in drawn]
    numbers = [IGNORED if fact is None else fact[0] for fact in drawn]
    return AskedFacts(words=reading.words(texts), fact_B=torch.tensor(numbers))


def _clauses(reading: TextReader, rows: Sequence[Row], own: Sequence[random.Random]) -> Clauses:
    """Of all that is known of a product some, at most CLAUSES; of one of which nothing is known none."""
    drawn = [known_clauses(row) for row in rows]
    bags = [draw.sample(said, min(len(said), CLAUSES)) for said, draw in zip(drawn, own, strict=True)]
    most = max(1, *map(len, bags))
    texts = [text for bag in bags for text in (*bag, *[""] * (most - len(bag)))]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(filter(None, texts)))} | {"": -1}
    words = reading.words(texts)
    return Clauses(
        ids_BCT=words.ids_BT.unflatten(0, (-1, most)),
        real_BCT=words.real_BT.unflatten(0, (-1, most)),
        number_BC=torch.tensor([numbers[text] for text in texts]).unflatten(0, (-1, most)),
    )


def known_clauses(row: Row) -> list[str]:
    """`T-shirts`, `colour: blue`, ...: the narrowest category, and each value, each once."""
    said = fact_line(row["category_path"] or (), pairs(row["attributes"]))
    return list(dict.fromkeys(filter(None, said.split("; "))))


def _edits(
    reading: TextReader, titles: Sequence[str], facts: Sequence[Collection[int]], own: Sequence[random.Random]
) -> EditedTitles:
    drawn = zip(titles, facts, own, strict=True)
    edits = [edited(title, holding, reading.ontology, draw) for title, holding, draw in drawn]
    texts = [title if edit is None else edit.text for title, edit in zip(titles, edits, strict=True)]
    both = reading.words([*titles, *texts])  # of a title that is cut off the edit may be as well
    title_BT, edited_BT = both.ids_BT.split(len(titles))
    return EditedTitles(words=both.rows(slice(len(titles), None)), lies_B=(title_BT != edited_BT).any(1))
