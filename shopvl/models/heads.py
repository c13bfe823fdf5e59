"""Linear heads on frozen features: one question per property, one set of weights per choice of inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shopvl.batch import Modality, Words, inputs_name

PAIR_BUCKETS = 4096  # that linear heads hash pairs of neighbouring word pieces into
WIDE_LR_SCALE = 20.0  # weights of rare words see few steps, and must take large ones


class LinearHead(nn.Module):
    """One linear map from features, and from the title's own words where there is a title, to K logits.

    Features are dense and standardised by the rows the head was fitted on. The words are what a frozen text tower has
    forgotten: a weight per word piece and per (hashed) pair of neighbours, "wide" beside "deep" (arXiv:1606.07792).
    """

    def __init__(self, width: int, labels: int, vocabulary: int | None) -> None:
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(width))
        self.register_buffer("spread_F", torch.ones(width))
        self.linear = nn.Linear(width, labels)
        self.words = None if vocabulary is None else TitleWords(vocabulary, PAIR_BUCKETS, labels)

    def forward(self, features_BF: Tensor, title: Words | None) -> Tensor:
        """(B, F) and the title's words -> (B, K)."""
        logits_BK = self.linear((features_BF - self.mean_F) / self.spread_F)
        if self.words is None:
            return logits_BK
        assert title is not None
        return logits_BK + self.words(title)


class TitleWords(nn.Module):
    """Sum of a weight vector per word piece and per pair of neighbours: words -> (B, K). Begins at zero.

    Pairs are hashed into `pairs` buckets, whose weights come after those of the pieces.
    """

    def __init__(self, vocabulary: int, pairs: int, labels: int) -> None:
        super().__init__()
        self.vocabulary, self.pairs = vocabulary, pairs
        self.weights = nn.EmbeddingBag(vocabulary + pairs, labels, mode="sum")
        nn.init.zeros_(self.weights.weight)
        self.weights.weight.lr_scale = WIDE_LR_SCALE

    def forward(self, title: Words) -> Tensor:
        """(B, K), divided by the root of how many pieces and pairs there are."""
        left_BT, right_BT = title.ids_BT[:, :-1], title.ids_BT[:, 1:]
        pair_BT = self.vocabulary + (left_BT * 1_000_003 + right_BT * 7_919) % self.pairs
        ids = torch.cat([title.ids_BT, pair_BT], dim=1)
        real = torch.cat([title.real_BT, title.real_BT[:, 1:]], dim=1).to(self.weights.weight.dtype)
        return self.weights(ids, per_sample_weights=real / real.sum(1, keepdim=True).clamp(min=1).sqrt())


class LinearHeads(nn.Module):
    """`heads[inputs][property]`, each a LinearHead; F differs between choices of inputs, K between properties."""

    def __init__(self, widths: Mapping[str, int], labels: Mapping[str, int], vocabulary: int) -> None:
        super().__init__()
        self.labels = dict(labels)
        # lists, because a property's name may hold dots, which module names may not
        self.heads = nn.ModuleDict(
            {
                inputs: nn.ModuleList(
                    LinearHead(width, count, vocabulary if "title" in inputs else None) for count in labels.values()
                )
                for inputs, width in widths.items()
            }
        )

    def head(self, inputs: tuple[Modality, ...], name: str) -> LinearHead:
        """The head that answers property `name` from these inputs."""
        head = self.heads[inputs_name(inputs)][list(self.labels).index(name)]
        assert isinstance(head, LinearHead)
        return head

    def forward(self, features_BF: Tensor, inputs: tuple[Modality, ...], title: Words | None) -> dict[str, Tensor]:
        """Logits (B, K) of every property."""
        return {name: self.head(inputs, name)(features_BF, title) for name in self.labels}
