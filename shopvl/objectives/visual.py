"""What is not shown of a picture, told from what is; and the codes that pictures are made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Generator, Tensor

from shopvl.batch import Batch, Output, Pictures, require
from shopvl.objectives.masking import masked_view
from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import PredictionLoss, mean_loss
from shopvl.objectives.views import Plain, View
from shopvl.recipes.parts.visual import MaskedAutoencoding, MaskedCodes, MaskedEntries, RebuiltMaps, VisualCodes
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Rebuild(View):
    """The pictures, to be made again."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch's pictures alone."""
        pixels = require(batch.pictures, "pictures", by="the view of vq").pixels_B3YX
        return Batch(pictures=Pictures(pixels_B3YX=pixels), rebuild=True)


@dataclass(frozen=True)
class CodesLoss(Objective):
    """The squared error of a picture that is made of its codes, and `hold` times what holds codes together.

    That is the distance of what the net tells from the code taken for it (VQ-VAE, arXiv:1711.00937), or the divergence
    of odds from even ones (DALL-E, arXiv:2102.12092), a value of a pixel. Head: `CodesHead`. Nearest sibling: `mae`.
    """

    weight: float
    hold: float
    name: str = "vq"
    view: View = field(default_factory=Rebuild)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        loss = mean_loss(output.prediction("rebuilt", by="the objective vq"), "squared-error")
        if "evenness" in output.predictions:
            even = output.predictions["evenness"]
            values = output.predictions["rebuilt"].made.numel() / len(even.made)
            return loss + self.hold * mean_loss(even, "divergence") / values
        return loss + self.hold * mean_loss(output.predictions["held"], "squared-error")


Visual = MaskedAutoencoding | VisualCodes | MaskedCodes | MaskedEntries | RebuiltMaps


def build(part: Visual, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """The loss of any of these parts, with its view."""
    match part:
        # MAE; reads `kept_BP`. The nearest sibling, pix-rec, has a learned vector in the place of a masked patch
        case MaskedAutoencoding():
            return PredictionLoss(part.name, part.weight, Plain(), (("pixels", "squared-error"),))
        case VisualCodes():
            return CodesLoss(part.weight, part.hold)
        # BEiT, with masked words in the same pass, if any; pix-rec tells pixels of patches that are masked one by one
        case MaskedCodes():
            return PredictionLoss(part.name, part.weight, masked_view(recipe, tokenizer), (("codes", "cross-entropy"),))
        # SOHO; mim-tok hides blocks, whose codes do not depend on the encoder
        case MaskedEntries():
            return PredictionLoss(
                part.name, part.weight, masked_view(recipe, tokenizer), (("entries", "cross-entropy"),)
            )
        # MLIM, as the mean over colours instead of their sum; pix-rec tells pixels of masked patches alone
        case RebuiltMaps():
            return PredictionLoss(part.name, part.weight, masked_view(recipe, tokenizer), (("map", "squared-error"),))
