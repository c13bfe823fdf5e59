"""What the patches are that an image tower was not shown: their pixels, or a teacher's states of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import Pictures, Prediction, WholePictures
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.inputs import OnGrid, PatchEmbedding
from shopvl.models.prediction_heads import Fused, PredictionHead, Site, normed_pixels
from shopvl.recipes.parts.objective_part import ObjectivePart
from shopvl.recipes.parts.visual import MaskedAutoencoding


class LeftOutDecoder(OnGrid):
    """A light decoder over a tower's states and a learned vector in the place of each patch left out (MAE,
    arXiv:2111.06377). Only training needs it."""

    def __init__(self, states_width: int, grid: tuple[int, int], layers: int, settings: BlockSettings) -> None:
        super().__init__()
        width = settings.width
        self.grid = grid
        self.map = nn.Linear(states_width, width)
        self.left_out = nn.Parameter(torch.randn(width) * 0.02)
        self.position = nn.Parameter(torch.randn(grid[0] * grid[1], width) * 0.02)
        self.encoder = Encoder(layers, settings)

    def states(
        self, states_BPW: Tensor, kept_BP: Tensor, grid: tuple[int, int], first_B1W: Tensor | None = None
    ) -> Tensor:
        """(B, P, D) of all places, of a picture that has that grid of them.

        What stands `first` in a line, a class token, is looked at as well.
        """
        x_BPD = torch.where(kept_BP[..., None], self.map(states_BPW), self.left_out) + self.positions(*grid)
        if first_B1W is None:
            return self.encoder(x_BPD)
        return self.encoder(torch.cat([self.map(first_B1W), x_BPD], dim=1))[:, 1:]


class PatchDecoder(LeftOutDecoder):
    """Tells the pixels of the patches left out."""

    def __init__(
        self,
        states_width: int,
        grid: tuple[int, int],
        patch_px: int,
        layers: int,
        settings: BlockSettings,
    ) -> None:
        super().__init__(states_width, grid, layers, settings)
        self.patch_px = patch_px
        self.pixels = nn.Linear(settings.width, 3 * patch_px**2)

    def forward(
        self, states_BPW: Tensor, pictures: Pictures, first_B1W: Tensor | None = None
    ) -> Mapping[str, Prediction]:
        """`pixels` (N, C) of the N patches left out, C = 3 x patch x patch; none where the tower saw the whole."""
        kept_BP = pictures.kept_BP
        if kept_BP is None:
            nothing_NC = states_BPW.new_zeros(0, self.pixels.out_features, dtype=torch.float32)
            return {"pixels": Prediction(made=nothing_NC, true=nothing_NC)}
        Y, X = pictures.pixels_B3YX.shape[2:]
        grid = Y // self.patch_px, X // self.patch_px
        made_NC = self.pixels(self.states(states_BPW, kept_BP, grid, first_B1W)[~kept_BP]).float()
        return {"pixels": Prediction(made=made_NC, true=normed_pixels(pictures, self.patch_px, ~kept_BP))}


class StateDecoder(LeftOutDecoder):
    """Tells what a teacher, which saw the whole picture, has for states of the patches left out, as distributions over
    their features of a `temperature` (MaskCLIP, arXiv:2208.12262)."""

    def __init__(
        self,
        states_width: int,
        grid: tuple[int, int],
        layers: int,
        settings: BlockSettings,
        temperature: float,
    ) -> None:
        super().__init__(states_width, grid, layers, settings)
        self.temperature = temperature
        self.tell = nn.Linear(settings.width, states_width)

    def forward(self, states_BPW: Tensor, kept_BP: Tensor, whole: WholePictures) -> Mapping[str, Prediction]:
        """`whole-patches` (N, W) of the N patches left out, both as logits."""
        made_NW = self.tell(self.states(states_BPW, kept_BP, self.grid)[~kept_BP]).float()
        theirs_NW = whole.patches_BPW[~kept_BP].float()
        true_NW = F.layer_norm(theirs_NW, theirs_NW.shape[1:]) / self.temperature
        return {"whole-patches": Prediction(made=made_NW, true=true_NW)}


class LeftOutPixelHead(PredictionHead):
    """Tells the pixels of the patches that one stream was not shown, from the others and what stands first in it."""

    def __init__(self, decoder: PatchDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`pixels`, as of the decoder; nothing where there is no picture."""
        pictures = seen.batch.pictures
        return {} if pictures is None else self.decoder(seen.patches_BPD, pictures, seen.words_BTD[:, :1])


def build_head(name: str, site: Site, part: ObjectivePart) -> PredictionHead:
    """That of pixels left out, of the size that the objective states."""
    assert isinstance(part, MaskedAutoencoding)
    patches = site.patches
    assert isinstance(patches, PatchEmbedding)
    settings = BlockSettings(part.width, part.attention_heads)
    return LeftOutPixelHead(PatchDecoder(site.width, patches.grid, patches.patch.kernel_size[0], part.layers, settings))
