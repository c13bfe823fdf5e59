"""Labels of a catalog that a model contradicts: which are probably wrong, as a sheet for a person to decide.

A label is observed of a product whose values the model holds for likely with probabilities p. If a share `noise` of the
labels are slips, any other value being as likely as the next, then by Bayes' rule the label with probability p_l is one
with probability

    (1 - p_l) noise / (K - 1)  /  (p_l (1 - noise) + (1 - p_l) noise / (K - 1)),

and `noise` is where its mean over all products says the same (expectation-maximisation). The ranking is close to the
self-confidence of confident learning (Northcutt et al., arXiv:1911.00068). Probabilities must be calibrated, and of a
model that did not learn from these labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shopvl.batch import MODALITIES, inputs_name
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, DEFAULT_PRECISION
from shopvl.data.rows import label_of
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.errors import CatalogError
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.features import label_number
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.review.queue import Queue, has_pictures, look_up, question_of, write_sheet
from shopvl.review.sheet import Reason

FIRST_NOISE, ROUNDS = 0.05, 100  # of the search for the share of slips
LEAST = 1e-12  # probability of a label


@dataclass(frozen=True)
class Suspect:
    """A label that the model contradicts, how probable it is that it is wrong, and the answer as `tag` gives it."""

    said: str
    wrong: float
    row: Mapping[str, Any]


@dataclass(frozen=True)
class Audited:
    """Of one property: how many labels were compared, what share of them are held for slips, how many are in the sheet,
    and how many of these are expected to be wrong."""

    name: str
    labels: int
    noise: float
    suspects: int
    expected: float


def audit_labels(
    design: Design,
    catalog: Catalog,
    out: Path,
    *,
    limit: int,
    report: Callable[[int], None] = lambda rows: None,
) -> list[Audited]:
    """Write the `limit` most suspicious labels of a catalog as a review sheet, an .xlsx or .csv, the most so first.

    Where nothing is contradicted no sheet is written. Properties with several values at once are left out. Raises
    CatalogError where nothing can be compared, and ReviewError for another kind of file.
    """
    pictures = has_pictures(out)
    found, labels, noise = suspects_of(design, catalog, report)
    if not labels:
        raise CatalogError(f"no product of {catalog.path} has a value that this model knows, so none can be compared")
    chosen = sorted(found, key=lambda suspect: -suspect.wrong)[:limit]
    if chosen:
        seen = look_up(catalog, {suspect.row["product_id"] for suspect in chosen}, pictures, lambda products: None)
        questions = []
        for suspect in chosen:
            asked = question_of(suspect.row, *seen.get(suspect.row["product_id"], ("", None)), at_random=False)
            questions.append(replace(asked, reason=Reason("again", asked.probability, suspect.said)))
        write_sheet(out, Queue(questions, len(found), 0), design.ontology)
    of = {name: [one.wrong for one in chosen if one.row["property"] == name] for name in labels}
    return [Audited(name, labels[name], noise[name], len(of[name]), sum(of[name])) for name in labels]


def suspects_of(
    design: Design, catalog: Catalog, report: Callable[[int], None] = lambda rows: None
) -> tuple[list[Suspect], dict[str, int], dict[str, float]]:
    """Every label that is not the model's answer; by property how many were compared, and the share of slips."""
    answers, done = HeadAnswers(in_use(design)), 0
    numbers = answers.numbers
    single = [name for name in numbers if name == CATEGORY or not _many(design, name)]
    probability: defaultdict[str, list[float]] = defaultdict(list)  # of the labels
    contradicted: list[tuple[str, str, int, Mapping[str, Any]]] = []  # what was said, property, place, answer
    frames = catalog.batches()
    for item in encode(answers.design, frames, catalog.root, MODALITIES, answers.read, pool=answers.pool):
        done += len(item.items) if isinstance(item, Encoded) else 1
        report(done)
        if not isinstance(item, Encoded):
            continue
        rows = {(row["product_id"], row["property"]): row for row in answers.rows(item, DEFAULT_PRECISION)}
        for name in single:
            share_BK = item.values[f"{inputs_name(item.inputs)}/{name}"]
            for number, product in enumerate(item.rows):
                place = label_number(product, name, numbers[name], design.ontology)
                row = rows.get((product["product_id"], name))
                if place < 0 or row is None or row["best_guess"] is None:
                    continue
                if share_BK[number].argmax() != place:
                    said = label_of(product, name, design.ontology) or ""
                    contradicted.append((said, name, len(probability[name]), row))
                probability[name].append(float(share_BK[number, place]))
    noise = {name: slips(np.array(own), len(numbers[name])) for name, own in probability.items()}
    wrong = {name: wrong_of(np.array(own), noise[name], len(numbers[name])) for name, own in probability.items()}
    found = [Suspect(said, float(wrong[name][place]), row) for said, name, place, row in contradicted]
    return found, {name: len(own) for name, own in probability.items()}, noise


def _many(design: Design, name: str) -> bool:
    prop = design.ontology.property(name)
    return prop is not None and prop.many


def wrong_of(probability_N: np.ndarray, noise: float, values: int) -> np.ndarray:
    """(N,): how probable it is that labels are wrong which the model holds for that probable, of so many values."""
    slip_N = (1 - probability_N) * noise / max(values - 1, 1)
    wrong: np.ndarray = slip_N / (probability_N.clip(LEAST) * (1 - noise) + slip_N)
    return wrong


def slips(probability_N: np.ndarray, values: int) -> float:
    """The share of labels that are slips, where it explains them best."""
    noise = FIRST_NOISE
    for _ in range(ROUNDS):
        noise = float(wrong_of(probability_N, noise, values).mean())
    return noise
