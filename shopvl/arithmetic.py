"""What this machine computes fast."""

import torch


def bf16_is_fast() -> bool:
    """Whether this machine multiplies bfloat16 in hardware; elsewhere it is up to hundreds of times slower."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
