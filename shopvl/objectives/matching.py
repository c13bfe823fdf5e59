"""Image-text matching, of whole pairs and of words with patches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import Batch, Output, require
from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import HardNegatives, ShuffledPairs, TfidfNegatives, View
from shopvl.recipes.parts.objectives import Matching, WordPatchAlignment
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class WordPatchLoss(Objective):
    """Optimal-transport distance between words and patches: small for true pairs, large for false ones.

    Reads: `is_match_B`, `texts["title"]` (start, end and padding left out). Head: none, the fused states themselves.
    Paper: UNITER's word-region alignment (arXiv:1909.11740) as used by ViLT; the plan carries no gradient, the cost
    does. Nearest sibling: `itm`, which judges a pair from its first state.
    """

    weight: float
    special_ids: tuple[int, ...]
    view: View
    name: str = "wra-ot"

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar: (sum of distances of true pairs - sum of distances of false pairs) / B."""
        states = require(output.states, "fused states", by="the objective wra-ot")
        is_match_B = require(batch.is_match_B, "pair labels", by="the objective wra-ot")
        words = batch.texts["title"]
        word_real_BT = words.real_BT & ~torch.isin(
            words.ids_BT, torch.tensor(self.special_ids, device=words.ids_BT.device)
        )
        cost_BPT = cosine_cost(states.patches_BPD, states.words_BTD)
        plan_BPT = ipot(cost_BPT.detach(), states.patch_real_BP, word_real_BT)
        distance_B = (plan_BPT * cost_BPT).sum((1, 2))
        sign_B = torch.where(is_match_B, 1.0, -1.0)
        return (sign_B * distance_B).mean()


def cosine_cost(patches_BPD: Tensor, words_BTD: Tensor) -> Tensor:
    """1 - cosine of every patch with every word: (B, P, T)."""
    return 1 - F.normalize(patches_BPD, dim=-1) @ F.normalize(words_BTD, dim=-1).transpose(1, 2)


def ipot(cost_BPT: Tensor, patch_real_BP: Tensor, word_real_BT: Tensor, beta: float = 0.5, rounds: int = 50) -> Tensor:
    """Transport plan (B, P, T) between uniform weights on real patches and real words (IPOT, arXiv:1802.04307).

    Padded rows and columns carry nothing; a product without any real word gets an empty plan. Rows of a plan sum to
    1/P, columns to 1/T, up to the accuracy of `rounds` proximal steps of width `beta`.
    """
    allowed = (patch_real_BP[:, :, None] & word_real_BT[:, None, :]).to(cost_BPT.dtype)
    patches_B1 = patch_real_BP.sum(1, keepdim=True).clamp(min=1).to(cost_BPT.dtype)
    words_B1 = word_real_BT.sum(1, keepdim=True).clamp(min=1).to(cost_BPT.dtype)
    kernel = torch.exp(-cost_BPT / beta) * allowed
    plan = allowed
    sigma_BT = word_real_BT / words_B1
    for _ in range(rounds):
        weighted = kernel * plan
        delta_BP = _inverse(patches_B1 * torch.einsum("bpt,bt->bp", weighted, sigma_BT))
        sigma_BT = _inverse(words_B1 * torch.einsum("bpt,bp->bt", weighted, delta_BP))
        plan = delta_BP[:, :, None] * weighted * sigma_BT[:, None, :]
    return plan


def _inverse(values: Tensor) -> Tensor:
    """1 / values, and 0 where there is nothing."""
    return torch.where(values > 0, 1 / values.clamp(min=torch.finfo(values.dtype).tiny), 0.0)


def build(part: Matching | WordPatchAlignment, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """Alignment judges the pairs of matching, where there is matching."""
    match part:
        case Matching():
            # ViLT (arXiv:2102.03334), one logit instead of two classes, which is the same function
            return PredictionLoss(part.name, part.weight, _pairs(part, tokenizer), (("match", "binary"),))
        case WordPatchAlignment():
            matching = next((other for other in recipe.objectives if isinstance(other, Matching)), None)
            pairs = ShuffledPairs(part.share) if matching is None else _pairs(matching, tokenizer)
            return WordPatchLoss(weight=part.weight, special_ids=tuple(tokenizer.special_ids()), view=pairs)


def _pairs(part: Matching, tokenizer: Tokenizer) -> View:
    """True and false pairs."""
    match part.negatives:
        case "hard":
            return HardNegatives()
        case "tfidf":
            return TfidfNegatives(part.share, tuple(tokenizer.special_ids()))
        case "rand" | "subcat":
            return ShuffledPairs(part.share, part.negatives)
