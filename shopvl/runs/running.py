"""A run from data to scores: draw or open the data, train, tune, calibrate, evaluate, and track all of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from shopvl.catalog.corrections import with_corrections
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.checksums import Remedy, read_object
from shopvl.design.design import Design
from shopvl.errors import RecipeError, TrackingError
from shopvl.evaluation.page import evaluate
from shopvl.files import CHECKSUMS, exclusive_lock, made_once, write_object
from shopvl.runs.grid import Cell
from shopvl.runs.serving import save_served
from shopvl.synthetic import write_shop
from shopvl.tracking import Tracker, tracked
from shopvl.tracking.journal import count_unsent, read_sent
from shopvl.tracking.store import RunStore, chosen_store, is_installed
from shopvl.training.experiment import Experiment, Shop, Tune
from shopvl.training.pretraining import DESIGN, ROWS, SUMMARY, machine_parameters, pretrain
from shopvl.training.stages import finish

Report = Callable[..., None]  # stage, share done, a line of figures
STATE, MODEL, SCORES, SERVED, SHOPS = "run.json", "model", "scores", "served", "shops"
CELL_TAG, SEED_TAG, REPEATS_TAG = "shopvl.cell", "shopvl.seed", "shopvl.repeats"
TIMED = ("products_per_second", "train_seconds", "core_seconds")  # metrics that no two runs have alike
WATCHED = ("versions", "precision", "device", "mlflow.source.git.commit", "shopvl.code.dirty")
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Outcome:
    """The state of one run of a grid: done now, done before, or running in another process."""

    cell: Cell
    state: str
    score: float | None = None


def run_grid(cells: Sequence[Cell], out: Path, uri: str | None = None, report: Report = print) -> Iterator[Outcome]:
    """Run the cells of the grid that are not done yet, each in its folder below `out`.

    Several processes may run one grid: each takes cells that no other has taken. A killed run is resumed.
    """
    store = uri or chosen_store(out.parent)
    for cell in cells:
        folder = out / cell.name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder / ".lock", blocking=False):
                state = "done before" if _is_done(folder, cell.experiment) else "done"
                if state == "done":
                    run_cell(cell, folder, store, out, report)
                yield Outcome(cell, state, read_object(folder / STATE, _run_again(folder))["score"])
        except Timeout:
            yield Outcome(cell, "in another process")


def run_cell(
    cell: Cell, folder: Path, uri: str, shared: Path, report: Report, tags: Mapping[str, str] | None = None
) -> Design:
    """One run: `model/` (the design), `scores/` (metrics.json, report.html, ...) and `served/` (for MLflow).

    What runs of one grid have in common stands below `shared`: `shops/` and `rows/`, which are prepared once.
    """
    experiment = _with_data(cell.experiment, shared / SHOPS, report)
    resolved = cell.experiment if cell.experiment.shop else experiment.resolved()
    data_digests = digests(experiment)
    with tracked(experiment.name, cell.name, folder, uri) as tracker:
        tracker.tags({CELL_TAG: cell.label, SEED_TAG: str(experiment.seed), **(tags or {})})
        tracker.parameters(
            {
                "experiment": resolved.to_dict(),
                "digests": data_digests,
                **{
                    name: value
                    for name, value in resolved.to_dict().items()
                    if name in ("recipe", "size", "seed", "tune")
                },
                **cell.varied,
                "data_digest": data_digests["catalog"],
                "full_recipe": resolved.full_recipe().to_dict(),
                **machine_parameters(),
            }
        )
        use_split = partial(_tracked_split, experiment, tracker, data_digests["catalog"])
        design = _train_stages(experiment, folder, shared / ROWS, tracker, report, use_split)
        test = use_split(experiment.evaluate_on, "evaluation")
        total = test.count()
        scores = folder / SCORES
        figures = evaluate(
            design,
            test,
            scores,
            learned_from=open_catalog(experiment.catalog_path(), split=experiment.split),
            match_queries=experiment.match_queries,
            report=lambda rows: report("evaluate", rows / total),
        ).figures
        score = mean_accuracy(figures)
        tracker.metrics(flat(figures, experiment.evaluate_on))
        if score is not None:
            tracker.metrics({"score": score})
        tracker.files(scores, SCORES)
        if design.labels and is_installed():
            tracker.model(save_served(folder / MODEL, folder / SERVED), MODEL)
        else:
            tracker.files(folder / MODEL, MODEL)
    _write_state(folder, cell.experiment, score=score, done=True)
    return design


def _train_stages(
    experiment: Experiment,
    folder: Path,
    rows: Path,
    tracker: Tracker,
    report: Report,
    use_split: Callable[[str | None, str], Catalog],
) -> Design:
    """The design after all stages that the experiment has, saved in `folder/model`."""
    train = use_split(experiment.split, "training")
    stage = folder / "pretrain"
    design = pretrain(experiment, stage, report, tracker, rows)
    seconds, cpu_seconds = _spent(stage)
    tune = experiment.tune or Tune()
    linear = experiment.tune is not None and tune.recipe == "linear"
    if experiment.tune is not None and not linear:
        start = str(stage / DESIGN)
        stage = folder / "tune"
        design = pretrain(experiment.second_stage(tune, start), stage, report, tracker.within("tune"), rows)
        more, cpu_more = _spent(stage)
        seconds, cpu_seconds = seconds + more, cpu_seconds + cpu_more
    calibrated = experiment.calibrate_on is not None and (linear or bool(design.labels))
    finish(
        design,
        folder / MODEL,
        heads_on=train if linear else None,
        learned=train if calibrated else None,
        held_out=use_split(experiment.calibrate_on, "calibration") if calibrated else None,
        report=report,
        seed=experiment.seed,
        min_steps=tune.min_steps,
        fit=tune.linear_heads,
    )
    core_seconds = cpu_seconds * machine_parameters()["processes"]
    tracker.metrics({"parameters": design.parameter_count(), "train_seconds": seconds, "core_seconds": core_seconds})
    return design


def _spent(stage: Path) -> tuple[float, float]:
    """Seconds and processor seconds of training."""
    summary = read_object(stage / SUMMARY, _run_again(stage))
    return float(summary["seconds"]), float(summary["cpu_seconds"])


def _tracked_split(experiment: Experiment, tracker: Tracker, digest: str, split: str | None, context: str) -> Catalog:
    """A split of the catalog, noted as used for that; with the corrections, unless it is for the evaluation."""
    catalog = open_catalog(experiment.catalog_path(), split=split)
    name = f"{catalog.path.stem}, {split or 'all'}"  # MLflow takes equal names and digests for one use
    tracker.dataset(name, digest, str(catalog.path.resolve()), split, context, list(catalog.columns))
    corrections = experiment.path_of("corrections")
    if corrections is not None and context != "evaluation":
        return with_corrections(catalog, corrections, needed=context == "training")
    return catalog


def _with_data(experiment: Experiment, shops: Path, report: Report) -> Experiment:
    """The experiment over a catalog that is there: its shop is drawn if need be."""
    if experiment.shop is None:
        return experiment
    table = drawn(experiment.shop, shops, report)
    return replace(experiment, shop=None, catalog=str(table), query_log=str(table.with_name("query_log.csv")))


def drawn(shop: Shop, shops: Path, report: Report) -> Path:
    """The catalog of that shop below `shops`; drawn if it is not there as it was drawn."""
    folder = shops / f"{shop.products}-products-{shop.size_px}px-seed{shop.seed}"

    def draw(draft: Path) -> None:
        progress = lambda done: report("draw", done / shop.products)  # noqa: E731
        write_shop(draft, shop.products, seed=shop.seed, size_px=shop.size_px, progress=progress)

    if not folder.is_dir() or (folder / CHECKSUMS).is_file():  # else it was drawn before there were checksums
        made_once(folder, draw)
    return folder / "catalog.parquet"


def digests(experiment: Experiment) -> dict[str, str]:
    """Digests of an experiment's data files and of the design that it starts from."""
    by_name = {"catalog": open_catalog(experiment.catalog_path()).digest()}
    for field in ("query_log", "corrections", "ontology"):
        path = experiment.path_of(field)
        if path is not None:
            by_name[field] = hashlib.sha256(path.read_bytes()).hexdigest()
    for part, start in experiment.start_paths().items():
        by_name[f"start of {part}" if part else "start"] = Design.from_pretrained(start).digest()
    return by_name


def _is_done(folder: Path, experiment: Experiment) -> bool:
    """Whether the run in that folder is finished. Raises RecipeError if it is a run of another experiment."""
    path = folder / STATE
    if not path.is_file():
        _write_state(folder, experiment, score=None, done=False)
        return False
    state = read_object(path, _run_again(folder))
    if state.get("experiment") != experiment.to_dict():
        raise RecipeError(f"{folder} holds a run of an experiment that was changed since; give another --out")
    return bool(state.get("done"))


def _write_state(folder: Path, experiment: Experiment, *, score: float | None, done: bool) -> None:
    state = {"experiment": experiment.to_dict(), "done": done, "score": score}
    write_object(folder / STATE, state)


def _run_again(folder: Path) -> Remedy:
    return Remedy(f"delete {folder} and run the same command again", RecipeError)


def flat(figures: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The numbers of nested figures by their path: `test/answers/image+title/colour/accuracy`."""
    numbers: dict[str, float] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            numbers |= flat(value, f"{prefix}/{name}")
        elif isinstance(value, list):
            numbers |= flat({str(number): item for number, item in enumerate(value, 1)}, f"{prefix}/{name}")
        elif isinstance(value, (int, float)) and math.isfinite(value):
            numbers[f"{prefix}/{name}"] = float(value)
    return numbers


def mean_accuracy(figures: Mapping[str, Any]) -> float | None:
    """The score of a run: accuracy from picture and title, averaged over the category and every property."""
    answers = figures["answers"].get("image+title", {})
    accuracies = [scores["accuracy"] for scores in answers.values() if scores["rows"]]
    return sum(accuracies) / len(accuracies) if accuracies else None


# --- once more


@dataclass(frozen=True)
class Repeated:
    """A run compared with its repetition: metrics of both, and differences of code and machine."""

    pairs: Mapping[str, tuple[float, float]]
    missing: tuple[str, ...]  # metrics that only one of the two has
    differing: tuple[str, ...]  # parameters and tags: commit, versions, precision

    @property
    def worst(self) -> float:
        """The largest difference of a metric."""
        return max((abs(a - b) for a, b in self.pairs.values()), default=0.0)

    @property
    def same(self) -> bool:
        """Whether every metric is the same within TOLERANCE."""
        return bool(self.pairs) and not self.missing and self.worst <= TOLERANCE


def repeat(run_id: str, out: Path, uri: str | None = None, report: Report = print) -> Repeated:
    """Repeat a run in `out` from its logged parameters, and compare. Raises TrackingError if it cannot be repeated."""
    store = RunStore(uri)
    before = store.run(run_id)
    if "experiment" not in before.params:
        raise TrackingError(f"run {run_id} was not made by `shopvl experiments run`, so it cannot be repeated")
    experiment = Experiment.from_dict(json.loads(before.params["experiment"]), f"experiment of run {run_id}")
    if experiment.epochs is None:
        raise TrackingError(f"run {run_id} lasted {experiment.told_budget()}, which no run repeats; give it epochs")
    out.mkdir(parents=True, exist_ok=True)
    now_digests = digests(_with_data(experiment, out / SHOPS, report))
    former_digests = json.loads(before.params["digests"])
    if now_digests != former_digests:
        changed = ", ".join(name for name in former_digests if former_digests[name] != now_digests.get(name))
        raise TrackingError(f"run {run_id} cannot be repeated: its {changed} changed since; bring back what it used")
    torch.set_num_threads(int(before.params["threads"]))
    cell = Cell(before.tags[CELL_TAG], experiment, {})
    folder = out / cell.name
    with exclusive_lock(folder, f"repeating a run in {folder}"):
        if not _is_done(folder, experiment):
            run_cell(cell, folder, store.uri, out, report, {REPEATS_TAG: run_id})
    if (waiting := count_unsent(folder)) or (again := read_sent(folder).run_id) is None:
        raise TrackingError(f"{waiting} entries of the repetition did not reach {store.uri}; start this once more")
    after = store.run(again)
    names = {name for run in (before, after) for name in run.metrics if not _is_timed(name)}
    both = {name for name in names if name in before.metrics and name in after.metrics}
    former_settings, now_settings = ({**run.params, **run.tags} for run in (before, after))
    return Repeated(
        pairs={name: (before.metrics[name], after.metrics[name]) for name in sorted(both)},
        missing=tuple(sorted(names - both)),
        differing=tuple(
            f"{name}: {former_settings.get(name)} -> {now_settings.get(name)}"
            for name in WATCHED
            if former_settings.get(name) != now_settings.get(name)
        ),
    )


def _is_timed(metric: str) -> bool:
    return metric.startswith("system/") or metric.endswith(TIMED)
