"""A teacher that sees whole pictures: the moving average of an image tower (A-CLIP, arXiv:2212.08653)."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import Batch, WholePictures
from shopvl.models.dual_encoder import DualEncoderModel
from shopvl.models.inputs import VisionTransformer
from shopvl.models.momentum import ema_update


class PictureTeacher(nn.Module):
    """The EMA of a model's image tower, and of its projector `own_projector` if there is one.

    With a `drop_share` it says which patches of the strong views are left out. `shown` changes nothing here; call
    `step` after the optimizer's.
    """

    def __init__(self, model: DualEncoderModel, decay: float, drop_share: float | None = None) -> None:
        super().__init__()
        names = [name for name in ("image_tower", "own_projector") if hasattr(model, name)]
        parts = {name: copy.deepcopy(getattr(model, name)) for name in names}
        self.model = nn.ModuleDict(parts).requires_grad_(False)
        self.decay, self.drop_share = decay, drop_share
        self.eval()

    def train(self, mode: bool = True) -> PictureTeacher:
        """Stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def shown(self, batch: Batch) -> Batch:
        """The batch with what the teacher makes of its pictures in the place of these; one of titles as it is."""
        pictures = batch.pictures
        if pictures is None:
            return batch
        tower = self.model["image_tower"]
        assert isinstance(tower, VisionTransformer)
        pooled_BW, patches_BPW, looks_BP = tower.encode_attending(pictures.pixels_B3YX)
        projected_BP = None
        if "own_projector" in self.model:
            projected_BP = F.normalize(self.model["own_projector"](pooled_BW).float(), dim=-1)
        views = dict(batch.views)
        if self.drop_share is not None:
            for name, view in views.items():
                if view.within_B5 is not None:
                    grid = tower.patches.grid
                    kept_BP = looked_at(looks_BP.unflatten(1, grid), view.within_B5, self.drop_share)
                    views[name] = replace(view, kept_BP=kept_BP)
        whole = WholePictures(patches_BPW=patches_BPW, projected_BP=projected_BP)
        return replace(batch, pictures=None, views=views, whole=whole)

    @torch.no_grad()
    def step(self, model: nn.Module) -> None:
        """EMA update towards the model."""
        ema_update(self.model, model, self.decay)


def looked_at(looks_BRC: Tensor, within_B5: Tensor, share: float) -> Tensor:
    """(B, P) bool: which patches of windows of pictures stay if that share of their squares of 2 x 2 is left out.

    Those stay that are looked at most: `looks_BRC` is of the patches of whole pictures, and is read in the middle of
    each patch of the window, between them linearly. `within_B5` is `Pictures.within_B5`.
    """
    rows, columns = looks_BRC.shape[1:]
    x0, y0, x1, y1, mirrored = within_B5.to(looks_BRC.dtype).unbind(1)
    across_C, down_R = ((torch.arange(n, device=looks_BRC.device) + 0.5) / n for n in (columns, rows))
    across_BC = torch.where(mirrored[:, None] > 0, 1 - across_C, across_C)
    x_BRC = (x0[:, None] + (x1 - x0)[:, None] * across_BC)[:, None].expand(-1, rows, -1)
    y_BRC = (y0[:, None] + (y1 - y0)[:, None] * down_R)[..., None].expand(-1, -1, columns)
    places_BRC2 = torch.stack([x_BRC, y_BRC], dim=-1) * 2 - 1
    seen_B1RC = F.grid_sample(looks_BRC[:, None], places_BRC2, padding_mode="border", align_corners=False)
    squares_Brc = F.avg_pool2d(seen_B1RC, 2, ceil_mode=True, count_include_pad=False)[:, 0]
    squares_BN = squares_Brc.flatten(1)
    kept = max(1, round((1 - share) * squares_BN.shape[1]))
    rank_BN = squares_BN.argsort(dim=1, descending=True, stable=True).argsort(1)
    kept_Brc = (rank_BN < kept).unflatten(1, squares_Brc.shape[1:])
    return kept_Brc.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :rows, :columns].flatten(1)
