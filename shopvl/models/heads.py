"""Linear heads on frozen features: one question per property, one set of weights per choice of inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shopvl.batch import Modality, inputs_name


class LinearHead(nn.Module):
    """Features, standardised by the statistics of the rows it was fitted on, through one linear map to K logits."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(width))
        self.register_buffer("spread_F", torch.ones(width))
        self.linear = nn.Linear(width, labels)

    def forward(self, features_BF: Tensor) -> Tensor:
        """(B, F) -> (B, K)."""
        return self.linear((features_BF - self.mean_F) / self.spread_F)


class LinearHeads(nn.Module):
    """`heads[inputs][property]`, each a LinearHead; F differs between choices of inputs, K between properties."""

    def __init__(self, widths: Mapping[str, int], labels: Mapping[str, int]) -> None:
        super().__init__()
        self.widths, self.labels = dict(widths), dict(labels)
        # numbered, because a property's name may hold dots, which module names may not
        self.heads = nn.ModuleDict(
            {
                inputs: nn.ModuleList(LinearHead(width, count) for count in labels.values())
                for inputs, width in widths.items()
            }
        )

    def head(self, inputs: tuple[Modality, ...], name: str) -> LinearHead:
        """The head that answers property `name` from these inputs."""
        head = self.heads[inputs_name(inputs)][list(self.labels).index(name)]
        assert isinstance(head, LinearHead)
        return head

    def forward(self, features_BF: Tensor, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        """Logits (B, K) of every property."""
        return {name: self.head(inputs, name)(features_BF) for name in self.labels}
