"""From trained weights to a model folder: fit heads, calibrate on held-out rows, write the model card, save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.data.rows import RejectedRow
from shopvl.data.training_rows import TrainingCache
from shopvl.design.design import Design
from shopvl.inference.calibrate import HeldOut, calibrate, store, with_visibility
from shopvl.inference.familiarity import calibrate_familiarity, fit_familiarity
from shopvl.inference.features import Report
from shopvl.inference.fit_sets import learned_sets
from shopvl.inference.model_card import model_card
from shopvl.inference.predict import prompted_labels
from shopvl.inference.recalibrate import Recalibrated, recalibrate
from shopvl.inference.stated import StatedFit
from shopvl.recipes.parts import PromptMask
from shopvl.training.answer_heads import PromptHeadFit, fit_answer_heads
from shopvl.training.tuning import MIN_STEPS, LinearHeadFit, fit_heads

CROSS_FITTED = "Each product was answered by what the others taught (cross-fitting)."


def finish(
    design: Design,
    folder: Path,
    *,
    heads_on: Catalog | None = None,
    learned: Catalog | None = None,
    held_out: Catalog | None = None,
    report: Report = lambda stage, share: None,
    seed: int = 0,
    min_steps: int = MIN_STEPS,
    fit: LinearHeadFit | None = None,
    answered: HeldOut | None = None,
) -> list[RejectedRow]:
    """Make `folder` the model folder of a trained design: linear heads fitted on `heads_on`, calibrated on `held_out`,
    or by what was `answered` about rows that were each left out of learning once; heads have then learned from
    `held_out`, too, so that it cannot show which sets of values they tell.

    Which inputs are familiar, and how texts state what no head answers, is fitted on the rows that the design `learned`
    from. A stage without rows is skipped; a design that answers prompts has no linear heads. Returns the rows of
    `heads_on` that could not be used. Raises DesignError as `fit_heads` does.
    """
    rejects = [] if heads_on is None else fit_heads(design, heads_on, report, seed, min_steps, fit)
    if learned is not None:
        fit_familiarity(design, learned, lambda share: report("familiarity", share))
    if held_out is not None and design.ontology.stated:
        report("texts", 0.0)
        design.stated = StatedFit.of(design.ontology, learned, held_out).learned()
        report("texts", 1.0)
    if held_out is not None:
        calibrate_familiarity(design, held_out, lambda share: report("compare", share))
    if answered is not None:
        calibrate_by(design, answered)
        design.ontology = with_visibility(design.ontology, answered.known, answered.measured["image"])
    elif held_out is not None:
        calibrate(design, held_out, lambda _, share: report("calibrate", share))
        design.stated |= learned_sets(design, held_out, lambda share: report("sets", share))
    design.save(folder, model_card(design, "" if answered is None else CROSS_FITTED))
    return rejects


def finish_reviewed(
    design: Design, folder: Path, catalog: Catalog, corrections: Path, report: Report = lambda stage, share: None
) -> list[Recalibrated]:
    """Make `folder` the model folder of a calibrated design with thresholds from reviewed products of the catalog.

    Returns what these products show. Raises ShopvlError as `recalibrate` does, before anything is written.
    """
    found = recalibrate(design, catalog, corrections, report)
    on = f"products of {catalog.path.name} that were drawn at random and reviewed"
    design.save(folder, model_card(design, f"Thresholds were set anew on {on}; the rest was measured before."))
    return found


def calibrate_by(design: Design, held: HeldOut | None) -> None:
    """Calibrate a design by answers about rows that it did not learn from, however these were come by; by none of them,
    nothing is promised."""
    design.calibration = {}
    if held is not None:
        store(design, held.calibrations())


def save_started(design: Design, folder: Path) -> None:
    """Make `folder` the model folder of a design that learned from reviewed products."""
    note = f"On reviewed products of the catalog, drawn at random. {CROSS_FITTED}"
    design.save(folder, model_card(design, note))


def fit_prompt_head(
    design: Design,
    rows: Catalog | TrainingCache,
    report: Callable[[float], None] = lambda share: None,
    seed: int = 0,
    fit: PromptHeadFit | None = None,
) -> None:
    """The end of training a design that answers prompts: its labels, and the last fit of a prompt-mask head."""
    design.labels = prompted_labels(design.ontology)
    if isinstance(design.recipe.answering, PromptMask):
        fit_answer_heads(design, rows, report, seed, fit)


def refit(design: Design, table: Path, folder: Path) -> None:
    """Make `folder` the model folder of a design whose weights were merged from models trained on `table`: fit its
    prompt-mask head again on the training rows, and calibrate it on the validation rows."""
    learned = open_catalog(table, split="train")
    fit_prompt_head(design, learned)
    finish(design, folder, learned=learned, held_out=open_catalog(table, split="val"))
