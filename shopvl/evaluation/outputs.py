"""What a design says of a whole catalog: embeddings, answers with the truth, decisions, and how familiar inputs are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import MORE_IMAGES
from shopvl.catalog.shared_pictures import shared_pictures
from shopvl.catalog.vocabulary import DEFAULT_PRECISION, UNKNOWN
from shopvl.data.judging import holds, is_within, true_one, true_value
from shopvl.data.rows import RejectedRow, Row
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.errors import CatalogError
from shopvl.inference.choose import can_answer
from shopvl.inference.encode import Encoded, Pool, Values, encode
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.inference.views import pooled_vectors
from shopvl.search import product_vectors

Truth = Callable[[Row, str, Ontology], str | None]


@dataclass(frozen=True)
class Decided:
    """What became of answers at DEFAULT_PRECISION, as `tag` decides; a value may be a node above the best answer."""

    value: list[str | None]
    probability: np.ndarray
    accepted: np.ndarray  # bool
    conflict: np.ndarray  # bool: picture and title disagree
    reason: list[str]


@dataclass(frozen=True)
class PropertyAnswers:
    """Best values and their probabilities for one property from one choice of inputs, where the truth is known."""

    truth: list[str]  # as deep as the ontology knows it; `unknown` for a product of none of its categories
    best: list[str]
    probability: np.ndarray
    rows: list[int]  # place of each answer's product in `ModelOutputs.rows`
    decided: Decided

    @cached_property
    def correct(self) -> np.ndarray:
        """(N,) bool: the best value is the true one, or a category below it."""
        return np.array([is_within(b, t) for t, b in zip(self.truth, self.best, strict=True)], dtype=bool)

    @cached_property
    def holding(self) -> np.ndarray:
        """(N,) bool: nothing that the decided value says is wrong."""
        pairs = zip(self.truth, self.decided.value, strict=True)
        return np.array([value is not None and holds(value, truth) for truth, value in pairs], dtype=bool)

    @property
    def judged(self) -> list[str]:
        """The best values, or the truth where they lie within it."""
        return [t if right else b for t, b, right in zip(self.truth, self.best, self.correct.tolist(), strict=True)]


@dataclass
class ModelOutputs:
    """Embeddings of the complete rows of a catalog; answers of all that have any input."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[RejectedRow] = field(default_factory=list)
    complete: list[int] = field(default_factory=list)  # places of the rows with picture and title, in `rows`
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)  # (N, D), only where the design has towers
    answers: dict[str, dict[str, PropertyAnswers]] = field(default_factory=dict)  # inputs -> property -> answers
    familiarity: dict[str, np.ndarray] = field(
        default_factory=dict
    )  # by input that it is known of, of the rows that have it
    looks: dict[str, np.ndarray] = field(default_factory=dict)  # by inputs: at the picture, that answers rest on
    closer_ms: float = 0.0  # that a second look takes, for a picture that needs it

    @property
    def complete_rows(self) -> list[Row]:
        """The rows that the embeddings are of."""
        return [self.rows[place] for place in self.complete]

    def product_vectors(self) -> np.ndarray:
        """(N, D): what a search index would hold."""
        embeddings = {name: torch.from_numpy(self.embeddings[name]) for name in ("image", "title")}
        return product_vectors(embeddings, ("image", "title")).numpy()


def run_model(
    design: Design, catalog: Catalog, report: Callable[[int], None] = lambda rows: None, truth: Truth = true_value
) -> ModelOutputs:
    """One pass of the catalog through the model and its heads, from every choice of the inputs that a row has.

    Products are seen by all of their pictures, as `tag` and `index` see them. `truth` is what answers are judged by.
    Raises CatalogError if no row can be read.
    """
    design = in_use(design)
    outputs, answers = ModelOutputs(), HeadAnswers(design) if can_answer(design) else None
    looks: dict[str, list[np.ndarray]] = defaultdict(list)
    twice = 0
    embedded: dict[str, list[np.ndarray]] = defaultdict(list)
    familiar: dict[str, list[np.ndarray]] = defaultdict(list)
    collected = {inputs_name(choice): _Collected() for choice in INPUT_CHOICES}
    read, pool, shared = _reader(design, answers), _pool(design, answers), shared_pictures(catalog)
    for item in encode(design, catalog.batches(), catalog.root, MODALITIES, read, pool=pool, shared=shared):
        if isinstance(item, RejectedRow):
            outputs.rejects.append(item)
            continue
        places = list(range(len(outputs.rows), len(outputs.rows) + len(item.rows)))
        outputs.rows += [{**row, MORE_IMAGES: None} for row in item.rows]  # which would be held in memory
        if item.inputs == MODALITIES:
            outputs.complete += places
            for name in item.values.keys() & set(MODALITIES):
                embedded[name].append(item.values[name])
        for name in design.familiarity.keys() & set(item.inputs):
            familiar[name].append(item.values[f"familiarity/{name}"])
        looked = {inputs: item.values[key] for inputs in collected if (key := f"looks/{inputs}") in item.values}
        for inputs, looks_R in looked.items():
            looks[inputs].append(looks_R)
        twice += int(np.any([looks_R > 1 for looks_R in looked.values()], axis=0).sum()) if looked else 0
        if answers is not None:
            for choice in INPUT_CHOICES:
                if set(choice) <= set(item.inputs):
                    collected[inputs_name(choice)].add(answers, item.only(choice), places)
        report(len(outputs.rows) + len(outputs.rejects))
    if not outputs.rows:
        raise CatalogError(f"no row of {catalog.path} can be read, so nothing can be measured; `shopvl check` says why")
    outputs.embeddings = {name: np.concatenate(parts) for name, parts in embedded.items()}
    outputs.familiarity = {name: np.concatenate(parts) for name, parts in familiar.items()}
    outputs.looks = {choice: np.concatenate(parts) for choice, parts in looks.items()}
    outputs.closer_ms = 0.0 if answers is None else 1e3 * answers.closer_seconds / max(twice, 1)
    outputs.answers = {
        choice: {name: found.answers(answers.design, outputs.rows, name, truth) for name in answers.labels}
        for choice, found in collected.items()
        if answers is not None and found.places
    }
    return outputs


def _reader(
    design: Design, answers: HeadAnswers | None
) -> Callable[[Batch, tuple[Modality, ...]], Mapping[str, Tensor]]:
    """Answers of all that a batch has, and embeddings by input where it has both."""

    def read(batch: Batch, inputs: tuple[Modality, ...]) -> Mapping[str, Tensor]:
        values = {} if answers is None else dict(answers.read(batch, inputs, each=True))
        if design.model.embeds and inputs == MODALITIES:
            values |= design.embeddings(batch, inputs)
        return values

    return read


def _pool(design: Design, answers: HeadAnswers | None) -> Pool:
    """How what `_reader` reads of several pictures becomes one."""

    def read(batch: Batch, inputs: tuple[Modality, ...]) -> Mapping[str, Tensor]:
        values = {} if answers is None else dict(answers.pool.read(batch, inputs))
        if design.model.embeds and inputs == MODALITIES:
            values |= design.embeddings(batch, inputs)
        return values

    def combine(values: Values, seen: Values, owner_V: np.ndarray, number_V: np.ndarray) -> Values:
        vectors = {name: values[name] for name in values.keys() & set(MODALITIES)}
        said = {name: array for name, array in values.items() if name not in vectors}
        if answers is not None:
            said = answers.pool.combine(said, seen, owner_V, number_V)
        return said | pooled_vectors(vectors, seen, owner_V, number_V, "image")

    return Pool(read, combine)


@dataclass
class _Collected:
    """Answers from one choice of inputs, batch by batch."""

    places: list[int] = field(default_factory=list)
    best: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))  # (R, 2): number, probability
    decided: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, answers: HeadAnswers, item: Encoded, places: Sequence[int]) -> None:
        """The answers about a batch."""
        self.places += places
        for name in answers.labels:
            values_RK = item.values[f"{inputs_name(item.inputs)}/{name}"]
            best_R = values_RK.argmax(1)
            self.best[name].append(np.stack([best_R, values_RK[np.arange(len(best_R)), best_R]], axis=1))
        for _, own in groupby(answers.rows(item, DEFAULT_PRECISION), key=itemgetter("product_id", "property")):
            row = next(own)  # of several values the likeliest stands for them
            self.decided[row["property"]].append(row)

    def answers(self, design: Design, rows: Sequence[Row], name: str, truth_of: Truth) -> PropertyAnswers:
        """Those about one property whose truth is known."""
        truth = [truth_of(rows[place], name, design.ontology) for place in self.places]
        known = [number for number, value in enumerate(truth) if value is not None]
        values, best_N2 = design.labels[name], np.concatenate(self.best[name])[known]
        decided = [self.decided[name][number] for number in known]
        # a set takes the place of what the head says
        best = [
            (row["best_guess"] or UNKNOWN) if row["together"] else values[int(number)]
            for number, row in zip(best_N2[:, 0], decided, strict=True)
        ]
        in_sets_N = np.array([bool(row["together"]) for row in decided], dtype=bool)
        own = [rows[self.places[number]] for number in known]
        return PropertyAnswers(
            truth=[
                true_one(str(truth[number]), answer, row, name, design.ontology)
                for number, answer, row in zip(known, best, own, strict=True)
            ],
            best=best,
            probability=np.where(in_sets_N, [row["probability"] for row in decided], best_N2[:, 1]),
            rows=[self.places[number] for number in known],
            decided=Decided(
                value=[row["value"] for row in decided],
                probability=np.array([row["probability"] for row in decided]),
                accepted=np.array([row["decision"] == "accept" for row in decided], dtype=bool),
                conflict=np.array([row["conflict"] for row in decided], dtype=bool),
                reason=[row["reason"] for row in decided],
            ),
        )
