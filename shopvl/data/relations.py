"""Statements about products, true and edited, and what their pictures say to them.

A statement is `sleeve: long sleeves`: a property and a value. With the boxes that show the property it is a triple,
whose edit names another value. What a picture does not show, or what is covered in it, it neither proves nor denies.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from shopvl.batch import DENIED, IGNORED, NOT_SEEN, SHOWN, Places, Relations
from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import fact_name
from shopvl.data.editing import other_fact
from shopvl.data.places import ALONE, PieceReader, to_phrases
from shopvl.vision.transforms import Box

ASKED, LONGEST = 6, 16  # statements about a product, and pieces of one, at most
FREE, HIDDEN = 0.1, 0.9  # of what shows a property may be covered where it still shows, and has to be where it does not
GRID = 128  # rows and columns in which covers are counted


@dataclass(frozen=True)
class Triple:
    """A fact of the ontology, by its number, and the boxes that show its property; none where no picture does."""

    fact: int
    boxes: tuple[Box, ...]


def triples_of(
    facts: Collection[int], shown: Sequence[tuple[str, Box]] | None, product: Box, ontology: Ontology
) -> list[Triple]:
    """Of each value among the facts. `shown` are the boxes of a product by property, and what is not among them is not
    shown; None: nobody says, and the box of the product shows every property that pictures show."""
    triples = []
    for number in facts:
        prop = ontology.property(ontology.facts[number].property) if ontology.facts[number].kind == "value" else None
        if prop is None:
            continue
        if shown is None:
            boxes: tuple[Box, ...] = () if prop.visual == "no" else (product,)
        else:
            boxes = tuple(box for name, box in shown if ontology.property(name) is prop)
        triples.append(Triple(number, boxes))
    return triples


def statement_of(fact: int, ontology: Ontology) -> str | None:
    """`sleeve: long sleeves`; None where the value, or what it is a value of, has no English name."""
    prop = ontology.property(ontology.facts[fact].property)
    name = fact_name(ontology, fact, "en")
    return None if prop is None or name is None else f"{folded(prop.name('en') or prop.id)}: {name}"


def covered_share(boxes: Sequence[Box], covers: Sequence[Box]) -> float:
    """Of what these boxes show together the share that lies under covers."""
    own_YX, hidden_YX = _painted(boxes), _painted(covers)
    return float((own_YX & hidden_YX).sum() / max(1, own_YX.sum()))


def _painted(boxes: Sequence[Box]) -> np.ndarray:
    """bool (GRID, GRID): where the boxes lie, each in one square at least."""
    painted_YX = np.zeros((GRID, GRID), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        column, row = int(x0 * GRID), int(y0 * GRID)
        painted_YX[row : max(row + 1, int(y1 * GRID)), column : max(column + 1, int(x1 * GRID))] = True
    return painted_YX


def is_seen(triple: Triple, covers: Sequence[Box]) -> bool | None:
    """Whether a picture under these covers shows what the triple is about; None where it shows some of it."""
    if not triple.boxes:
        return False
    share = covered_share(triple.boxes, covers) if covers else 0.0
    return True if share <= FREE else False if share >= HIDDEN else None


def drawn_relations(
    reader: PieceReader,
    triples: Sequence[Sequence[Triple]],
    facts: Sequence[Collection[int]],
    covers: Sequence[Sequence[Box]],
    edited: float,
    ontology: Ontology,
    own: Sequence[random.Random],
) -> Relations:
    """At most ASKED statements about each product, an `edited` share of them with another value; half of the products
    have one, as in use each is judged alone. No product has a statement and its edit, which would deny each other."""
    told = [
        _told(of_one, holding, hidden, edited, ontology, draw)
        for of_one, holding, hidden, draw in zip(triples, facts, covers, own, strict=True)
    ]
    count = max(1, *map(len, told))
    most = max(1, *(sum(len(boxes) for _, _, boxes in said) for said in told))
    verdict_BN = torch.full((len(told), count), IGNORED)
    boxes_BM4, named_BMN = torch.zeros(len(told), most, 4), torch.zeros(len(told), most, count, dtype=torch.bool)
    for b, said in enumerate(told):
        m = 0
        for n, (_, verdict, boxes) in enumerate(said):
            verdict_BN[b, n] = verdict
            for box in boxes:
                boxes_BM4[b, m], named_BMN[b, m, n] = torch.tensor(box), True
                m += 1
    texts = [[*(text for text, _, _ in said), *[""] * (count - len(said))] for said in told]
    places = Places(phrases=to_phrases(reader.tokenizer, texts, LONGEST), boxes_BM4=boxes_BM4, named_BMN=named_BMN)
    return Relations(places=places, verdict_BN=verdict_BN)


def _told(
    triples: Sequence[Triple],
    holding: Collection[int],
    covers: Sequence[Box],
    edited: float,
    ontology: Ontology,
    draw: random.Random,
) -> list[tuple[str, int, tuple[Box, ...]]]:
    """Statements about one product, the verdict on each, and where one has to look."""
    clear = [(triple, seen) for triple in triples if (seen := is_seen(triple, covers)) is not None]
    count = 1 if draw.random() < ALONE else ASKED
    told = []
    for triple, seen in draw.sample(clear, min(len(clear), count)):
        edit = other_fact(triple.fact, holding, ontology, draw) if draw.random() < edited else None
        text = statement_of(triple.fact if edit is None else edit, ontology)
        if text is not None:
            verdict = NOT_SEEN if not seen else SHOWN if edit is None else DENIED
            told.append((text, verdict, triple.boxes if seen else ()))
    return told
