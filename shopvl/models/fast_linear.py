"""Linear maps through oneDNN instead of the library that torch was built with, and in int8 through FBGEMM.

int8 is as in `runtime/openvino.py`: whole numbers (arXiv:1712.05877), a scale per output for weights and one range for
all that a map reads. That is 7 bits wide, so that pairs of products fit into the 16 bits that processors without VNNI
add them up in. PyTorch deprecates its quantized tensors, which FBGEMM wants; where they are gone, maps stay in float32.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

_ROWS, _IN, _OUT, _TRIES = 1024, 192, 768, 8
_WORTH = 0.8  # of the other's time; a smaller gain could be noise
_ROOM = 1.2  # of the widest range seen: other products reach further than examples
_STEPS_READ, _HIGHEST_WEIGHED = 127, 127
_MAP = "linear_with_input_q_dq_qweight_dq_output_fp32"


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
        if not _is_plain(input, self.weight):
            return super().forward(input)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return result


class Int8Linear(nn.Linear):
    """A linear map for inference on a CPU that multiplies in int8; elsewhere what `nn.Linear` does."""

    packed: Any
    step: float
    zero: int

    @classmethod
    def of(cls, linear: nn.Linear, low: float, high: float) -> Int8Linear:
        """The same weights, not copied, and packed in int8, for inputs between these two."""
        own = cls(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        own.weight, own.bias = linear.weight, linear.bias
        low, high = min(low, 0.0) * _ROOM, max(high, 0.0) * _ROOM
        own.step = max(high - low, torch.finfo(torch.float32).tiny) / _STEPS_READ
        own.zero = round(-low / own.step)
        weight_OI = linear.weight.detach().float()
        scale_O = (weight_OI.abs().amax(1) / _HIGHEST_WEIGHED).clamp(min=torch.finfo(torch.float32).tiny).double()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their deprecation
            whole_OI = torch.quantize_per_channel(weight_OI, scale_O, torch.zeros_like(scale_O).long(), 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach().float()
        own.packed = torch.ops.quantized.linear_prepack(whole_OI, bias)
        return own.train(linear.training)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        if input.ndim < 2 or not _is_plain(input, self.weight):
            return super().forward(input)
        result: Tensor = getattr(torch.ops.quantized, _MAP)(input, self.step, self.zero, self.packed)
        return result


def _is_plain(input: Tensor, weight: Tensor) -> bool:
    """Whether these are multiplied in float32 on a CPU and no gradients are wanted."""
    fits = input.device.type == weight.device.type == "cpu" and input.dtype == weight.dtype == torch.float32
    return fits and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu") and input.numel() > 0


def int8_is_here() -> bool:
    """Whether torch was built with FBGEMM, for x86, and has its maps still."""
    has = hasattr(torch.ops.quantized, _MAP) and hasattr(torch, "quantize_per_channel")
    return has and "fbgemm" in torch.backends.quantized.supported_engines


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


def use_int8(model: nn.Module, parts: Iterable[nn.Module], run: Callable[[], Sequence[Tensor]], far: float) -> bool:
    """Put an `Int8Linear` in the place of every linear map in some parts of a model that `run` goes through.

    The ranges are those of `run`. All stays as it was, and the answer is False, where outputs of `run` move by more
    than `far` of their norm.
    """
    maps = [linear for part in parts for linear in part.modules() if type(linear) is nn.Linear]
    read: dict[nn.Module, tuple[float, float]] = {}

    def watch(linear: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        low, high = read.get(linear, (0.0, 0.0))
        if inputs[0].numel():
            read[linear] = min(low, float(inputs[0].min())), max(high, float(inputs[0].max()))

    hooks = [linear.register_forward_pre_hook(watch) for linear in maps]
    with torch.inference_mode():
        own = run()
    for hook in hooks:
        hook.remove()
    replaced = [
        (parent, name, child)
        for parent in list(model.modules())
        for name, child in list(parent.named_children())
        if child in read
    ]
    for parent, name, child in replaced:
        assert isinstance(child, nn.Linear)
        setattr(parent, name, Int8Linear.of(child, *read[child]))
    with torch.inference_mode():
        said = run()
    if all((one - same).norm() <= far * one.norm() for one, same in zip(own, said, strict=True)):
        return bool(replaced)
    for parent, name, child in replaced:
        setattr(parent, name, child)
    return False
