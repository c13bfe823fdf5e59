"""What shoppers ask for: a log of real queries, or queries made from what a product is."""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from shopvl.catalog.cells import folded, language_of, without_accents
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.languages import ENGLISH_TOO, OWN, SMALL_WORDS, language_among
from shopvl.catalog.ontology import Fact, Ontology, Pair
from shopvl.catalog.plural import singular
from shopvl.catalog.vocabulary import CATEGORY

_Entry = Mapping[str, frozenset[int]]  # language -> the facts that a name stands for in it
PROPERTY_WEIGHTS = (15, 40, 30, 15)  # how many properties are named: 0, 1, 2, 3

AUDIENCE_WORDS: Mapping[str, str] = {"male": "men", "man": "men", "female": "women", "woman": "women"}


@dataclass(frozen=True, slots=True)
class Query:
    """A query, the facts that a product must have to fit it, and whether it was made rather than logged."""

    text: str
    wants: tuple[int, ...] = ()
    made: bool = True


def make_query(
    title: str | None,
    category_path: Sequence[str] | None,
    attributes: Iterable[Pair] | None,
    ontology: Ontology,
    rng: random.Random,
    *,
    language: str = "en",
    title_probability: float = 0.2,
    leaf_probability: float = 0.85,
) -> Query:
    """A query that the product fits: its category with up to three properties in natural order, or a part of its title.

    A part of the title with `title_probability`; else its category: with `leaf_probability` the leaf, or one above it.
    In another language than English only what has a name in it is said; where not even the category has one, the
    query is in English. A product that the ontology does not know gives a part of its title, one with no title
    either an empty text.
    """
    ids = ontology.fact_ids(category_path, attributes)
    facts = {number: ontology.facts[number] for number in ids}
    nodes = [number for number, fact in facts.items() if fact.kind == "category"]
    nodes.sort(key=lambda number: len(facts[number].path))
    if title and title.strip() and (not nodes or rng.random() < title_probability):
        text = _fragment(title, rng)
        return Query(text, facts_named(text, ontology, within=ids))
    if not nodes:
        return Query("")
    node = nodes[-1] if len(nodes) == 1 or rng.random() < leaf_probability else rng.choice(nodes[:-1])
    if language != "en" and fact_name(ontology, node, language) is None:
        language = "en"
    noun = fact_name(ontology, node, language) or facts[node].path[-1].casefold()
    chosen = _properties(ontology, facts, noun, language, rng)
    if language == "zh":
        ranked = sorted(chosen, key=lambda item: _chinese_position(item[1]))
        text = "".join(word for _, _, word in ranked) + noun
    else:
        text = _english(noun, [(fact.property, word) for _, fact, word in chosen], rng)
    return Query(text, tuple(sorted((node, *(number for number, _, _ in chosen)))))


def _properties(
    ontology: Ontology, facts: Mapping[int, Fact], noun: str, language: str, rng: random.Random
) -> list[tuple[int, Fact, str]]:
    """Up to three values to name: fact, and the word for it. One per property, and none that the noun says already."""
    sayable: dict[str, tuple[int, Fact, str]] = {}
    candidates = [(number, fact) for number, fact in facts.items() if fact.kind == "value"]
    rng.shuffle(candidates)
    for number, fact in candidates:
        word = fact_name(ontology, number, language)
        if word and fact.property not in sayable and word.strip() and not says(noun, word):
            sayable[fact.property] = (number, fact, word)
    wanted = rng.choices(range(len(PROPERTY_WEIGHTS)), PROPERTY_WEIGHTS)[0]
    return list(sayable.values())[:wanted]


def says(text: str, name: str) -> bool:
    """Whether the words of a name stand in the text, plural or not; a Chinese name may stand anywhere in it."""
    return f" {_stemmed(name)} " in f" {_stemmed(text)} " or (language_of(name) == "zh" and name in text)


def _english(noun: str, said: Sequence[tuple[str, str]], rng: random.Random) -> str:
    front: list[tuple[int, str]] = []
    behind: list[str] = []
    for name, word in said:
        prop = known_property(name)
        if prop.audience:
            audience = AUDIENCE_WORDS.get(word, word)
            if audience == "unisex" or rng.random() < 0.5:
                owned = f"{audience}'s" if audience in ("men", "women") and rng.random() < 0.3 else audience
                front.append((-1, owned))
            else:
                behind.append(f"for {audience}")
        elif prop.behind or word.replace(".", "").isdigit():
            behind.insert(0, f"{folded(name)} {word}")
        elif prop.purpose and rng.random() < 0.3:
            behind.append(f"for {word}")
        else:
            front.append((prop.position, word))
    words = [word for _, word in sorted(front, key=lambda item: item[0])]
    return " ".join((*words, noun, *behind))


def _chinese_position(fact: Fact) -> int:
    prop = known_property(fact.property)
    return -1 if prop.audience else prop.position


def fact_name(ontology: Ontology, number: int, language: str) -> str | None:
    """The fact's name in that language in lower case; None where it has none."""
    fact = ontology.facts[number]
    if fact.kind == "category":
        node = ontology.category(fact.path)
        name = node.name(language) if node else None
        own = fact.path[-1]
    else:
        name, own = ontology.value_names[fact.property, fact.value].get(language), fact.value
    if name is None and language == language_of(own):
        name = own
    return folded(name) if name else None


def _fragment(title: str, rng: random.Random) -> str:
    words = folded(title).split()
    if len(words) == 1 and language_of(title) == "zh":  # no blanks between words: some characters in a row
        letters = words[0]
        size = min(len(letters), rng.randint(4, 8))
        start = rng.randint(0, len(letters) - size)
        return letters[start : start + size]
    size = min(len(words), rng.randint(2, 4))
    start = rng.randint(0, len(words) - size)
    return " ".join(words[start : start + size])


# --- which facts a text names


def facts_named(text: str, ontology: Ontology, *, within: Iterable[int] | None = None) -> tuple[int, ...]:
    """Facts whose names stand in the text, the longest name first ("navy blue" is not "blue"; plural or not is one).

    `within` looks only for these facts: the product's own. Words that name several facts name none of them; of
    categories within each other the outer one is meant.
    """
    return tuple(
        sorted({number for group in facts_by_name(text, ontology, within) if len(group) == 1 for number in group})
    )


def facts_meant(text: str, ontology: Ontology, *, language: str | None = None) -> tuple[Fact, ...]:
    """What the words of a query ask for: the facts they name; any of them, where a name is that of several of a kind.
    `language` is that of the text, where it is known from more than its names.

    For example, "sneakers" means both categories of that name, under men and under women; "leather" means the material
    of a bag or of its strap.
    """
    facts = ontology.facts
    groups = sorted({tuple(sorted(group)) for group in facts_by_name(text, ontology, language=language)})
    meant = []
    for first, *others in groups:
        if all(facts[number].kind == facts[first].kind for number in others):
            meant.append(replace(facts[first], others=tuple(facts[number] for number in others)))
    return tuple(meant)


def facts_by_name(
    text: str, ontology: Ontology, within: Iterable[int] | None = None, *, language: str | None = None
) -> list[frozenset[int]]:
    """Per name that stands in the text, every fact of that name."""
    within_ids = None if within is None else frozenset(within)
    plain, index = plain_words(text), _name_index(ontology)
    names = _names_in(plain, index.entries, index.longest)
    language = language or _language(plain, names)
    if language == OWN and not all(OWN in entry for _, entry in names):  # foreign names hide none of the catalog's own
        names = _names_in(plain, index.own, index.longest)
    groups: list[frozenset[int]] = []
    for said, entry in names:
        named = _meant(entry, language)
        fitting = _outermost(named if within_ids is None else named & within_ids, ontology)
        if len(fitting) > 1:  # "shorts" are shorts, though "short" is a length
            fitting = frozenset(n for n in fitting if said in map(folded, ontology.names_of_facts[n])) or fitting
        groups.append(fitting)
    if language_of(text) == "zh":
        groups += _chinese_named(folded(text).replace(" ", ""), ontology, within_ids)
    return [group for group in groups if group]


def facts_called(name: str, ontology: Ontology) -> frozenset[int]:
    """Every fact of that name, in any language, plural or not; empty where the text is no name, or more than one."""
    entry = _name_index(ontology).entries.get(_stemmed(name), {})
    return frozenset().union(*entry.values())


def names_known(ontology: Ontology) -> Mapping[str, frozenset[str]]:
    """Every name, in lower case and singular, and the languages in which it is one."""
    return {name: frozenset(entry) for name, entry in _name_index(ontology).entries.items()}


def named_properties(titles: Iterable[str], ontology: Ontology) -> list[frozenset[str]]:
    """Per title, the ids of the properties that it names any value of, and CATEGORY where it names a category."""
    about = [CATEGORY if fact.kind == "category" else fact.property for fact in ontology.facts]
    return [
        frozenset(about[number] for named in facts_by_name(title, ontology) for number in named) for title in titles
    ]


def language_spoken(text: str, ontology: Ontology) -> str:
    """The language of a title or query by the names and small words in it: `en`, `de`, `zh`, ...; empty for one that
    uses none that the ontology knows."""
    if language_of(text) == "zh":
        return "zh"
    plain, index = plain_words(text), _name_index(ontology)
    names = _names_in(plain, index.entries, index.longest)
    if not names and not any(word in words for word in plain for words in SMALL_WORDS.values()):
        return ""
    return _language(plain, names)


def plain_words(text: str) -> list[str]:
    """The words of a text in lower case without punctuation."""
    return _PUNCTUATION.sub(" ", folded(text)).split()


def _names_in(
    plain: Sequence[str], entries: Mapping[str, _Entry], longest: Mapping[str, int]
) -> list[tuple[str, _Entry]]:
    """The names that stand in a text, the longest first, as they are said, and the facts they name per language."""
    words = [singular(word) for word in plain]
    found = []
    start = 0
    while start < len(words):
        for size in range(min(longest.get(words[start], 0), len(words) - start), 0, -1):
            entry = entries.get(" ".join(words[start : start + size]))
            if entry is not None:
                found.append((" ".join(plain[start : start + size]), entry))
                start += size - 1
                break
        start += 1
    return found


def _language(plain: Sequence[str], names: Sequence[tuple[str, _Entry]]) -> str:
    return language_among(plain, (entry for said, entry in names if said not in ENGLISH_TOO or OWN in entry))


def _meant(entry: _Entry, language: str) -> frozenset[int]:
    """What a name means in a text of that language: there, else in the catalog's own words, else in any language."""
    return entry.get(language) or entry.get(OWN) or frozenset().union(*entry.values())


def _outermost(fitting: frozenset[int], ontology: Ontology) -> frozenset[int]:
    """Without categories that lie within another one of the same name ("Watches > Watches")."""
    paths = {number: ontology.facts[number].path for number in fitting}
    outer = {path for path in paths.values() if path}  # a value has none
    return frozenset(
        number for number, path in paths.items() if not any(path[:depth] in outer for depth in range(1, len(path)))
    )


def _chinese_named(text: str, ontology: Ontology, within_ids: frozenset[int] | None) -> list[frozenset[int]]:
    """Chinese has no blanks between words: names are looked for anywhere, longer ones first."""
    groups = []
    for name, named in _name_index(ontology).chinese:
        if name in text:
            text = text.replace(name, " ")
            groups.append(_outermost(named if within_ids is None else named & within_ids, ontology))
    return groups


@dataclass(frozen=True, slots=True)
class _NameIndex:
    """Every name of an ontology's facts."""

    entries: Mapping[str, _Entry]
    own: Mapping[str, _Entry]  # of the entries those in the catalog's own words
    longest: Mapping[str, int]  # first word -> words of the longest name that begins with it
    chinese: tuple[tuple[str, frozenset[int]], ...]  # the longest first


def _name_index(ontology: Ontology) -> _NameIndex:
    held = _INDEX.get(id(ontology))
    if held is None or held[0] is not ontology:
        entries: dict[str, dict[str, frozenset[int]]] = {}
        for number, spoken in ontology.names_by_language.items():
            for language, names in spoken.items():
                for key in {key for name in names for key in (_stemmed(name), without_accents(_stemmed(name)))}:
                    entry = entries.setdefault(key, {})
                    entry[language] = entry.get(language, frozenset()) | {number}
        longest: dict[str, int] = {}
        for key in entries:
            first, *others = key.split() or [""]
            longest[first] = max(longest.get(first, 0), 1 + len(others))
        chinese = sorted((key for key in entries if language_of(key) == "zh"), key=lambda key: (-len(key), key))
        index = _NameIndex(
            entries,
            {key: {OWN: entry[OWN]} for key, entry in entries.items() if OWN in entry},
            longest,
            tuple((key, frozenset().union(*entries[key].values())) for key in chinese),
        )
        _INDEX.clear()  # one ontology is in use at a time
        held = _INDEX[id(ontology)] = (ontology, index)
    return held[1]


_INDEX: dict[int, tuple[Ontology, _NameIndex]] = {}
_PUNCTUATION = re.compile(r"(?<=\w)['’]s\b|[^\w\s&+/%.-]|\.(?!\w)")  # the dot of "2.5" stays, that of a sentence goes


@lru_cache(maxsize=1 << 16)
def _stemmed(text: str) -> str:
    """Lower case, no punctuation, no plural: only so that a name and a text can be compared."""
    return " ".join(singular(word) for word in _PUNCTUATION.sub(" ", folded(text)).split())
