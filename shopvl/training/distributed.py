"""One run over several processes: what has to be known of the whole batch is gathered, gradients included."""

from __future__ import annotations

import torch
from accelerate import PartialState


def processes() -> PartialState:
    """The processes of this run: those that torchrun started, else this one alone."""
    return PartialState(cpu=not torch.cuda.is_available())
