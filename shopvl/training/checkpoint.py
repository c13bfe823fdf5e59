"""Checkpoints of a run: safetensors and JSON, no pickle, written atomically."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from shopvl.errors import DesignError
from shopvl.files import atomic_folder


@dataclass(frozen=True)
class Progress:
    """Steps done, and seconds and processor seconds spent training, over all the pieces of a run."""

    step: int = 0
    seconds: float = 0.0
    stage: int = 0  # the one whose optimizer is at work, counted from 0
    cpu_seconds: float = 0.0  # of all threads of the process that trains; rows are prepared by another one


def save_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer, progress: Progress, further: Mapping[str, nn.Module] = {}
) -> None:
    """Write `checkpoint-STEP`, then remove the one before. `further` modules are saved by name."""
    for draft in folder.glob(".checkpoint-*.draft"):  # of a run that was killed while it saved
        shutil.rmtree(draft)
    with atomic_folder(folder / f"checkpoint-{progress.step:08d}") as draft:
        for name, module in {"model": model, **further}.items():
            tensors = {key: tensor.contiguous() for key, tensor in module.state_dict().items()}
            save_file(tensors, draft / f"{name}.safetensors")
        save_file(_flat(optimizer), draft / "optimizer.safetensors")
        (draft / "progress.json").write_text(json.dumps(asdict(progress)), "utf-8")
    for old in _checkpoints(folder)[:-1]:
        shutil.rmtree(old)


def saved_progress(folder: Path) -> Progress | None:
    """How far the newest checkpoint is; None where there is none."""
    checkpoints = _checkpoints(folder)
    return Progress(**json.loads((checkpoints[-1] / "progress.json").read_text("utf-8"))) if checkpoints else None


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer | None, further: Mapping[str, nn.Module] = {}
) -> Progress:
    """Load the newest checkpoint into model, optimizer and the `further` modules; step 0 if there is none.

    Raises DesignError for a checkpoint of other weights.
    """
    progress = saved_progress(folder)
    if progress is None:
        return Progress()
    newest = _checkpoints(folder)[-1]
    for name, module in {"model": model, **further}.items():
        tensors = load_file(newest / f"{name}.safetensors")
        if odd := sorted(tensors.keys() ^ module.state_dict().keys()):
            raise DesignError(
                f"{newest} has other weights than this run ({odd[0]} first), perhaps of another shopvl; "
                f"remove {folder} to train anew"
            )
        module.load_state_dict(tensors)
    if optimizer is not None:
        _restore(optimizer, load_file(newest / "optimizer.safetensors"))
    return progress


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"))


def _flat(optimizer: Optimizer) -> dict[str, Tensor]:
    """AdamW's state as `PARAMETER.KEY` -> tensor."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{number}.{key}": torch.as_tensor(v).contiguous()
        for number, tensors in state.items()
        for key, v in tensors.items()
    }


def _restore(optimizer: Optimizer, flat: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
