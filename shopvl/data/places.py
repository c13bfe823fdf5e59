"""What is known to be where in pictures, and the phrases that a model is asked to find."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch.nn.utils.rnn import pad_sequence

from shopvl.batch import Phrases, Places, require
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import fact_name
from shopvl.data.product_cells import MIN_BOX_PRODUCT_SHARE
from shopvl.data.training_pictures import Boxed, TrainingPictures
from shopvl.recipes.parts import BOX_CELL_PX
from shopvl.text.tokenizer import Tokenizer
from shopvl.vision.quick import subject_boxes, subject_shares
from shopvl.vision.transforms import Box

ASKED, LONGEST = 16, 8  # phrases of a product, and pieces of one, at most
ALONE = 0.5  # of the products are asked about one phrase, as people ask
NEAR = 0.5  # of the phrases that do not fit are called as something that is there, but for the words before it
GENERAL = 0.25  # of the phrases that a picture shows are cut down to their last word


class PieceReader(Protocol):
    """How phrases become pieces: a collator."""

    tokenizer: Tokenizer


def product_boxes(drawn: TrainingPictures) -> list[Box]:
    """Where each picture shows its product, by its subject alone."""
    pictures = require(drawn.pictures, "pictures", by="what is known to be where")
    pixels_B3YX = pictures.pixels_B3YX.mul(255).round().to(torch.uint8).numpy()
    height, width = pixels_B3YX.shape[2:]
    shares_BRC = subject_shares(pixels_B3YX, (height // BOX_CELL_PX, width // BOX_CELL_PX))
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in subject_boxes(shares_BRC, MIN_BOX_PRODUCT_SHARE).tolist()]


def known_places(drawn: TrainingPictures, facts: Sequence[Sequence[int]], ontology: Ontology) -> list[Boxed]:
    """Of each product its named parts; where the catalog has none, all that is known of it, in the product's box."""
    told = []
    for parts, known, product in zip(drawn.parts, facts, product_boxes(drawn), strict=True):
        names = [fact_name(ontology, number, "en") for number in known]
        told.append(parts or [(name, product) for name in names if name])
    return told


def fits(phrase: str, name: str) -> bool:
    """Whether what is called `name` may be called so: `sleeve` fits a `long sleeve`."""
    return set(phrase.split()) <= set(name.split())


def drawn_places(reader: PieceReader, known: Sequence[Boxed], own: Sequence[random.Random]) -> Places:
    """At most ASKED phrases for each product: any number that name what is in its picture, and of the others' that do
    not, so that a phrase says nothing about the next. One that says more than is known, such as `long sleeve` of a
    `sleeve`, is not asked about."""
    every = sorted({name for boxed in known for name, _ in boxed})
    asked = [_asked(boxed, every, draw) for boxed, draw in zip(known, own, strict=True)]
    count, most = max(1, *map(len, asked)), max(1, *map(len, known))
    named_BMN = torch.zeros(len(known), most, count, dtype=torch.bool)
    boxes_BM4 = torch.zeros(len(known), most, 4)
    for b, (boxed, phrases) in enumerate(zip(known, asked, strict=True)):
        for m, (name, box) in enumerate(boxed):
            boxes_BM4[b, m] = torch.tensor(box)
            for n, phrase in enumerate(phrases):
                named_BMN[b, m, n] = fits(phrase, name)
    padded = [[*phrases, *[""] * (count - len(phrases))] for phrases in asked]
    return Places(phrases=to_phrases(reader.tokenizer, padded), boxes_BM4=boxes_BM4, named_BMN=named_BMN)


def _asked(boxed: Boxed, every: Iterable[str], draw: random.Random) -> list[str]:
    names = sorted({name for name, _ in boxed})
    count = 1 if draw.random() < ALONE else draw.randint(2, ASKED)
    there = draw.sample(names, min(len(names), draw.randint(0, count)))
    there = [name.split()[-1] if draw.random() < GENERAL else name for name in there]
    others = [name for name in every if not any(fits(name, own) or fits(own, name) for own in names)]
    phrases = list(dict.fromkeys([*there, *_absent(others, names, count - len(there), draw)]))
    draw.shuffle(phrases)
    return phrases


def _absent(others: Sequence[str], names: Iterable[str], count: int, draw: random.Random) -> list[str]:
    """So many of the others; NEAR of them, as far as there are, end on the last word of a name: `short sleeve` of a
    product with a `long sleeve`, which differs in nothing that any picture without a sleeve would tell."""
    last = {name.split()[-1] for name in names}
    near = [name for name in others if name.split()[-1] in last]
    wanted = sum(draw.random() < NEAR for _ in range(count))
    chosen = draw.sample(near, min(len(near), wanted))
    far = [name for name in others if name not in chosen]
    return [*chosen, *draw.sample(far, min(len(far), count - len(chosen)))]


def to_phrases(tokenizer: Tokenizer, texts_BN: Sequence[Sequence[str]], longest: int = LONGEST) -> Phrases:
    """As many phrases for each product, "" for none, as padded pieces, `longest` of one at most."""
    N = len(texts_BN[0])
    pieces = tokenizer.pieces([text for texts in texts_BN for text in texts])
    rows = [torch.tensor(row[:longest], dtype=torch.long) for row in pieces]
    ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_id)
    real = pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in rows], batch_first=True)
    return Phrases(ids_BNQ=ids.unflatten(0, (-1, N)), real_BNQ=real.unflatten(0, (-1, N)))
