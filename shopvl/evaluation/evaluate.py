"""How good a design is on a catalog: retrieval in both protocols, category level by level, every property."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shopvl.catalog.cells import folded
from shopvl.catalog.queries import make_query
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, DEFAULT_PRECISION
from shopvl.data.rows import pairs, subcategory
from shopvl.design.design import Design
from shopvl.evaluation.groups import accepted_scores, trust
from shopvl.evaluation.outputs import ModelOutputs, PropertyAnswers
from shopvl.metrics.calibration import calibration_error, calibration_floor, coverage_at_precision, risk_coverage
from shopvl.metrics.classification import accuracy, macro_f1, weighted_f1
from shopvl.metrics.retrieval import (
    Bidirectional,
    group_ids,
    ranking_at,
    recall_at,
    sample_candidates,
    sampled_101_embeddings,
)

SAMPLED_OTHERS = 100
BOUND_Z, LABELS_TIMES = 1.645, (1, 4, 16)  # of the precision's lower bound; how many times the labels there are
QUERIES = 1000
CURVE_POINTS = 80


@dataclass(frozen=True)
class MadeQuery:
    """A shopper's query made from one product's category and attributes, and the rows that have all it asks for."""

    text: str
    fitting: np.ndarray  # places in `ModelOutputs.complete_rows`
    vector: np.ndarray  # (D,)


def ask(design: Design, outputs: ModelOutputs, *, count: int = QUERIES, seed: int = 0) -> list[MadeQuery]:
    """Queries made from random rows; those that name nothing of the ontology are left out."""
    rng, rows = random.Random(seed), outputs.complete_rows
    facts = np.zeros((len(rows), len(design.ontology.facts)), dtype=bool)
    for number, row in enumerate(rows):
        facts[number, design.loader.facts_of(row)] = True
    made = {}
    for row in rng.sample(rows, min(count, len(rows))):
        query = make_query(None, row["category_path"], pairs(row["attributes"]), design.ontology, rng)
        if query.wants:
            made[query.text] = query.wants
    if not made:
        return []
    with torch.inference_mode():
        vectors = design.embed_queries(list(made)).float().cpu().numpy()
    return [
        MadeQuery(text, np.flatnonzero(facts[:, list(wants)].all(axis=1)), vector)
        for (text, wants), vector in zip(made.items(), vectors, strict=True)
    ]


def measure(
    design: Design, outputs: ModelOutputs, retrieval_scores: Mapping[str, Bidirectional] | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """All figures, ready for JSON. `retrieval_scores` are by protocol; None measures retrieval by embeddings."""
    retrieval_scores = retrieval(outputs, seed=seed) if retrieval_scores is None else retrieval_scores
    figures: dict[str, Any] = {"rows": len(outputs.rows), "rejects": len(outputs.rejects)}
    figures["complete"] = len(outputs.complete)  # with picture and title; retrieval and queries are theirs
    if retrieval_scores:
        figures["retrieval"] = {protocol: ways.as_dict() for protocol, ways in retrieval_scores.items()}
    if outputs.embeddings and (queries := ask(design, outputs, seed=seed)):
        vectors = np.stack([query.vector for query in queries])
        ranking = ranking_at(vectors, outputs.product_vectors(), [query.fitting for query in queries])
        figures["queries"] = ranking.as_dict()
    if outputs.closer_ms:
        figures["second_looks"] = second_looks(outputs)
    figures["answers"] = {
        inputs: {name: _measured(name, answers) for name, answers in by_property.items()}
        for inputs, by_property in outputs.answers.items()
    }
    return figures


def retrieval(outputs: ModelOutputs, *, seed: int = 0) -> dict[str, Bidirectional]:
    """By embeddings, where there are any: `full` (any product of the same title is right) and `sampled-101`."""
    if not outputs.embeddings:
        return {}
    rows = outputs.complete_rows
    titles = [folded(row["title"]) for row in rows]
    groups = group_ids(titles)
    image, title = outputs.embeddings["image"], outputs.embeddings["title"]
    scores = {
        "full": Bidirectional(
            text_to_image=recall_at(title, image, groups, groups), image_to_text=recall_at(image, title, groups, groups)
        )
    }
    if len(set(titles)) > SAMPLED_OTHERS:
        candidates = sample_candidates(titles, [subcategory(row) for row in rows], seed=seed)
        scores["sampled-101"] = sampled_101_embeddings(candidates, image, title)
    return scores


def second_looks(outputs: ModelOutputs) -> dict[str, Any]:
    """By inputs the share of pictures that answers look at twice, and the milliseconds that this takes for each."""
    shares = {inputs: float((looks_R > 1).mean()) for inputs, looks_R in outputs.looks.items()}
    return {"share": shares, "ms": outputs.closer_ms}


def _measured(name: str, answers: PropertyAnswers) -> dict[str, Any]:
    """Scores of one property; for the category, of the whole path and of each of its levels."""
    if not answers.rows:
        return {"rows": 0}
    covered = coverage_at_precision(answers.probability, answers.correct, DEFAULT_PRECISION)
    scores = accepted_scores(answers)
    figures: dict[str, Any] = {
        **_scores(answers.truth, answers.judged),
        "ece": calibration_error(answers.probability, answers.correct),
        "ece_of_chance": calibration_floor(answers.probability),
        f"coverage_at_{DEFAULT_PRECISION}": covered.coverage,  # the best threshold for these very rows
        "accepted": scores["accepted"],  # as `tag` decides, by thresholds chosen on other rows
        "precision_of_accepted": scores["precision"],
        "conflicts": float(answers.decided.conflict.mean()),  # picture and title disagree: never accepted
        **trust(answers),
        "coverage_by_labels": coverage_by_labels(answers),
    }
    if name == CATEGORY:
        figures["levels"] = category_levels(answers.truth, answers.best)
    return figures


def per_example_results(outputs: ModelOutputs, retrieval_scores: Mapping[str, Bidirectional]) -> dict[str, Any]:
    """The result for each product and query, for paired comparisons of two models.

    Ranks of the first match by protocol and direction; by inputs and property whether the answer was right, product by
    product in their order, None where the truth is not known.
    """
    answers: dict[str, dict[str, list[bool | None]]] = {}
    for inputs, by_property in outputs.answers.items():
        for name, given in by_property.items():
            marks: list[bool | None] = [None] * len(outputs.rows)
            for number, right in zip(given.rows, given.correct.tolist(), strict=True):
                marks[number] = right
            answers.setdefault(inputs, {})[name] = marks
    ranks = {
        protocol: {way: getattr(both, way).rank_Q.tolist() for way in ("text_to_image", "image_to_text")}
        for protocol, both in retrieval_scores.items()
    }
    return {"products": [row["product_id"] for row in outputs.rows], "ranks": ranks, "answers": answers}


def confusion_table(outputs: ModelOutputs) -> list[dict[str, Any]]:
    """How often each true value was answered with each value, by inputs and property, the most frequent pair first."""
    return [
        {"inputs": inputs, "property": name, "truth": truth, "answer": answer, "rows": rows}
        for inputs, by_property in outputs.answers.items()
        for name, answers in by_property.items()
        for (truth, answer), rows in Counter(zip(answers.truth, answers.best, strict=True)).most_common()
    ]


def curves(outputs: ModelOutputs) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Risk against coverage by inputs and property, at CURVE_POINTS places at most."""
    sampled: dict[str, dict[str, dict[str, list[float]]]] = {}
    for inputs, by_property in outputs.answers.items():
        for name, answers in by_property.items():
            if answers.rows:
                curve = risk_coverage(answers.probability.clip(0, 1), answers.correct)
                shown = np.unique(np.linspace(0, len(curve.risk) - 1, CURVE_POINTS).astype(int))
                points = {"coverage": curve.coverage[shown].tolist(), "risk": curve.risk[shown].tolist()}
                sampled.setdefault(inputs, {})[name] = points
    return sampled


def coverage_by_labels(answers: PropertyAnswers) -> dict[str, float]:
    """Labelled rows to choose the threshold on -> share of answers that can then be accepted at DEFAULT_PRECISION.

    Extrapolated from these answers: N times the rows would have the same accuracy, and Wilson bounds whose z is smaller
    by the root of N. If the share hardly grows, more labels do not help; a better model does.
    """
    return {
        str(times * len(answers.rows)): coverage_at_precision(
            answers.probability, answers.correct, DEFAULT_PRECISION, z=BOUND_Z / times**0.5
        ).coverage
        for times in LABELS_TIMES
    }


def category_levels(truth: Sequence[str], best: Sequence[str]) -> list[dict[str, Any]]:
    """Scores of the name at each level of the path, top first; products whose path ends above a level are left out."""
    true_paths = [path.split(CATEGORY_JOIN) for path in truth]
    best_paths = [path.split(CATEGORY_JOIN) for path in best]
    levels = []
    for level in range(max(map(len, true_paths))):
        reach = [(t, b) for t, b in zip(true_paths, best_paths, strict=True) if len(t) > level]
        levels.append(_scores([t[level] for t, _ in reach], [b[level] if len(b) > level else "" for _, b in reach]))
    return levels


def _scores(truth: Sequence[str], best: Sequence[str]) -> dict[str, Any]:
    truth, best = [folded(value) for value in truth], [folded(value) for value in best]
    return {
        "rows": len(truth),
        "classes": len(set(truth)),
        "accuracy": accuracy(truth, best),
        "macro_f1": macro_f1(truth, best),
        "weighted_f1": weighted_f1(truth, best),
    }
