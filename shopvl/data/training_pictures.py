"""The pictures of a training batch: augmented, in all forms that objectives ask for, with what is known to be where."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from shopvl.batch import COVERED, MASKED, OVERLAID, STRONG_VIEWS, Pictures
from shopvl.data.augment import add_promotion_overlay, strong_views
from shopvl.data.covering import cover
from shopvl.data.rows import Row
from shopvl.recipes.parts.objectives import Asked, Relate
from shopvl.recipes.recipe import Recipe
from shopvl.vision.promotions import draw_promotions
from shopvl.vision.transforms import Box, Crop, random_crop, to_pixels, with_aspect, within

MASKED_PROMOTED = 0.3  # of the pictures of which patches are left out, to be told, are under promotions
Boxed = list[tuple[str, Box]]  # words, each with its place in what the model sees


@dataclass(frozen=True)
class TrainingPictures:
    """Those of a batch of rows."""

    pictures: Pictures | None = None
    views: Mapping[str, Pictures] = field(default_factory=dict)
    printed: list[Boxed] = field(default_factory=list)  # words on each product, where the recipe reads them
    parts: list[Boxed] = field(default_factory=list)  # named parts of each, where the catalog says where they are
    shown: list[Boxed | None] = field(default_factory=list)  # what shows which property of each; None: nobody says
    covers: list[list[Box]] = field(default_factory=list)  # of each in the view COVERED


class PictureLoader(Protocol):
    """How pictures become tensors: a collator."""

    recipe: Recipe

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""

    def asks(self, asked: Asked) -> bool:
        """Whether an objective asks for that."""

    def boxed(self, printed: Iterable[tuple[str, Box]], picture: Image.Image, crop: Crop) -> Boxed:
        """Boxes as they lie in what the model sees."""

    def to_pictures(
        self, pixels: Sequence[np.ndarray], rng: random.Random | None, printed: Sequence[Boxed] | None
    ) -> Pictures:
        """Pictures as the encoder sees them."""


def training_pictures(
    loader: PictureLoader,
    rows: Sequence[Row],
    decoded: Sequence[Image.Image],
    draws: Sequence[random.Random],
    rng: random.Random,
) -> TrainingPictures:
    """Augmented pictures of rows, each by its own draws, and those views of them that are asked for."""
    augment, size_px = loader.recipe.augment, loader.size_px
    pixels, printed, parts, shown, covers = [], [], [], [], []
    relate = next((part for part in loader.recipe.objectives if isinstance(part, Relate)), None)
    views: dict[str, list[np.ndarray]] = defaultdict(list)
    windows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    promoted = partial(add_promotion_overlay, painted_out=augment.painted_out)
    for row, picture, draw in zip(rows, decoded, draws, strict=True):
        crop = random_crop(draw, augment.crop_share, augment.flip)
        framed = with_aspect(picture, size_px[1] / size_px[0])  # once for all forms of it
        drawn = augment.overlays > 0 and draw.random() < augment.overlays
        pixels.append(to_pixels(promoted(picture, draw) if drawn else framed, size_px, crop))
        if loader.recipe.reads:
            printed.append(loader.boxed(_told(row["printed"]), picture, crop))
        if loader.asks("places"):
            parts.append(loader.boxed(_told(row.get("part_boxes")), picture, crop))
        if relate is not None:
            about = _about(row.get("part_boxes"))
            shown.append(loader.boxed(about, picture, crop) if about else None)
            covering = draw.random() < relate.covered
            seen, hidden = cover(pixels[-1], shown[-1] or (), draw) if covering else (pixels[-1], [])
            views[COVERED].append(seen)
            covers.append(hidden)
        if loader.asks("overlaid pictures"):
            views[OVERLAID].append(to_pixels(promoted(picture, draw), size_px, crop))
        if loader.asks("two views"):
            both = strong_views(framed, size_px, draw)
            for name, (view, own) in zip(STRONG_VIEWS, both, strict=True):
                views[name].append(view)
                windows[name].append(within(own, crop))
        if loader.asks("masked pictures"):
            shown = draw_promotions(framed, draw)[0] if draw.random() < MASKED_PROMOTED else framed
            views[MASKED].append(to_pixels(shown, size_px, crop))
    made = {name: loader.to_pictures(of, rng, printed or None) for name, of in views.items()}
    made |= {name: replace(made[name], within_B5=torch.tensor(boxes)) for name, boxes in windows.items()}
    whole = loader.to_pictures(pixels, rng, printed or None)
    return TrainingPictures(whole, made, printed, parts, shown, covers)


def _told(stored: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, Box]]:
    """`[{text, box}, ...]` of a row as pairs, of what has a text."""
    return [(item["text"], item["box"]) for item in stored or () if item["text"]]


def _about(stored: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, Box]]:
    """`[{property, box}, ...]` of a row as pairs, of what shows a property."""
    return [(item["property"], item["box"]) for item in stored or () if item.get("property")]
