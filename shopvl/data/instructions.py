"""What a writer is told of a product, and what it is to write: titles, sentences, values, whether a title fits."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from shopvl.batch import IGNORED, Words
from shopvl.catalog.cells import language_of
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import fact_name
from shopvl.catalog.sentences import fact_sentence
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.data.augment import fact_line, without_facts
from shopvl.data.rows import Row, facts_of, pairs
from shopvl.recipes.parts.objectives import Task
from shopvl.text.prompts import SLOT, PromptBook, Question

TASK_WORDS: dict[str, dict[Task, str]] = {
    "en": {"title": "title", "sentence": "sentence", "match": "does it match", "gap": "missing", "restore": "whole"},
    "zh": {"title": "标题", "sentence": "描述", "match": "是否相符", "gap": "缺失", "restore": "完整"},
}
YES_NO = {"en": ("yes", "no"), "zh": ("是", "否")}
FREE_WORDS = {"en": "words", "zh": "用词"}  # before words that are to stand in a title and name no fact
HIDDEN, LONGEST_GAP = "...", 3  # what stands for hidden words, and how many there are at most
WITH_WORDS = 0.5  # of the titles are written from their own such words
WITH_TITLE = 0.5  # of the questions come with the title


class Instruction(NamedTuple):
    """The text that a writer reads, and the one it writes."""

    told: str
    written: str


def words_in(title: str) -> list[str]:
    """Its words; of Chinese, which has no blanks, its characters."""
    return list(title) if language_of(title) == "zh" else title.split()


def telling(
    what: Task,
    path: Sequence[str],
    attributes: Sequence[tuple[str, str]],
    words: str = "",
    language: str = "en",
    rng: random.Random | None = None,
) -> str:
    """What a writer reads: task, what is known of the product, and words to use, as in `title: Jeans; colour: blue`."""
    known = fact_line(path, attributes, rng)
    free = f"{FREE_WORDS[language]}: {words}" if words else ""
    return f"{TASK_WORDS[language][what]}: {'; '.join(part for part in (known, free) if part)}"


def asking(book: PromptBook, ontology: Ontology, about: str, title: str = "", language: str = "en") -> str:
    """The question about a property, or about the category, as in `the colour is; title: Blue jeans`."""
    question = Question("sold") if about == CATEGORY else Question("property", about=about)
    asked = book.phrasings(question, ontology, language)[1].replace(SLOT, "").strip()
    return f"{asked}; {TASK_WORDS[language]['title']}: {title}" if title else asked


def joined(told: Words, written: Words, places: int, pad_id: int) -> Words:
    """Both as one text of at most `places` pieces, `[CLS] told [SEP] written [SEP]`, of which the first is given."""
    given_B, rows = told.real_BT.sum(1), []
    for row, count in enumerate(given_B.tolist()):
        rest = written.ids_BT[row][written.real_BT[row]][1:]
        rows.append(torch.cat([told.ids_BT[row, :count], rest])[:places])
    ids_BT = pad_sequence(rows, batch_first=True, padding_value=pad_id)
    place_T, length_B1 = torch.arange(ids_BT.shape[1]), torch.tensor([[len(row)] for row in rows])
    asked_BT = (place_T >= given_B[:, None] - 1) & (place_T < length_B1 - 1)
    next_BT = F.pad(ids_BT[:, 1:], (0, 1)).masked_fill(~asked_BT, IGNORED)
    return Words(ids_BT=ids_BT, real_BT=place_T < length_B1, next_BT=next_BT, given_B=given_B)


def drawn_fact(row: Row, ontology: Ontology, rng: random.Random) -> tuple[int, str] | None:
    """The number of a fact that holds for it, a value or its narrowest category, and what that is the value of."""
    facts, known = ontology.facts, facts_of(row, ontology)
    nodes = [number for number in known if facts[number].kind == "category"]
    values = [number for number in known if facts[number].kind == "value"]
    narrowest = max(nodes, key=lambda number: len(facts[number].path), default=None)
    if not values and narrowest is None:
        return None
    number = rng.choice([*values, *(() if narrowest is None else (narrowest,))])
    return number, CATEGORY if number == narrowest else facts[number].property


class Instructor:
    """Draws instructions for rows to train on. The language is that of a row's title."""

    def __init__(self, ontology: Ontology, book: PromptBook, tasks: Sequence[Task]) -> None:
        self.ontology, self.book, self.tasks = ontology, book, tasks

    def drawn(self, rows: Sequence[Row], rngs: Sequence[random.Random]) -> tuple[list[str], list[str]]:
        """What each row's writer is told, and what it is to write."""
        each = [self.draw(row, rows, rng) for row, rng in zip(rows, rngs, strict=True)]
        return [instruction.told for instruction in each], [instruction.written for instruction in each]

    def draw(self, row: Row, others: Sequence[Row], rng: random.Random) -> Instruction:
        """One for that row; a task that nothing is known for gives way to its title. `others` lend theirs."""
        title = row["title"]
        language = "zh" if language_of(title) == "zh" else "en"
        match rng.choice(self.tasks):
            case "match":
                return self._match(title, others, language, rng)
            case "gap" | "restore" as task if len(words_in(title)) > 1:
                return self._gap(title, task, language, rng)
            case "value" if (drawn := self._value(row, language, rng)) is not None:
                return drawn
            case "sentence" if sentence := self._sentence(row, language):
                return Instruction(self._told("sentence", row, "", language, rng), sentence)
            case _:
                words = ""
                if rng.random() < WITH_WORDS:  # the title's own, but those that name its facts
                    words = " ".join(without_facts(title, facts_of(row, self.ontology), self.ontology).split())
                return Instruction(self._told("title", row, words, language, rng), title)

    @staticmethod
    def _gap(title: str, task: Task, language: str, rng: random.Random) -> Instruction:
        """A run of words gives way to dots, which no title ends with by itself."""
        words = words_in(title)
        length = rng.randint(1, min(LONGEST_GAP, len(words) - 1))
        start = rng.randint(0, len(words) - length)
        joint = "" if language == "zh" else " "
        told = joint.join([*words[:start], HIDDEN, *words[start + length :]])
        written = joint.join(words[start : start + length]) if task == "gap" else title
        return Instruction(f"{TASK_WORDS[language][task]}: {told}", written)

    def _told(self, what: Task, row: Row, words: str, language: str, rng: random.Random) -> str:
        """Any part of what is known: a writer must do with all of it, and with none."""
        kept = rng.random()
        path = row["category_path"] or () if rng.random() < kept else ()
        attributes = [pair for pair in pairs(row["attributes"]) if rng.random() < kept]
        return telling(what, path, attributes, words, language, rng)

    def _sentence(self, row: Row, language: str) -> str:
        return fact_sentence(facts_of(row, self.ontology), self.ontology, language)

    def _value(self, row: Row, language: str, rng: random.Random) -> Instruction | None:
        drawn = drawn_fact(row, self.ontology, rng)
        if drawn is None:
            return None
        number, about = drawn
        name = fact_name(self.ontology, number, language)
        title = row["title"] if rng.random() < WITH_TITLE else ""
        asked = asking(self.book, self.ontology, about, title, language)
        return None if name is None else Instruction(asked, name)

    @staticmethod
    def _match(title: str, others: Sequence[Row], language: str, rng: random.Random) -> Instruction:
        false = [other["title"] for other in others if other["title"] != title]
        yes, no = YES_NO[language]
        word = TASK_WORDS[language]["match"]
        if false and rng.random() < 0.5:
            return Instruction(f"{word}: {rng.choice(false)}", no)
        return Instruction(f"{word}: {title}", yes)
