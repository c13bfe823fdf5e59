"""What pictures say to statements about products, and where they say it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shopvl.batch import IGNORED, VERDICTS, Prediction
from shopvl.models.locating import RegionScores, grid_of
from shopvl.models.prediction_heads import Fused, PredictionHead, Site
from shopvl.recipes.parts.objective_part import ObjectivePart


class RelationsHead(RegionScores):
    """Where to look for a statement, and from its own state and from what is there, one of VERDICTS.

    What is there is the mean of the picture's states, by the softmax of the statement's scores: a verdict rests on the
    place that the statement is about, and its gradient says where to look.
    """

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__(width, grid)
        self.judge = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, len(VERDICTS)))

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """`statement-regions` (M,), each statement in each cell; `statement-boxes` (M, 4) of the cells that show what
        one is about; `verdicts` (N, 3)."""
        relations = seen.batch.relations
        if seen.batch.phrases is None or relations is None:
            return {}
        scores_BPN, boxes_BP4, made_BN3 = self.told(seen)
        regions, boxes = self.compared(relations.places, scores_BPN, boxes_BP4)
        asked_BN = relations.verdict_BN != IGNORED
        verdicts = Prediction(made=made_BN3[asked_BN], true=relations.verdict_BN[asked_BN])
        return {"statement-regions": regions, "statement-boxes": boxes, "verdicts": verdicts}

    def told(self, seen: Fused) -> tuple[Tensor, Tensor, Tensor]:
        """`scored`, and logits of the VERDICTS (B, N, 3); statements are the words that states were made of."""
        scores_BPN, boxes_BP4 = self.scored(seen)
        shares_BPN = scores_BPN.softmax(1).to(seen.patches_BPD.dtype)
        there_BND = torch.einsum("bpn,bpd->bnd", shares_BPN, seen.patches_BPD)
        made_BN3 = self.judge(torch.cat([seen.words_BTD, there_BND], dim=-1)).float()
        return scores_BPN, boxes_BP4, made_BN3


def build_head(name: str, site: Site, part: ObjectivePart) -> PredictionHead:
    """That of relations, over the cells of a map or of patches."""
    return RelationsHead(site.width, grid_of(site))
