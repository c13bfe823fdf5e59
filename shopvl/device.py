"""Where a model computes."""

import os

import torch

from shopvl.errors import ShopvlError

MOST_DECODERS = 16  # threads; more of them than that are in each other's way


def device_named(name: str | None) -> torch.device:
    """`cpu`, `cuda`, `cuda:1`; without a name a GPU where there is one. Raises ShopvlError for what is not there."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as fault:
        there = ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])
        raise ShopvlError(f"--device {name} cannot be used here; there is {there}") from fault
    return device


def decoders_for(device: torch.device) -> int:
    """Threads that fetch and decode pictures ahead of the model: all cores where a GPU computes, else one, since the
    model itself wants the cores."""
    return 1 if device.type == "cpu" else min(os.cpu_count() or 1, MOST_DECODERS)
