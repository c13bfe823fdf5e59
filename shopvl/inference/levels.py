"""The category answered level by level: what a node above the leaves is worth is the sum of its leaves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN

TINY = 1e-30


def level_name(level: int) -> str:
    """What the calibration calls the answers of that level, from 1 at the top; the leaves are `category` itself."""
    return f"{CATEGORY}/{level}"


def is_category(name: str) -> bool:
    """Whether answers of that name are categories, of any level."""
    return name == CATEGORY or name.startswith(f"{CATEGORY}/")


def is_level(name: str) -> bool:
    """Whether they are categories of a level above the leaves."""
    return is_category(name) and name != CATEGORY


class CategoryLevels:
    """The levels above the leaves of a category head, from the top: at each, the nodes its leaves lie in.

    A leaf that ends further up stands for itself at the levels below it, and so does `unknown`.
    """

    def __init__(self, leaves: Sequence[str]) -> None:
        paths = [leaf.split(CATEGORY_JOIN) for leaf in leaves]
        self.names: dict[int, list[str]] = {}  # level -> nodes, as joined paths
        self._node_of_leaf: dict[int, Tensor] = {}  # (R,)
        for level in range(1, max(map(len, paths), default=1)):
            nodes = [CATEGORY_JOIN.join(path[:level]) for path in paths]
            names = list(dict.fromkeys(nodes))
            numbers = {name: number for number, name in enumerate(names)}
            self.names[level] = names
            self._node_of_leaf[level] = torch.tensor([numbers[node] for node in nodes])

    def read(self, probability_BR: Tensor) -> dict[int, Tensor]:
        """Level -> (B, K) log-probabilities of its nodes, in the order of `names`.

        From calibrated probabilities of the leaves: a raw head may spread so much over many small leaves that the node
        with the most leaves wins.
        """
        share_BR = probability_BR.double()  # next to a leaf of nearly 1 the sum of the others would round to 0
        return {
            level: share_BR.new_zeros(len(share_BR), len(names))
            .index_add(1, self._node_of_leaf[level].to(share_BR.device), share_BR)
            .clamp(min=TINY)
            .log()
            .float()
            for level, names in self.names.items()
        }
