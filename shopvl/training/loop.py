"""The training loop: one function to read from top to bottom."""

from __future__ import annotations

import copy
import itertools
import json
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from shopvl.batch import Batch, Pictures, inputs_in
from shopvl.data.training_rows import TrainingCache, TrainingDataset
from shopvl.design.design import Design
from shopvl.errors import RecipeError
from shopvl.files import atomic_write
from shopvl.models.momentum import MomentumEncoder, ema_update
from shopvl.recipes.parts import Stage
from shopvl.runtime.bfloat16 import bf16_is_fast
from shopvl.runtime.malloc import disable_malloc_trim
from shopvl.training.adversarial import adversarial_backward
from shopvl.training.checkpoint import Progress, load_checkpoint, save_checkpoint, saved_progress
from shopvl.training.distributed import agreed, norms_over_all, processes, share_of, whole_batch
from shopvl.training.freezing import training_only
from shopvl.training.gradient_cache import cached_backward
from shopvl.training.schedule import Budget, rate, span_of, stage_at
from shopvl.training.stop_and_go import TaskPauses

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
    """Train `design` until the budget is spent, stage by stage; resumes from the newest checkpoint in `folder`.

    All randomness of a step follows from (seed, step), so a resumed run has the same losses as an uninterrupted one.
    Losses and rate of every step are kept in `losses.jsonl`. Several processes share each batch.
    """
    disable_malloc_trim()
    recipe, count = design.recipe, processes().num_processes
    if isinstance(design.teacher, MomentumEncoder) and count > 1:
        raise RecipeError(f"the teacher of {recipe.name} has a queue of one process; train in one process")
    if count > 1 and (recipe.sample_objective or any(stage.objectives or stage.pauses for stage in recipe.stages)):
        raise RecipeError(f"steps of {recipe.name} leave some weights without a gradient; train in one process")
    if count > 1 and recipe.adversarial is not None:
        raise RecipeError(f"{recipe.name} passes each batch several times to one model; train in one process")
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="bf16" if bf16_is_fast() else "no")
    saved = saved_progress(folder)
    progress = saved or Progress()
    first = min(progress.stage, stage_at(recipe.stages, budget.share_done(progress)))
    main = accelerator.is_main_process
    with _Losses(folder / LOG if main else None, progress.step) as log, norms_over_all(design.model):
        run = _Run(design, rows, folder, budget, seed, on_step, accelerator, log)
        for number in range(first, max(1, len(recipe.stages))):
            progress = run.stage(number, progress, saved if number == first else None)
    design.model.eval()
    return progress


@dataclass(frozen=True)
class _Run:
    """What the stages of a run share."""

    design: Design
    rows: TrainingCache
    folder: Path
    budget: Budget
    seed: int
    on_step: OnStep
    accelerator: Accelerator
    log: _Losses

    def stage(self, number: int, progress: Progress, saved: Progress | None) -> Progress:
        """Train a stage to its end. `saved` says of the checkpoint, where there is one to go on from, what it holds."""
        recipe, schedule, stages = self.design.recipe, self.design.recipe.schedule, self.design.recipe.stages
        model = self.accelerator.unwrap_model(
            self.design.model, keep_fp32_wrapper=False
        )  # as the last stage wrapped it
        # what bears this mark is not wrapped again: later stages would have no autocast, which a resumed one has
        vars(model).pop("_is_accelerate_prepared", None)
        stage = stages[number] if stages else Stage()
        design = self.design.showing(recipe.in_stage(stage)) if stages else self.design
        with training_only(model, stage):
            optimizer = adamw(model, stage.peak_lr_scale * schedule.peak_lr, schedule.weight_decay)
            average = copy.deepcopy(model).requires_grad_(False) if schedule.average else None
            further = _present(teacher=design.teacher, average=average)
            if saved is not None:  # a longer budget may take a run back to a stage before that of its checkpoint
                load_checkpoint(self.folder, model, optimizer if saved.stage == number else None, further)
            for module in (model, *further.values()):
                module.to(self.accelerator.device)
            wrapped, optimizer = self.accelerator.prepare(model, optimizer)
            progress = self._steps(design, wrapped, optimizer, stage, average, replace(progress, stage=number))
            self._save(optimizer, progress, further)
        if average is not None:
            model.load_state_dict(average.state_dict())
        return progress

    def _steps(
        self,
        design: Design,
        model: nn.Module,
        optimizer: AcceleratedOptimizer,
        stage: Stage,
        average: nn.Module | None,
        progress: Progress,
    ) -> Progress:
        """The steps of a stage that are left."""
        schedule, device = design.recipe.schedule, self.accelerator.device
        rank, count = self.accelerator.process_index, self.accelerator.num_processes
        spared = stage.pauses.held_out if stage.pauses else 0.0
        steps = TrainingDataset(self.rows, design.loader, self.seed, rank, count, which=stage.rows, held_out=spared)
        pauses = self._pauses(design, stage, progress)
        products = share_of(steps.batch_size, count)
        begin, end = span_of(self.design.recipe.stages, progress.stage)
        drawn = _Drawn(design, self.seed) if design.recipe.sample_objective else None
        further = _present(teacher=design.teacher, average=average)
        started, cpu_started = time.monotonic() - progress.seconds, time.process_time() - progress.cpu_seconds
        saved_at = time.monotonic()
        for batch in _batches(steps, progress.step, device):
            if (share := self.budget.share_done(progress)) >= end:
                break
            if share < schedule.half_size_share:
                batch = _half_size(batch)
            generator = _seeded(self.seed, progress.step, rank)
            pace = stage.peak_lr_scale * schedule.peak_lr * rate((share - begin) / (end - begin), schedule.warmup_share)
            for group in optimizer.param_groups:
                group["lr"] = group["scale"] * pace
            shown = design if drawn is None else drawn.at(progress.step, batch)
            shown = shown if pauses is None else pauses.at(progress.step)
            losses = _optimize(shown, model, optimizer, self.accelerator, batch, generator, products)
            design.after_step()
            if average is not None:  # a smaller decay at first, or a random start would stay in the average for long
                ema_update(average, design.model, min(schedule.average, (1 + progress.step) / (10 + progress.step)))
            progress = replace(
                progress,
                step=progress.step + 1,
                seconds=agreed(time.monotonic() - started),
                cpu_seconds=agreed(time.process_time() - cpu_started),
            )
            mean_losses = {name: self.accelerator.reduce(loss.detach(), "mean").item() for name, loss in losses.items()}
            _require_finite(mean_losses, progress.step)
            self.log.write(progress, pace, mean_losses)
            if pauses is not None:
                pauses.look(progress.step)
            self.on_step(progress, self.budget.share_done(progress), mean_losses)
            if time.monotonic() - saved_at > SAVE_EVERY_SECONDS:
                self._save(optimizer, progress, further)
                saved_at = time.monotonic()
        return progress

    def _pauses(self, design: Design, stage: Stage, progress: Progress) -> TaskPauses | None:
        """Of a stage whose tasks may rest."""
        part = stage.pauses
        if part is None:
            return None
        held_out = TrainingDataset(
            self.rows, design.loader, self.seed, which=stage.rows, held_out=part.held_out, only_held_out=True
        )
        return TaskPauses(design, part, held_out, self.seed, self.folder, progress)

    def _save(self, optimizer: AcceleratedOptimizer, progress: Progress, further: Mapping[str, nn.Module]) -> None:
        self.log.flush()
        if self.accelerator.is_main_process:
            save_checkpoint(self.folder, self.design.model, optimizer.optimizer, progress, further)


def _require_finite(losses: Mapping[str, float], step: int) -> None:
    """Raises RecipeError: weights that such a step has changed are of no use, those of the last checkpoint are."""
    wrong = [f"{name} is {loss}" for name, loss in losses.items() if not math.isfinite(loss)]
    if wrong:
        raise RecipeError(
            f"training broke at step {step}: {', '.join(wrong)}; lower the recipe's peak_lr or clip_norm and start in "
            "a new folder"
        )


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
    adversarial = design.recipe.adversarial
    if adversarial is not None:
        losses = adversarial_backward(design, model, batch, generator, adversarial, accelerator.backward)
    elif schedule.chunk_size is not None and schedule.chunk_size < products:
        losses = cached_backward(design, model, batch, generator, schedule.chunk_size, whole)
    else:
        losses = design.losses(batch, generator, model, whole)
        total = design.total(losses)
        if total.requires_grad:
            accelerator.backward(total)
        elif inputs_in(batch) == design.recipe.inputs:  # rows with one input may lack what a stage trains
            raise RecipeError(f"what this stage of {design.recipe.name} trains has no gradient of {', '.join(losses)}")
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

    def half(pictures: Pictures) -> Pictures:
        return replace(pictures, pixels_B3YX=F.avg_pool2d(pictures.pixels_B3YX, 2))

    views = {name: half(pictures) for name, pictures in batch.views.items()}
    return replace(batch, pictures=batch.pictures and half(batch.pictures), views=views)


def _seeded(seed: int, step: int, rank: int) -> torch.Generator:
    """The generator of a step's views in a process; the global one, which dropout uses, is seeded with it."""
    number = (seed * 1_000_003 + step + (rank << 40)) % 2**63
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


class _Drawn:
    """One objective a step, drawn by weight among those that the batch serves: which, follows from (seed, step)."""

    def __init__(self, design: Design, seed: int) -> None:
        self.told = [(weight, design.showing(recipe)) for weight, recipe in design.recipe.alone()]
        self.seed = seed

    def at(self, step: int, batch: Batch) -> Design:
        """The design with the objective of that step alone."""
        weights, designs = zip(*((w, design) for w, design in self.told if design.served(batch)), strict=True)
        drawn: Design = random.Random(f"{self.seed}/{step}/objective").choices(designs, weights)[0]
        return drawn


class _Losses:
    """`losses.jsonl`: one line per step. Lines after the checkpoint that a run resumes from are dropped.

    Nothing is written where `path` is None: in all processes but the first.
    """

    def __init__(self, path: Path | None, step: int) -> None:
        self._file = None
        if path is None:
            return
        lines = path.read_text("utf-8", errors="replace").splitlines()[:step] if path.is_file() else []
        with atomic_write(path) as draft:  # what was written before stays, whenever this is killed
            draft.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, progress: Progress, rate: float, losses: dict[str, float]) -> None:
        if self._file is not None:
            line = {"step": progress.step, "stage": progress.stage + 1, "rate": rate, **losses}
            self._file.write(json.dumps(line) + "\n")

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def __enter__(self) -> _Losses:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
