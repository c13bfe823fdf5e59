"""Heads that an objective brings to a model of fused states."""

from __future__ import annotations

from torch import Tensor, nn

from shopvl.batch import Batch
from shopvl.catalog.ontology import Ontology
from shopvl.recipes.parts.objectives import FactClasses
from shopvl.recipes.recipe import Recipe


class FactHead(nn.Module):
    """Logits of the K facts (B, K) from the first state."""

    def __init__(self, width: int, facts: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, facts)

    def forward(self, words_BTD: Tensor, patches_BPD: Tensor, batch: Batch) -> Tensor:
        """(B, K)."""
        logits_BK: Tensor = self.map(words_BTD[:, 0])
        return logits_BK


def build_head(part: FactClasses, recipe: Recipe, ontology: Ontology) -> nn.Module:
    """One logit for every fact of the ontology."""
    return FactHead(recipe.fusion.width, len(ontology.facts))
