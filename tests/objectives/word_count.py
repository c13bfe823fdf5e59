"""The loss and the head of the objective `word-count` of test_slices."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shopvl.batch import Batch, Output
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import Plain, View


@dataclass(frozen=True)
class WordCountLoss(Objective):
    """Mean squared error of the logarithm of how many tokens a title has."""

    weight: float
    name: str = "word-count"
    view: View = Plain()  # noqa: RUF009  it is a frozen value

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar."""
        return (output.guesses[self.name] - batch.texts["title"].real_BT.sum(1).log()).square().mean()


class CountHead(nn.Module):
    """(B,) from the first word's state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, 1)

    def forward(self, words_BTD: Tensor, patches_BPD: Tensor, batch: Batch) -> Tensor:
        """One number for each product."""
        return self.map(words_BTD[:, 0]).squeeze(-1)


def build(part: object, recipe: object, tokenizer: object) -> Objective:
    """Found by its name."""
    return WordCountLoss(part.weight)


def build_head(part: object, recipe: object, ontology: object) -> nn.Module:
    """Found by its name."""
    with torch.random.fork_rng():
        return CountHead(recipe.fusion.width)
