"""Titles of the English shop in the words of shops elsewhere, to train on.

`translate` finds the names of facts and the frequent other words of a title, and says them again in another language:
in the order that shops there write, with any of the usual words, now and then one of them left in English. The names
are those of `names.json`, the other words those of `title_words.json`.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Fact

HERE = Path(__file__).parent
LANGUAGES = ("de", "fr", "es", "it", "pt", "nl", "zh", "zh-Hant")
CHINESE = ("zh", "zh-Hant")
LEFT_IN_ENGLISH = {"category": 0.06, "colour": 0.08, "gender": 0.08, "word": 0.2}
LEFT_OUT = {"colour": 0.15, "gender": 0.15, "word": 0.2}  # share of what the title says
ADDED = {"category": 0.6, "colour": 0.15, "gender": 0.25, "usage": 0.1}  # share of what it does not say
LEAF_INSTEAD = 0.5  # of titles that name a category above the product's own ("shoes")
REST_KEPT = 0.75  # of titles that have words which are in no list
MOST_WORDS = 4  # of a phrase
GAPS = {" ": 0.9, ", ": 0.06, " - ": 0.04}  # between brand, category and what follows
# B brand, G audience, T type, C colour, W other words, R the rest
ORDERS: Mapping[str, Sequence[str]] = {
    "germanic": ("BGTRWC", "BRGTCW", "BGTCWR", "GTBRCW", "BGCTWR", "BTGWCR", "BRTGC", "TGCB", "BTWRCG"),
    "romance": ("BTGWCR", "TGCWBR", "BTGCWR", "TBRGCW", "BRTGCW", "TWGCB", "TCGB", "BTCG", "TGBRC"),
    "chinese": ("BRGCWT", "BGWCTR", "GCWTB", "BWGCT", "BCGWT", "BGTCW"),
}
_BEFORE = re.compile(r"^(für|pour|para|per|da|de|voor|zum|d')\b", re.IGNORECASE)
_EDGES = re.compile(r"^[^\w&]+|(?:['’]s)?[^\w&]*$")


@dataclass(frozen=True)
class _Phrase:
    """Words of the title, and what they name: a category, colour, audience, use, season or other word."""

    said: str
    kind: str = ""  # empty where nothing is known
    key: str = ""


@dataclass
class _Parts:
    """A title taken apart."""

    brand: list[str] = field(default_factory=list)
    known: list[_Phrase] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Lexicon:
    """Kind and key -> language -> words; and English phrase -> what it may name."""

    words: Mapping[tuple[str, str], Mapping[str, Sequence[str]]]
    english: Mapping[str, Sequence[tuple[str, str]]]
    brands: frozenset[str]


def translate(title: str, facts: Iterable[Fact], language: str, rng: random.Random) -> str:
    """The title as a shop of that language may write it, with names of the product's `facts` in its words.

    Every call draws anew. Brands stay as they are. Raises KeyError for a language that is not one of LANGUAGES.
    """
    lexicon = _lexicon()
    own = _own(facts)
    parts = _taken_apart(title, own, lexicon)
    told = _told(parts, own, lexicon, rng)
    groups: dict[str, list[str]] = {letter: [] for letter in "BGTCWR"}
    groups["B"] = [" ".join(parts.brand)] if parts.brand else []
    head = ""
    order = rng.choice(ORDERS[_family(language)])
    behind = order.find("T") < order.find("C")
    for phrase in sorted(told, key=lambda phrase: phrase.kind != "category"):
        word = _said(phrase, language, head if behind else "", lexicon, rng)
        head = head or word
        groups[_LETTERS.get(phrase.kind, "W")].append(word)
    if parts.rest and rng.random() < REST_KEPT:
        groups["R"] = [" ".join(parts.rest)]
    for words in groups.values():
        words[:] = dict.fromkeys(words)
    rng.shuffle(groups["W"])
    return _cased(_joined(groups, order, language, rng), language, rng) or title


_LETTERS = {"category": "T", "colour": "C", "gender": "G"}


def _own(facts: Iterable[Fact]) -> dict[str, str]:
    """The kind of each fact -> its name: of the category the leaf."""
    own: dict[str, str] = {}
    depth = 0
    for fact in facts:
        if fact.kind == "value":
            own[fact.property] = fact.value
        elif len(fact.path) > depth:
            own["category"], depth = fact.path[-1], len(fact.path)
    return own


def _taken_apart(title: str, own: Mapping[str, str], lexicon: _Lexicon) -> _Parts:
    words = title.split()
    plain = [folded(_EDGES.sub("", word)) for word in words]
    parts = _Parts()
    start = 0
    for size in range(min(5, len(words)), 0, -1):
        if folded(" ".join(words[:size])) in lexicon.brands:
            parts.brand, start = words[:size], size
            break
    while start < len(words):
        for size in range(min(MOST_WORDS, len(words) - start), 0, -1):
            meant = lexicon.english.get(" ".join(plain[start : start + size]))
            if meant:
                kind, key = next((pair for pair in meant if own.get(pair[0]) == pair[1]), meant[0])
                parts.known.append(_Phrase(" ".join(words[start : start + size]), kind, key))
                start += size
                break
        else:
            if plain[start] not in _SMALL_WORDS or not parts.known:
                (parts.rest if parts.known else parts.brand).append(words[start])
            start += 1
    return parts


_SMALL_WORDS = frozenset(("with", "and", "&", "of", "for", "in", "by", "on", "the", "to", "a", "-", "+", ""))


def _told(parts: _Parts, own: Mapping[str, str], lexicon: _Lexicon, rng: random.Random) -> list[_Phrase]:
    """What is said again: some of it left out, and some of the product's facts added."""
    kinds = {phrase.kind for phrase in parts.known}
    told = [phrase for phrase in parts.known if rng.random() >= LEFT_OUT.get(phrase.kind, 0.0)]
    named = ("category", own.get("category")) in lexicon.words
    if named and "category" in kinds and rng.random() < LEAF_INSTEAD:
        told = [phrase for phrase in told if phrase.kind != "category"] + [_Phrase("", "category", own["category"])]
    for kind, share in ADDED.items():
        if kind in own and kind not in kinds and (kind, own[kind]) in lexicon.words and rng.random() < share:
            told.append(_Phrase("", kind, own[kind]))
    return told


def _said(phrase: _Phrase, language: str, head: str, lexicon: _Lexicon, rng: random.Random) -> str:
    """The phrase in that language; a colour often with the ending of the noun, `head`."""
    share = LEFT_IN_ENGLISH.get(phrase.kind, LEFT_IN_ENGLISH["word"])
    if phrase.said and rng.random() < share and language not in CHINESE:
        return phrase.said
    words = lexicon.words[phrase.kind, phrase.key][language]
    if phrase.kind == "colour" and head and rng.random() < 0.6:
        if _family(language) == "romance":  # "camisa roja"
            words = [word for word in words if word[-1:] == head.split()[0][-1:]] or words
        else:  # "rotes Hemd", but "Hemd rot"
            words = [word for word in words if word == words[0] or not word.startswith(words[0])]
    return rng.choices(words, [1 / (rank + 1) for rank in range(len(words))])[0]


def _family(language: str) -> str:
    return "chinese" if language in CHINESE else "germanic" if language in ("de", "nl") else "romance"


def _joined(groups: Mapping[str, list[str]], order: str, language: str, rng: random.Random) -> str:
    family = _family(language)
    audience = groups["G"][0] if groups["G"] else ""
    if audience and family == "germanic" and _BEFORE.match(audience):  # "Hemd für Herren"
        order = order.replace("G", "").replace("T", "TG")
    said = [" ".join(groups[letter]) for letter in order if groups[letter]]
    if family == "chinese":
        return _run_on(groups, order, rng)
    if family == "germanic" and "GT" in order and audience.isalpha() and groups["T"] and rng.random() < 0.2:
        at = [letter for letter in order if groups[letter]].index("T")
        noun = said.pop(at)
        said[at - 1] += f"-{noun}" if rng.random() < 0.5 else noun[0].lower() + noun[1:]  # "Herrenhemd"
    gap = rng.choices(list(GAPS), list(GAPS.values()))[0]
    return gap.join(said) if gap == " " or rng.random() < 0.5 else gap.join((said[0], " ".join(said[1:])))


def _run_on(groups: Mapping[str, list[str]], order: str, rng: random.Random) -> str:
    """Chinese: no blanks but around the brand and words of other scripts."""
    blank = " " if rng.random() < 0.2 else ""
    text = ""
    for letter in order:
        part = (blank if letter not in "BR" else " ").join(groups[letter])
        if part:
            apart = " " if letter in "BR" or (text and text[-1].isascii()) else blank
            text += (apart if text else "") + part
    return text


def _cased(text: str, language: str, rng: random.Random) -> str:
    drawn = rng.random()
    if language in CHINESE or drawn < 0.6:
        return text
    if drawn < 0.72:
        return text.lower()
    if drawn < 0.76:
        return text.upper()
    return text.title() if drawn < 0.88 else text[:1].upper() + text[1:]


@lru_cache(maxsize=1)
def _lexicon() -> _Lexicon:
    names = json.loads((HERE / "names.json").read_text("utf-8"))
    others = json.loads((HERE / "title_words.json").read_text("utf-8"))
    entries: dict[tuple[str, str], Mapping[str, Any]] = {
        ("category", name): entry for name, entry in names["categories"].items()
    }
    for prop, entry in names["properties"].items():
        entries |= {(prop, value): own for value, own in entry["values"].items()}
    english: dict[str, list[tuple[str, str]]] = {}
    for (kind, key), entry in entries.items():
        for name in (key, *entry.get("synonyms", ())):
            english.setdefault(folded(name), []).append((kind, key))
            english.setdefault(folded(name).removesuffix("s"), []).append((kind, key))
    for entry in others["words"]:
        key = entry["en"][0]
        entries["word", key] = entry
        for phrase in entry["en"]:
            english.setdefault(folded(phrase), []).append(("word", key))
    words = {pair: {language: entry[language] for language in LANGUAGES} for pair, entry in entries.items()}
    return _Lexicon(words, english, frozenset(map(folded, others["brands"])))
