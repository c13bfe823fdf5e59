"""Linear maps through oneDNN instead of the library that torch was built with."""

from __future__ import annotations

import time
from functools import lru_cache

import torch
from torch import Tensor, nn

_ROWS, _IN, _OUT, _TRIES = 1024, 192, 768, 8
_WORTH = 0.8  # of the other's time; a smaller gain could be noise


class OneDnnLinear(nn.Linear):
    """A linear map for inference in float32 on a CPU; does what `nn.Linear` does elsewhere, with the same weights."""

    @classmethod
    def of(cls, linear: nn.Linear) -> OneDnnLinear:
        """The same weights, not copied."""
        own = cls(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        own.weight, own.bias = linear.weight, linear.bias
        return own.train(linear.training)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        weight, kinds = self.weight, (input.dtype, self.weight.dtype)
        fits = input.device.type == weight.device.type == "cpu" and kinds == (torch.float32, torch.float32)
        if not fits or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or not input.numel():
            return super().forward(input)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, self.bias, "none", [], "")
        return result


@lru_cache(maxsize=1)
def onednn_is_fast() -> bool:
    """Whether oneDNN multiplies float32 matrices faster here than `nn.Linear`; small products are timed, once.

    torch uses MKL, which on processors that are not Intel's leaves AVX-512 alone: a third of oneDNN's rate on an EPYC.
    """
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    linear = nn.Linear(_IN, _OUT).eval()
    contenders = linear, OneDnnLinear.of(linear)
    seconds: dict[nn.Module, list[float]] = {part: [] for part in contenders}
    rows = torch.ones(_ROWS, _IN)
    with torch.inference_mode():
        for _ in range(_TRIES):
            for part, times in seconds.items():
                started = time.perf_counter()
                part(rows)
                times.append(time.perf_counter() - started)
    plain, other = (min(times) for times in seconds.values())
    return other < _WORTH * plain


def use_onednn(model: nn.Module) -> None:
    """Put a `OneDnnLinear` in the place of every plain linear map of the model."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, OneDnnLinear.of(child))
