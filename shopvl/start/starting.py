"""Answers for a catalog without labels: guesses by name first, then what reviewed products teach and can show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from shopvl.arrow import record_batch
from shopvl.batch import INPUT_CHOICES, MODALITIES, inputs_name
from shopvl.catalog.cells import folded, path_of
from shopvl.catalog.corrections import Correction, merged, read_corrections
from shopvl.catalog.label_list import read_label_list
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.queries import named_properties
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, DEFAULT_PRECISION, UNKNOWN
from shopvl.checksums import Remedy, read_object, stamped
from shopvl.data.rows import ValidRow, label_of
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.files import PATIENCE, REJECTS, Table, atomic_write, exclusive_lock
from shopvl.inference.calibrate import HeldOut, store
from shopvl.inference.decide import ANSWERED, Rules, calibrations_of
from shopvl.inference.encode import Encoded
from shopvl.inference.features import Labelled, label_number
from shopvl.inference.levels import CategoryLevels, level_name
from shopvl.inference.looks import Said, flat, looks_of
from shopvl.inference.model_card import model_card
from shopvl.inference.predict import mix_in_title, prompted_labels
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.review.queue import Chosen
from shopvl.start.forecast import coverage, forecast
from shopvl.start.learn import Taught, learn
from shopvl.start.outputs import CatalogOutputs, NameReader, outputs_of
from shopvl.start.questions import choose
from shopvl.tagging.run import NOTES, TAGS, tag_rows
from shopvl.text.prompts import questions_of

MODEL, TAGS_FOLDER, ONTOLOGY, HISTORY = "model", "tags", "labels.json", "history.json"
CORRECTIONS_FILE = "corrections.parquet"
AGAIN_SHARE = 0.2  # of the questions at most that are about former decisions
SURE = 0.5  # probability from which an answer may contradict a decision
NOTE = "Calibrated on reviewed products of the catalog, drawn at random, each answered by what the others taught."
Report = Callable[[str, float], None]  # stage, share done


@dataclass(frozen=True)
class State:
    """Where a property stands, in shares of the catalog's products."""

    name: str
    answered: float  # that have a guess
    accepted: float
    decided: int  # answers of people
    at_random: int  # of these about products drawn at random
    forecast: float | None  # of what was to be accepted by now, where the round before said that
    next: int = 0  # answers that are asked for
    after: float | None = None  # what is to be accepted after them; None where too little is known to say


@dataclass(frozen=True)
class Started:
    """What one round has made."""

    products: int
    rejected: int
    decisions: int  # about products of this catalog
    strangers: int  # decisions about others
    states: list[State]
    chosen: list[Chosen]  # questions to ask next


def start(
    catalog: Catalog,
    out: Path,
    *,
    base: Path,
    labels: Path | None = None,
    corrections: Path | None = None,
    ask: int = 60,
    precision: float = DEFAULT_PRECISION,
    report: Report = lambda stage, share: None,
) -> Started:
    """Answer a catalog by the names in a list of labels, and learn from what people decided since.

    `out` gets `model/`, `tags/` and what was read of the catalog, so that the next round takes seconds. Answers are
    accepted from thresholds that reviewed products drawn at random have shown, each answered by what the others taught;
    without such decisions everything is `review`. Decisions are those in `corrections`, if left out in
    `out/corrections.parquet`, if it is there. Raises CatalogError for a list or catalog that cannot be used.
    """
    with exclusive_lock(out, f"tagging a catalog in {out}", patience=PATIENCE):
        base_design = Design.from_pretrained(base)
        ontology = _ontology(out, labels).named_like(base_design.ontology)
        design = named(base_design, ontology)
        reader, outputs = outputs_of(design, catalog, out, lambda share: report("read", share))
        every = _decisions(out, corrections)
        known = set(outputs.ids)
        decisions = [one for one in every if one.product_id in known]
        reviewed = Reviewed.of(decisions, outputs, design)
        report("learn", 0.0)
        taught = learn(reader, outputs, reviewed.rows_T, reviewed.labels(reader), reviewed.at_random_T)
        report("learn", 1.0)
        held = held_out(taught, outputs, reviewed) if reviewed.at_random_T.any() else None
        if held is not None:
            store(design, held.calibrations())
        report("calibrate", 1.0)
        lines = taught.lines(outputs)
        taught.write_into(reader.head)
        design.save(out / MODEL, model_card(design, NOTE))
        counted = write_tags(design, reader, outputs, lines, catalog, out / TAGS_FOLDER, precision)
        report("write", 1.0)
        decided = {(one.product_id, one.property): one.at_random for one in decisions}
        history = History.read(out / HISTORY)
        again = [] if held is None else history.new(doubted(held, outputs, reviewed))[: int(ask * AGAIN_SHARE)]
        fresh = choose(out / TAGS_FOLDER / "tags.parquet", outputs, decided, ask - len(again), precision)
        chosen = [*again, *fresh]
        states = list(_states(counted, decisions, outputs, held, fresh, precision, history))
        history.after(decisions, states, again).write(out / HISTORY)
        report("forecast", 1.0)
    strangers = len(every) - len(decisions)
    return Started(len(outputs.ids), len(outputs.rejects), len(decisions), strangers, states, chosen)


def _states(
    counted: Mapping[str, tuple[int, int]],
    decisions: Sequence[Correction],
    outputs: CatalogOutputs,
    held: HeldOut | None,
    chosen: Sequence[Chosen],
    precision: float,
    history: History,
) -> Iterator[State]:
    """Where every property stands, and is to stand after the chosen questions."""
    products = len(outputs.ids)
    inputs = Counter(map(inputs_name, outputs.inputs))
    share_of = {name: count / products for name, count in inputs.items()}
    for name, (answered, accepted) in counted.items():
        own = [one for one in decisions if folded(one.property) == folded(name)]
        asked = [one for one in chosen if one.property == name]
        more = sum(one.at_random for one in asked)
        then = None
        if held is not None and any(name in measured for measured in held.measured.values()):
            gain = forecast(held, name, more, share_of, precision) - coverage(held, name, share_of, precision)
            then = min(1.0, max(0.0, accepted / products + gain))
        said = history.forecasts.get(name) if history.decisions < len(decisions) else None
        at_random = sum(one.at_random for one in own)
        yield State(name, answered / products, accepted / products, len(own), at_random, said, len(asked), then)


def doubted(held: HeldOut, outputs: CatalogOutputs, reviewed: Reviewed) -> list[Chosen]:
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
            sure = float(held.probabilities[key][place].max())
            if sure >= SURE:
                said = label_of(row, name, reviewed.design.ontology) or labels[true]
                found.append((sure, Chosen(outputs.ids[number], name, True, said)))
    return [one for _, one in sorted(found, key=lambda pair: -pair[0])]


@dataclass(frozen=True)
class History:
    """What the rounds before said: how many decisions there were, what was forecast, and which were asked for again."""

    decisions: int = 0
    forecasts: Mapping[str, float] = field(default_factory=dict)
    asked_again: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def read(cls, path: Path) -> History:
        """What is kept there. Raises CatalogError for a damaged file."""
        if not path.is_file():
            return cls()
        remedy = Remedy("delete it: only forecasts, and which decisions were asked for again, are lost", CatalogError)
        kept = read_object(path, remedy)
        try:
            again = frozenset((str(product), str(name)) for product, name in kept["asked_again"])
            forecasts = {str(name): float(share) for name, share in kept["forecasts"].items()}
            return cls(int(kept["decisions"]), forecasts, again)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise remedy.damaged(path) from error

    def new(self, chosen: Sequence[Chosen]) -> list[Chosen]:
        """Those that were not asked for again before: a decision is doubted once."""
        return [one for one in chosen if (one.product_id, one.property) not in self.asked_again]

    def after(self, decisions: Sequence[Correction], states: Sequence[State], again: Sequence[Chosen]) -> History:
        """With what this round says."""
        forecasts = {state.name: state.after for state in states if state.after is not None}
        asked_again = self.asked_again.union((one.product_id, one.property) for one in again)
        return History(len(decisions), forecasts, asked_again)

    def write(self, path: Path) -> None:
        """Keep it."""
        values = {
            "decisions": self.decisions,
            "forecasts": self.forecasts,
            "asked_again": sorted(map(list, self.asked_again)),
        }
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(stamped(values), ensure_ascii=False), "utf-8")


def named(base: Design, ontology: Ontology) -> Design:
    """The base's weights, answering with the values of an ontology; every input is familiar in a shop's own catalog."""
    design = base.over(ontology)
    design.labels, design.familiarity = prompted_labels(ontology), {}
    return design


def _ontology(out: Path, labels: Path | None) -> Ontology:
    kept = out / ONTOLOGY
    if labels is None:
        if not kept.is_file():
            raise CatalogError(
                f"{out} has no list of labels yet; name one with --labels, a YAML such as `colour: [red, navy | dark "
                "blue]` or a table with a column for each property"
            )
        return Ontology.load(kept)
    ontology = read_label_list(labels)
    ontology.save(kept)
    return ontology


def _decisions(out: Path, corrections: Path | None) -> list[Correction]:
    path = corrections or out / CORRECTIONS_FILE
    if corrections is None and not path.is_file():
        return []
    return merged(read_corrections(path))


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
    values = flat({inputs: reader.by_property(line_TF[drawn_T]) for inputs, line_TF in lines.items()})
    for one in MODALITIES:
        values[f"familiarity/{one}"] = torch.from_numpy(np.where(some.has(one), 1.0, np.nan))
    for inputs in map(inputs_name, INPUT_CHOICES):
        for key in [key for key in values if key.startswith(f"{inputs}/")]:
            values[key][torch.from_numpy(~some.has(inputs))] = torch.nan
    levels = CategoryLevels(design.labels.get(CATEGORY, ()))
    asked = design.labels | {level_name(level): names for level, names in levels.names.items()}
    known_rows = [row for row, drawn in zip(reviewed.known, drawn_T, strict=True) if drawn]
    labels: dict[str, torch.Tensor] = {}
    for name, names in asked.items():
        number_of = {folded(value): number for number, value in enumerate(names)}
        labels[name] = torch.tensor([label_number(row, name, number_of, design.ontology) for row in known_rows])
    no_category = torch.zeros(len(known_rows), dtype=torch.bool)
    known = Labelled(values, some.titles, labels, no_category, [])
    return HeldOut(known, design.labels, levels, named_properties(some.titles, design.ontology), 0, {})


def write_tags(
    design: Design,
    reader: NameReader,
    outputs: CatalogOutputs,
    lines: dict[str, np.ndarray],
    catalog: Catalog,
    folder: Path,
    precision: float,
) -> dict[str, tuple[int, int]]:
    """Write tags.parquet and rejects.parquet as `shopvl tag` does, in the catalog's order.

    Returns of each property for how many products there is an answer, and how many answers are accepted.
    """
    answers, model = HeadAnswers(design, reader.answers), design.name
    rules = Rules.of(design.ontology, calibrations_of(design), precision, design.stated)
    answered: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    with (
        Table(folder / "tags.parquet", TAGS) as tags,
        Table(folder / "rejects.parquet", REJECTS) as rejects,
        Table(folder / NOTES, REJECTS),
    ):
        for products in _products(answers, reader, outputs, lines, catalog):
            rows = tag_rows(record_batch(products, ANSWERED), rules, model)
            tags.write_batch(rows)
            _count(rows, answered, accepted)
        rejects.write([{"product_id": row.product_id, "reason": row.reason} for row in outputs.rejects])
    return {name: (answered[name], accepted[name]) for name in design.labels}


def _count(rows: pa.RecordBatch, answered: Counter[str], accepted: Counter[str]) -> None:
    frame = pl.DataFrame(rows.select(["property", "value", "decision"]))
    counts = frame.group_by("property").agg(
        pl.col("value").is_not_null().sum(), (pl.col("decision") == "accept").sum().alias("accepted")
    )
    for name, some, sure in counts.iter_rows():
        answered[name] += some
        accepted[name] += sure


def _products(
    answers: HeadAnswers, reader: NameReader, outputs: CatalogOutputs, lines: dict[str, np.ndarray], catalog: Catalog
) -> Iterator[list[dict[str, Any]]]:
    """What the model says of each product, a frame of the catalog at a time."""
    place = {name: number for number, name in enumerate(outputs.ids)}
    looks = looks_of(answers.design)
    for frame in catalog.batches(columns=("product_id", "title")):
        ids = [name for name in frame["product_id"].to_list() if name in place]
        numbers = np.array([place.pop(name) for name in dict.fromkeys(ids)], dtype=np.int64)
        found: dict[int, dict[str, Any]] = {}
        for inputs in dict.fromkeys(outputs.inputs[number] for number in numbers):
            own_B = np.array([number for number in numbers if outputs.inputs[number] == inputs])
            choices = [choice for choice in INPUT_CHOICES if set(choice) <= set(inputs)]
            said = {inputs_name(choice): reader.by_property(lines[inputs_name(choice)][own_B]) for choice in choices}
            mixed = mix_in_title(said, answers.design, choices)
            looked = {name: torch.full((len(own_B),), looks) for name in said if "image" in name}
            values = answers.values_of(Said(mixed, mixed.get("image", {}), {}, looked))
            items = [
                ValidRow({"product_id": outputs.ids[number], "title": outputs.titles[number]}, inputs)
                for number in own_B
            ]
            item = Encoded(inputs, items, {name: value.numpy() for name, value in values.items()})
            found |= zip(own_B.tolist(), answers.products(item), strict=True)
        if len(numbers):
            yield [found[number] for number in numbers.tolist()]
