"""Where in pictures something is, or that it is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torchvision.ops import box_iou

from shopvl.data.places import to_phrases
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.models.single_stream import SingleStreamModel
from shopvl.recipes.capabilities import require_capability
from shopvl.vision.transforms import Box, canvas_size

THERE = 0.5  # from which probability on a phrase counts as shown; in training as many are as are not
BESIDE = 0.5  # of the best box's score that another box needs
SAME = 0.5  # intersection over union from which two boxes are one
MOST = 6  # boxes of a phrase


@dataclass(frozen=True)
class FoundPlace:
    """A place that a phrase names."""

    box: Box  # x0 y0 x1 y1 in [0, 1] of the picture
    score: float  # in [0, 1]


@dataclass(frozen=True)
class Located:
    """What was looked for in a picture: whether it is there at all, and where, the best place first."""

    phrase: str
    presence: float  # probability that the picture shows it
    places: tuple[FoundPlace, ...]  # none where it does not


def locate(
    design: Design, pictures: Sequence[Image.Image], phrases: Sequence[str], *, least: float = THERE
) -> list[list[Located]]:
    """Each phrase in each RGB picture; what is there with a probability below `least` has no place.

    Each is looked for by itself, so that it does not matter what else is asked.
    Raises DesignError for a design that has not learned where things are, and for a phrase without a word.
    """
    require_capability(design.recipe, "locate")
    model, loader = design.model.eval(), design.loader
    assert isinstance(model, SingleStreamModel)
    lowered = [phrase.lower().strip() for phrase in phrases]
    for phrase, pieces in zip(phrases, loader.tokenizer.pieces(lowered), strict=True):
        if not pieces:
            raise DesignError(f"{phrase!r} names nothing that can be looked for; say a part or a property in words")
    located: list[list[Located]] = [[] for _ in pictures]
    seen = loader.pictures(pictures).to(design.device)
    for phrase, words in zip(phrases, lowered, strict=True):
        asked = to_phrases(loader.tokenizer, [[words]] * len(pictures)).to(design.device)
        with torch.inference_mode():
            scores_BP1, boxes_BP4, there_B1 = (each.cpu() for each in model.locate(replace(seen, phrases=asked)))
        each = zip(located, pictures, scores_BP1.sigmoid(), boxes_BP4, there_B1.sigmoid(), strict=True)
        for found, picture, scores_P1, boxes_P4, there_1 in each:
            places = found_places(scores_P1[:, 0], boxes_P4, picture.size, loader.size_px)
            found.append(Located(phrase, float(there_1), places if float(there_1) >= least else ()))
    return located


def found_places(
    scores_P: torch.Tensor, boxes_P4: torch.Tensor, picture_px: tuple[int, int], size_px: tuple[int, int]
) -> tuple[FoundPlace, ...]:
    """Of a phrase's score in each cell, and each cell's box on the model's canvas, the places in the picture (width,
    height), the best first."""
    return _best(scores_P, _of_picture(boxes_P4, picture_px, size_px))


def _best(scores_P: torch.Tensor, boxes_P4: torch.Tensor) -> tuple[FoundPlace, ...]:
    """The boxes of the highest scores, without those that are another's again."""
    same_PP, kept = box_iou(boxes_P4, boxes_P4) > SAME, list[int]()
    best = float(scores_P.max())
    for place in scores_P.argsort(descending=True).tolist():
        if len(kept) < MOST and not bool(same_PP[place, kept].any()):
            kept.append(place)
    return tuple(
        FoundPlace(tuple(round(side, 4) for side in boxes_P4[place].tolist()), float(scores_P[place]))
        for place in kept
        if float(scores_P[place]) >= BESIDE * best
    )


def _of_picture(boxes_P4: torch.Tensor, picture_px: tuple[int, int], size_px: tuple[int, int]) -> torch.Tensor:
    """Boxes of what the model sees, the picture on a canvas of its own aspect, as boxes of the picture."""
    width, height = picture_px
    across, down = canvas_size(width, height, size_px[1] / size_px[0])
    left, top = (across - width) // 2, (down - height) // 2
    scale = torch.tensor([across / width, down / height] * 2)
    shift = torch.tensor([left / width, top / height] * 2)
    return (boxes_P4 * scale - shift).clamp(0, 1)
