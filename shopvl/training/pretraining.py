"""A run from catalog to saved design: stage 1 from nothing, or stage 2 from a design of stage 1."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from shopvl import __version__
from shopvl.catalog.corrections import with_corrections
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.query_log import QueryLog
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.checksums import Remedy, read_object
from shopvl.data.dealt_rows import dealt_rows
from shopvl.data.rows import Row, pairs, picture_reader
from shopvl.data.training_rows import TrainingCache, training_rows
from shopvl.design.build import tokenizer_for
from shopvl.design.design import Design, build
from shopvl.errors import RecipeError
from shopvl.files import PATIENCE, exclusive_lock, write_object
from shopvl.models.backbones import add_low_rank, merge_low_rank
from shopvl.recipes.parts import matches
from shopvl.recipes.parts.objectives import MaskedCodes, VisualCodes
from shopvl.recipes.recipe import Recipe
from shopvl.text.prompts import PromptBook
from shopvl.text.tokenizer import Tokenizer
from shopvl.tracking import Tracker, tracked
from shopvl.training.checkpoint import Progress, saved_progress
from shopvl.training.distributed import processes
from shopvl.training.experiment import Experiment
from shopvl.training.loop import LOG_EVERY_STEPS, bf16_is_fast, train
from shopvl.training.stages import fit_prompt_head

MAX_TOKENIZER_ROWS = 200_000
CODES = "heads.codes.tokenizer"  # the part that tells and rebuilds pictures by codes
OF_PICTURES = ("image_tower", "image_projection", "patches", "image_type")  # parts that know no words
TRAINING = ".training.lock"
DESIGN, ROWS, SUMMARY, EXPERIMENT = "design", "rows", "summary.json", "experiment.json"

Report = Callable[[str, float, str], None]  # stage, share done, a line of figures


def pretrain(
    experiment: Experiment,
    folder: Path,
    report: Report = lambda stage, share, line: None,
    tracker: Tracker | None = None,
    shared_rows: Path | None = None,
) -> Design:
    """Run or resume the experiment in `folder`; the design is saved in `folder/design` and returned.

    Beside it: `rows/` (the usable rows and the rejects), `losses.jsonl`, `summary.json`, the newest checkpoint, and the
    tracked run, unless this is a part of the run of `tracker`. Under torchrun all processes train one design together;
    the first of them writes. Runs that are given one folder of `shared_rows` prepare equal rows once, there. Raises
    ShopvlError where another command trains in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not processes().is_main_process:
        return _pretrained(experiment, folder, report, tracker, shared_rows)
    with exclusive_lock(folder, f"training in {folder}", name=TRAINING, patience=PATIENCE):
        return _pretrained(experiment, folder, report, tracker, shared_rows)


def _pretrained(
    experiment: Experiment, folder: Path, report: Report, tracker: Tracker | None, shared_rows: Path | None
) -> Design:
    recipe = experiment.full_recipe()
    # photos without titles are enough for what reads pictures alone
    needed = ("product_id", *recipe.inputs)
    catalog = open_catalog(experiment.catalog_path(), split=experiment.split, required=needed)
    corrections = experiment.path_of("corrections")
    if corrections is not None:
        catalog = with_corrections(catalog, corrections)
    log_path = experiment.path_of("query_log")
    process_group = processes()
    with process_group.main_process_first():
        log = None if log_path is None else QueryLog.read(log_path)
        rows = _rows(catalog, folder, log, report, recipe, shared_rows)
        _same_run(folder, experiment, rows.data_digest)
        if experiment.shuffle_pairs:
            rows = dealt_rows(rows, experiment.seed)
    design = _initial_design(experiment, rows, catalog)
    if experiment.teachers:
        design.learn_from([Design.from_pretrained(path) for path in experiment.teacher_paths()])
    if not process_group.is_main_process:
        _train(experiment, design, rows, folder)
        process_group.wait_for_everyone()
        return Design.from_pretrained(folder / DESIGN)
    with ExitStack() as stack:
        own = tracker is None
        if tracker is None:
            tracker = stack.enter_context(_own_run(experiment, folder, rows, design))
        progress = _train(experiment, design, rows, folder, tracker, report)
        if experiment.adapt == "lora":
            merge_low_rank(design.model)
        if recipe.answering is not None:
            fit_prompt_head(
                design,
                rows,
                lambda share: report("fit answer heads", share, ""),
                experiment.seed,
                experiment.prompt_head,
            )
        design.save(folder / DESIGN)
        write_object(folder / SUMMARY, _summary(design, rows, progress))
        if own:
            tracker.files(folder / DESIGN, DESIGN)
    process_group.wait_for_everyone()
    return design


@contextmanager
def _own_run(experiment: Experiment, folder: Path, rows: TrainingCache, design: Design) -> Iterator[Tracker]:
    """A tracked run of its own, with its parameters."""
    run_name = f"{design.recipe.name}-{experiment.size}-{experiment.seed}"
    with tracked(experiment.name, run_name, folder) as tracker:
        tracker.parameters(
            {
                "recipe": experiment.full_recipe().to_dict(),
                "prompt_head": experiment.to_dict()["prompt_head"],
                "size": experiment.size,
                "seed": experiment.seed,
                "budget": experiment.told_budget(),
                "catalog": experiment.catalog,
                "split": experiment.split,
                "data_digest": rows.data_digest,
                "rows": len(rows),
                "parameters": design.parameter_count(),
                **machine_parameters(),
            }
        )
        yield tracker


def _summary(design: Design, rows: TrainingCache, progress: Progress) -> dict[str, Any]:
    batch_size = min(design.recipe.schedule.batch_size, len(rows))
    return {
        "model": design.name,
        "parameters": design.parameter_count(),
        "rows": len(rows),
        "steps": progress.step,
        "epochs": progress.step / (len(rows) // batch_size),
        "seconds": progress.seconds,
        "cpu_seconds": progress.cpu_seconds,
        "products_per_second": progress.step * batch_size / max(progress.seconds, 1e-9),
    }


def machine_parameters() -> dict[str, Any]:
    """Facts about the machine and its libraries that a run's figures may depend on."""
    return {
        "threads": torch.get_num_threads(),
        "processes": processes().num_processes,
        "precision": "bf16" if bf16_is_fast() else "float32",
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "versions": f"shopvl {__version__}, torch {torch.__version__}, python {platform.python_version()}",
    }


def _train(
    experiment: Experiment,
    design: Design,
    rows: TrainingCache,
    folder: Path,
    tracker: Tracker | None = None,
    report: Report = lambda stage, share, line: None,
) -> Progress:
    batch_size = min(design.recipe.schedule.batch_size, len(rows))
    weights = {objective.name: objective.weight for objective in design.objectives}

    def on_step(progress: Progress, share: float, losses: dict[str, float]) -> None:
        if tracker is not None and (progress.step % LOG_EVERY_STEPS == 0 or share >= 1):
            speed = progress.step * batch_size / progress.seconds
            loss = sum(weights[name] * value for name, value in losses.items())
            tracker.metrics({**losses, "loss": loss, "products_per_second": speed}, progress.step)
            figures = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            report("train", share, f"step {progress.step}  {speed:.0f} products/s  {figures}")

    budget = experiment.budget(len(rows) // batch_size)
    return train(design, rows, folder, budget=budget, seed=experiment.seed, on_step=on_step)


def _initial_design(experiment: Experiment, rows: TrainingCache, catalog: Catalog) -> Design:
    """The design before its first training step."""
    recipe, ontology_path = experiment.full_recipe(), experiment.path_of("ontology")
    paths = experiment.start_paths()
    starts = {part: Design.from_pretrained(path) for part, path in paths.items()}
    if ontology_path is not None:
        ontology = Ontology.load(ontology_path)
    elif "" in starts:
        ontology = starts[""].ontology
    else:
        ontology = mine_ontology(catalog.batches())
    tokenizer = tokenizer_of(starts) or tokenizer_for(recipe, texts_of_training(rows, ontology))
    _require_codes(recipe, starts)
    towers = {side: config for start in starts.values() for side, config in start.towers.items()}
    design = build(recipe, tokenizer, ontology, seed=experiment.seed, towers=towers, random_weights="" in starts)
    for part, start in starts.items():
        begin_part(design, start, part, paths[part])
    if experiment.adapt == "lora":
        add_low_rank([design.model.image_tower, design.model.text_tower])
    return design


def _require_codes(recipe: Recipe, starts: Collection[str]) -> None:
    """Raises RecipeError where codes of pictures are to be told that nobody has learned."""
    kinds = {type(part) for part in recipe.objectives}
    given = any(not part or matches(part, f"{CODES}.encoder") for part in starts)
    if MaskedCodes in kinds and VisualCodes not in kinds and not given:
        raise RecipeError(
            f"the codes that {recipe.name!r} is to tell are learned by nothing; keep the objective vq, or start "
            f"{CODES} from a design that has learned them"
        )


def tokenizer_of(starts: Mapping[str, Design]) -> Tokenizer | None:
    """The tokenizer of the starts that read words; None where there is none.

    Raises RecipeError where two of them read other word pieces.
    """
    reading = {
        part: start for part, start in starts.items() if part not in OF_PICTURES and start.recipe.text is not None
    }
    vocabularies = {part: start.tokenizer.backend.get_vocab() for part, start in reading.items()}
    for part, vocabulary in vocabularies.items():
        first = next(iter(vocabularies))
        if vocabulary != vocabularies[first]:
            raise RecipeError(
                f"the starts of {first} and {part} read other word pieces; a model has one tokenizer, so leave one out"
            )
    return next((start.tokenizer for start in reading.values()), None)


def begin_part(design: Design, start: Design, part: str, path: Path) -> None:
    """Give the design the start's weights of that part; "" is all of it. Raises RecipeError where none fits."""
    names = [name for name, _ in design.model.named_parameters()]
    if part and not any(matches(part, name) for name in names):
        own = ", ".join(dict.fromkeys(name.split(".")[0] for name in names))
        raise RecipeError(f"{part} cannot start from {path}: the model of {design.recipe.name!r} has {own}")
    if not design.start_from(start, part):
        told = f"no weights of {path} ({start.recipe.name}) fit "
        if part:
            raise RecipeError(f"{told}the part {part} of the recipe {design.recipe.name!r}; start it from one like it")
        raise RecipeError(
            f"{told}the recipe {design.recipe.name!r} at this size; start from a design with the same towers, or "
            "without a start"
        )


def _same_run(folder: Path, experiment: Experiment, data_digest: str) -> None:
    """Record what is run in the folder; RecipeError if another run was started there. The budget may change."""
    identity = {
        "recipe": experiment.full_recipe().to_dict(),
        "seed": experiment.seed,
        "split": experiment.split,
        "data_digest": data_digest,
        "start": experiment.start,
        "adapt": experiment.adapt,
        "teachers": list(experiment.teachers) or None,  # None, as in records written before teachers existed
    }
    note, remedy = folder / EXPERIMENT, Remedy("give another --out, or delete that folder", RecipeError)
    if note.is_file() or saved_progress(folder) is not None:
        recorded = read_object(note, remedy)
        with suppress(RecipeError):  # one that was recorded before its parts had fields that they have now
            recorded["recipe"] = Recipe.from_dict(recorded["recipe"]).to_dict()
        differing = [name for name, value in identity.items() if recorded.get(name) != value]
        if differing:
            raise RecipeError(
                f"{folder} holds a run with another {' and '.join(differing)}; "
                "give another --out, or delete that folder"
            )
    write_object(note, identity)


def _rows(
    catalog: Catalog, folder: Path, log: QueryLog | None, report: Report, recipe: Recipe, shared: Path | None
) -> TrainingCache:
    total, seen = catalog.count(), 0

    def count(rows: int) -> None:
        nonlocal seen
        seen += rows
        report("read", seen / max(total, 1), f"{seen} of {total} rows")

    reader = picture_reader() if recipe.reads else None
    where = shared or folder / ROWS
    return training_rows(catalog, where, log, count, reader, recipe.row_inputs, shared=shared is not None)


def texts_of_training(rows: TrainingCache, ontology: Ontology) -> Iterator[str]:
    """What a tokenizer is learned from: titles, logged queries, prompts, and every name the ontology knows."""
    yield from ontology.names()
    yield from PromptBook.load().texts
    for number, row in enumerate(rows):
        if number >= MAX_TOKENIZER_ROWS:
            break
        yield from _texts_of(row)


def _texts_of(row: Row) -> Iterator[str]:
    if row["title"]:
        yield row["title"]
    yield from row["queries"] or ()
    yield from (word["text"] for word in row["printed"] or ())
    yield " ".join([*(row["category_path"] or ()), *(value for _, value in pairs(row["attributes"]))]).lower()
