"""Checkpoints of a run: safetensors and JSON, no pickle, written atomically, with checksums.

The last two are kept: where the newer one is damaged, the run goes on from the one before.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from shopvl.checksums import Remedy, file_digests, read_object, verify_all
from shopvl.errors import DamagedError, DesignError
from shopvl.files import atomic_folder, write_object

KEPT = 2
PROGRESS, FILES = "progress.json", "files"  # where a checkpoint's figures stand, and the checksums among them
REMEDY = Remedy("the run goes on from what was saved before it")
log = logging.getLogger(__name__)


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
    """Write `checkpoint-STEP`, then remove those before the last two. `further` modules are saved by name."""
    for draft in folder.glob(".checkpoint-*.draft"):  # of a run that was killed while it saved
        shutil.rmtree(draft)
    with atomic_folder(folder / f"checkpoint-{progress.step:08d}") as draft:
        for name, module in {"model": model, **further}.items():
            tensors = {key: tensor.contiguous() for key, tensor in module.state_dict().items()}
            save_file(tensors, draft / f"{name}.safetensors")
        save_file(_flat(optimizer), draft / "optimizer.safetensors")
        written = file_digests(draft, [path.name for path in draft.iterdir()])
        write_object(draft / PROGRESS, {**asdict(progress), FILES: written})
    for old in _folders(folder)[:-KEPT]:
        shutil.rmtree(old)


def saved_progress(folder: Path) -> Progress | None:
    """How far the newest checkpoint is that is whole; None where there is none."""
    newest = _newest(folder)
    return None if newest is None else newest[1]


def _newest(folder: Path) -> tuple[Path, Progress] | None:
    """The newest checkpoint that is as it was written. Damaged ones are removed, and a warning says so."""
    for path in reversed(_folders(folder)):
        try:
            values = read_object(path / PROGRESS, REMEDY)
            verify_all(path, values.pop(FILES, {}), REMEDY)
            return path, Progress(**values)
        except (DamagedError, OSError, TypeError, AttributeError) as fault:
            log.warning("%s", fault if isinstance(fault, DamagedError) else REMEDY.damaged(path, str(fault)))
            shutil.rmtree(path, ignore_errors=True)
    return None


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: Optimizer | None, further: Mapping[str, nn.Module] = {}
) -> Progress:
    """Load the newest checkpoint into model, optimizer and the `further` modules; step 0 if there is none.

    Raises DesignError for a checkpoint of other weights.
    """
    newest = _newest(folder)
    if newest is None:
        return Progress()
    path, progress = newest
    try:
        for name, module in {"model": model, **further}.items():
            tensors = load_file(path / f"{name}.safetensors")
            if odd := sorted(tensors.keys() ^ module.state_dict().keys()):
                raise DesignError(
                    f"{path} has other weights than this run ({odd[0]} first), perhaps of another shopvl; "
                    f"remove {folder} to train anew"
                )
            module.load_state_dict(tensors)
        if optimizer is not None:
            _restore(optimizer, load_file(path / "optimizer.safetensors"))
    except (OSError, SafetensorError, ValueError, RuntimeError) as fault:
        raise DesignError(f"{path} cannot be loaded ({fault}); remove it to go on from the one before") from fault
    return progress


def _folders(folder: Path) -> list[Path]:
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
