"""Gradient caching: large contrastive batches in little memory (GradCache)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from shopvl.batch import Batch, Output
from shopvl.design.design import Design, Whole


def cached_backward(
    design: Design,
    model: nn.Module,
    batch: Batch,
    generator: Generator,
    chunk_size: int,
    whole_batch: Whole | None = None,
) -> dict[str, Tensor]:
    """Losses of the whole batch, with the gradients of the whole batch in the weights (GradCache, arXiv:2101.06983).

    `model` is the design's, wrapped or not. Only `chunk_size` products' activations are in memory at a time, at the
    cost of a second forward pass. Equal to the plain backward pass, except that batch norms see chunks. Objectives may
    read embeddings and scales only.
    """
    chunks = [batch.rows(slice(start, start + chunk_size)) for start in range(0, len(batch), chunk_size)]
    states, outputs = [], []
    for chunk in chunks:
        states.append(torch.get_rng_state())
        with torch.no_grad():
            outputs.append(model(chunk))
    names = outputs[0].embeddings.keys()
    whole = {name: torch.cat([o.embeddings[name] for o in outputs]).requires_grad_() for name in names}
    scales = {pair: scale.detach().clone().requires_grad_() for pair, scale in outputs[0].scales.items()}
    losses = design.losses(batch, generator, _Known(Output(embeddings=whole, scales=scales)), whole_batch)
    design.total(losses).backward()
    for number, (chunk, state) in enumerate(zip(chunks, states, strict=True)):
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(state)  # the same dropout as in the first pass
            again = model(chunk)
        rows = slice(number * chunk_size, number * chunk_size + len(chunk))
        terms = [(again.embeddings[name] * _grad(whole[name])[rows]).sum() for name in names]
        share = float(number == 0)  # scales belong to the whole batch; each pass has a gradient for every weight
        terms += [again.scales[pair] * _grad(scale) * share for pair, scale in scales.items()]
        torch.stack(terms).sum().backward()
    return {name: loss.detach() for name, loss in losses.items()}


def _grad(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


class _Known(nn.Module):
    """Stands in for a model whose output is already known."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self.output = output

    def forward(self, batch: Batch) -> Output:
        """The known output."""
        return self.output
