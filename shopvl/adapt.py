"""A model made one catalog's own: its ontology learned, its answers calibrated, and told what they are good for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from shopvl.batch import MODALITIES, inputs_name
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import apply_names
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.schema import SPLITS
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.evaluation.page import evaluate
from shopvl.inference.calibrate import calibration_of
from shopvl.inference.model_card import WEAK_BELOW
from shopvl.recipes.recipe import Recipe
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain
from shopvl.training.stages import finish

ONTOLOGY, RUN, SCORES = "catalog_ontology.json", "run", "scores"
FEWEST = (20, 1, 1)  # products to learn from, to calibrate on and to test on; fewer teach nothing
BATCHES, SMALLEST_BATCH = 16, 16  # as many batches at least go into the products; products in one of them
MOSTLY = 0.5  # a property that is accepted for so many products is answered, for fewer it is suggested

Grade = Literal["answers", "suggests", "cannot"]
Report = Callable[..., None]  # stage, share done, a line of figures


@dataclass(frozen=True)
class Ability:
    """What the adapted model can do about one property, from picture and title, on products it never saw."""

    name: str
    rows: int
    accuracy: float
    accepted: float  # share that is accepted at 95% precision
    precision: float | None  # of these
    shown: float  # the highest precision that the products calibrated on can show

    @property
    def grade(self) -> Grade:
        """`answers`: most products need nobody; `suggests`: right mostly, a person decides; `cannot`: neither."""
        if self.accepted >= MOSTLY:
            return "answers"
        return "suggests" if self.accepted > 0 or self.accuracy >= WEAK_BELOW else "cannot"


def adapt(
    catalog: str,
    start: Path,
    out: Path,
    *,
    minutes: float,
    names: Path | None = None,
    seed: int = 0,
    report: Report = lambda stage, share, line="": None,
) -> list[Ability]:
    """Train the design in `start` on the catalog for so long; `out` becomes the model folder.

    In it beside the model: `run/` (goes on when it is stopped and started again), `catalog_ontology.json` (categories,
    properties and values of the catalog, with the `names` in other languages), and `scores/` with the report. Raises
    CatalogError for a catalog with too little to learn from.
    """
    counts = open_catalog(catalog).split_counts()
    rows = [counts[name] for name in SPLITS]
    if any(count < fewest for count, fewest in zip(rows, FEWEST, strict=True)):
        told, wanted = ("{} to learn from, {} to calibrate on and {} to test on".format(*n) for n in (rows, FEWEST))
        raise CatalogError(
            f"{catalog} has {counts.total()} products: {told}; wanted are at least {wanted} (splits "
            f"{', '.join(SPLITS)}); bring more labelled products"
        )
    learned, held_out, test = (open_catalog(catalog, split=split) for split in SPLITS)
    begun = Design.from_pretrained(start)
    ontology = mine_ontology(learned.batches()).named_like(begun.ontology)
    if not (ontology.categories or ontology.properties):
        raise CatalogError(f"{catalog} has neither categories nor attributes, so there is nothing to learn to answer")
    if names is not None:
        ontology = apply_names(ontology, names)
    out.mkdir(parents=True, exist_ok=True)
    ontology.save(out / ONTOLOGY)
    experiment = Experiment.of_recipe(
        fitting(begun.recipe.without_teachers(), rows[0]),
        name="adapt",
        catalog=catalog,
        ontology=str(out / ONTOLOGY),
        start=str(start),
        seed=seed,
        minutes=minutes,
    )
    design = pretrain(experiment, out / RUN, report)
    heads_on = learned if design.recipe.answering is None else None
    finish(design, out, heads_on=heads_on, held_out=held_out, report=report, seed=seed)
    measured = evaluate(design, test, out / SCORES, seed=seed, report=lambda done: report("measure", done / rows[-1]))
    return abilities(measured.figures, design)


def fitting(recipe: Recipe, products: int) -> Recipe:
    """The recipe with batches that suit so many products: large ones teach a small catalog no better (of 500 drawn
    products' answers 0.75 are right either way), and take more memory (7 GB to 4)."""
    batch_size = min(recipe.schedule.batch_size, max(SMALLEST_BATCH, products // BATCHES))
    return replace(recipe, schedule=replace(recipe.schedule, batch_size=batch_size))


def abilities(metrics: dict[str, Any], design: Design) -> list[Ability]:
    """Of every property that was measured, the best first."""
    both = inputs_name(MODALITIES)
    found = [
        Ability(
            name=name,
            rows=told["rows"],
            accuracy=told["accuracy"],
            accepted=told["accepted"],
            precision=told["precision_of_accepted"],
            shown=calibration_of(design, both, name).best_precision(),
        )
        for name, told in metrics["answers"][both].items()
        if told["rows"]
    ]
    return sorted(found, key=lambda one: (-one.accepted, -one.accuracy))
