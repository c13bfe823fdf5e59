"""Adapt a model to a catalog: mine its ontology, learn, calibrate, and report what the model can do.

Many rows fine-tune the model. Few rows teach heads on the frozen model, as decisions of people do (`start/learn.py`):
all of them then also calibrate, each answered by what the others taught (cross-fitting; Stone 1974), where a tenth of
few would show nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import apply_names
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.schema import SPLITS
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.data.rows import RejectedRow
from shopvl.data.training_rows import TrainingCache
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.evaluation.page import evaluate, usual_inputs
from shopvl.files import PATIENCE, exclusive_lock
from shopvl.inference.calibrate import calibration_of
from shopvl.inference.features import ABSENT
from shopvl.inference.model_card import WEAK_BELOW
from shopvl.recipes.parts import PromptMask
from shopvl.recipes.recipe import Recipe
from shopvl.start.forecast import Sample, forecast
from shopvl.start.reviewed import LABELS, Reviewed
from shopvl.start.starting import StartSession, named
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import ROWS, pretrain
from shopvl.training.stages import finish

ONTOLOGY, RUN, SCORES = "catalog_ontology.json", "run", "scores"
FEWEST = (20, 1, 1)  # products to learn from, to calibrate on and to test on
FEW = 1500  # rows to learn from and to calibrate on, below which the towers stay as they are
MORE = 2  # times as many labelled products, for which a forecast is made
BATCHES, SMALLEST_BATCH = 16, 16  # least number of batches per epoch; least products in a batch
MOSTLY = 0.5  # share of accepted products from which the grade of a property is `answers`

Grade = Literal["answers", "suggests", "cannot"]
Report = Callable[..., None]  # stage, share done, a line of figures


@dataclass(frozen=True)
class Ability:
    """How well the adapted model answers one property on test products, from the inputs that these usually have."""

    name: str
    rows: int
    accuracy: float
    accepted: float  # share that is accepted at 95% precision
    precision: float | None  # of these
    shown: float  # the highest precision that the calibration rows can show
    inputs: str  # `image+title`, `image` or `title`

    @property
    def grade(self) -> Grade:
        """`answers`: most answers are accepted; `suggests`: mostly right, a person decides; `cannot`: neither."""
        if self.accepted >= MOSTLY:
            return "answers"
        return "suggests" if self.accepted > 0 or self.accuracy >= WEAK_BELOW else "cannot"


@dataclass(frozen=True)
class AdaptedTo:
    """What adapting to a catalog gave: abilities by property, and the rows that could not be used.

    Where few rows taught it, `with_more` says what share of each property's answers would be accepted with MORE times
    as many labelled products, each as hard as those that there are.
    """

    abilities: list[Ability]
    rejects: list[RejectedRow]
    with_more: Mapping[str, float]


def adapt(
    catalog: str,
    start: Path,
    out: Path,
    *,
    minutes: float,
    names: Path | None = None,
    seed: int = 0,
    report: Report = lambda stage, share, line="": None,
) -> AdaptedTo:
    """Train the design in `start` on the catalog for that many minutes; `out` becomes the model folder.

    From fewer than FEW rows a design that answers prompts learns in less time than that, its towers left as they are.
    `out` also holds `run/` (a stopped run resumes from it) or what was read of few rows, `catalog_ontology.json`
    (categories, properties and values of the catalog, with the `names` in other languages), and `scores/` with the
    report. Raises CatalogError for a catalog with too few products, or without labels.
    """
    counts = open_catalog(catalog).split_counts()
    rows = [counts[name] for name in SPLITS]
    if any(count < fewest for count, fewest in zip(rows, FEWEST, strict=True)):
        counted, wanted = ("{} to learn from, {} to calibrate on and {} to test on".format(*n) for n in (rows, FEWEST))
        raise CatalogError(
            f"{catalog} has {counts.total()} products: {counted}; wanted are at least {wanted} (splits "
            f"{', '.join(SPLITS)}); bring more labelled products"
        )
    start_design = Design.from_pretrained(start)
    ontology = mine_ontology(open_catalog(catalog, split=SPLITS[0]).batches()).named_like(start_design.ontology)
    if not (ontology.categories or ontology.properties):
        raise CatalogError(f"{catalog} has neither categories nor attributes, so there is nothing to learn to answer")
    if names is not None:
        ontology = apply_names(ontology, names)
    experiment = Experiment.of_recipe(
        fitting(start_design.recipe.without_teachers(), rows[0]),
        name="adapt",
        catalog=catalog,
        ontology=str(out / ONTOLOGY),
        start=str(start),
        seed=seed,
        minutes=minutes,
    )
    few = rows[0] + rows[1] < FEW and isinstance(start_design.recipe.answering, PromptMask)
    with exclusive_lock(out, f"adapting a model in {out}", patience=PATIENCE):
        ontology.save(out / ONTOLOGY)
        if few:
            design, rejects, with_more = _taught(named(start_design, ontology), catalog, out, report)
        else:
            design, rejects = _trained(experiment, out, report)
            with_more = {}
        test = open_catalog(catalog, split=SPLITS[2])
        measured = evaluate(
            design, test, out / SCORES, seed=seed, report=lambda done: report("measure", done / rows[2])
        )
    return AdaptedTo(abilities(measured.figures, design), rejects, with_more)


def _trained(experiment: Experiment, out: Path, report: Report) -> tuple[Design, list[RejectedRow]]:
    """A design fine-tuned on one part of the rows, calibrated on another."""
    learned, held_out = (open_catalog(experiment.catalog_path(), split=split) for split in SPLITS[:2])
    design, seed = pretrain(experiment, out / RUN, report), experiment.seed
    heads_on = learned if design.recipe.answering is None else None
    finish(design, out, heads_on=heads_on, learned=learned, held_out=held_out, report=report, seed=seed)
    return design, TrainingCache(out / RUN / ROWS).rejects()


def _taught(
    design: Design, catalog: str, out: Path, report: Report
) -> tuple[Design, list[RejectedRow], dict[str, float]]:
    """A design whose heads few rows taught, calibrated by what each was answered when it was left out; and what would
    be accepted with MORE times as many."""
    learned, held_out = (open_catalog(catalog, split=split) for split in SPLITS[:2])
    session = StartSession.of(design, open_catalog(catalog), out, report)
    frames = (frame for part in (learned, held_out) for frame in part.batches(columns=("product_id", *LABELS)))
    rows = (row for frame in frames for row in frame.iter_rows(named=True))
    _, answered = session.teach(Reviewed.labelled(rows, session.outputs, design), report)
    finish(design, out, learned=learned, held_out=held_out, answered=answered, report=report)
    with_more = {}
    if answered is not None:
        sample = Sample(answered, session.outputs.share_of)
        for name, label_N in answered.known.labels.items():
            if name in design.labels and (known := int((label_N != ABSENT).sum())):
                told = {"least": MORE * known, "more": (MORE - 1) * known}
                with_more[name] = forecast(answered, name, sample, {}, DEFAULT_PRECISION, **told)
    return design, session.outputs.rejects, with_more


def fitting(recipe: Recipe, products: int) -> Recipe:
    """The recipe with a batch size for that many products: on small catalogs large batches are no better (0.75 of the
    answers are right for 500 drawn products, either way) and take more memory (7 GB against 4)."""
    batch_size = min(recipe.schedule.batch_size, max(SMALLEST_BATCH, products // BATCHES))
    return replace(recipe, schedule=replace(recipe.schedule, batch_size=batch_size))


def abilities(metrics: dict[str, Any], design: Design) -> list[Ability]:
    """Of every property that was measured, the best first."""
    inputs = usual_inputs(metrics["answers"])
    measured = [
        Ability(
            name=name,
            rows=scores["rows"],
            accuracy=scores["accuracy"],
            accepted=scores["accepted"],
            precision=scores["precision_of_accepted"],
            shown=calibration_of(design, inputs, name).best_precision(),
            inputs=inputs,
        )
        for name, scores in metrics["answers"][inputs].items()
        if scores["rows"]
    ]
    return sorted(measured, key=lambda ability: (-ability.accepted, -ability.accuracy))
