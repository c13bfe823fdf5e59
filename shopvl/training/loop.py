"""The training loop: one function to read from top to bottom."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from shopvl.allocator import keep_pages
from shopvl.arithmetic import bf16_is_fast
from shopvl.batch import Batch
from shopvl.design import Design
from shopvl.loading import Steps, TrainingRows
from shopvl.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from shopvl.training.gradient_cache import cached_backward
from shopvl.training.schedule import Budget, rate

LOG = "losses.jsonl"
LOG_EVERY_STEPS = 10
SAVE_EVERY_SECONDS = 120.0

OnStep = Callable[[Progress, float, dict[str, float]], None]  # progress, share done, losses


def train(
    design: Design,
    rows: TrainingRows,
    folder: Path,
    *,
    budget: Budget,
    seed: int = 0,
    on_step: OnStep = lambda progress, share, losses: None,
) -> Progress:
    """Train `design` until the budget is spent, going on from the newest checkpoint in `folder`.

    Everything random in a step follows from (seed, step), so a run that was killed and started again gives the same
    losses as an unbroken one. Losses of every step are kept in `losses.jsonl`.
    """
    keep_pages()
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="bf16" if bf16_is_fast() else "no")
    schedule = design.recipe.schedule
    steps = Steps(rows, design.loader, seed, accelerator.process_index, accelerator.num_processes)
    optimizer = adamw(design.model, schedule.peak_lr, schedule.weight_decay)
    progress = load_checkpoint(folder, design.model, optimizer)
    design.model.to(accelerator.device)
    model, optimizer = accelerator.prepare(design.model, optimizer)
    model.train()
    saved_at = started = time.monotonic() - progress.seconds
    with _Losses(folder / LOG, progress.step) as log:
        for batch in _batches(steps, progress.step, accelerator.device):
            share = budget.share_done(progress)
            if share >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = group["scale"] * schedule.peak_lr * rate(share, schedule.warmup_share)
            if share < schedule.half_size_share:
                batch = _half_size(batch)
            generator = _seeded(seed, progress.step)
            optimizer.zero_grad(set_to_none=True)
            if schedule.chunk_size is not None:
                losses = cached_backward(design, model, batch, generator, schedule.chunk_size)
            else:
                losses = design.losses(batch, generator, model)
                accelerator.backward(design.total(losses))
            accelerator.clip_grad_norm_(model.parameters(), schedule.clip_norm)
            optimizer.step()
            progress = Progress(progress.step + 1, time.monotonic() - started)
            known = {name: loss.item() for name, loss in losses.items()}
            log.write(progress.step, known)
            on_step(progress, budget.share_done(progress), known)
            if time.monotonic() - saved_at > SAVE_EVERY_SECONDS:
                log.flush()
                save_checkpoint(folder, design.model, optimizer.optimizer, progress)
                saved_at = time.monotonic()
        log.flush()
        save_checkpoint(folder, design.model, optimizer.optimizer, progress)
    design.model.eval()
    return progress


def adamw(model: nn.Module, peak_lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays matrices only: not norms, biases, positions or the temperature.

    A parameter may carry `lr_scale`: its learning rate is that many times the others'.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = parameter.ndim >= 2, getattr(parameter, "lr_scale", 1.0)
            groups.setdefault(key, []).append(parameter)
    told = [
        {"params": params, "weight_decay": weight_decay if decayed else 0.0, "scale": scale, "lr": scale * peak_lr}
        for (decayed, scale), params in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]
    return torch.optim.AdamW(told, lr=peak_lr, betas=(0.9, 0.98))


def _batches(steps: Steps, first: int, device: torch.device) -> Iterator[Batch]:
    """Batches from that step on, without end; prepared one ahead in a worker process."""
    loader: DataLoader[Batch] = DataLoader(
        steps, batch_size=None, sampler=itertools.count(first), num_workers=1, prefetch_factor=2
    )
    for batch in loader:
        yield batch.to(device)


def _half_size(batch: Batch) -> Batch:
    """Pictures of half the sides, each pixel the mean of four."""
    assert batch.pixels_B3YX is not None
    return replace(batch, pixels_B3YX=F.avg_pool2d(batch.pixels_B3YX, 2))


def _seeded(seed: int, step: int) -> torch.Generator:
    """The generator of a step's views; the global one, which dropout uses, is seeded with it."""
    number = (seed * 1_000_003 + step) % 2**63
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


class _Losses:
    """`losses.jsonl`: one line per step. Lines after the checkpoint that a run goes on from are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = path.read_text("utf-8").splitlines()[:step] if path.is_file() else []
        path.write_text("".join(f"{line}\n" for line in kept), "utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, losses: dict[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **losses}) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> _Losses:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
