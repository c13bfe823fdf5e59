"""How good a design is on a catalog: retrieval in both protocols, category level by level, every property."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.cells import folded
from shopvl.catalog.queries import make_query
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, DEFAULT_PRECISION
from shopvl.data.rows import RejectedRow, Row, label_of, pairs, subcategory
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.inference.calibrate import calibration_of, conflict_score, decisions
from shopvl.inference.encode import Encoded, encode
from shopvl.inference.predict import LinearAnswers, PromptedAnswers, answers_of
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
from shopvl.search import product_vectors

SAMPLED_OTHERS = 100
BOUND_Z, LABELS_TIMES = 1.645, (1, 4, 16)  # of the precision's lower bound; how many times the labels there are
QUERIES = 1000
CURVE_POINTS = 80


@dataclass(frozen=True)
class PropertyAnswers:
    """Best values and their probabilities for one property from one choice of inputs, with the truth, if known."""

    truth: list[str]
    best: list[str]
    probability: np.ndarray
    conflict: np.ndarray  # bool: picture and title disagree
    rows: list[int]  # place of each answer's product in `ModelOutputs.rows`

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool."""
        return np.array([folded(t) == folded(b) for t, b in zip(self.truth, self.best, strict=True)], dtype=bool)


@dataclass(frozen=True)
class MadeQuery:
    """A shopper's query made from one product's category and attributes, and the rows that have all it asks for."""

    text: str
    fitting: np.ndarray  # places in `ModelOutputs.rows`
    vector: np.ndarray  # (D,)


@dataclass
class ModelOutputs:
    """Embeddings and answers for the complete rows of a catalog."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[RejectedRow] = field(default_factory=list)
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)  # (N, D), only where the design has towers
    answers: dict[str, dict[str, PropertyAnswers]] = field(default_factory=dict)  # inputs -> property -> answers

    def product_vectors(self) -> np.ndarray:
        """(N, D): what a search index would hold."""
        embeddings = {name: torch.from_numpy(self.embeddings[name]) for name in ("image", "title")}
        return product_vectors(embeddings, ("image", "title")).numpy()


def run_model(design: Design, catalog: Catalog, report: Callable[[int], None] = lambda rows: None) -> ModelOutputs:
    """One pass of the catalog through the model and its heads. Raises CatalogError if no row is complete."""
    outputs = ModelOutputs()
    embedded: dict[str, list[np.ndarray]] = defaultdict(list)
    best: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    wanted: tuple[Modality, ...] = ("image", "title")
    answers = answers_of(design) if design.labels else None
    for item in encode(design, catalog.batches(), catalog.root, wanted, lambda b, i: _read(design, answers, b, i)):
        match item:
            case RejectedRow() as reject:
                outputs.rejects.append(reject)
            case Encoded(inputs=inputs) if inputs != wanted:
                only = f"an evaluation needs picture and title, there is only the {inputs[0]}"
                outputs.rejects += [RejectedRow(row["product_id"], only) for row in item.rows]
            case Encoded():
                outputs.rows += item.rows
                for name in item.values.keys() & set(wanted):
                    embedded[name].append(item.values[name])
                for question in _asked(design):
                    best[question].append(item.values["/".join(question)])
        report(len(outputs.rows) + len(outputs.rejects))
    if not outputs.rows:
        raise CatalogError(f"no row of {catalog.path} has both a picture and a title, so nothing can be measured")
    outputs.embeddings = {name: np.concatenate(parts) for name, parts in embedded.items()}
    for (choice, name), parts in best.items():
        outputs.answers.setdefault(choice, {})[name] = _answers(
            design, outputs.rows, (choice, name), np.concatenate(parts)
        )
    return outputs


def _asked(design: Design) -> list[tuple[str, str]]:
    return [(inputs_name(inputs), name) for inputs in INPUT_CHOICES for name in design.labels]


def _read(
    design: Design, answers: LinearAnswers | PromptedAnswers | None, batch: Batch, inputs: tuple[Modality, ...]
) -> dict[str, Tensor]:
    """Embeddings by input, and per choice of inputs and property (B, 3): index of the best value, its probability, and
    the conflict score of picture and title (0 unless both were read)."""
    if len(inputs) < 2:
        return {}
    values: dict[str, Tensor] = {}
    if design.model.embeds:
        values |= design.embeddings(batch, inputs)
    if answers is not None:
        probabilities = {
            choice: {name: calibration_of(design, choice, name).probabilities(by_name[name]) for name in design.labels}
            for choice, by_name in answers.read(batch, INPUT_CHOICES).items()
        }
        for choice, by_name in probabilities.items():
            for name, p in by_name.items():
                top = p.max(-1)
                conflict = torch.zeros_like(top.values)
                if choice == inputs_name(MODALITIES):
                    conflict = conflict_score(
                        probabilities["image"][name], probabilities["title"][name], design.labels[name]
                    )
                values[f"{choice}/{name}"] = torch.stack([top.indices.float(), top.values, conflict], dim=-1)
    return values


def _answers(design: Design, rows: Sequence[Row], question: tuple[str, str], best_N3: np.ndarray) -> PropertyAnswers:
    choice, name = question
    truth = [label_of(row, name, design.ontology) for row in rows]
    known = [number for number, value in enumerate(truth) if value is not None]
    values = design.labels[name]
    return PropertyAnswers(
        truth=[str(truth[number]) for number in known],
        best=[values[int(best_N3[number, 0])] for number in known],
        probability=best_N3[known, 1],
        conflict=best_N3[known, 2] >= calibration_of(design, choice, name).conflict_from,
        rows=known,
    )


def ask(design: Design, outputs: ModelOutputs, *, count: int = QUERIES, seed: int = 0) -> list[MadeQuery]:
    """Queries made from random rows; those that name nothing of the ontology are left out."""
    rng = random.Random(seed)
    facts = np.zeros((len(outputs.rows), len(design.ontology.facts)), dtype=bool)
    for number, row in enumerate(outputs.rows):
        facts[number, design.loader.facts_of(row)] = True
    made = {}
    for row in rng.sample(outputs.rows, min(count, len(outputs.rows))):
        query = make_query(None, row["category_path"], pairs(row["attributes"]), design.ontology, rng)
        if query.wants:
            made[query.text] = query.wants
    if not made:
        return []
    with torch.inference_mode():
        words = design.loader.words(list(made)).to(design.device)
        vectors = design.model.embed_text(words, "query").float().cpu().numpy()
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
    if retrieval_scores:
        figures["retrieval"] = {protocol: ways.as_dict() for protocol, ways in retrieval_scores.items()}
    if outputs.embeddings and (queries := ask(design, outputs, seed=seed)):
        vectors = np.stack([query.vector for query in queries])
        ranking = ranking_at(vectors, outputs.product_vectors(), [query.fitting for query in queries])
        figures["queries"] = ranking.as_dict()
    figures["answers"] = {
        inputs: {name: _measured(design, inputs, name, answers) for name, answers in by_property.items()}
        for inputs, by_property in outputs.answers.items()
    }
    return figures


def retrieval(outputs: ModelOutputs, *, seed: int = 0) -> dict[str, Bidirectional]:
    """By embeddings, where there are any: `full` (any product of the same title is right) and `sampled-101`."""
    if not outputs.embeddings:
        return {}
    titles = [folded(row["title"]) for row in outputs.rows]
    groups = group_ids(titles)
    image, title = outputs.embeddings["image"], outputs.embeddings["title"]
    scores = {
        "full": Bidirectional(
            text_to_image=recall_at(title, image, groups, groups), image_to_text=recall_at(image, title, groups, groups)
        )
    }
    if len(set(titles)) > SAMPLED_OTHERS:
        candidates = sample_candidates(titles, [subcategory(row) for row in outputs.rows], seed=seed)
        scores["sampled-101"] = sampled_101_embeddings(candidates, image, title)
    return scores


def _measured(design: Design, inputs: str, name: str, answers: PropertyAnswers) -> dict[str, Any]:
    """Scores of one property; for the category, of the whole path and of each of its levels."""
    if not answers.rows:
        return {"rows": 0}
    covered = coverage_at_precision(answers.probability, answers.correct, DEFAULT_PRECISION)
    threshold = calibration_of(design, inputs, name).threshold(DEFAULT_PRECISION)
    accepted = np.array(decisions(answers.probability, threshold, answers.conflict)) == "accept"
    figures: dict[str, Any] = {
        **_scores(answers.truth, answers.best),
        "ece": calibration_error(answers.probability, answers.correct),
        "ece_of_chance": calibration_floor(answers.probability),
        f"coverage_at_{DEFAULT_PRECISION}": covered.coverage,  # the best threshold for these very rows
        "accepted": float(accepted.mean()),  # by the design's own threshold, chosen on other rows
        "precision_of_accepted": float(answers.correct[accepted].mean()) if accepted.any() else None,
        "conflicts": float(answers.conflict.mean()),  # picture and title disagree: never accepted
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
