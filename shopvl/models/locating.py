"""Where in a picture phrases are: word-region scores and boxes (GLIP, arXiv:2112.03857)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import Places, Prediction
from shopvl.models.inputs import MapCells, PatchEmbedding
from shopvl.models.prediction_heads import Fused, PredictionHead, Site
from shopvl.recipes.parts.objective_part import ObjectivePart

RARE = 0.01  # how likely a cell shows a phrase, before anything is learned (arXiv:1708.02002)
MIDDLE = 0.5  # of a box's sides: cells within say that they show it (center sampling, arXiv:1904.01355)


class RegionScores(PredictionHead):
    """A score of each phrase in each cell, the dot product of both, and a box from each cell.

    A cell's box is told as the distances of its sides from the cell's middle. Of several boxes whose middle a cell lies
    in it tells the smallest. The cell nearest to a box's middle always shows it, however small that is.
    """

    middles_P2: Tensor

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = grid
        y_P, x_P = torch.meshgrid(
            (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij"
        )
        self.register_buffer("middles_P2", torch.stack([x_P.flatten(), y_P.flatten()], dim=1), persistent=False)
        self.cell, self.phrase = nn.Linear(width, width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.tensor(-math.log(1 / RARE - 1)))
        self.box = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4))

    def compared(self, places: Places, scores_BPN: Tensor, boxes_BP4: Tensor) -> tuple[Prediction, Prediction]:
        """Each phrase in each cell (M,), and the boxes (M, 4) of the cells that show one, beside what is true."""
        real_BN = places.phrases.real_BNQ.any(-1)
        shows_BPM, box_BP, any_BP = self.assigned(places)
        true_BPN = torch.einsum("bpm,bmn->bpn", shows_BPM.float(), places.named_BMN.float()) > 0
        asked_BPN = real_BN[:, None].expand_as(true_BPN)
        true_BP4 = places.boxes_BM4.gather(1, box_BP[..., None].expand(-1, -1, 4))
        return (
            Prediction(made=scores_BPN[asked_BPN], true=true_BPN[asked_BPN]),
            Prediction(made=boxes_BP4[any_BP], true=true_BP4[any_BP]),
        )

    def scored(self, seen: Fused) -> tuple[Tensor, Tensor]:
        """Logits of each phrase in each cell (B, P, N), and a box of each cell (B, P, 4); phrases are the words that
        states were made of."""
        cells_BPD, phrases_BND = self.cell(seen.patches_BPD), self.phrase(seen.words_BTD)
        scores_BPN = (cells_BPD @ phrases_BND.transpose(1, 2)).float() / cells_BPD.shape[-1] ** 0.5 + self.bias
        sides_BP4 = F.softplus(self.box(seen.patches_BPD).float() - 2.0)
        corners = self.middles_P2 - sides_BP4[..., :2], self.middles_P2 + sides_BP4[..., 2:]
        return scores_BPN, torch.cat(corners, dim=-1)

    def assigned(self, places: Places) -> tuple[Tensor, Tensor, Tensor]:
        """Which cells show which boxes (B, P, M) bool, the smallest of them by its number (B, P), and whether any."""
        boxes_BM4, asked_BM = places.boxes_BM4, places.named_BMN.any(2)
        low_BM2, high_BM2 = boxes_BM4[..., :2], boxes_BM4[..., 2:]
        middle_BM2, half_BM2 = (low_BM2 + high_BM2) / 2, (high_BM2 - low_BM2) / 2
        away_BPM2 = (self.middles_P2[:, None] - middle_BM2[:, None]).abs()
        inside_BPM = (away_BPM2 <= MIDDLE * half_BM2[:, None]).all(-1)
        nearest_B1M = away_BPM2.square().sum(-1).argmin(1, keepdim=True)
        shows_BPM = inside_BPM.scatter(1, nearest_B1M, True) & asked_BM[:, None]
        area_BM = (2 * half_BM2).prod(-1)
        box_BP = torch.where(shows_BPM, area_BM[:, None], torch.inf).argmin(-1)
        return shows_BPM, box_BP, shows_BPM.any(-1)


class PlacesHead(RegionScores):
    """Where phrases are (GLIP), and from a phrase's own state whether it is there at all."""

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__(width, grid)
        self.there = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`word-regions` (M,), each phrase in each cell; `boxes` (M, 4) of the cells that show one; `presence` (N,)."""
        places = seen.batch.places
        if seen.batch.phrases is None or places is None:
            return {}
        scores_BPN, boxes_BP4, there_BN = self.told(seen)
        regions, boxes = self.compared(places, scores_BPN, boxes_BP4)
        real_BN = places.phrases.real_BNQ.any(-1)
        presence = Prediction(made=there_BN[real_BN], true=places.named_BMN.any(1)[real_BN])
        return {"word-regions": regions, "boxes": boxes, "presence": presence}

    def told(self, seen: Fused) -> tuple[Tensor, Tensor, Tensor]:
        """`scored`, and logits that a phrase is in the picture (B, N)."""
        return *self.scored(seen), self.there(seen.words_BTD).float().squeeze(-1)


def grid_of(site: Site) -> tuple[int, int]:
    """Rows and columns of the cells that a head over a map or over patches scores."""
    assert isinstance(site.patches, MapCells | PatchEmbedding)
    return site.patches.grid


def build_head(name: str, site: Site, part: ObjectivePart) -> PredictionHead:
    """That of places, over the cells of a map or of patches."""
    return PlacesHead(site.width, grid_of(site))
