"""FashionBERT's adaptive weights of several losses (arXiv:2005.09801): both forms, the paper's and the release's.

With K losses, loss i has the weight w_i ~ 1 / (K - n_i), and the weights add up to one. What n_i is differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def by_losses(losses_K: Tensor) -> Tensor:
    """The weights (K,) of the public code: n_i is the square of the losses' softmax. Gradients go through them.

    With three losses a weight lies between 0.286 and 0.429, so the effect is mild.
    """
    return _weights(losses_K.softmax(0).square())


def by_gradients(losses_K: Tensor, shared: Sequence[nn.Parameter]) -> Tensor:
    """The weights (K,) of the paper: n_i is the squared norm of a loss's gradient in weights that all losses share.

    Norms are taken as shares of their sum, so that n_i stays below K; weights are constants. Costs a backward pass
    through the heads and those weights for each loss.
    """
    norms = []
    for loss in losses_K:
        gradients = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        norms.append(
            sum((part.float().square().sum() for part in gradients if part is not None), losses_K.new_zeros(()))
        )
    squared_K = torch.stack(norms)
    return _weights(squared_K / squared_K.sum().clamp(min=torch.finfo(squared_K.dtype).tiny)).detach()


def _weights(n_K: Tensor) -> Tensor:
    if len(n_K) == 1:  # rows with one input have one loss, whose n is 1
        return torch.ones_like(n_K)
    raw_K = 1 / (len(n_K) - n_K)
    return raw_K / raw_K.sum()
