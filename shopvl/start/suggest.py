"""A list of values to begin with, out of the titles of a catalog: what they name of known lists, and what they end on.

Values of known lists (the bundled model's own, or a list that people have, such as a taxonomy's attributes) are kept
where titles name them. Titles that name no known category show further ones: in English, the noun that says what a
product is stands last, before a comma, a dash, or words such as "for" (the head of a noun phrase).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shopvl.catalog.label_list import read_label_list
from shopvl.catalog.languages import SMALL_WORDS
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.plural import singular
from shopvl.catalog.queries import facts_by_name, plain_words
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.files import atomic_write

SUGGESTED = "labels.yaml"
LEAST, LEAST_SHARE = 3, 0.002  # titles that have to name a value; of all titles
WHOLE_SHARE = 0.5  # of the titles that end on a noun: from there on it is suggested with the word before it
MOST_CATEGORIES, MOST_WORDS = 300, 40
NOUN_ENDS = re.compile(r"\s[-–—|/]\s|[,;:(\[]|\s(?:for|with|in|by|from|of|w/)\s", re.IGNORECASE)
Counts = list[tuple[str, int]]  # a value, and in how many titles it stands; the most frequent first


@dataclass(frozen=True)
class Suggested:
    """Values by property, categories first, and words that are frequent in titles besides; with their numbers."""

    titles: int
    values: dict[str, Counts]
    words: Counts

    def write(self, path: Path) -> None:
        """As a YAML list for people to edit, which `read_label_list` reads."""
        lines = [
            f"# Suggested from {self.titles:,} titles; behind each value, how many name it.",
            "# Keep what is right, delete the rest, and add what is missing; other names stand behind a |.",
        ]
        for name, counts in self.values.items():
            lines += [f"{_quoted(name)}:", *(f"  - {_quoted(value)}  # {count:,}" for value, count in counts)]
        if self.words:
            lines += ["# Frequent words that stand for none of these, for further values:"]
            lines += [f"#   {word} {count:,}" for word, count in self.words]
        with atomic_write(path) as draft:
            draft.write_text("\n".join([*lines, ""]), "utf-8")


def suggest_list(catalog: Catalog, folder: Path, labels: Path | None, base: Path) -> Suggested:
    """Suggest values for a catalog and write them into `folder/SUGGESTED`, unless such a list is there: people edit it.

    Known values are those of the list in `labels`, else of the model in `base`. Raises CatalogError as `suggest` does.
    """
    target = folder / SUGGESTED
    if target.exists():
        raise CatalogError(f"{target} is there already; delete it for a new one, or name it with --labels to start")
    known = Design.from_pretrained(base).ontology if labels is None else read_label_list(labels)
    titles = (title or "" for frame in catalog.batches(columns=("title",)) for title in frame["title"])
    found = suggest(titles, known)
    folder.mkdir(parents=True, exist_ok=True)
    found.write(target)
    return found


def suggest(titles: Iterable[str], known: Ontology) -> Suggested:
    """What to ask of a catalog with these titles. Raises CatalogError where none is there, or all say other things."""
    told = [title for title in titles if title.strip()]
    if not told:
        raise CatalogError("no product has a title, so no values can be suggested; write down a list of your own")
    least = max(LEAST, round(LEAST_SHARE * len(told)))
    named: Counter[int] = Counter()
    open_titles: list[str] = []  # that name no known category
    others: Counter[str] = Counter()
    for title in told:
        facts = {number for group in facts_by_name(title, known) for number in group}
        named.update(facts)
        if not any(known.facts[number].kind == "category" for number in facts):
            open_titles.append(title)
        said = {word for number in facts for name in known.names_of_facts[number] for word in _words(name)}
        others.update({word for word in _words(title) if word not in said and _is_word(word)})
    values: dict[str, Counts] = {}
    leaves = set(known.leaves())
    for number, count in named.most_common():
        fact = known.facts[number]
        if count >= least and (fact.kind == "value" or fact.path in leaves):
            name, value = (fact.property, fact.value) if fact.kind == "value" else (CATEGORY, _path(fact.path))
            values.setdefault(name, []).append((value, count))
    heads = heads_of(open_titles, least)
    categories = [*values.pop(CATEGORY, []), *heads]
    found = {CATEGORY: sorted(categories, key=lambda own: -own[1])[:MOST_CATEGORIES]} if len(categories) > 1 else {}
    found |= {name: counts for name, counts in values.items() if len(counts) > 1}
    if not found:
        raise CatalogError(
            f"of {len(told):,} titles too few name the same thing to suggest values; write down a list of your own"
        )
    taken = {word for value, _ in heads for word in _words(value)}
    words = [(word, count) for word, count in others.most_common() if count >= least and word not in taken]
    return Suggested(len(told), found, words[:MOST_WORDS])


def heads_of(titles: Sequence[str], least: int) -> Counts:
    """What titles end on, as it is mostly spelled, the most frequent first; with the word before it where most of them
    have that one."""
    spelled: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    before: defaultdict[str, Counter[str]] = defaultdict(Counter)  # head -> words before it
    for title in titles:
        words = [word for word in NOUN_ENDS.split(f" {title} ", maxsplit=1)[0].split() if _is_word(word.casefold())]
        if len(words) > 1:  # a single word is a name
            *_, first, last = words
            head, modifier = singular(last.casefold()), first.casefold()
            before[head][modifier] += 1
            spelled[head,][last] += 1
            spelled[modifier, head][f"{first} {last}"] += 1
    found = []
    for head, modifiers in before.items():
        if (count := modifiers.total()) >= least:
            modifier, together = modifiers.most_common(1)[0]
            phrase = (modifier, head) if together >= WHOLE_SHARE * count else (head,)
            found.append((spelled[phrase].most_common(1)[0][0], count))
    return sorted(found, key=lambda own: (-own[1], own[0]))


def _words(text: str) -> list[str]:
    return [singular(word) for word in plain_words(text)]


def _is_word(word: str) -> bool:
    """Whether it may name something: letters alone, and no small word of a language."""
    return len(word) > 2 and word.replace("-", "").isalpha() and not any(word in own for own in SMALL_WORDS.values())


def _path(path: Sequence[str]) -> str:
    return CATEGORY_JOIN.join(path)


def _quoted(text: str) -> str:
    """A YAML scalar: JSON's strings are such."""
    return json.dumps(text, ensure_ascii=False)
