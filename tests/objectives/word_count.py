"""The loss and the head of the objective `word-count` of test_slices."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shopvl.batch import Batch, Output, Prediction
from shopvl.models.prediction_heads import Fused, PredictionHead, Site
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import Plain, View
from shopvl.recipes.parts.objective_part import ObjectivePart


@dataclass(frozen=True)
class WordCountLoss(Objective):
    """Mean squared error of the logarithm of how many tokens a title has."""

    weight: float
    name: str = "word-count"
    view: View = Plain()  # noqa: RUF009  it is a frozen value

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        found = output.prediction(self.name, by="word-count")
        return (found.made - found.true).square().mean()


class CountHead(PredictionHead):
    """The logarithm of how many tokens a title has, from the first word's state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, 1)

    def forward(self, seen: Fused) -> Mapping[str, Prediction]:
        """One number for each product."""
        true_B = seen.batch.texts["title"].real_BT.sum(1).log()
        return {"word-count": Prediction(made=self.map(seen.words_BTD[:, 0]).squeeze(-1), true=true_B)}


def build(part: object, recipe: object, tokenizer: object) -> Objective:
    """Found by its name."""
    return WordCountLoss(part.weight)


def build_head(name: str, site: Site, part: ObjectivePart) -> PredictionHead:
    """Found by its name."""
    with torch.random.fork_rng():
        return CountHead(site.width)
