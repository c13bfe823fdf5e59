"""One run over several processes: what a loss needs of the whole batch is gathered, with gradients.

The loss is the mean over the processes' losses. Every process computes contrastive losses over the whole batch, so
their mean equals the loss of a single process with that batch; other objectives are means over a process's own rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn

from shopvl.batch import Batch, Output, require
from shopvl.errors import RecipeError


def processes() -> PartialState:
    """The processes of this run: those that torchrun started, else this one alone."""
    return PartialState(cpu=not torch.cuda.is_available())


def whole_batch(output: Output, batch: Batch) -> tuple[Output, Batch]:
    """Embeddings, titles, queries and facts of all processes' rows, process by process.

    Every process must have as many rows. Gradients go back to the process that a row is from.
    """
    embeddings = {name: _Gather.apply(tensor) for name, tensor in output.embeddings.items()}
    groups = require(batch.groups, "groups", by="a contrast over several processes")
    facts = require(batch.facts, "facts", by="a contrast over several processes")
    groups = replace(groups, title_B=_gathered(groups.title_B), query_B=_gathered(groups.query_B))
    facts = replace(facts, product_BK=_gathered(facts.product_BK), query_BK=_gathered(facts.query_BK))
    return replace(output, embeddings=embeddings), replace(batch, groups=groups, facts=facts)


def share_of(batch_size: int, count: int) -> int:
    """Rows of a batch for each of `count` processes. Raises RecipeError if it does not divide evenly."""
    if batch_size % count:
        raise RecipeError(
            f"a batch of {batch_size} products cannot be shared by {count} processes; change schedule.batch_size"
        )
    return batch_size // count


def agreed(seconds: float) -> float:
    """The first process's seconds, so that all processes end at the same step."""
    if processes().num_processes == 1:
        return seconds
    clock = torch.tensor([seconds], dtype=torch.float64, device=processes().device)
    dist.broadcast(clock, 0)
    return float(clock)


@contextmanager
def norms_over_all(model: nn.Module) -> Iterator[None]:
    """Inside it, batch norms of `model` use the whole batch (torch's SyncBatchNorm does not support CPUs)."""
    norms = [module for module in model.modules() if type(module) is nn.BatchNorm2d]
    if processes().num_processes > 1:
        for norm in norms:
            norm.__class__ = _WholeBatchNorm
    try:
        yield
    finally:
        for norm in norms:
            norm.__class__ = nn.BatchNorm2d


class _WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the mean and variance over all processes' rows."""

    def forward(self, x_BDYX: Tensor) -> Tensor:
        """(B, D, Y, X), in the precision of the input; statistics are float32."""
        if not self.training:
            return super().forward(x_BDYX)
        precision, x_BDYX = x_BDYX.dtype, x_BDYX.float()
        count = x_BDYX.numel() / x_BDYX.shape[1] * dist.get_world_size()
        mean_D = _Sum.apply(x_BDYX.sum((0, 2, 3))) / count
        centred_BDYX = x_BDYX - mean_D[:, None, None]
        variance_D = _Sum.apply(centred_BDYX.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean_D, self.momentum)
            self.running_var.lerp_(variance_D * (count / (count - 1)), self.momentum)
        scaled_BDYX = centred_BDYX * ((variance_D + self.eps).rsqrt() * self.weight)[:, None, None]
        return (scaled_BDYX + self.bias[:, None, None]).to(precision)


def _gathered(tensor: Tensor) -> Tensor:
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    """All processes' rows; backward, the sum over the processes' losses for the own ones."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return _gathered(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


class _Sum(torch.autograd.Function):
    """The sum over the processes, both ways."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
