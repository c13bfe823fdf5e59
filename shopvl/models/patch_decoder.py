"""Pixels of the patches that an image tower was not shown."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shopvl.batch import Pictures, Prediction
from shopvl.models.attention import BlockSettings, Encoder
from shopvl.models.inputs import OnGrid
from shopvl.models.prediction_heads import normed_pixels


class PatchDecoder(OnGrid):
    """A light decoder over a tower's states and a learned vector in the place of each patch left out (MAE,
    arXiv:2111.06377). Only training needs it."""

    def __init__(
        self,
        states_width: int,
        grid: tuple[int, int],
        patch_px: int,
        layers: int,
        settings: BlockSettings,
    ) -> None:
        super().__init__()
        width = settings.width
        self.patch_px, self.grid = patch_px, grid
        self.map = nn.Linear(states_width, width)
        self.left_out = nn.Parameter(torch.randn(width) * 0.02)
        self.position = nn.Parameter(torch.randn(grid[0] * grid[1], width) * 0.02)
        self.encoder = Encoder(layers, settings)
        self.pixels = nn.Linear(width, 3 * patch_px**2)

    def forward(self, states_BPW: Tensor, pictures: Pictures) -> Mapping[str, Prediction]:
        """`pixels` (N, C) of the N patches left out, C = 3 x patch x patch; none where the tower saw the whole."""
        kept_BP = pictures.kept_BP
        if kept_BP is None:
            nothing_NC = states_BPW.new_zeros(0, self.pixels.out_features, dtype=torch.float32)
            return {"pixels": Prediction(made=nothing_NC, true=nothing_NC)}
        Y, X = pictures.pixels_B3YX.shape[2:]
        positions_PD = self.positions(Y // self.patch_px, X // self.patch_px)
        x_BPD = torch.where(kept_BP[..., None], self.map(states_BPW), self.left_out) + positions_PD
        made_NC = self.pixels(self.encoder(x_BPD)[~kept_BP]).float()
        return {"pixels": Prediction(made=made_NC, true=normed_pixels(pictures, self.patch_px, ~kept_BP))}
