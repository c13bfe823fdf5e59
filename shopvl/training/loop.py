"""The training loop: one function to read from top to bottom."""

from __future__ import annotations

import copy
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from shopvl.batch import Batch, Pictures
from shopvl.data.training_rows import TrainingCache, TrainingDataset
from shopvl.design.design import Design
from shopvl.errors import RecipeError
from shopvl.models.momentum import ema_update
from shopvl.runtime.bfloat16 import bf16_is_fast
from shopvl.runtime.malloc import disable_malloc_trim
from shopvl.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from shopvl.training.distributed import agreed, norms_over_all, share_of, whole_batch
from shopvl.training.gradient_cache import cached_backward
from shopvl.training.schedule import Budget, rate

LOG = "losses.jsonl"
LOG_EVERY_STEPS = 10
SAVE_EVERY_SECONDS = 120.0

OnStep = Callable[[Progress, float, dict[str, float]], None]  # progress, share done, losses


def train(
    design: Design,
    rows: TrainingCache,
    folder: Path,
    *,
    budget: Budget,
    seed: int = 0,
    on_step: OnStep = lambda progress, share, losses: None,
) -> Progress:
    """Train `design` until the budget is spent; resumes from the newest checkpoint in `folder`.

    All randomness of a step follows from (seed, step), so a resumed run has the same losses as an uninterrupted one.
    Losses of every step are kept in `losses.jsonl`. Several processes share each batch.
    """
    disable_malloc_trim()
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="bf16" if bf16_is_fast() else "no")
    schedule = design.recipe.schedule
    rank, count = accelerator.process_index, accelerator.num_processes
    if design.teacher is not None and count > 1:
        raise RecipeError(f"the teacher of {design.recipe.name} has a queue of one process; train in one process")
    steps = TrainingDataset(rows, design.loader, seed, rank, count)
    optimizer = adamw(design.model, schedule.peak_lr, schedule.weight_decay)
    average = copy.deepcopy(design.model).requires_grad_(False) if schedule.average else None
    averages = _present(teacher=design.teacher, average=average)
    progress = load_checkpoint(folder, design.model, optimizer, averages)
    for module in (design.model, *averages.values()):
        module.to(accelerator.device)
    model, optimizer = accelerator.prepare(design.model, optimizer)
    model.train()
    main, products = accelerator.is_main_process, share_of(steps.batch_size, count)
    saved_at = started = time.monotonic() - progress.seconds
    with _Losses(folder / LOG if main else None, progress.step) as log, norms_over_all(design.model):
        for batch in _batches(steps, progress.step, accelerator.device):
            if (share := budget.share_done(progress)) >= 1:
                break
            if share < schedule.half_size_share:
                batch = _half_size(batch)
            generator = _seeded(seed, progress.step, rank)
            for group in optimizer.param_groups:
                group["lr"] = group["scale"] * schedule.peak_lr * rate(share, schedule.warmup_share)
            losses = _optimize(design, model, optimizer, accelerator, batch, generator, products)
            if design.teacher is not None:
                design.teacher.step(design.model)
            if average is not None:  # a smaller decay at first, or the random start would stay in the average for long
                ema_update(average, design.model, min(schedule.average, (1 + progress.step) / (10 + progress.step)))
            progress = Progress(progress.step + 1, agreed(time.monotonic() - started))
            mean_losses = {name: accelerator.reduce(loss.detach(), "mean").item() for name, loss in losses.items()}
            log.write(progress.step, mean_losses)
            on_step(progress, budget.share_done(progress), mean_losses)
            if main and time.monotonic() - saved_at > SAVE_EVERY_SECONDS:
                log.flush()
                save_checkpoint(folder, design.model, optimizer.optimizer, progress, averages)
                saved_at = time.monotonic()
        log.flush()
        if main:
            save_checkpoint(folder, design.model, optimizer.optimizer, progress, averages)
    if average is not None:
        design.model.load_state_dict(average.state_dict())
    design.model.eval()
    return progress


def _present(**modules: nn.Module | None) -> dict[str, nn.Module]:
    return {name: module for name, module in modules.items() if module is not None}


def _optimize(
    design: Design,
    model: nn.Module,
    optimizer: AcceleratedOptimizer,
    accelerator: Accelerator,
    batch: Batch,
    generator: torch.Generator,
    products: int,
) -> dict[str, Tensor]:
    """One step of the optimizer; returns the losses before it. `products` of the batch are this process's own."""
    schedule = design.recipe.schedule
    whole = whole_batch if accelerator.num_processes > 1 else None
    optimizer.zero_grad(set_to_none=True)
    if schedule.chunk_size is not None and schedule.chunk_size < products:
        losses = cached_backward(design, model, batch, generator, schedule.chunk_size, whole)
    else:
        losses = design.losses(batch, generator, model, whole)
        accelerator.backward(design.total(losses))
    accelerator.clip_grad_norm_(model.parameters(), schedule.clip_norm)
    optimizer.step()
    return losses


def adamw(model: nn.Module, peak_lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays matrices only: not norms, biases, positions or the temperature.

    A parameter may carry `lr_scale`: its learning rate is that many times the others'.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = parameter.ndim >= 2, getattr(parameter, "lr_scale", 1.0)
            groups.setdefault(key, []).append(parameter)
    param_groups = [
        {"params": params, "weight_decay": weight_decay if decayed else 0.0, "scale": scale, "lr": scale * peak_lr}
        for (decayed, scale), params in sorted(groups.items(), key=lambda item: item[0], reverse=True)
    ]
    return torch.optim.AdamW(param_groups, lr=peak_lr, betas=(0.9, 0.98))


def _batches(steps: TrainingDataset, first: int, device: torch.device) -> Iterator[Batch]:
    """Endless batches from that step on, prepared ahead in a worker process."""
    loader: DataLoader[Batch] = DataLoader(
        steps, batch_size=None, sampler=itertools.count(first), num_workers=1, prefetch_factor=2
    )
    for batch in loader:
        yield batch.to(device)


def _half_size(batch: Batch) -> Batch:
    """Pictures of half the sides, each pixel the mean of four."""

    def half(pictures: Pictures | None) -> Pictures | None:
        return pictures and replace(pictures, pixels_B3YX=F.avg_pool2d(pictures.pixels_B3YX, 2))

    return replace(batch, pictures=half(batch.pictures), overlaid=half(batch.overlaid))


def _seeded(seed: int, step: int, rank: int) -> torch.Generator:
    """The generator of a step's views in a process; the global one, which dropout uses, is seeded with it."""
    number = (seed * 1_000_003 + step + (rank << 40)) % 2**63
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


class _Losses:
    """`losses.jsonl`: one line per step. Lines after the checkpoint that a run resumes from are dropped.

    Nothing is written where `path` is None: in all processes but the first.
    """

    def __init__(self, path: Path | None, step: int) -> None:
        self._file = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text("utf-8").splitlines()[:step] if path.is_file() else []
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, losses: dict[str, float]) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"step": step, **losses}) + "\n")

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def __enter__(self) -> _Losses:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
