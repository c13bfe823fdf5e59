"""What the patches are that an image tower was not shown: their pixels, or a teacher's states of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import Pictures, Prediction, WholePictures
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.inputs import OnGrid
from shopvl.models.prediction_heads import normed_pixels


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

    def states(self, states_BPW: Tensor, kept_BP: Tensor, grid: tuple[int, int]) -> Tensor:
        """(B, P, D) of all places, of a picture that has that grid of them."""
        x_BPD = torch.where(kept_BP[..., None], self.map(states_BPW), self.left_out)
        return self.encoder(x_BPD + self.positions(*grid))


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

    def forward(self, states_BPW: Tensor, pictures: Pictures) -> Mapping[str, Prediction]:
        """`pixels` (N, C) of the N patches left out, C = 3 x patch x patch; none where the tower saw the whole."""
        kept_BP = pictures.kept_BP
        if kept_BP is None:
            nothing_NC = states_BPW.new_zeros(0, self.pixels.out_features, dtype=torch.float32)
            return {"pixels": Prediction(made=nothing_NC, true=nothing_NC)}
        Y, X = pictures.pixels_B3YX.shape[2:]
        grid = Y // self.patch_px, X // self.patch_px
        made_NC = self.pixels(self.states(states_BPW, kept_BP, grid)[~kept_BP]).float()
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
