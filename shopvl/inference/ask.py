"""Free-text questions about one product, answered with probability, evidence and an occlusion heat map."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch

from shopvl.batch import MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.known_properties import other_words
from shopvl.catalog.ontology import Fact, Ontology, Property
from shopvl.catalog.queries import facts_by_name, says
from shopvl.catalog.schema import MORE_IMAGES
from shopvl.catalog.vocabulary import (
    CATEGORY,
    CATEGORY_JOIN,
    DEFAULT_PRECISION,
    MOST_PICTURES,
    UNKNOWN,
    Decision,
    Reason,
)
from shopvl.data.rows import ValidRow
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.errors import CatalogError
from shopvl.inference.decide import LATER_COLUMNS
from shopvl.inference.encode import Encoded, encoded, encoded_each, prepare
from shopvl.inference.several import together
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.vision.transforms import border_colour, to_pixels

log = logging.getLogger("shopvl.inference")
HEAT_GRID = (8, 6)  # cells of the heat map, rows and columns
CATEGORY_WORDS = ("category", "type", "kind", "sort", "product", "sold", "selling", "类别", "类目", "种类", "品类")
WHAT_WORDS = ("what is it", "what is this", "what's this", "这是什么", "是什么商品", "什么东西", "卖什么", "卖的是什么")
OPEN_WORDS = ("what", "which", "who", "how", "tell", "什么", "哪", "啥", "谁")
HAS_WORDS = ("what does it have", "features", "attributes", "properties", "details", "有什么", "特点", "属性")
ALIASES = other_words()

# Fields of a tag that are as in the table
TOLD = frozenset(("property", "value", "best_guess", "probability", "decision", "reason", *LATER_COLUMNS))

Pair = tuple[str, str]  # property and value


@dataclass(frozen=True)
class ParsedQuestion:
    """Properties that a question is about, by id (`category` is one), and the values it names (a yes/no question)."""

    properties: tuple[str, ...]
    values: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Tag:
    """What a model says of one property of a product; the fields are columns of `tags.parquet`."""

    property: str
    value: str | None  # None: unknown, or the model says that there is none
    best_guess: str | None  # of a category the whole path, where `value` is a node above it
    probability: float
    decision: Decision
    reason: Reason
    evidence: tuple[str, ...]
    conflict: bool
    alternatives: tuple[tuple[str, float], ...]
    _: KW_ONLY
    low: float | None = None  # of what texts state: the number, or from where to where, in `unit`
    high: float | None = None
    unit: str | None = None
    quote: str | None = None  # the words that state it
    together: Decision | None = None  # of several values of one property: about all of them together
    picture: int | None = None  # of several pictures the one that speaks most for the value; the main one is 1

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """A row of the table."""
        told = {name: value for name, value in row.items() if name in TOLD}
        others = tuple((other["value"], other["probability"]) for other in row["alternatives"])
        return cls(**told, evidence=tuple(row["evidence"]), conflict=row["conflict"], alternatives=others)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**vars(self), "alternatives": dict(self.alternatives)}


@dataclass(frozen=True)
class Reply(Tag):
    """One answer. `named`: the values that the question named, the likeliest first, each with its probability."""

    named: tuple[tuple[str, float], ...] = ()

    def verdict(self) -> Literal["yes", "no"] | None:
        """Whether it is likely to be any of the values named; None where none was named, or the answer is unknown."""
        if not self.named or self.value is None:
            return None
        return "yes" if sum(share for _, share in self.named) >= 0.5 else "no"

    def rather(self) -> str | None:
        """The best guess, where the verdict is no and it is none of the values named."""
        is_named = any(_is_in(self.best_guess, value) for value, _ in self.named)
        return self.best_guess if self.verdict() == "no" and not is_named else None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**super().as_dict(), "named": dict(self.named)}


@dataclass(frozen=True)
class Conflict:
    """A property for which the title says one value and the picture shows another, each with its own probability."""

    property: str
    said: str
    said_probability: float
    shown: str
    shown_probability: float

    def sentence(self) -> str:
        """In words."""
        return f"{self.property}: the title says {_short(self.said)}, the picture looks {_short(self.shown)}"


def parse_question(question: str, ontology: Ontology) -> ParsedQuestion:
    """Which properties a question in English or Chinese is about. Raises CatalogError that lists what can be asked.

    "What" or "which" with a property's name asks for that property; values then only describe the product. Without
    them, a value or a category makes it a yes/no question. "What is it" and the like ask for the category.
    """

    def has(words: Iterable[str]) -> bool:
        return any(_stands(word, question) for word in words)

    properties, values = _named(question, ontology)
    has_value = any(name != CATEGORY for name, _ in values)
    if properties and (not has_value or has(OPEN_WORDS)):
        return ParsedQuestion(properties)
    if has_value:
        return ParsedQuestion(tuple(dict.fromkeys(name for name, _ in values)), values)
    if has(HAS_WORDS):
        return ParsedQuestion(tuple(prop.id for prop in ontology.properties))
    if has(CATEGORY_WORDS) or has(WHAT_WORDS):
        return ParsedQuestion((CATEGORY,))
    if values:
        return ParsedQuestion((CATEGORY,), values)
    known = ", ".join([CATEGORY, *(prop.id for prop in ontology.properties)])
    raise CatalogError(
        f"{question!r} names nothing this model knows; it can be asked for {known}, or for a value of one"
    )


def _stands(name: str, question: str) -> bool:
    return folded(name) in folded(question) if language_of(question) == "zh" else says(question, name)


def _named(question: str, ontology: Ontology) -> tuple[tuple[str, ...], tuple[Pair, ...]]:
    """Properties whose names stand in the question, and the values and categories whose names do."""
    groups = facts_by_name(question, ontology)
    names = {name for group in groups for number in group for name in ontology.names_of_facts[number]}
    names |= {name for prop in ontology.properties for name in _names(prop)}
    longer = [name for name in names if _stands(name, question)]

    def is_own(name: str) -> bool:  # a "hair colour" is no colour, a "heel height" no height
        return not any(says(other, name) and not says(name, other) for other in longer)

    def meant(group: Iterable[int]) -> list[Pair]:  # "is the dial round?" is not about the shape
        pairs = [_pair(ontology.facts[number]) for number in sorted(group)]
        return [pair for pair in pairs if pair[0] in properties] or pairs

    properties = tuple(
        prop.id
        for prop in ontology.properties
        if any(_stands(name, question) and is_own(name) for name in _names(prop))
    )
    return properties, _apart([meant(group) for group in groups])


def _names(prop: Property) -> set[str]:
    own = {folded(name) for name in (prop.id, *prop.every_name())}
    return own | {" ".join(ALIASES.get(word, word) for word in name.split()) for name in own}


def _pair(fact: Fact) -> Pair:
    return (CATEGORY, CATEGORY_JOIN.join(fact.path)) if fact.kind == "category" else (fact.property, fact.value)


def _apart(groups: Sequence[Sequence[Pair]]) -> tuple[Pair, ...]:
    """All that several names stand for, each of them for a group, with no category within another; categories last.

    Who asks whether a shoe is a sports shoe does not ask whether it is a shoe; who asks whether it is a shoe or a
    sandal does, though some sandals are shoes.
    """

    def within(inner: Pair, outer: Pair) -> bool:
        return inner != outer and inner[0] == outer[0] and _is_in(inner[1], outer[1])

    def is_more_specific_elsewhere(group: Sequence[Pair]) -> bool:
        return any(all(any(within(pair, outer) for outer in group) for pair in other) for other in groups)

    pairs = dict.fromkeys(pair for group in groups if not is_more_specific_elsewhere(group) for pair in group)
    apart = [pair for pair in pairs if not any(within(pair, other) for other in pairs)]
    return tuple(sorted(apart, key=lambda pair: pair[0] == CATEGORY))


class _Decisions:
    """What becomes of answers about products that were read together, of all of them the first time one is asked."""

    def __init__(self, answers: HeadAnswers, items: Sequence[Encoded]) -> None:
        self._answers, self._items = answers, items
        self._made: dict[float, list[list[dict[str, Any]]] | None] = {}

    def rows(self, number: int, precision: float) -> Sequence[dict[str, Any]]:
        """Of one of the products."""
        if precision not in self._made:
            self._made[precision] = self._together(precision)
        made = self._made[precision]
        return self._answers.rows(self._items[number], precision) if made is None else made[number]

    def _together(self, precision: float) -> list[list[dict[str, Any]]] | None:
        """None where that fails: each is then decided alone, so that only the product at fault fails."""
        try:
            return self._answers.rows_each(self._items, precision)
        except Exception:
            log.exception("%d products could not be decided together; each is decided alone", len(self._items))
            return None


class Product:
    """One product as a design sees it: every answer at once, and the heat map of any of them."""

    def __init__(
        self,
        design: Design,
        picture: bytes | None,
        title: str | None,
        answers: HeadAnswers | None = None,
        turn: AbstractContextManager[object] | None = None,
        *,
        description: str | None = None,
        more_pictures: Sequence[bytes] = (),
    ) -> None:
        """Raises CatalogError for a picture that cannot be read, or where there is neither picture nor title.

        Pass the design's `answers` to reuse them for many products: they take a moment to build. `turn` is held while
        the model reads, and not while the picture is decoded.
        """
        row = {
            "product_id": "asked",
            "title": title,
            "description": description,
            "image": None if picture is None else {"bytes": picture, "path": None},
            MORE_IMAGES: [{"bytes": data, "path": None} for data in more_pictures[: MOST_PICTURES - 1]],
            "category_path": None,
            "attributes": None,
        }
        self.answers = answers or HeadAnswers(in_use(design))
        self.design = self.answers.design
        ready = prepare(self.design.loader, [row], Path(), MODALITIES)
        for reject in ready.rejects.values():
            raise CatalogError(f"nothing can be asked of this product: {reject.reason}")
        (group,) = ready.groups
        with turn or nullcontext():
            self.item = encoded(self.design, group, self.answers.read, self.answers.pool)
        self._decisions, self._number = _Decisions(self.answers, [self.item]), 0

    @classmethod
    def each(cls, answers: HeadAnswers, items: Sequence[ValidRow]) -> list[Self]:
        """Products of rows that were checked (`encode.validated`), read together."""
        products = []
        read = encoded_each(answers.design, items, answers.read, answers.pool)
        decisions = _Decisions(answers, read)
        for number, item in enumerate(read):
            product = cls.__new__(cls)
            product.answers, product.design, product.item = answers, answers.design, item
            product._decisions, product._number = decisions, number
            products.append(product)
        return products

    def rows(self, precision: float = DEFAULT_PRECISION) -> Sequence[dict[str, Any]]:
        """The answers as `shopvl tag` writes them, as records."""
        return self._decisions.rows(self._number, precision)

    @property
    def usable(self) -> ValidRow:
        """The product's row, checked, with its decoded picture."""
        return self.item.items[0]

    @property
    def inputs(self) -> tuple[Modality, ...]:
        """Inputs that the product has: picture, title, or both."""
        return self.usable.inputs

    def not_used(self) -> dict[Modality, str]:
        """Inputs that were given and that no answer rests on: why, as a sentence; "" where the model knows nothing
        like it."""
        ((used, _),) = self.answers.used_inputs(self.item)
        return {**self.usable.absent, **{name: "" for name in self.inputs if name not in used}}

    def tags(self, precision: float = DEFAULT_PRECISION) -> tuple[Tag, ...]:
        """The answers as `shopvl tag` writes them."""
        return tuple(map(Tag.of, self.rows(precision)))

    def replies(self, precision: float = DEFAULT_PRECISION) -> dict[str, Reply]:
        """Property -> answer, the category among them; several values of a property as one text."""
        by_property: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows(precision):
            by_property.setdefault(row["property"], []).append(row)
        return {name: Reply.of(together(rows, self.design.ontology)) for name, rows in by_property.items()}

    def conflicts(self, replies: Mapping[str, Reply]) -> list[Conflict]:
        """What picture and title each say, for every reply that is in conflict."""
        conflicts = []
        for name in (name for name, reply in replies.items() if reply.conflict):
            if name not in self.design.labels:  # one that texts state, and do not agree about
                continue
            labels = self.design.labels[name]
            by_input = {single: self.item.values[f"{single}/{name}"][0] for single in MODALITIES}
            best = {single: int(shares.argmax()) for single, shares in by_input.items()}
            said, shown = (
                (labels[best[single]], float(by_input[single][best[single]])) for single in ("title", "image")
            )
            conflicts.append(Conflict(name, *said, *shown))
        return conflicts

    def applicable(self, replies: Mapping[str, Reply]) -> list[str]:
        """The category, and the properties that the product can have."""
        return [name for name, reply in replies.items() if reply.reason != "property does not apply"]

    def shares(self, name: str, values: Iterable[str]) -> tuple[tuple[str, float], ...]:
        """The values, the likeliest first, each with its probability from all inputs of the product."""
        if name not in self.design.labels or name in self.answers.texts.headed:
            said = [row for row in self.rows() if row["property"] == name]
            stated = {folded(row["value"]): row["probability"] for row in said if row["value"] is not None}
            return tuple(sorted(((v, stated.get(folded(v), 0.0)) for v in values), key=lambda pair: -pair[1]))
        ((used, _),) = self.answers.used_inputs(self.item)
        labels, share_K = self.design.labels[name], self.item.values[f"{inputs_name(used or self.inputs)}/{name}"][0]
        shares = [(value, float(share_K[[_is_in(label, value) for label in labels]].sum())) for value in values]
        return tuple(sorted(shares, key=lambda pair: -pair[1]))

    def heat(self, name: str, value: str, grid: tuple[int, int] = HEAT_GRID) -> np.ndarray:
        """(rows, columns): by how much the value's log-probability from the picture alone falls without that cell.

        Cells are painted over in the border's colour, with half a cell around them (occlusion, arXiv:1311.2901).
        Positive: the cell supports the value. Raises CatalogError without a picture.
        """
        if self.usable.image is None:
            raise CatalogError("there is no picture, so there is nothing to show on it")
        loader = self.design.loader
        pixels = to_pixels(self.usable.image, loader.size_px)
        colour = np.array(border_colour(self.usable.image), dtype=np.uint8)[:, None, None]
        height, width = loader.size_px
        rows, columns = grid
        painted = np.repeat(pixels[None], rows * columns + 1, axis=0)
        for cell in range(rows * columns):
            row, column = divmod(cell, columns)
            top, bottom = (round(height * (row + edge) / rows) for edge in (-0.5, 1.5))
            left, right = (round(width * (column + edge) / columns) for edge in (-0.5, 1.5))
            painted[cell, :, max(top, 0) : bottom, max(left, 0) : right] = colour
        index = self.design.labels[name].index(value)
        with torch.inference_mode():
            batch = Batch(pictures=loader.to_pictures(list(painted))).to(self.design.device)
            logp = self.answers.answers.read(batch, [("image",)])["image"][name][:, index].float().cpu()
        return (logp[-1] - logp[:-1]).view(rows, columns).numpy()


def ask(
    design: Design, question: str, picture: bytes | None, title: str | None, precision: float = DEFAULT_PRECISION
) -> list[Reply]:
    """Answers to one question about one product. Raises CatalogError for a question or picture it cannot read."""
    parsed = parse_question(question, design.ontology)
    return answered(parsed, Product(design, picture, title), precision)


def answered(question: ParsedQuestion, product: Product, precision: float = DEFAULT_PRECISION) -> list[Reply]:
    """The answers to a parsed question.

    A category named beside a value is taken as given ("is this dress red?"), and is answered only if it is wrong.
    """
    replies = product.replies(precision)
    selected = [
        replace(replies[name], named=product.shares(name, [value for about, value in question.values if about == name]))
        for name in question.properties
        if name in replies
    ]
    return [reply for reply in selected if reply.property != CATEGORY or len(selected) == 1 or reply.verdict() == "no"]


def sentence(reply: Reply) -> str:
    """The answer in words."""
    if reply.value is None:
        return f"{reply.property}: {UNKNOWN} ({reply.reason})"
    if not reply.named:
        why = "" if reply.reason == "accepted" else f": {reply.reason}"
        return f"{reply.property}: {_short(reply.value)} ({reply.probability:.0%}, {reply.decision}{why})"
    values = " or ".join(f"{value} with probability {share:.0%}" for value, share in reply.named)
    rather = f", rather {_short(other)}" if (other := reply.rather()) is not None else ""
    return f"{reply.verdict()}: {reply.property} is {values}{rather}"


def sentences(replies: Sequence[Reply]) -> Iterator[str]:
    """The answers in words; those that are unknown for one reason, in one sentence at the end."""
    unknown: dict[Reason, list[str]] = {}
    for reply in replies:
        if reply.value is None:
            unknown.setdefault(reply.reason, []).append(reply.property)
        else:
            yield sentence(reply)
    for reason, names in unknown.items():
        yield f"{', '.join(names)}: {UNKNOWN} ({reason})"


def _is_in(answer: str | None, value: str) -> bool:
    """Whether an answer is that value, or a category in it."""
    return answer is not None and (answer == value or answer.startswith(f"{value}{CATEGORY_JOIN}"))


def _short(value: str) -> str:
    return value.split(CATEGORY_JOIN)[-1]
