"""Objectives that read one input by itself, where products have both."""

from typing import Literal

from pydantic.dataclasses import dataclass

from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.recipes.parts.objective_part import ObjectivePart
from shopvl.recipes.parts.visual import OfCodes


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedTitles(ObjectivePart):
    """Predict masked words of titles without their pictures, masked as those of `mlm` are (VLMo's second stage)."""

    loss_in = "shopvl.objectives.unpaired"
    needs = ("title", "fused words", "one stream")
    kind: Literal["mlm-title"] = "mlm-title"
    share: Share = 0.15
    weight: float = 1.0
    name: Literal["mlm:title"] = "mlm:title"
    heads = ("words",)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MaskedPictures(OfCodes):
    """Tell the codes of masked patches of pictures without their titles, masked as by `mim-tok`."""

    loss_in = "shopvl.objectives.unpaired"
    asks = ("product shares",)
    kind: Literal["mim-image"] = "mim-image"
    share: Share = 0.4
    at_least: Count = 16
    name: Literal["mim-tok:image"] = "mim-tok:image"
