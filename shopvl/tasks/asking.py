"""Questions about one product in free words, answered with probability, evidence, and where the picture shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shopvl.answers import UNKNOWN
from shopvl.batch import MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import facts_named
from shopvl.design import Design
from shopvl.encoding import encoded, prepare
from shopvl.errors import CatalogError
from shopvl.loading import CATEGORY, CATEGORY_JOIN
from shopvl.tasks.answering import HeadAnswers
from shopvl.tasks.calibration import applicable
from shopvl.vision.transforms import border_colour, to_pixels

HEAT_GRID = (8, 6)  # cells of the heat map, rows and columns
CATEGORY_WORDS = ("category", "type", "kind", "sort", "product", "what is it", "what is this", "sold", "selling")
CATEGORY_WORDS_ZH = ("类别", "类目", "种类", "品类", "是什么商品", "什么东西", "卖什么", "这是什么", "卖的是什么")
HAS_WORDS = ("what does it have", "features", "attributes", "properties", "details", "有什么", "特点", "属性")
ALIASES = {"color": "colour", "colors": "colour", "sex": "gender", "sleeves": "sleeve"}


@dataclass(frozen=True)
class Asked:
    """What a question is about: properties by id (`category` is one), and the values it names, if it asks yes or no."""

    properties: tuple[str, ...]
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Reply:
    """One answer. `named`: the value the question named, and its probability, where it asked yes or no."""

    property: str
    value: str | None
    probability: float
    decision: str
    evidence: tuple[str, ...]
    conflict: bool
    alternatives: tuple[tuple[str, float], ...]
    named: tuple[str, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**vars(self), "alternatives": dict(self.alternatives)}


@dataclass(frozen=True)
class Clash:
    """A property of which the title says one value and the picture shows another, each with its probability alone."""

    property: str
    said: str
    said_probability: float
    shown: str
    shown_probability: float

    def sentence(self) -> str:
        """In words."""
        return f"{self.property}: the title says {_short(self.said)}, the picture looks {_short(self.shown)}"


def understand(question: str, ontology: Ontology) -> Asked:
    """Which properties a question in English or Chinese is about. Raises CatalogError that lists what can be asked.

    A property's or a value's name or synonym decides; "what is it" and the like ask for the category.
    """
    text = folded(question)
    words = {ALIASES.get(word, word) for word in text.replace("?", " ").replace(",", " ").split()}
    chinese = language_of(question) == "zh"

    def stands(name: str) -> bool:
        name = folded(name)
        return name in text if chinese or " " in name else name in words or f"{name}s" in words

    named = [
        (fact.property, fact.value)
        for number in facts_named(question, ontology)
        if (fact := ontology.facts[number]).kind == "value"
    ]
    found = [
        prop.id
        for prop in ontology.properties
        if any(stands(name) for name in (prop.id, *prop.names.values(), *prop.synonyms))
    ]
    if named:
        return Asked(tuple(dict.fromkeys(name for name, _ in named)), tuple(named))
    if found:
        return Asked(tuple(found))
    if any(phrase in text for phrase in HAS_WORDS):
        return Asked(tuple(prop.id for prop in ontology.properties))
    if any(word in words or (" " in word and word in text) for word in CATEGORY_WORDS) or any(
        word in text for word in CATEGORY_WORDS_ZH
    ):
        return Asked((CATEGORY,))
    known = ", ".join([CATEGORY, *(prop.id for prop in ontology.properties)])
    raise CatalogError(
        f"{question!r} names nothing this model knows; it can be asked for {known}, or for a value of one"
    )


class Product:
    """One product as a design sees it: every answer at once, and the heat map of any of them."""

    def __init__(
        self, design: Design, picture: bytes | None, title: str | None, answers: HeadAnswers | None = None
    ) -> None:
        """Raises CatalogError for a picture that cannot be read, or where there is neither picture nor title.

        `answers` are the design's own, for those who ask about many products: to make them takes a moment.
        """
        row = {
            "product_id": "asked",
            "title": title,
            "image": None if picture is None else {"bytes": picture, "path": None},
            "category_path": None,
            "attributes": None,
        }
        ready = prepare(design.loader, [row], Path(), MODALITIES)
        for reject in ready.rejects.values():
            raise CatalogError(f"nothing can be asked of this product: {reject.reason}")
        (group,) = ready.groups
        (self.usable,) = group.items
        self.design = design
        self.answers = answers or HeadAnswers(design)
        design.model.eval()
        self.item = encoded(design, group.items, group.batch, self.answers.read)

    @property
    def inputs(self) -> tuple[Modality, ...]:
        """What there is of it: picture, title, or both."""
        return self.usable.inputs

    def replies(self, precision: float = 0.95) -> dict[str, Reply]:
        """Property -> answer, the category among them."""
        return {
            row["property"]: Reply(
                property=row["property"],
                value=row["value"],
                probability=row["probability"],
                decision=row["decision"],
                evidence=tuple(row["evidence"]),
                conflict=row["conflict"],
                alternatives=tuple((other["value"], other["probability"]) for other in row["alternatives"]),
            )
            for row in self.answers.rows(self.item, precision)
        }

    def clashes(self, replies: Mapping[str, Reply]) -> list[Clash]:
        """What picture and title say, for every one of the replies in which they disagree."""
        found = []
        for name in (name for name, reply in replies.items() if reply.conflict):
            labels = self.design.labels[name]
            told = {single: self.item.values[f"{single}/{name}"][0] for single in MODALITIES}
            best = {single: int(shares.argmax()) for single, shares in told.items()}
            said, shown = ((labels[best[one]], float(told[one][best[one]])) for one in ("title", "image"))
            found.append(Clash(name, *said, *shown))
        return found

    def applicable(self, replies: Mapping[str, Reply]) -> list[str]:
        """The category, and the properties that products of the answered category have."""
        category = replies[CATEGORY].value if CATEGORY in replies else None
        path = category.split(CATEGORY_JOIN) if category else ()
        return [name for name in replies if name == CATEGORY or not path or applicable(self.design, path, name)]

    def share(self, name: str, value: str) -> tuple[str, float]:
        """The value, and its probability from all there is of the product."""
        shares = self.item.values[f"{inputs_name(self.inputs)}/{name}"][0]
        return value, float(shares[self.design.labels[name].index(value)])

    def heat(self, name: str, value: str, grid: tuple[int, int] = HEAT_GRID) -> np.ndarray:
        """(rows, columns): how much the value's log-probability from the picture alone falls without that cell.

        Cells are painted in the border's colour, with half a cell around them (occlusion, arXiv:1311.2901). Positive:
        the cell speaks for the value. Raises CatalogError without a picture.
        """
        if self.usable.image is None:
            raise CatalogError("there is no picture, so there is nothing to show on it")
        loader = self.design.loader
        whole = to_pixels(self.usable.image, loader.size_px)
        colour = np.array(border_colour(self.usable.image), dtype=np.uint8)[:, None, None]
        height, width = loader.size_px
        rows, columns = grid
        painted = np.repeat(whole[None], rows * columns + 1, axis=0)
        for cell in range(rows * columns):
            row, column = divmod(cell, columns)
            top, bottom = (round(height * (row + edge) / rows) for edge in (-0.5, 1.5))
            left, right = (round(width * (column + edge) / columns) for edge in (-0.5, 1.5))
            painted[cell, :, max(top, 0) : bottom, max(left, 0) : right] = colour
        place = self.design.labels[name].index(value)
        with torch.inference_mode():
            batch = Batch(**loader.seen(list(painted))).to(self.design.device)
            logp = self.answers.answers.read(batch, [("image",)])["image"][name][:, place].float().cpu()
        return (logp[-1] - logp[:-1]).view(rows, columns).numpy()


def ask(
    design: Design, question: str, picture: bytes | None, title: str | None, precision: float = 0.95
) -> list[Reply]:
    """Answers to one question about one product. Raises CatalogError for a question or picture that is of no use."""
    asked = understand(question, design.ontology)
    return answered(asked, Product(design, picture, title), precision)


def answered(asked: Asked, product: Product, precision: float = 0.95) -> list[Reply]:
    """The answers to a question that was understood."""
    replies, named = product.replies(precision), dict(asked.values)
    return [
        Reply(**{**vars(replies[name]), "named": product.share(name, named[name]) if name in named else None})
        for name in asked.properties
        if name in replies
    ]


def sentence(reply: Reply) -> str:
    """The answer in words."""
    if reply.named is not None:
        value, share = reply.named
        verdict = "yes" if share >= 0.5 else "no"
        rather = "" if verdict == "yes" or reply.value is None else f", rather {_short(reply.value)}"
        return f"{verdict}: {reply.property} is {value} with probability {share:.0%}{rather}"
    if reply.value is None:
        return f"{reply.property}: {UNKNOWN}"
    return f"{reply.property}: {_short(reply.value)} ({reply.probability:.0%}, {reply.decision})"


def _short(value: str) -> str:
    return value.split(CATEGORY_JOIN)[-1]
