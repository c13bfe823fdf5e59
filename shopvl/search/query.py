"""Reads queries: what their words name, do not want, bound and are called by, on one index."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cached_property

from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.chinese import simplified
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.ontology import Fact, Ontology
from shopvl.catalog.queries import facts_called, facts_meant, language_spoken, plain_words, says
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.search.amounts import Amount, Bound, amounts_in, condition_of, sizes_in
from shopvl.search.filters import Condition, Facts, fact_of
from shopvl.search.identifiers import Identifiers
from shopvl.search.parsed_query import AUDIENCE_CERTAINTY, Meaning, ParsedQuery
from shopvl.search.shopper_words import (
    AFTER_FOR,
    AFTER_NEGATED,
    AFTER_NEGATOR,
    ALSO_NEGATED,
    AUDIENCE_NAMES,
    AUDIENCES,
    CHINESE_AFTER_NEGATED,
    CHINESE_NEGATORS,
    CURRENCIES,
    FILLERS,
    FOR,
    NEGATORS,
    PRICE_COLUMNS,
    SPEAK_FOR,
)
from shopvl.search.spelling import ReadAs, Spelling

LONGEST_NAME = 4  # words of a name behind "not"
LONGEST_CHINESE_NAME = 8  # characters
_NEGATOR_WORDS = sorted((tuple(plain_words(phrase)) for phrase in NEGATORS), key=len, reverse=True)
KEPT = frozenset(  # words that are read as what they are
    {word for phrase in _NEGATOR_WORDS for word in phrase}
    | {word for words in (*AUDIENCES.values(), *AFTER_FOR.values()) for word in words}
    | FILLERS
    | FOR
    | AFTER_NEGATOR
    | CURRENCIES.keys()
)


class QueryReader:
    """Reads the queries on one index: by the names of its ontology, the words of its titles and its columns."""

    def __init__(
        self,
        ontology: Ontology,
        facts: Facts,
        spelling: Spelling,
        is_title: Callable[[str], bool] = lambda text: False,
        identifiers: Identifiers | None = None,
    ) -> None:
        """`is_title` says whether a product's title has all the words of a text, in their order."""
        self.ontology, self.facts, self.spelling, self._is_title = ontology, facts, spelling, is_title
        self.identifiers = identifiers

    def read(self, text: str, not_meant: Collection[str] = ()) -> ParsedQuery:
        """What a query means, without the parts of it that are `not_meant`."""
        taken_back = frozenset(not_meant)
        ids, others = self.identifiers.named_in(text) if self.identifiers else ((), text)
        if any(f"id {written}" in taken_back for written in ids):
            ids, others = (), text
        if ids and not others:
            return ParsedQuery(text=text, ids=ids)
        return replace(self._worded(others, taken_back), text=text, ids=ids)

    def _worded(self, text: str, taken_back: frozenset[str]) -> ParsedQuery:
        """What the words of a query mean that are no ids."""
        plain = self._plain(text)
        amounts, sizes = amounts_in(plain), sizes_in(plain)
        negated = self._negates(plain)
        if (amounts or negated) and self._is_title(text):  # a copied title: "No Show Socks"
            amounts, negated = [], False
        notes: list[str] = []
        language = self._language(plain)
        bounds, plain = self._without_amounts(plain, amounts, sizes, notes)
        excluded: list[Fact] = []
        if language_of(plain) == "zh":
            words, excluded = self._chinese_negated(plain) if negated else ([plain], [])
            readings: list[ReadAs] = []
        else:
            words, readings = self.spelling.read(_spaced(plain), language, taken_back)
            language = self._language(" ".join(words)) if readings else language
            if negated:
                words, excluded = self._negated(words)
        words = self._for_whom(words, language, readings, taken_back, notes)
        wanted = [word for word in words if word not in FILLERS] or words
        read = " ".join(wanted)
        facts = [fact for fact in self._facts(read, language) if str(fact) not in taken_back]
        return self._parsed(
            text, read, language, readings, facts, [fact for fact in excluded if f"not {fact}" not in taken_back],
            [bound for bound in bounds if str(bound) not in taken_back],
            [size for *_, size in sizes if f"size {size}" not in taken_back], notes,
        )  # fmt: skip

    def _parsed(
        self,
        text: str,
        read: str,
        language: str,
        readings: Sequence[ReadAs],
        facts: Sequence[Fact],
        excluded: Sequence[Fact],
        bounds: Sequence[Bound],
        sizes: Sequence[str],
        notes: list[str],
    ) -> ParsedQuery:
        """The parts, with the filters that they come to."""
        certain, wishes = self._conditions(bounds, sizes, notes)
        return ParsedQuery(
            text=text,
            read=read,
            language=language,
            readings=tuple(readings),
            meanings=tuple(Meaning(fact, self._certainty(fact, readings)) for fact in facts),
            excluded=tuple(excluded),
            bounds=tuple(bounds),
            sizes=tuple(sizes),
            conditions=(*self._exclusions(excluded), *certain),
            wishes=tuple(wishes),
            unknown=tuple(self.spelling.unknown(read.split())),
            notes=tuple(notes),
        )

    # --- what is wanted

    def _facts(self, read: str, language: str) -> list[Fact]:
        """The facts that the words name, and brands that only the products have."""
        facts = list(facts_meant(read, self.ontology, language=language or None))
        return facts + [fact for fact in self._brands_in(read) if _about(fact) not in set(map(_about, facts))]

    def _language(self, plain: str) -> str:
        """By names and small words, if no negator or bound tells it."""
        said = set(plain.split())
        telling = (language for language, words in SPEAK_FOR.items() if said & words)
        return next(telling, "") or language_spoken(plain, self.ontology)

    def _plain(self, text: str) -> str:
        """Lower case, simplified characters, and words of one Chinese-speaking place as the others say them."""
        plain = simplified(folded(text))
        if language_of(plain) == "zh":
            for said, name in self._elsewhere:
                plain = plain.replace(said, name)
        return plain

    @cached_property
    def _elsewhere(self) -> list[tuple[str, str]]:
        """Names in traditional characters that are none when simplified -> the simplified name of the same."""
        pairs = {
            simplified(folded(name)): folded(spoken["zh"][0])
            for spoken in self.ontology.names_by_language.values()
            if spoken.get("zh")
            for name in spoken.get("zh-Hant", ())
        }
        unknown = [(said, name) for said, name in pairs.items() if not facts_called(said, self.ontology)]
        return sorted(unknown, key=lambda pair: (-len(pair[0]), pair))

    def _brands_in(self, read: str) -> list[Fact]:
        """Brands that the products have and the ontology does not know."""
        words = plain_words(read)
        spans = (
            words[start:end] for start in range(len(words)) for end in range(start + 1, min(start + 4, len(words) + 1))
        )
        return [fact_of("brand", name) for span in spans if (name := " ".join(span)) in self._own_brands]

    @cached_property
    def _own_brands(self) -> frozenset[str]:
        known = self.ontology.property("brand")
        names = {folded(value.id) for value in known.values} if known else set()
        return frozenset(value for value in self.facts.values_of("brand") if value not in names and len(value) > 2)

    def _certainty(self, fact: Fact, readings: Sequence[ReadAs]) -> float:
        names = [name for one in fact.each() for name in self._names_of(one)]
        bold = [reading.certainty for reading in readings if any(says(reading.read, name) for name in names)]
        return min(bold, default=1.0)

    def _names_of(self, fact: Fact) -> tuple[str, ...]:
        number = self._numbers.get(fact)
        return () if number is None else self.ontology.names_of_facts[number]

    @cached_property
    def _numbers(self) -> dict[Fact, int]:
        return {fact: number for number, fact in enumerate(self.ontology.facts)}

    def _for_whom(
        self, words: list[str], language: str, readings: list[ReadAs], taken_back: frozenset[str], notes: list[str]
    ) -> list[str]:
        """The words with the catalog's own names in place of "dad" and "for her"."""
        if words and language_of(words[0]) == "zh" and len(words) == 1:
            return self._chinese_for_whom(words[0], readings, taken_back, notes)
        result: list[str] = []
        for word in words:
            kind = next((kind for kind, own in AUDIENCES.items() if word in own), None)
            if kind is None and result and result[-1] in FOR:
                kind = next((kind for kind, own in AFTER_FOR.items() if word in own), None)
            if kind is None or facts_called(word, self.ontology):
                result.append(word)
                continue
            result += self._audience(word, kind, language, readings, taken_back, notes)
        return result

    def _chinese_for_whom(
        self, text: str, readings: list[ReadAs], taken_back: frozenset[str], notes: list[str]
    ) -> list[str]:
        for kind, words in AUDIENCES.items():
            pronouns = tuple(word + own for word in ("送给", "给", "送") for own in AFTER_FOR.get(kind, ()))
            for word in sorted((*words, *pronouns), key=len, reverse=True):
                if language_of(word) == "zh" and word in text and not facts_called(word, self.ontology):
                    named = " ".join(self._audience(word, kind, "zh", readings, taken_back, notes))
                    text = text.replace(word, f" {named} ")
        for filler in FILLERS:
            text = text.replace(filler, " ") if language_of(filler) == "zh" else text
        return text.split()

    def _audience(
        self,
        word: str,
        kind: str,
        language: str,
        readings: list[ReadAs],
        taken_back: frozenset[str],
        notes: list[str],
    ) -> list[str]:
        """The names of an audience in a language, and the reading said; none where no product is for it."""
        names = self._audience_names(kind, language)
        reading = ReadAs(word, " ".join(names), AUDIENCE_CERTAINTY)
        if not names:
            notes.append(f"{word}: no product is said to be for {kind}")
        elif str(reading) not in taken_back:
            readings.append(reading)
            return names
        return []

    def _audience_names(self, kind: str, language: str) -> list[str]:
        for names in AUDIENCE_NAMES[kind]:
            numbers = [number for name in names for number in sorted(facts_called(name, self.ontology))]
            if numbers and all(known_property(self.ontology.facts[number].property).audience for number in numbers):
                spoken = (self.ontology.names_by_language[number].get(language, ()) for number in numbers)
                return [folded(own[0]) if own else name for own, name in zip(spoken, names, strict=False)]
        return []

    # --- what is not wanted

    def _negates(self, plain: str) -> bool:
        if language_of(plain) == "zh":
            return any(negator in plain for negator in (*CHINESE_NEGATORS, *CHINESE_AFTER_NEGATED[:3]))
        words = _spaced(plain)
        return any(_negator_at(words, start) for start in range(len(words)))

    def _negated(self, words: Sequence[str]) -> tuple[list[str], list[Fact]]:
        """The words without what is negated, and the facts that are; a negator before no name says nothing."""
        kept: list[str] = []
        excluded: list[Fact] = []
        start = 0
        while start < len(words):
            size = 0 if self._name_at(words, start)[1] > 1 else _negator_at(words, start)  # "no heel" is a name
            after = start + size
            while size and after < len(words) and words[after] in AFTER_NEGATOR and not self._name_at(words, after)[1]:
                after += 1
            facts, length = self._name_at(words, after) if size else ([], 0)
            if not length:
                kept.append(words[start])
                start += 1
                continue
            excluded += facts
            start = after + length
            while start + 1 < len(words) and words[start] in ALSO_NEGATED:
                more, length = self._name_at(words, start + 1)
                if not length or {_about(fact) for fact in more} != {_about(fact) for fact in facts}:
                    break
                excluded += more
                start += 1 + length
            if start < len(words) and words[start] in AFTER_NEGATED:
                start += 1
        return kept, excluded

    def _name_at(self, words: Sequence[str], start: int) -> tuple[list[Fact], int]:
        """The facts of the longest name that begins there, and how many words it has."""
        for end in range(min(start + LONGEST_NAME, len(words)), start, -1):
            if named := facts_called(" ".join(words[start:end]), self.ontology):
                return [self.ontology.facts[number] for number in sorted(named)], end - start
        return [], 0

    def _chinese_negated(self, text: str) -> tuple[list[str], list[Fact]]:
        """The same where no blanks are between words: 不要黑色的衬衫, 除了黑色, 黑色除外."""
        excluded: list[Fact] = []
        start, kept = 0, ""
        while start < len(text):
            negator = next((own for own in CHINESE_NEGATORS if text.startswith(own, start)), "")
            name, facts = self._chinese_name_at(text, start)
            if not name and negator:
                name, facts = self._chinese_name_at(text, start + len(negator))
                if name:
                    start += len(negator) + len(name)
                    behind = next((own for own in CHINESE_AFTER_NEGATED if text.startswith(own, start)), "")
                    start += len(behind)
                    excluded += facts
                    continue
            behind = next((own for own in CHINESE_AFTER_NEGATED[:3] if text.startswith(own, start + len(name))), "")
            if name and behind:
                excluded += facts
                start += len(name) + len(behind)
                continue
            size = max(len(name), 1)
            kept += text[start : start + size]
            start += size
        return kept.split(), excluded

    def _chinese_name_at(self, text: str, start: int) -> tuple[str, list[Fact]]:
        for end in range(min(start + LONGEST_CHINESE_NAME, len(text)), start, -1):
            name = text[start:end]
            if language_of(name) == "zh" and (named := facts_called(name, self.ontology)):
                return name, [self.ontology.facts[number] for number in sorted(named)]
        return "", []

    # --- filters

    def _without_amounts(
        self, plain: str, amounts: Sequence[Amount], sizes: list[tuple[int, int, str]], notes: list[str]
    ) -> tuple[list[Bound], str]:
        """The bounds on columns that there are, and the text without what said them and the sizes."""
        bounds: list[Bound] = []
        gone = [(start, end) for start, end, _ in sizes] if self._size_column else []
        for amount in amounts:
            named, start = self._measured(plain[: amount.start])
            about_price = all(bound.about for bound in amount.bounds)
            if not about_price and not named:
                continue  # a number with a measure, of nothing that products have: words like others
            bounds += [b if about_price else Bound(named, b.sign, b.number, b.unit, b.certain) for b in amount.bounds]
            gone.append((amount.start if about_price else start, amount.end))
        for start, end in sorted(gone, reverse=True):
            plain = f"{plain[:start]} {plain[end:]}"
        if not self._size_column and sizes:
            notes.append("no product has a size: sizes are words like others")
        return bounds, plain

    def _measured(self, before: str) -> tuple[str, int]:
        """The property that the last words of a text name, and where they begin."""
        words = before.split()
        for size in range(min(3, len(words)), 0, -1):
            name = " ".join(words[-size:])
            prop = self.ontology.property(name)
            column = folded(prop.id) if prop else name
            if column in self.facts.properties():
                return column, before.rindex(words[-size])
        return "", 0

    def _conditions(
        self, bounds: Sequence[Bound], sizes: Sequence[str], notes: list[str]
    ) -> tuple[list[Condition], list[Condition]]:
        """Filters of what is certain, and conditions of what is wished."""
        certain: list[Condition] = []
        wishes: list[Condition] = []
        for bound in bounds:
            column = self._price_column if bound.about == "price" else bound.about
            if column is None:
                notes.append(f"{bound}: no product has a price")
                continue
            same = self._same_currency(bound, notes)
            (certain if bound.certain and same else wishes).append(condition_of(bound, column))
        for size in sizes:
            if self._size_column is not None:
                known = [own for own in (folded(size), folded(size).split()[-1]) if own in self._size_values]
                if known:
                    certain.append(Condition(self._size_column, "=", known[0]))
                else:
                    notes.append(f"no product has the size {size}")
        return certain, wishes

    def _same_currency(self, bound: Bound, notes: list[str]) -> bool:
        own = self._price_currency
        if bound.about != "price" or not bound.unit or not own or bound.unit == own:
            return True
        notes.append(f"{bound}: prices are in {own}, so it is a wish only")
        return False

    @cached_property
    def _price_column(self) -> str | None:
        properties = self.facts.properties()
        return next((name for name in PRICE_COLUMNS if name in properties), None)

    @cached_property
    def _price_currency(self) -> str:
        """The currency that prices are written with, where it is one; a column of numbers has none."""
        values = self.facts.values_of(self._price_column) if self._price_column else ()
        said = {code for value in values[:1000] for word in _letters(value) if (code := CURRENCIES.get(word))}
        return said.pop() if len(said) == 1 else ""

    @cached_property
    def _size_column(self) -> str | None:
        return next((name for name in self.facts.properties() if known_property(name).name == "size"), None)

    @cached_property
    def _size_values(self) -> frozenset[str]:
        return frozenset(self.facts.values_of(self._size_column)) if self._size_column else frozenset()

    def _exclusions(self, excluded: Sequence[Fact]) -> list[Condition]:
        """Filters of what is negated, on properties that products have."""
        known = self.facts.properties()
        conditions = []
        for fact in excluded:
            name = CATEGORY if fact.kind == "category" else fact.property
            value = CATEGORY_JOIN.join(fact.path) if fact.kind == "category" else fact.value
            if folded(name) in known:
                conditions.append(Condition(name, "!=", value))
        return conditions


def _about(fact: Fact) -> str:
    return CATEGORY if fact.kind == "category" else folded(fact.property)


def _spaced(plain: str) -> list[str]:
    """Words, with the "non" of "non-black" and the minus of "-black" as words of their own."""
    words = plain_words(
        " ".join(f"not {word[1:]}" if word[0] == "-" and len(word) > 2 else word for word in plain.split())
    )
    parts = (part for word in words for part in (("non", word[4:]) if word.startswith("non-") else (word,)))
    return [part for part in parts if any(map(str.isalnum, part))]


def _negator_at(words: Sequence[str], start: int) -> int:
    """How many words of a negator begin there."""
    return next((len(own) for own in _NEGATOR_WORDS if tuple(words[start : start + len(own)]) == own), 0)


def _letters(value: str) -> list[str]:
    """Words and signs of a cell that are no digits: `49.99 usd` -> `usd`."""
    return "".join(" " if letter.isdigit() or letter in ".," else letter for letter in value).split()
