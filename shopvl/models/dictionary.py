"""A dictionary of what cells of pictures look like (SOHO, arXiv:2104.03135)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import Pictures, Prediction, require
from shopvl.models.inputs import MapCells
from shopvl.models.picture_codes import MovingCodes
from shopvl.models.prediction_heads import Fused, PredictionHead, Site, transform
from shopvl.recipes.parts.objective_part import ObjectivePart

FIRST_SCALE = 10.0  # of cosines with the entries of the dictionary


class DictionaryCells(MapCells):
    """The cells of a net's last map, each with the entry of the dictionary that is nearest to it added.

    The gradient of an entry goes to the cell; entries are moving means of cells. A hidden cell is a learned vector.
    """

    def __init__(self, net: nn.Module, grid: tuple[int, int], width: int, entries: int, settle: int) -> None:
        super().__init__(net, grid, width)
        self.codes = MovingCodes(entries, width, settle)
        self.hidden = nn.Parameter(torch.randn(width) * 0.02)

    def looked_up(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Positions (B, P, D), row by row, and the cells alone, before anything was added or hidden."""
        cells_BPD = self.map(self.net.encode(pictures.pixels_B3YX)[1][-1])
        number_BP = self.codes(cells_BPD.flatten(0, 1).float()).view(cells_BPD.shape[:2])
        entry_BPD = self.codes.codes_KD[number_BP].to(cells_BPD.dtype)
        both_BPD = cells_BPD + cells_BPD + (entry_BPD - cells_BPD).detach()
        hidden_BP = hidden_cells(number_BP, pictures.entry_draw_BP)
        if hidden_BP is not None:
            both_BPD = torch.where(hidden_BP[..., None], self.hidden, both_BPD)
        return self.norm(both_BPD + self.position), cells_BPD


def hidden_cells(number_BP: Tensor, draw_BP: Tensor | None) -> Tensor | None:
    """(B, P) bool: all cells of a picture that have the entry of its cell with the largest draw; none, if no draw is
    above 0."""
    if draw_BP is None:
        return None
    drawn_B1 = draw_BP.argmax(1, keepdim=True)
    return (number_BP == number_BP.gather(1, drawn_B1)) & (draw_BP.amax(1, keepdim=True) > 0)


class EntryHead(PredictionHead):
    """Which entry of the dictionary hidden cells had: by their states' cosines with all entries, times a scale that
    learns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = transform(width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`entries` (N, K)."""
        draw_BP = None if seen.batch.pictures is None else seen.batch.pictures.entry_draw_BP
        if draw_BP is None:
            return {}
        assert isinstance(seen.patches, DictionaryCells)
        codes = seen.patches.codes
        cells_BPD = require(seen.features_BPF, "cells", by="the head of entries").detach().float()
        number_BP = codes.nearest(cells_BPD.flatten(0, 1)).view(draw_BP.shape)
        hidden_BP = require(hidden_cells(number_BP, draw_BP), "cells", by="the head of entries")
        states_ND = F.normalize(self.transform(seen.patches_BPD[hidden_BP]).float(), dim=1)
        made_NK = self.log_scale.exp() * states_ND @ F.normalize(codes.codes_KD, dim=1).T
        return {"entries": Prediction(made=made_NK, true=number_BP[hidden_BP])}


def build_head(name: str, site: Site, part: ObjectivePart) -> PredictionHead:
    """That of entries of the dictionary by which pictures enter."""
    assert isinstance(site.patches, DictionaryCells)
    return EntryHead(site.width)
