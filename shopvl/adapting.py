"""A model made one catalog's own: its ontology learned, its answers calibrated, and told what they are good for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shopvl.batch import MODALITIES, inputs_name
from shopvl.catalog.ontology import Ontology, apply_names, mine_ontology
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.splits import assign_splits
from shopvl.design import Design
from shopvl.errors import CatalogError
from shopvl.tasks.calibration import calibrate
from shopvl.tasks.card import WEAK_BELOW, model_card
from shopvl.tasks.evaluation_page import evaluate
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain
from shopvl.training.tuning import fit_heads

TABLE, ONTOLOGY, RUN, SCORES = "catalog.parquet", "catalog_ontology.json", "run", "scores"
FEWEST_LEARNED = 20  # products to learn from; fewer teach nothing
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
    properties and values of the catalog, with the `names` in other languages), `catalog.parquet` (the catalog in
    train, val and test, where it has no splits of its own), and `scores/` with the report. Raises CatalogError for a
    catalog with too little to learn from.
    """
    table = _with_splits(catalog, out)
    learned, held_out, test = (open_catalog(table, split=split) for split in ("train", "val", "test"))
    rows = learned.count(), held_out.count(), test.count()
    if rows[0] < FEWEST_LEARNED or not rows[1] or not rows[2]:
        told = "{} products to learn from, {} to calibrate on and {} to test on".format(*rows)
        raise CatalogError(f"{catalog} has {told} (splits train, val, test); {FEWEST_LEARNED}, 1 and 1 are the fewest")
    ontology = mine_ontology(learned.batches())
    if not (ontology.categories or ontology.properties):
        raise CatalogError(f"{catalog} has neither categories nor attributes, so there is nothing to learn to answer")
    if names is not None:
        ontology = apply_names(ontology, names)
    out.mkdir(parents=True, exist_ok=True)
    ontology.save(out / ONTOLOGY)
    design = pretrain(_experiment(table, ontology, start, out, minutes, seed), out / RUN, report)
    if design.recipe.answering is None:
        fit_heads(design, learned, report, seed)
    calibrate(design, held_out, lambda stage, share: report("calibrate", share))
    design.save(out, model_card(design))
    evaluate(design, test, out / SCORES, seed=seed, report=lambda done: report("measure", done / rows[2]))
    return abilities(json.loads((out / SCORES / "metrics.json").read_text("utf-8")))


def _with_splits(catalog: str, out: Path) -> str:
    """The catalog, or a copy of it with splits: made each time, so the run sees whether the catalog has changed."""
    opened = open_catalog(catalog)
    if opened.has("split"):
        return catalog
    assign_splits(opened, out / TABLE)
    return str(out / TABLE)


def _experiment(table: str, ontology: Ontology, start: Path, out: Path, minutes: float, seed: int) -> Experiment:
    """The start's own recipe, whatever it changed, over the catalog and its ontology."""
    recipe = Design.from_pretrained(start).recipe.without_teachers()
    return Experiment(
        name="adapt",
        recipe=recipe.name,
        size="mini",  # of no account: the changes say everything
        catalog=table,
        ontology=str(out / ONTOLOGY),
        start=str(start),
        seed=seed,
        minutes=minutes,
        changes=recipe.to_dict(),
    )


def abilities(metrics: dict[str, Any]) -> list[Ability]:
    """Of every property that was measured, the best first."""
    measured = metrics["answers"][inputs_name(MODALITIES)]
    found = [
        Ability(name, told["rows"], told["accuracy"], told["accepted"], told["precision_of_accepted"])
        for name, told in measured.items()
        if told["rows"]
    ]
    return sorted(found, key=lambda one: (-one.accepted, -one.accuracy))
