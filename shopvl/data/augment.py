"""Data augmentation of pictures and titles."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageFilter

from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.plural import singular
from shopvl.catalog.queries import Query, facts_named, make_query, says
from shopvl.catalog.sentences import fact_sentence
from shopvl.data.rewriting import rewritten
from shopvl.data.rows import Row, facts_of, pairs
from shopvl.recipes.parts import Augment
from shopvl.vision.overlays import draw_lying_text, draw_overlays
from shopvl.vision.promotions import draw_promotions
from shopvl.vision.subject import with_drawing_painted_out
from shopvl.vision.transforms import Crop, random_crop, to_pixels

_VIEWS_PROMOTED, _VIEWS_BLURRED, _VIEWS_CROPPED = 0.1, 0.5, 0.6  # shares of pairs, of strong views; of a side, at most
_BLUR = 0.0005, 0.009  # radius as a share of the longer side: 0.1 to 2 px of 224
TITLED_LINES = 0.5  # of the lines of facts come behind their product's title
_ONE_HAND = 0.3  # share of drawings by `vision.overlays`; the others come from the hands of `vision.promotions`


def add_promotion_overlay(picture: Image.Image, rng: random.Random, painted_out: float) -> Image.Image:
    """The picture with promotions drawn on it, or with a word that says what is not so, by one of several hands.

    With probability `painted_out` the words are painted out again, as inference does with OCR on.
    """
    bare = picture
    if rng.random() < _ONE_HAND:
        draw = draw_lying_text if rng.random() < 0.5 else draw_overlays
        overlaid = draw(picture, np.random.default_rng(rng.getrandbits(64)))[0]
    else:
        overlaid, bare = draw_promotions(picture, rng)
    return with_drawing_painted_out(overlaid, bare) if rng.random() < painted_out else overlaid


def strong_views(
    picture: Image.Image, size_px: tuple[int, int], rng: random.Random
) -> tuple[tuple[np.ndarray, Crop], tuple[np.ndarray, Crop]]:
    """Two parts of the picture, each as uint8 (3, Y, X), mirrored or not, half of the time blurred; and which parts.

    One of the two is sometimes under promotions, never both, which could be told to belong together by these. What
    SimCLR does (arXiv:2002.05709) without a change of colours, which products are told apart by.
    """
    promoted = rng.randrange(2) if rng.random() < _VIEWS_PROMOTED else None
    first, second = (_strong_view(picture, size_px, rng, promoted=number == promoted) for number in range(2))
    return first, second


def _strong_view(
    picture: Image.Image, size_px: tuple[int, int], rng: random.Random, *, promoted: bool
) -> tuple[np.ndarray, Crop]:
    if promoted:
        picture = draw_promotions(picture, rng)[0]
    if rng.random() < _VIEWS_BLURRED:
        picture = blurred(picture, rng.uniform(*_BLUR) * max(picture.size))
    crop = random_crop(rng, _VIEWS_CROPPED, flip=True)
    return to_pixels(picture, size_px, crop), crop


def blurred(picture: Image.Image, deviation_px: float) -> Image.Image:
    """Blurred by a box as wide as a Gaussian of that deviation spreads, at a third of what that costs."""
    return picture.filter(ImageFilter.BoxBlur((math.sqrt(12 * deviation_px**2 + 1) - 1) / 2))


def remove_phrase(text: str, name: str) -> str:
    """The text without that name, wherever it stands as whole words, in any case, singular or plural."""
    if language_of(name) == "zh":
        return text.replace(name, "")
    words, wanted = text.split(), folded(name).split()
    remaining: list[str] = []
    while words:
        head = [folded(word) for word in words[: len(wanted)]]
        if wanted and [singular(word) for word in head] == [singular(word) for word in wanted]:
            words = words[len(wanted) :]
        else:
            remaining.append(words.pop(0))
    return " ".join(remaining)


def without_facts(title: str, ids: Iterable[int], ontology: Ontology) -> str:
    """The title without the words that name these facts."""
    for number in ids:
        for name in ontology.names_of_facts[number]:
            if says(title, name):  # few of its names in all languages are in one title
                title = remove_phrase(title, name)
    return title


def training_title(row: Row, augment: Augment, ontology: Ontology, rng: random.Random) -> str:
    """A row's title as a training batch has it, in other words, or a text of what is known of the product."""
    if augment.fact_lines and rng.random() < augment.fact_lines:
        line = told_line(row, rng)
        return f"{row['title']}; {line}" if rng.random() < TITLED_LINES else line
    if augment.chinese and rng.random() < augment.chinese and language_of(row["title"]) != "zh":
        return fact_sentence(facts_of(row, ontology), ontology, "zh") or row["title"]
    title = row["title"]
    if augment.rewrites and rng.random() < augment.rewrites:
        title = rewritten(title, ontology, rng)
    return drop_words(title, augment.word_dropout, rng)


def training_query(row: Row, facts: Sequence[int], augment: Augment, ontology: Ontology, rng: random.Random) -> Query:
    """A query that the row's product, of which these facts hold, answers: one of its logged ones, or a made one."""
    logged = row["queries"] or ()
    if logged and rng.random() < augment.logged_queries:
        text = rng.choice(logged)
        return Query(text, facts_named(text, ontology, within=facts), made=False)
    return make_query(
        *(row["title"], row["category_path"] or (), pairs(row["attributes"]), ontology, rng),
        title_probability=augment.title_queries,
        leaf_probability=augment.leaf_queries,
    )


def told_line(row: Row, rng: random.Random) -> str:
    """A line of what is known of the product; its title, where nothing is."""
    return fact_line(row["category_path"] or (), pairs(row["attributes"]), rng) or row["title"]


def fact_line(path: Sequence[str], pairs: Sequence[tuple[str, str]], rng: random.Random | None = None) -> str:
    """`T-shirts; colour: blue; gender: men`: the narrowest category, then each value, with `rng` in any order.

    Empty where nothing is known. It is a list of facts, and no sentence that a person would write.
    """
    clauses = [fact_clause(name, value) for name, value in pairs]
    if rng is not None:
        rng.shuffle(clauses)
    return "; ".join([*path[-1:], *clauses])


def fact_clause(name: str, value: str) -> str:
    """A value in a line of facts."""
    return f"{name}: {value}"


def drop_words(text: str, share: float, rng: random.Random) -> str:
    """The text with each word left out at that rate; never empty."""
    if not share:
        return text
    words = text.split()
    remaining = [word for word in words if rng.random() >= share]
    return " ".join(remaining or words)
