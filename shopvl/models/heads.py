"""Linear heads on frozen features: one question per property, one set of weights per choice of inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shopvl.batch import Modality, inputs_name, require
from shopvl.text.grams import GRAMS

WIDE_LR_SCALE = 20.0  # weights of rare words see few steps, and must take large ones


class LinearHead(nn.Module):
    """One linear map from features, and from the title's own words where there is a title, to K logits.

    Features are dense and standardised by the rows the head was fitted on. The words add what a frozen text tower lost:
    "wide" beside "deep" (arXiv:1606.07792).
    """

    def __init__(self, width: int, labels: int, words: bool) -> None:
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(width))
        self.register_buffer("spread_F", torch.ones(width))
        self.linear = nn.Linear(width, labels)
        self.words = TitleWords(labels) if words else None

    def forward(self, features_BF: Tensor, grams_BG: Tensor | None) -> Tensor:
        """(B, F) and the title's grams -> (B, K)."""
        logits_BK = self.linear((features_BF - self.mean_F) / self.spread_F)
        if self.words is None:
            return logits_BK
        return logits_BK + self.words(require(grams_BG, "title grams", by="a linear head that reads titles"))


class TitleWords(nn.Module):
    """A weight vector per gram of a title (`shopvl.text.grams`) and a bias, all zero at first."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.weights = nn.EmbeddingBag(GRAMS, labels, mode="sum")
        self.bias = nn.Parameter(torch.zeros(labels))
        nn.init.zeros_(self.weights.weight)
        self.weights.weight.lr_scale = WIDE_LR_SCALE

    def forward(self, grams_BG: Tensor) -> Tensor:
        """(B, G), 0 where there is none -> (B, K): the weights' sum divided by the root of how many there are."""
        real_BG = (grams_BG > 0).to(self.weights.weight.dtype)
        share_BG = real_BG / real_BG.sum(1, keepdim=True).clamp(min=1).sqrt()
        return self.weights(grams_BG, per_sample_weights=share_BG) + self.bias


class LinearHeads(nn.Module):
    """`heads[inputs][property]`, each a LinearHead; F differs between choices of inputs, K between properties."""

    def __init__(self, widths: Mapping[str, int], labels: Mapping[str, int]) -> None:
        super().__init__()
        self.labels = dict(labels)
        # lists, because a property's name may hold dots, which module names may not
        self.heads = nn.ModuleDict(
            {
                inputs: nn.ModuleList(LinearHead(width, count, words="title" in inputs) for count in labels.values())
                for inputs, width in widths.items()
            }
        )

    def head(self, inputs: tuple[Modality, ...], name: str) -> LinearHead:
        """The head that answers property `name` from these inputs."""
        head = self.heads[inputs_name(inputs)][list(self.labels).index(name)]
        assert isinstance(head, LinearHead)
        return head

    def forward(self, features_BF: Tensor, inputs: tuple[Modality, ...], grams_BG: Tensor | None) -> dict[str, Tensor]:
        """Logits (B, K) of every property."""
        return {name: self.head(inputs, name)(features_BF, grams_BG) for name in self.labels}
