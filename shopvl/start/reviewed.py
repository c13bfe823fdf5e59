"""Reviewed products: what is known of them, what their answers show, and which decisions look like slips."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shopvl.batch import INPUT_CHOICES, MODALITIES, inputs_name
from shopvl.catalog.cells import folded, path_of
from shopvl.catalog.corrections import Correction
from shopvl.catalog.queries import named_properties
from shopvl.catalog.vocabulary import CATEGORY, UNKNOWN
from shopvl.data.rows import Row, is_of_no_category, label_of
from shopvl.design.design import Design
from shopvl.inference.calibrate import HeldOut
from shopvl.inference.features import ABSENT, Labelled, label_number
from shopvl.inference.levels import CategoryLevels, level_name
from shopvl.inference.looks import flat
from shopvl.inference.predict import mix_in_title
from shopvl.review.queue import Chosen, random_place
from shopvl.start.forecast import Sample
from shopvl.start.history import Key
from shopvl.start.learn import NOISE, Taught
from shopvl.start.outputs import CatalogOutputs, NameReader
from shopvl.text.prompts import questions_of

LABELS = ("category_path", "attributes")  # the columns of a row that say what is true of it
SAMPLE = 1000  # products that thresholds are tried on, to say how many would be accepted
SURE = 0.5  # probability from which an answer may contradict a decision


@dataclass(frozen=True)
class Reviewed:
    """The T products of a catalog that people decided something about: their numbers among the outputs, what is known
    of them as rows, and whether they were drawn at random."""

    rows_T: np.ndarray
    known: list[dict[str, Any]]
    at_random_T: np.ndarray
    design: Design

    @classmethod
    def of(cls, decisions: Sequence[Correction], outputs: CatalogOutputs, design: Design) -> Reviewed:
        """Decisions about products that were read; what nobody decided of a product is not known."""
        place = {name: number for number, name in enumerate(outputs.ids)}
        about: dict[int, list[Correction]] = {}
        for decision in decisions:
            if decision.product_id in place:
                about.setdefault(place[decision.product_id], []).append(decision)
        rows = sorted(about)
        return cls(
            np.array(rows, dtype=np.int64),
            [_row(about[number]) for number in rows],
            np.array([any(decision.at_random for decision in about[number]) for number in rows], dtype=bool),
            design,
        )

    @classmethod
    def labelled(cls, rows: Iterable[Row], outputs: CatalogOutputs, design: Design) -> Reviewed:
        """Rows of a catalog that has labels, each of them drawn at random; those without a label say nothing."""
        place = {name: number for number, name in enumerate(outputs.ids)}
        found = {
            place[row["product_id"]]: {name: row[name] for name in LABELS}
            for row in rows
            if row["product_id"] in place and any(row[name] for name in LABELS)
        }
        numbers = sorted(found)
        known = [found[number] for number in numbers]
        return cls(np.array(numbers, dtype=np.int64), known, np.ones(len(known), dtype=bool), design)

    def labels(self, reader: NameReader) -> np.ndarray:
        """Of each product and question the place of the right answer among the legal ones; -1 where it is not known, or
        is `unknown`."""
        labels_TQ = np.full((len(self.known), len(reader.asked)), -1)
        if not self.known:
            return labels_TQ
        right_TQK = self.design.loader.right_answers(self.known, questions_of(self.design.ontology)).numpy()
        for number, one in enumerate(reader.asked):
            right_TL = right_TQK[:, number, one.answers_L] & reader.free(number)
            labels_TQ[:, number] = np.where(right_TL.any(1), right_TL.argmax(1), -1)
        return labels_TQ


def _row(decisions: Sequence[Correction]) -> dict[str, Any]:
    own = {folded(decision.property): decision for decision in decisions}
    category = own.pop(CATEGORY, None)
    return {
        "category_path": path_of(category.value or UNKNOWN) if category else None,
        "attributes": [{"property": one.property, "value": one.value or UNKNOWN} for one in own.values()],
    }


def held_out(taught: Taught, outputs: CatalogOutputs, reviewed: Reviewed) -> HeldOut:
    """Answers about the reviewed products that were drawn at random, each from what the others taught."""
    design, reader = reviewed.design, taught.reader
    labels_TQ = reviewed.labels(reader)
    drawn_T = reviewed.at_random_T
    lines = {inputs: line_NF[reviewed.rows_T] for inputs, line_NF in taught.lines(outputs).items()}
    for number, own in taught.learned.items():
        known_T = labels_TQ[:, number] >= 0
        for inputs, scores in own.held_out.items():
            lines[inputs][np.ix_(known_T, np.arange(reader.width)[reader.asked[number].span])] = scores
    some = outputs.where(reviewed.rows_T[drawn_T])
    said = {inputs: reader.by_property(line_TF[drawn_T]) for inputs, line_TF in lines.items()}
    levels = CategoryLevels(design.labels.get(CATEGORY, ()))
    asked = design.labels | {level_name(level): names for level, names in levels.names.items()}
    known_rows = [row for row, drawn in zip(reviewed.known, drawn_T, strict=True) if drawn]
    labels: dict[str, torch.Tensor] = {}
    for name, names in asked.items():
        number_of = {folded(value): number for number, value in enumerate(names)}
        labels[name] = torch.tensor([label_number(row, name, number_of, design.ontology) for row in known_rows])
    no_category = torch.tensor([is_of_no_category(row) for row in known_rows])
    known = Labelled(_values(said, some), some.titles, labels, no_category, [])
    return HeldOut(known, design.labels, levels, named_properties(some.titles, design.ontology), 0, {})


def sample_of(outputs: CatalogOutputs, lines: Mapping[str, np.ndarray], reader: NameReader, held: HeldOut) -> Sample:
    """What a taught and calibrated model says of SAMPLE products; nothing is known of them."""
    design = reader.design
    chosen = np.array(sorted(range(len(outputs.ids)), key=lambda row: random_place(outputs.ids[row]))[:SAMPLE])
    some = outputs.where(chosen)
    said = {inputs: reader.by_property(line_NF[chosen]) for inputs, line_NF in lines.items()}
    labels = dict.fromkeys(held.known.labels, torch.zeros(len(chosen), dtype=torch.int64))
    no_category = torch.zeros(len(chosen), dtype=torch.bool)
    values = _values(mix_in_title(said, design, INPUT_CHOICES), some)
    known = Labelled(values, some.titles, labels, no_category, [])
    levels = CategoryLevels(design.labels.get(CATEGORY, ()))
    named = named_properties(some.titles, design.ontology)
    return Sample(HeldOut(known, design.labels, levels, named, 0, held.by_question()), outputs.share_of)


def _values(said: Mapping[str, Mapping[str, torch.Tensor]], some: CatalogOutputs) -> dict[str, torch.Tensor]:
    """`INPUTS/NAME` -> (N, K) of some products, NaN where one lacks inputs; whatever they have is familiar."""
    values = flat(said)
    for one in MODALITIES:
        values[f"familiarity/{one}"] = torch.from_numpy(np.where(some.has(one), 1.0, np.nan))
    for inputs in map(inputs_name, INPUT_CHOICES):
        for key in [key for key in values if key.startswith(f"{inputs}/")]:
            values[key][torch.from_numpy(~some.has(inputs))] = torch.nan
    return values


def settled_of(held: HeldOut, ids: Sequence[str], keys: Collection[Key], least: int) -> dict[str, np.ndarray]:
    """By property, which of the products with these ids have a settled decision about it; all of them where so few are
    settled that they could not show anything. Only how many there are decides this, not what they say."""
    found = {}
    for name in held.labels:
        settled_N = np.array([(key, name) in keys for key in ids], dtype=bool)
        known_N = (held.known.labels[name] != ABSENT).numpy()
        found[name] = settled_N if (settled_N & known_N).sum() >= least else np.ones(len(ids), dtype=bool)
    return found


@dataclass(frozen=True)
class Doubt:
    """A decision about the product of that place among the held-out ones, to be asked for again; and how probable it is
    that it was a slip."""

    place: int
    slip: float
    question: Chosen


def doubted(held: HeldOut, outputs: CatalogOutputs, reviewed: Reviewed) -> list[Doubt]:
    """Decisions about products drawn at random that the answer which the others taught contradicts, the surest first.

    Mostly one of the two is a slip, and which only a person can say. With some slips among them the products drawn at
    random could never show the precision that there is (label errors found out of fold: confident learning,
    arXiv:1911.00068).
    """
    drawn = reviewed.rows_T[reviewed.at_random_T]
    known = [row for row, at_random in zip(reviewed.known, reviewed.at_random_T, strict=True) if at_random]
    found = []
    for place, (number, row) in enumerate(zip(drawn.tolist(), known, strict=True)):
        for name, labels in held.labels.items():
            key, true = f"{inputs_name(outputs.inputs[number])}/{name}", int(held.known.labels[name][place])
            if true < 0 or key not in held.best or held.best[key][place] == true:
                continue
            sure, own = (float(held.probabilities[key][place, one]) for one in (held.best[key][place], true))
            if sure >= SURE:
                said = label_of(row, name, reviewed.design.ontology) or labels[true]
                slipped = NOISE / max(len(labels) - 1, 1) * sure  # a slip may be any other value
                slip = slipped / (slipped + (1 - NOISE) * own)
                found.append(Doubt(place, slip, Chosen(outputs.ids[number], name, True, said)))
    return sorted(found, key=lambda doubt: -doubt.slip)
