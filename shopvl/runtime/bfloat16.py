"""What this machine computes fast."""

import time
from functools import lru_cache

import torch

_SIDE, _TRIES = 512, 12
_WORTH = 0.8  # of float32's time; a smaller gain could be noise, and two starts on one machine should choose alike


@lru_cache(maxsize=1)
def bf16_is_fast() -> bool:
    """Whether this machine multiplies matrices faster in bfloat16 than in float32.

    Without instructions for it, bfloat16 is up to hundreds of times slower. With AMX it is faster; what AVX-512 alone
    does differs between processors (half of float32's speed on some), so there small products are timed, once.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    able = torch.cpu.get_capabilities()
    if able.get("amx_bf16"):
        return True
    return bool(able.get("avx512_bf16")) and _share_of_float32s_time(torch.bfloat16) < _WORTH


def _share_of_float32s_time(dtype: torch.dtype) -> float:
    """The best of a few tries each at one product of two matrices, in turns."""
    seconds: dict[torch.dtype, list[float]] = {torch.float32: [], dtype: []}
    for _ in range(_TRIES):
        for kind, times in seconds.items():
            matrix = torch.ones(_SIDE, _SIDE, dtype=kind)
            started = time.perf_counter()
            matrix @ matrix
            times.append(time.perf_counter() - started)
    return min(seconds[dtype]) / min(seconds[torch.float32])
