"""Data augmentation of pictures and titles."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

from shopvl.catalog.cells import folded, language_of
from shopvl.catalog.plural import singular
from shopvl.vision.overlays import draw_lying_text, draw_overlays
from shopvl.vision.promotions import draw_promotions
from shopvl.vision.subject import with_drawing_painted_out

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


def drop_words(text: str, share: float, rng: random.Random) -> str:
    """The text with each word left out at that rate; never empty."""
    if not share:
        return text
    words = text.split()
    remaining = [word for word in words if rng.random() >= share]
    return " ".join(remaining or words)
