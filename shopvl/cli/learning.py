"""Commands that train, calibrate and measure models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.cli.console import chatter, out, progress, say_rejects, say_unused, stages
from shopvl.cli.options import (
    CatalogPath,
    DeviceName,
    ModelFolder,
    Ocr,
    OutFolder,
    RuntimeName,
    Split,
    Threads,
    open_split,
    opened_model,
    ready,
    use_threads,
    with_reader,
)
from shopvl.errors import ShopvlError
from shopvl.paths import SHIPPED

if TYPE_CHECKING:
    from shopvl.adapt import Ability, AdaptedTo
    from shopvl.catalog.readers import Catalog
    from shopvl.design.design import Design
    from shopvl.inference.recalibrate import Recalibrated
    from shopvl.start.starting import Started
    from shopvl.training.experiment import Experiment

WORTH_SAYING = 0.05  # of a property's answers, that would be accepted besides


def pretrain(
    experiment: Annotated[Path | None, typer.Argument(help="YAML file; or use the options below.")] = None,
    folder: Annotated[
        Path, typer.Option("--out", help="Folder of the run; a run there goes on.", file_okay=False)
    ] = Path("runs/pretrain"),
    recipe: Annotated[str, typer.Option(help="A recipe's name, where there is no file.")] = "tri-clip",
    size: Annotated[str, typer.Option(help="tiny, mini or base.")] = "mini",
    data: Annotated[str | None, typer.Option(help="A catalog, where there is no file.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Training time, instead of the file's.")] = None,
    threads: Threads = None,
) -> None:
    """Stage 1: train a design on a catalog.

    A run that was stopped goes on where it was.

    Example: shopvl pretrain experiments/tri-clip-mini.yaml --out runs/tri-clip
    """

    from shopvl.data.training_rows import TrainingCache
    from shopvl.training.experiment import Experiment, read_experiment
    from shopvl.training.pretraining import DESIGN, ROWS, pretrain

    use_threads(threads)
    if experiment is not None:
        plan = read_experiment(experiment)
        if minutes is not None:
            plan = plan.with_budget(minutes=minutes)
    elif data is None:
        raise ShopvlError("pretrain wants an experiment file, or --data with a catalog; neither was given")
    else:
        values: dict[str, Any] = {"name": folder.name, "recipe": recipe, "size": size, "catalog": data}
        values |= {"minutes": minutes or 20}
        plan = Experiment.from_dict(values)
        say_unused(open_split(data, plan.split))
    with stages() as report:
        design = pretrain(plan, folder, report)
    say_rejects(TrainingCache(folder / ROWS).rejects())
    out.print(f"{folder / DESIGN}: {design.name}, {design.parameter_count() / 1e6:.2f} M parameters")


def tune(
    model: Annotated[Path, typer.Argument(help="A pretrained model folder, or an experiment file with a start.")],
    catalog: Annotated[str | None, typer.Argument(help="The catalog, where the first is a model folder.")] = None,
    folder: OutFolder = ...,  # type: ignore[assignment]
    split: Split = "train",
    calibrate_on: Annotated[str | None, typer.Option(help="Split to calibrate on; empty: none.")] = "val",
    recipe: Annotated[
        str | None,
        typer.Option(
            help="linear: heads on the frozen model; or prompt-mask, prompt-decode. Left out: the model's own where it "
            "answers prompts, else linear."
        ),
    ] = None,
    size: Annotated[str, typer.Option(help="Of the recipe; its towers must be the model's.")] = "mini",
    adapt: Annotated[str, typer.Option(help="Prompted recipes: full, or lora for low-rank additions.")] = "full",
    minutes: Annotated[float | None, typer.Option(help="Prompted recipes: training time.")] = None,
    threads: Threads = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Decisions of reviewers to learn from: what `shopvl review import` wrote.")
    ] = None,
) -> None:
    """Stage 2: learn to answer questions, and calibrate the answers.

    Example: shopvl tune runs/tri-clip/design products.parquet --recipe prompt-mask --minutes 20 --out runs/answers
    """
    from shopvl.catalog.readers import open_catalog
    from shopvl.data.training_rows import TrainingCache
    from shopvl.design.design import Design
    from shopvl.files import PATIENCE, exclusive_lock
    from shopvl.training.pretraining import ROWS, pretrain
    from shopvl.training.stages import finish

    use_threads(threads)
    if model.suffix in (".yaml", ".yml"):
        plan = _experiment_of(model, minutes, corrections)
        catalog, corrections = str(plan.catalog_path()), plan.path_of("corrections")
        experiment: Experiment | None = plan
    elif catalog is None:
        raise ShopvlError("tune wants a model folder and a catalog, or an experiment file; only a folder was given")
    else:
        values: dict[str, Any] = {"name": folder.name, "catalog": catalog, "split": split or None}
        values |= {"minutes": minutes or 20, "adapt": adapt, "corrections": corrections and str(corrections)}
        experiment = _prompted(model, recipe, size, values)
    learned = open_split(catalog, split if experiment is None else experiment.split)
    say_unused(learned)
    with exclusive_lock(folder, f"changing the model {folder}", patience=PATIENCE), stages() as report:
        held_out = None
        if calibrate_on:
            held_out = _corrected(open_catalog(catalog, split=calibrate_on), corrections, needed=False)
        if experiment is None:
            design = Design.from_pretrained(model)
            heads_on = _corrected(learned, corrections)
            rejects = finish(design, folder, heads_on=heads_on, learned=heads_on, held_out=held_out, report=report)
        else:
            design = pretrain(experiment, folder / "run", report)
            finish(design, folder, learned=learned, held_out=held_out, report=report)
            rejects = TrainingCache(folder / "run" / ROWS).rejects()
    say_rejects(rejects)
    out.print(f"{folder}: {design.name}, answers for {', '.join(design.labels)}")


def _experiment_of(file: Path, minutes: float | None, corrections: Path | None) -> Experiment:
    """The experiment of a file that tunes, with what options say instead of it."""
    from dataclasses import replace

    from shopvl.training.experiment import read_experiment

    experiment = read_experiment(file)
    if not experiment.start:
        raise ShopvlError(f"{file} has no start; name the pretrained model folder that tuning begins with")
    if minutes is not None:
        experiment = experiment.with_budget(minutes=minutes)
    if corrections is not None:
        experiment = replace(experiment, corrections=str(corrections))
    return experiment


def _prompted(model: Path, recipe: str | None, size: str, values: dict[str, Any]) -> Experiment | None:
    """The experiment that tunes a model folder as a recipe that answers prompts; None where heads are fitted to it."""
    from shopvl.design.design import Design
    from shopvl.training.experiment import Experiment

    if recipe == "linear":
        return None
    values = {**values, "start": str(model)}
    if recipe is not None:
        return Experiment.from_dict({**values, "recipe": recipe, "size": size})
    own = Design.from_pretrained(model).recipe
    return None if own.answering is None else Experiment.of_recipe(own.without_teachers(), **values)


def _corrected(opened: Catalog, corrections: Path | None, *, needed: bool = True) -> Catalog:
    """The catalog with the corrections, if any are given, laid over it; says how many there were if they are needed."""
    from shopvl.catalog.corrections import with_corrections

    if corrections is None:
        return opened
    laid = with_corrections(opened, corrections, needed=needed)
    if needed:
        of = f"{laid.applied()} of {len(laid.corrections)} corrections"
        chatter.print(f"{corrections}: {of} are about products of {laid.label}", highlight=False, soft_wrap=True)
    return laid


def adapt(
    catalog: CatalogPath,
    folder: OutFolder,
    model: ModelFolder = SHIPPED,
    minutes: Annotated[float, typer.Option(min=0.01, help="Training time.")] = 20,
    names: Annotated[Path | None, typer.Option(help="JSON with names in other languages and synonyms.")] = None,
    seed: int = 0,
    threads: Threads = None,
) -> None:
    """Make a model a catalog's own, in one go.

    Learns the catalog's categories and properties, calibrates, and says what can be answered.

    A catalog without splits is split by title: 80% to learn from, 10% to calibrate on, 10% to test on.

    Example: shopvl adapt products.csv --model runs/answers --minutes 20 --out runs/mine
    """
    from shopvl.adapt import SCORES
    from shopvl.adapt import adapt as adapt_model

    use_threads(threads)
    say_unused(open_split(catalog, "train"))
    with stages() as report:
        done = adapt_model(catalog, model, folder, minutes=minutes, names=names, seed=seed, report=report)
    _print_abilities(done.abilities)
    _print_missing(done)
    say_rejects(done.rejects)
    out.print(f"{folder / SCORES / 'report.html'}\nshopvl tag {catalog} --model {folder} --out tags", highlight=False)


def _print_abilities(abilities: Sequence[Ability]) -> None:
    """What a model can answer, as a table; then the properties by grade, and those that are never accepted."""
    headers = ["property", "test products", "accuracy", "accepted", "right of these", ""]
    inputs = sorted({ability.inputs.replace("+", " and ") for ability in abilities})
    table = Table(*headers, caption=f"answered from {' or '.join(inputs)}" if inputs else None)
    for ability in abilities:
        right = "" if ability.precision is None else f"{ability.precision:.1%}"
        table.add_row(
            ability.name,
            f"{ability.rows:,}",
            f"{ability.accuracy:.1%}",
            f"{ability.accepted:.1%}",
            right,
            ability.grade,
        )
    out.print(table)
    meaning = {
        "answers": "answered for most products without a look",
        "suggests": "suggested, for a person to decide",
        "cannot": "cannot be answered; more labelled products may change that",
    }
    for grade, meant in meaning.items():
        graded = [ability.name for ability in abilities if ability.grade == grade]
        if graded:
            out.print(f"{meant}: {', '.join(graded)}", highlight=False)
    if unproven := [
        f"{ability.name} {ability.shown:.0%}" for ability in abilities if 0 < ability.shown < DEFAULT_PRECISION
    ]:
        out.print(
            f"never accepted at --precision {DEFAULT_PRECISION}, as the products to calibrate on show less at best: "
            f"{', '.join(unproven)}; more labelled products raise that, and `tag --precision` may ask for less",
            highlight=False,
        )
    if unmeasured := [ability.name for ability in abilities if not ability.shown]:
        message = f"never accepted, as too few products to calibrate on have them: {', '.join(unmeasured)}"
        out.print(message, highlight=False)


def _print_missing(done: AdaptedTo) -> None:
    """What more labelled products would bring, where there were few."""
    from shopvl.adapt import MORE

    now = {ability.name: ability.accepted for ability in done.abilities}
    gains = {name: then for name, then in done.with_more.items() if then - now.get(name, 1.0) >= WORTH_SAYING}
    if gains:
        said = ", ".join(f"{name} {then:.0%} (now {now[name]:.0%})" for name, then in gains.items())
        out.print(
            f"with {MORE} times as many labelled products, as hard as these, would be accepted about: {said}",
            highlight=False,
        )


def calibrate(
    model: Annotated[Path, typer.Argument(help="A tuned shopvl model folder.")],
    catalog: CatalogPath,
    split: Annotated[
        str | None, typer.Option(help="Only rows of this split; left out: val, or all with --corrections.")
    ] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Decisions about products drawn at random: what `shopvl review import` wrote.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder of the new model; left out: the model's own.", file_okay=False)
    ] = None,
    ocr: Ocr = False,
) -> None:
    """Measure how far each answer can be trusted.

    Measured on held-out rows, and kept in the model folder.

    With --corrections, only the thresholds are set anew, from 100 to 300 products of your own that people reviewed:
    `shopvl review export --sample` draws them. The new model needs a folder of its own.

    Example: shopvl calibrate runs/tagger products.parquet --split val
    """
    from shopvl.design.design import Design
    from shopvl.files import exclusive_lock
    from shopvl.training.stages import finish

    if corrections is not None:
        _recalibrate(model, catalog, split, corrections, folder, ocr)
        return
    design = with_reader(Design.from_pretrained(model), ocr)
    with exclusive_lock(folder or model, f"changing the model {folder or model}"), stages() as report:
        finish(design, folder or model, held_out=open_split(catalog, split or "val"), report=report)
    table = Table("inputs", "property", "rows", "accuracy", "ECE", "temperature")
    for inputs, properties in design.calibration.items():
        for name, t in properties.items():
            figures = (f"{t[key]:.3f}" for key in ("accuracy", "ece", "temperature"))
            table.add_row(inputs, name, str(t["rows"]), *figures)
    out.print(table)


def _recalibrate(
    model: Path, catalog: str, split: str | None, corrections: Path, folder: Path | None, ocr: bool
) -> None:
    """Thresholds from reviewed products, as a new model folder; says what precision these products can show."""
    from shopvl.design.design import Design
    from shopvl.files import exclusive_lock
    from shopvl.training.stages import finish_reviewed

    if folder is None or folder.resolve() == model.resolve():
        raise ShopvlError(
            f"thresholds from corrections make a new model; give it another folder than {model} with --out"
        )
    opened = open_split(catalog, split, required=("product_id",))
    design = with_reader(Design.from_pretrained(model), ocr)
    with exclusive_lock(folder, f"changing the model {folder}"), stages() as report:
        found = finish_reviewed(design, folder, opened, corrections, report)
    _print_recalibrated(found, design)
    out.print(str(folder))


def _print_recalibrated(found: Sequence[Recalibrated], design: Design) -> None:
    """What so many reviewed answers can show and do show; and what stays unproven."""
    table = Table("property", "inputs", "reviewed", "right", "can show at most", "shows")
    for one in sorted(found, key=lambda one: one.name):
        rows, shown = one.calibration.rows, one.calibration.best_precision()
        figures = f"{one.calibration.accuracy:.1%}", f"{one.can_show:.3f}", f"{shown:g}" if shown else "nothing"
        table.add_row(one.name, one.inputs, str(rows), *figures)
    out.print(table)
    if unproven := [
        f"{one.name} from {one.inputs}" for one in found if one.calibration.best_precision() < DEFAULT_PRECISION
    ]:
        out.print(
            f"never accepted at --precision {DEFAULT_PRECISION}: {', '.join(unproven)}; more reviewed products raise "
            "that, and `tag --precision` may ask for less",
            highlight=False,
        )
    told = {one.name for one in found}
    if kept := [name for name in design.labels if name not in told]:
        message = f"too few were reviewed, so thresholds stay those measured on other products: {', '.join(kept)}"
        out.print(message, highlight=False)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A shopvl model folder.")],
    catalog: CatalogPath,
    folder: OutFolder,
    split: Split = "test",
    by: Annotated[
        list[str] | None,
        typer.Option(help="A column to group by, repeatable; `language` is one where it is there."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="A catalog of goods that are in none of the model's categories.")
    ] = None,
    resplits: Annotated[int, typer.Option(min=0, help="Times to choose thresholds anew and try them; 0: not.")] = 100,
    calibrated_on: Annotated[
        str | None, typer.Option(help="Split whose rows join these in the resplits, such as val.")
    ] = None,
    seed: int = 0,
    runtime: RuntimeName = "auto",
    device: DeviceName = None,
    ocr: Ocr = False,
) -> None:
    """Measure a model on labelled products.

    Retrieval in both protocols, category by level, every property: metrics.json and report.html.

    Products that have only a picture or only a title are measured from that. A category that the model's tree does not
    have counts as the deepest node above it that the tree has; nothing is right about a product of no category.

    Example: shopvl evaluate runs/tagger products.parquet --split test --out runs/tagger-test
    """
    from shopvl.evaluation.page import evaluate as write_evaluation
    from shopvl.evaluation.resplits import Resplit
    from shopvl.files import exclusive_lock

    opened = open_split(catalog, split, required=("product_id",))
    others = None if against is None else open_split(against, required=("product_id",))
    shuffled_in = open_split(catalog, calibrated_on, required=("product_id",)) if calibrated_on else None
    resplit = Resplit(resplits, shuffled_in) if resplits else None
    design = ready(opened_model(model, ocr, device), runtime, opened)
    with exclusive_lock(folder, f"writing into {folder}"), progress("looking", opened.count()) as report:
        page = write_evaluation(
            design, opened, folder, by=by or (), against=others, resplit=resplit, seed=seed, report=report
        ).page
    out.print(f"{folder / 'metrics.json'}\n{page}")


def start(
    catalog: CatalogPath,
    folder: OutFolder,
    labels: Annotated[
        Path | None,
        typer.Option(help="Categories and values: YAML, a table with a column for each property, or a taxonomy."),
    ] = None,
    model: ModelFolder = SHIPPED,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Write a list to begin with, from what titles name, and stop.")
    ] = False,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Decisions to learn from; left out: corrections.parquet in the folder, if it is there."),
    ] = None,
    ask: Annotated[int, typer.Option(min=0, help="Questions to ask next; 0: none.")] = 60,
    precision: Annotated[float, typer.Option(min=0.5, max=0.999, help="Precision of what is accepted.")] = (
        DEFAULT_PRECISION
    ),
    threads: Threads = None,
) -> None:
    """Answer a catalog without labels, from a list of values.

    The first time it guesses by the names in the list, and everything is for review. It writes a sheet of questions:
    fill it in, import it, and call this again. It learns from what you decide, and says what is automatic now and what
    will be after the next questions. Answers are accepted once reviewed products show the precision.

    With --suggest, values of the model or of --labels that titles name, and what titles end on, are written as a list.

    Example: shopvl start products.csv --labels labels.yaml --out start
    """
    from shopvl.review.queue import export_chosen
    from shopvl.start.starting import CORRECTIONS_FILE, MODEL, TAGS_FOLDER
    from shopvl.start.starting import start as start_catalog

    use_threads(threads)
    opened = open_split(catalog, required=("product_id",))
    if suggest:
        _suggest(opened, folder, labels, model)
        return
    with stages() as report:
        done = start_catalog(
            opened, folder, base=model, labels=labels, corrections=corrections, ask=ask, precision=precision,
            report=report,
        )  # fmt: skip
    _print_started(done, precision)
    if not done.chosen:
        return
    from shopvl.design.design import Design

    sheet, tags = folder / "questions.xlsx", folder / TAGS_FOLDER
    ontology = Design.from_pretrained(folder / MODEL).ontology
    written = export_chosen(tags, opened, ontology, sheet, done.chosen)
    out.print(
        f"{sheet}: {written.questions} questions about {written.products} products; fill in the column `correct`\n"
        f"shopvl review import {sheet} --model {folder / MODEL} --out {folder / CORRECTIONS_FILE}\n"
        f"shopvl start {catalog} --out {folder}",
        highlight=False,
        soft_wrap=True,
    )


def _suggest(opened: Catalog, folder: Path, labels: Path | None, model: Path) -> None:
    """A list to begin with."""
    from shopvl.start.suggest import SUGGESTED, suggest_list

    found, target = suggest_list(opened, folder, labels, model), folder / SUGGESTED
    for name, values in found.values.items():
        first = ", ".join(f"{value} ({count:,})" for value, count in values[:5])
        out.print(f"{name}: {len(values)} values: {first}{', ...' if len(values) > 5 else ''}", highlight=False)
    out.print(
        f"{target}: keep what is right, delete the rest, add what is missing; then\n"
        f"shopvl start {opened.path} --labels {target} --out {folder}",
        highlight=False,
        soft_wrap=True,
    )


def _print_started(done: Started, precision: float) -> None:
    """Property by property what is automatic, was said to be, and will be."""
    out.print(
        f"{done.products} products, {done.rejected} rejected; {done.decisions} decisions"
        + (f", {done.strangers} more about products that the catalog does not have" if done.strangers else "")
    )
    accepted = f"accepted at {precision:g}"
    table = Table("property", "decisions", "at random", accepted, "was forecast", "asked next", "then accepted")
    for one in done.states:
        said = "" if one.forecast is None else f"{one.forecast:.0%}"
        then = f"about {one.after:.0%}" if one.next and one.after is not None else ""
        table.add_row(one.name, str(one.decided), str(one.at_random), f"{one.accepted:.0%}", said, str(one.next), then)
    out.print(table)
