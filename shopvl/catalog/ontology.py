"""What a shop knows to ask: its category tree, and the properties and values that each category has."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, ValidationError, model_validator

from shopvl.catalog.apart import Apart
from shopvl.catalog.cells import folded, path_of
from shopvl.catalog.languages import OWN
from shopvl.catalog.plural import singular
from shopvl.catalog.properties import CHOICE, Frozen, Named, Property, Value
from shopvl.catalog.property_kinds import kind_faults
from shopvl.catalog.vocabulary import CATEGORY_JOIN
from shopvl.errors import CatalogError
from shopvl.files import atomic_write

Pair = tuple[str, str] | Mapping[str, str]  # (property, value) or {property, value}
EXPECTED_SHARE = 0.05  # of a category's products
MOST_NAMED = 3  # categories that are named where any of several is meant


class Category(Named):
    """One node of the category tree."""

    path: tuple[str, ...]
    code: str | None = None  # its number in the taxonomy that it came from
    count: NonNegativeInt = 0  # products here and below
    properties: dict[str, NonNegativeInt] = Field({})  # property id -> products here and below that have it


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that can hold for a product: that it belongs to a category, or has a value.

    In what a query means there may be `others` of its kind: `Men > Sneakers or Women > Sneakers`.
    """

    kind: Literal["category", "value"]
    path: tuple[str, ...] = ()
    property: str = ""
    value: str = ""
    others: tuple["Fact", ...] = ()  # any of which will do as well

    def each(self) -> tuple["Fact", ...]:
        """The facts of which any will do, without `others`."""
        return (replace(self, others=()), *self.others)

    def __str__(self) -> str:
        """`Apparel > Shirts` or `colour: Red`."""
        if not self.others:
            return CATEGORY_JOIN.join(self.path) if self.kind == "category" else f"{self.property}: {self.value}"
        names = [str(fact) for fact in self.each()]
        if len(names) > MOST_NAMED:
            names = [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"]
        return " or ".join(names)


class Ontology(Frozen):
    """Categories with every node of their paths, and properties. Spelling, case and order make no difference."""

    version: Literal[1] = 1
    categories: tuple[Category, ...] = ()
    properties: tuple[Property, ...] = ()
    apart: tuple[Apart, ...] = ()  # what never goes together; a category stands for all in it

    @model_validator(mode="after")
    def _sound(self) -> Self:
        nodes = {path_key(category.path) for category in self.categories}
        problems = [
            *(f"the property {name!r} comes twice" for name in _twice(folded(p.id) for p in self.properties)),
            *(
                f"the category {CATEGORY_JOIN.join(path)!r} comes twice"
                for path in _twice(path_key(c.path) for c in self.categories)
            ),
            *(
                f"{CATEGORY_JOIN.join(c.path)!r} is there without its parent"
                for c in self.categories
                if _orphan(c.path, nodes)
            ),
            *(
                f"the value {name!r} of {prop.id!r} comes twice"
                for prop in self.properties
                for name in _twice(folded(value.id) for value in prop.values)
            ),
            *kind_faults(self.properties),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def with_properties(self, properties: Iterable[Property]) -> Self:
        """The same categories with these properties (`model_copy` would keep the tables derived from the old ones)."""
        return type(self)(categories=self.categories, properties=tuple(properties), apart=self.apart)

    def named_like(self, other: "Ontology") -> "Ontology":
        """The same with the names and synonyms that `other` has for its parts: those of one path, or if `other` has
        one such, of one last name; of one property id or name; of one value id. What it calls itself stays, and is no
        other part's name."""
        steps, ids = ({folded(n.path[-1]) for n in self.categories}, {folded(p.id) for p in self.properties})
        ends = Counter(path_key(node.path[-1:]) for node in other.categories)
        by_end = {key: node for node in other.categories if ends[key := path_key(node.path[-1:])] == 1}

        def category_named(node: Category) -> Category:
            like = other.category(node.path) or by_end.get(path_key(node.path[-1:]))
            return node.model_copy(update=_names_like(node, like, steps))

        def property_named(prop: Property) -> Property:
            like = other.property(prop.id)
            known = {folded(value.id): value for value in (like.values if like else ())}
            own = {folded(value.id) for value in prop.values}
            values = tuple(v.model_copy(update=_names_like(v, known.get(folded(v.id)), own)) for v in prop.values)
            return prop.model_copy(update={**_names_like(prop, like, ids), "values": values})

        return type(self)(
            categories=tuple(category_named(node) for node in self.categories),
            properties=tuple(property_named(prop) for prop in self.properties),
            apart=self.apart,
        )

    # --- facts

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """All categories, then all values, each in the order of their names: the K of `facts_BK`."""
        nodes = [Fact("category", path=path) for path in sorted(category.path for category in self.categories)]
        pairs = sorted((prop.id, value.id) for prop in self.properties for value in prop.values)
        return (*nodes, *(Fact("value", property=name, value=value) for name, value in pairs))

    def fact_ids(self, category_path: Sequence[str] | None, attributes: Iterable[Pair] | None = None) -> list[int]:
        """Facts that hold for a product, ancestors of its category included; unknown names are skipped."""
        key = path_key(category_path or ())
        ids = {self._node_ids[key[:depth]] for depth in range(1, len(key) + 1) if key[:depth] in self._node_ids}
        for pair in attributes or ():
            name, value = (pair.get("property"), pair.get("value")) if isinstance(pair, Mapping) else pair
            if name and value:
                number = self._pair_ids.get((folded(name), folded(value)))
                if number is not None:
                    ids.add(number)
        return sorted(ids)

    def value_of(self, name: str, attributes: Iterable[tuple[str, str]]) -> str | None:
        """A product's value of the property `name` (the first, of several), by its id if it is a known one's name."""
        for known, value in attributes:
            prop = self.property(known)
            if name == (known if prop is None else prop.id):
                number = self._pair_ids.get((folded(known), folded(value)))
                return value if number is None else self.facts[number].value
        return None

    @cached_property
    def _node_ids(self) -> dict[tuple[str, ...], int]:
        return {path_key(fact.path): number for number, fact in enumerate(self.facts) if fact.kind == "category"}

    @cached_property
    def _pair_ids(self) -> dict[tuple[str, str], int]:
        numbers = {(f.property, f.value): number for number, f in enumerate(self.facts) if f.kind == "value"}
        ids: dict[tuple[str, str], int] = {}
        # ids first, so that a synonym never takes a value's own name away
        for prop in self.properties:
            for value in prop.values:
                for own in {folded(name) for name in (prop.id, *prop.every_name())}:
                    ids[own, folded(value.id)] = numbers[prop.id, value.id]
        for prop in self.properties:
            for value in prop.values:
                for own in {folded(name) for name in (prop.id, *prop.every_name())}:
                    for name in value.every_name():
                        ids.setdefault((own, folded(name)), numbers[prop.id, value.id])
        return ids

    # --- looking around

    def category(self, path: Sequence[str]) -> Category | None:
        """The node at that path."""
        return self._nodes.get(path_key(path))

    def category_of(self, fact: Fact) -> Category:
        """The node that a category fact of this ontology stands for. Raises KeyError for a fact of another one."""
        return self._nodes[path_key(fact.path)]

    def property(self, name: str) -> Property | None:
        """The property of that id, name or synonym."""
        return self._properties.get(folded(name))

    def leaves(self) -> list[tuple[str, ...]]:
        """Paths of the categories that have none below them."""
        return [category.path for category in self.leaf_categories()]

    def leaf_categories(self) -> list[Category]:
        """The categories that have none below them, by their paths."""
        parents = {path_key(category.path)[:-1] for category in self.categories}
        leaves = (category for category in self.categories if path_key(category.path) not in parents)
        return sorted(leaves, key=lambda category: category.path)

    def children(self, path: Sequence[str] = ()) -> list[tuple[str, ...]]:
        """Paths one level below."""
        above = path_key(path)
        return sorted(category.path for category in self.categories if path_key(category.path)[:-1] == above)

    def values(self) -> dict[str, tuple[str, ...]]:
        """Property id -> the ids of its values, of properties whose value is chosen from a list."""
        chosen = (prop for prop in self.properties if prop.kind == CHOICE)
        return {prop.id: tuple(sorted(value.id for value in prop.values)) for prop in chosen}

    @cached_property
    def stated(self) -> tuple[Property, ...]:
        """The properties whose values texts state (`catalog/kinds`): no head of a model answers them."""
        return tuple(prop for prop in self.properties if prop.kind != CHOICE)

    def properties_of(self, path: Sequence[str]) -> tuple[Property, ...]:
        """Properties that products of a category were seen with, most frequent first.

        A category that is not known has those of its nearest known ancestor.
        """
        return tuple(prop for prop, _ in self._properties_at(tuple(path)))

    def applies(self, name: str, path: Sequence[str]) -> bool:
        """Whether products of a category have the property of that id; tags, replies, review and training ask this.

        Where nothing is known (no path, a strange one, or an ontology that lists no category's properties) any may.
        """
        if not path or not self._lists_properties:
            return True
        return name in self._applying(tuple(path), 0.0) or self._nearest(path) is None

    @cached_property
    def _lists_properties(self) -> bool:
        return any(node.properties for node in self.categories)

    def expects(self, name: str, path: Sequence[str]) -> bool:
        """Whether so many of a category's products have the property that `unknown` is no answer for one of them.

        At least EXPECTED_SHARE: fewer may be slips of a pen.
        """
        return name in self._applying(tuple(path), EXPECTED_SHARE)

    def _applying(self, path: tuple[str, ...], least_share: float) -> frozenset[str]:
        key = path, least_share
        if key not in self._applying_cache:
            had = self._properties_at(path)
            self._applying_cache[key] = frozenset(prop.id for prop, share in had if share >= least_share)
        return self._applying_cache[key]

    @cached_property
    def _applying_cache(self) -> dict[tuple[tuple[str, ...], float], frozenset[str]]:
        return {}

    def _properties_at(self, path: tuple[str, ...]) -> list[tuple[Property, float]]:
        """A category's properties and the share of its products that have each, most frequent first."""
        node = self._nearest(path)
        if node is None:
            return []
        ranked = sorted(node.properties.items(), key=lambda item: (-item[1], item[0]))
        shares = ((name, count / node.count if node.count else 1.0) for name, count in ranked)
        return [(prop, share) for name, share in shares if (prop := self.property(name)) is not None]

    def _nearest(self, path: Sequence[str]) -> Category | None:
        """The category, or its nearest known ancestor."""
        return next((node for depth in range(len(path), 0, -1) if (node := self.category(path[:depth]))), None)

    def names(self) -> Iterator[str]:
        """Every name in it, of categories, properties and values, in all languages."""
        values = [value for prop in self.properties for value in prop.values]
        parts: list[Category | Property | Value] = [*self.categories, *self.properties, *values]
        for part in parts:
            own = part.path[-1] if isinstance(part, Category) else part.id
            yield from dict.fromkeys((own, *part.every_name()))

    @cached_property
    def facts_by_word(self) -> dict[str, list[int]]:
        """Names of one word, in lower case and singular -> the facts of that name in any language: a quick look."""
        facts: dict[str, list[int]] = {}
        for number, names in self.names_of_facts.items():
            for word in {singular(folded(name)) for name in names}:
                facts.setdefault(word, []).append(number)
        return facts

    @cached_property
    def names_of_facts(self) -> dict[int, tuple[str, ...]]:
        """Fact -> all names of its category or value."""
        return {
            number: tuple(name for names in spoken.values() for name in names)
            for number, spoken in self.names_by_language.items()
        }

    def written_names(self, number: int) -> tuple[str, ...]:
        """Names of a fact without the `further` ones: in a search index one of every language is enough."""
        return tuple(
            name
            for language, names in self.names_by_language[number].items()
            for name in (names if language == OWN else names[:1])
        )

    @cached_property
    def names_by_language(self) -> dict[int, dict[str, tuple[str, ...]]]:
        """Fact -> language -> names in it; those of `OWN` are its own, the English ones and the synonyms."""
        parts: dict[tuple[str, ...], tuple[str, Named]] = {
            ("category", *node.path): (node.path[-1], node) for node in self.categories
        }
        parts |= {("value", prop.id, v.id): (v.id, v) for prop in self.properties for v in prop.values}
        keys = (("category", *f.path) if f.kind == "category" else ("value", f.property, f.value) for f in self.facts)
        return {number: _by_language(*parts[key]) for number, key in enumerate(keys)}

    @cached_property
    def value_names(self) -> dict[tuple[str, str], dict[str, str]]:
        """(property id, value id) -> language -> name."""
        return {(prop.id, value.id): value.names for prop in self.properties for value in prop.values}

    @cached_property
    def _nodes(self) -> dict[tuple[str, ...], Category]:
        return {path_key(category.path): category for category in self.categories}

    @cached_property
    def _properties(self) -> dict[str, Property]:
        named = {folded(name): p for p in self.properties for name in p.every_name()}
        return named | {folded(prop.id): prop for prop in self.properties}

    # --- keeping

    def save(self, path: str | Path) -> None:
        """Write it as JSON (data_schemas/ontology.schema.json), to be read and edited by hand."""
        text = json.dumps(self.model_dump(mode="json", exclude_none=True), ensure_ascii=False, indent=1)
        with atomic_write(Path(path)) as draft:
            draft.write_text(text + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Ontology":
        """Read what `save` wrote. Raises CatalogError with every problem in it."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise CatalogError(f"the ontology {path} cannot be read: {error.strerror or error}") from error
        except ValidationError as error:
            faults = [f"{'.'.join(str(step) for step in e['loc']) or 'file'}: {e['msg']}" for e in error.errors()]
            more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
            raise CatalogError(
                f"{path} is not an ontology: {'; '.join(faults[:5])}{more}; "
                "`shopvl catalog ontology` writes one, data_schemas/ontology.schema.json describes it"
            ) from error


def _names_like(part: Named, like: Named | None, taken: Collection[str]) -> dict[str, Any]:
    """Its names, with those of another in languages that it has none in, and the synonyms of both; none `taken`."""
    if like is None:
        return {}

    def free(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(name for name in names if folded(name) not in taken)

    names = {language: name for language, name in like.names.items() if free([name])}
    further = {language: own for language, names in like.further.items() if (own := free(names))}
    return _with_names(part, names | part.names, free(like.synonyms), further)


def _by_language(own: str, part: Named) -> dict[str, tuple[str, ...]]:
    spoken = {OWN: (own, *part.synonyms)}
    for language, name in part.names.items():
        spoken[language] = (*spoken.get(language, ()), name, *part.further.get(language, ()))
    return spoken


def _with_names(
    part: Named, names: Mapping[str, str], synonyms: Iterable[str], further: Mapping[str, Iterable[str]]
) -> dict[str, Any]:
    """The part's fields with these names, and with these besides its synonyms."""
    languages = dict.fromkeys((*part.further, *further))
    return {
        "names": dict(names),
        "synonyms": tuple(dict.fromkeys((*part.synonyms, *synonyms))),
        "further": {
            language: tuple(dict.fromkeys((*part.further.get(language, ()), *further.get(language, ()))))
            for language in languages
        },
    }


def path_key(path: Sequence[str]) -> tuple[str, ...]:
    """The path as it is compared: spelling and case make no difference."""
    return tuple(folded(step) for step in path)


def _twice(keys: Iterable[Any]) -> list[Any]:
    return [key for key, count in Counter(keys).items() if count > 1]


def _orphan(path: tuple[str, ...], nodes: set[tuple[str, ...]]) -> bool:
    return not path or (len(path) > 1 and path_key(path)[:-1] not in nodes)


# --- names and taxonomies from elsewhere


def apply_names(ontology: Ontology, names: str | Path | Mapping[str, Any]) -> Ontology:
    """Add names in other languages, and synonyms.

    `{"categories": {"Shirts" or "Apparel > Topwear > Shirts": {"zh": "衬衫", "synonyms": ["shirt"]}},
      "properties": {"colour": {"zh": "颜色", "values": {"Red": {"de": ["rot", "rote"]}}}}}`; keys other than `synonyms`
    and `values` are languages, each with a name, or with a list of the name and further ones. Names for things that the
    ontology does not have are passed over.
    """
    given = _read_names(Path(names)) if isinstance(names, (str, Path)) else names
    if unknown := set(given) - {"categories", "properties"}:
        raise CatalogError(f"the names hold {', '.join(sorted(unknown))}; only categories and properties were wanted")
    paths = {path_key(path_of(name) or ()): entry for name, entry in _entries(given, "categories")}
    properties = {folded(name): entry for name, entry in _entries(given, "properties")}

    def category_named(node: Category) -> Category:
        entry = paths.get(path_key(node.path)) or paths.get(path_key(node.path[-1:])) or {}
        return node.model_copy(update=_names(node, entry))

    def property_named(prop: Property) -> Property:
        entry = properties.get(folded(prop.id)) or {}
        entries = {folded(name): value for name, value in _entries(entry, "values")}
        values = tuple(v.model_copy(update=_names(v, entries.get(folded(v.id)) or {})) for v in prop.values)
        return prop.model_copy(update={**_names(prop, entry), "values": values})

    return Ontology(
        categories=tuple(category_named(node) for node in ontology.categories),
        properties=tuple(property_named(prop) for prop in ontology.properties),
        apart=ontology.apart,
    )


def _read_names(path: Path) -> Mapping[str, Any]:
    try:
        given = json.loads(path.read_text("utf-8-sig"))
        json.dumps(given, ensure_ascii=False).encode()  # half of a character, which no file can hold, is a ValueError
    except OSError as error:
        raise CatalogError(f"the names {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CatalogError(f"the names {path} are not JSON: {error}") from error
    if not isinstance(given, dict):
        raise CatalogError(
            f"the names {path} hold {type(given).__name__}; an object with categories and properties was wanted"
        )
    return given


def _entries(given: Mapping[str, Any], part: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """What the names tell of each category, property or value."""
    entries = given.get(part, {})
    if not isinstance(entries, Mapping) or not all(isinstance(entry, Mapping) for entry in entries.values()):
        text = json.dumps(entries, ensure_ascii=False)[:200]
        raise CatalogError(f'the names have the {part} {text}; for each an object like {{"zh": NAME}} was wanted')
    return entries.items()


def _names(part: Named, entry: Mapping[str, Any]) -> dict[str, Any]:
    spoken = {key: _texts(names, entry) for key, names in entry.items() if key not in ("synonyms", "values")}
    if isinstance(synonyms := entry.get("synonyms", []), str):
        raise _not_texts(entry)
    names = part.names | {language: names[0] for language, names in spoken.items() if names}
    further = {language: names[1:] for language, names in spoken.items() if len(names) > 1}
    return _with_names(part, names, _texts(synonyms, entry), further)


def _texts(names: object, entry: Mapping[str, Any]) -> Sequence[str]:
    """One name or a list of them."""
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise _not_texts(entry)
    return listed


def _not_texts(entry: Mapping[str, Any]) -> CatalogError:
    return CatalogError(f"the names {json.dumps(entry, ensure_ascii=False)[:200]} are not all texts")
