"""What becomes of answers: each one's value, decision and reason, from all that a model says of a product.

R  products     P  properties     V  different values of a batch; number V stands for none
L  levels of the category from the top, the whole path last     A  values of an answer, the likeliest first
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shopvl.arrow import array, filled, record_batch, values_of
from shopvl.batch import INPUT_CHOICES, inputs_name
from shopvl.catalog.kinds.base import Learned
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import Property
from shopvl.catalog.property_kinds import set_kind
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, UNKNOWN_BELOW, Decision, Reason, TitleGroup
from shopvl.checksums import Remedy
from shopvl.design.design import Design
from shopvl.inference.calibrate import AnswerCalibration, calibration_of
from shopvl.inference.decide_stated import stated_rows, whole_of
from shopvl.inference.levels import CategoryLevels, is_level, level_name
from shopvl.inference.thresholds import accepted_from

ALTERNATIVES = pa.list_(pa.struct([("value", pa.string()), ("probability", pa.float32())]))
ANSWER = pa.struct(
    [
        ("property", pa.string()),
        ("value", pa.string()),  # null where the model says that there is none
        ("probability", pa.float32()),
        ("evidence", pa.list_(pa.string())),
        ("picture", pa.int8()),  # of several pictures the one that speaks most for the value; the main one is 1
        ("conflict", pa.bool_()),
        ("named", pa.bool_()),  # whether the title names a value of the property; null where no title was read
        ("alternatives", ALTERNATIVES),
    ]
)
PART = pa.struct(
    [
        ("value", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("unit", pa.string()),
        ("probability", pa.float32()),  # of one of several values; null where all have that of the whole
    ]
)
STATED = pa.struct(  # what texts say of a property that no head answers (`stated.py`)
    [
        ("property", pa.string()),
        ("parts", pa.list_(PART)),
        ("probability", pa.float32()),
        ("quote", pa.string()),
        ("evidence", pa.list_(pa.string())),
        ("conflict", pa.bool_()),
        ("alternatives", ALTERNATIVES),
    ]
)
LEVEL = pa.struct([("value", pa.string()), ("probability", pa.float32()), ("conflict", pa.bool_())])
# What a model says of products, whatever precision is asked for; all have the same properties and levels in one order.
ANSWERED = pa.schema(
    [
        ("product_id", pa.string()),
        ("inputs", pa.string()),  # that the answers rest on; empty where the model knows nothing like them
        ("unfamiliar", pa.list_(pa.string())),  # inputs set aside; those that are barely familiar, in `inputs` too
        ("levels", pa.list_(LEVEL)),  # the best node at each level above the whole path, from the top
        ("answers", pa.list_(ANSWER)),
        ("stated", pa.list_(STATED)),  # properties that texts state, those that do alone
    ]
)
DECIDED = pa.schema(
    [
        ("product_id", pa.string()),
        ("property", pa.string()),
        ("value", pa.string()),
        ("best_guess", pa.string()),
        ("probability", pa.float32()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("evidence", pa.list_(pa.string())),
        ("conflict", pa.bool_()),
        ("alternatives", ALTERNATIVES),
        # of what texts state: the number, or from where to where, its unit, and the words; of several values of one
        # property the decision about all of them together
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("unit", pa.string()),
        ("quote", pa.string()),
        ("together", pa.string()),
        ("picture", pa.int8()),  # of several pictures the one that speaks most for the value; the main one is 1
    ]
)
STATED_COLUMNS = ("low", "high", "unit", "quote", "together")
LATER_COLUMNS = (*STATED_COLUMNS, "picture")  # tables of former versions lack them
TAG_AGAIN = Remedy("run the same `shopvl tag` again, which computes nothing that it knows")
GROUPS: tuple[TitleGroup, ...] = ("", "named", "unnamed")
DECISIONS: tuple[Decision, ...] = get_args(Decision)
REASONS: tuple[Reason, ...] = get_args(Reason)
ACCEPTED, BELOW, DISAGREE, UNFAMILIAR, EMPTY, UNKNOWN_CATEGORY, NOT_APPLYING, APART, BARELY = range(9)  # their numbers
VALUELESS = (UNFAMILIAR, EMPTY, NOT_APPLYING)  # there is no answer at all


@dataclass(frozen=True)
class Rules:
    """What decides about a model's answers at one precision.

    `thresholds`: (inputs, property or level, group of titles) -> the probability from which an answer is accepted; an
    answer that has none is never accepted. `stated`: the same by property, of what texts state.
    """

    ontology: Ontology
    thresholds: Mapping[tuple[str, str, TitleGroup], float] = field(default_factory=dict)
    stated: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        ontology: Ontology,
        calibrations: Mapping[tuple[str, str], AnswerCalibration],
        precision: float,
        learned: Mapping[str, Learned] = MappingProxyType({}),
    ) -> Rules:
        """By calibrations as `calibrations_of` has them, and what was `learned` of the properties that texts state."""
        thresholds = {
            (inputs, name, group): calibration.threshold(precision, group, above_leaves=is_level(name))
            for (inputs, name), calibration in calibrations.items()
            for group in GROUPS
        }
        stated = {name: accepted_from(own.get("curve", ()), precision) for name, own in learned.items()}
        wholes = {name: own["whole"] for name, own in learned.items() if "whole" in own}
        stated |= {whole_of(name): accepted_from(own.get("curve", ()), precision) for name, own in wholes.items()}
        return cls(ontology, thresholds, stated)

    def thresholds_for(self, inputs_R: Sequence[str], name: str, group_R: np.ndarray) -> np.ndarray:
        """(R,): from which probability on an answer is accepted; `group_R` are numbers of GROUPS."""
        distinct = sorted(set(inputs_R))
        table = [[self.thresholds.get((inputs, name, group), np.inf) for group in GROUPS] for inputs in distinct]
        number_of = {inputs: number for number, inputs in enumerate(distinct)}
        chosen: np.ndarray = np.array(table)[[number_of[inputs] for inputs in inputs_R], group_R]
        return chosen

    @cached_property
    def sets(self) -> tuple[Property, ...]:
        """The properties with several values for which heads and texts are weighed together."""
        return tuple(prop for prop in self.ontology.properties if prop.id in self.stated and set_kind(prop) is not None)

    @cached_property
    def apart(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Property -> category -> values that never go together with it, or with a category in it."""
        apart: dict[str, dict[str, tuple[str, ...]]] = {}
        for one in self.ontology.apart:
            apart.setdefault(one.property, {})[CATEGORY_JOIN.join(one.path)] = one.values
        return apart


def calibrations_of(design: Design) -> dict[tuple[str, str], AnswerCalibration]:
    """(inputs, property or level of the category) -> how far its answers can be trusted."""
    levels = map(level_name, CategoryLevels(design.labels.get(CATEGORY, ())).names)
    names = (*design.labels, *levels)
    return {
        (inputs, name): calibration_of(design, inputs, name)
        for inputs in map(inputs_name, INPUT_CHOICES)
        for name in names
    }


def decide(answered: pa.RecordBatch, rules: Rules) -> pa.RecordBatch:
    """Answers (ANSWERED) as decisions (DECIDED), one row per product and property, or value where there are several.

    An answer is accepted from its threshold on, unless picture and title disagree, and where the category is known, is
    itself accepted at some level, and has the property. The category is answered at the deepest level that is
    accepted; `best_guess` is a whole path. Of two accepted values that never go together, the less certain is not. A
    value that is not accepted is for a person to look at, or `unknown` below UNKNOWN_BELOW.
    """
    if not answered.num_rows:
        return record_batch([], DECIDED)
    said = _Said(answered, rules)
    if said.category is None:
        columns = [_decided_property(said, number, None) for number in range(len(said.names))]
    else:
        columns = _columns(said, np.zeros(said.node_RL.shape, dtype=bool))
        if rules.apart:
            columns = _columns(said, _barred(said, columns))
    table = _table(said, columns)
    return _and_stated(table, answered, rules) if rules.ontology.stated or rules.sets else table


def _columns(said: _Said, barred_RL: np.ndarray) -> list[_Column]:
    """Category and properties, if the category may not be accepted where `barred_RL`."""
    category = _decided_category(said, barred_RL)
    numbers = range(len(said.names))
    return [category if number == said.category else _decided_property(said, number, category) for number in numbers]


def _barred(said: _Said, columns: Sequence[_Column]) -> np.ndarray:
    """(R, L) bool: nodes of the category that do not go together with an accepted value that is surer."""
    barred_RL = np.zeros(said.node_RL.shape, dtype=bool)
    for name, column in zip(said.names, columns, strict=True):
        sure_R = np.isin(column.reason_R, (ACCEPTED, APART))
        surer_RL = sure_R[:, None] & (column.probability_R[:, None] > said.share_RL)
        barred_RL |= surer_RL & said.apart(name, said.node_RL, column.value_R[:, None])
    return barred_RL


@dataclass(frozen=True)
class _Column:
    """One property of every product: numbers of values, of best guesses and of reasons, and probabilities; all (R,)."""

    value_R: np.ndarray
    guess_R: np.ndarray
    probability_R: np.ndarray
    reason_R: np.ndarray

    @property
    def likely(self) -> np.ndarray:
        """(R,) bool: there is a value that is worth a look."""
        likely: np.ndarray = ~np.isin(self.reason_R, VALUELESS) & (self.probability_R >= UNKNOWN_BELOW)
        return likely


class _Said:
    """Answers as arrays: values as numbers into `words`, `none` for no value."""

    def __init__(self, answered: pa.RecordBatch, rules: Rules) -> None:
        self.rules, self.product_id = rules, answered.column("product_id")
        self.inputs: list[str] = answered.column("inputs").to_pylist()
        strange = [inputs or () for inputs in answered.column("unfamiliar").to_pylist()]
        self.seen_R = np.array([bool(inputs) for inputs in self.inputs])
        self.strange_R = np.array([bool(inputs) for inputs in strange])
        barely = [bool({*used.split("+")} & {*inputs}) for used, inputs in zip(self.inputs, strange, strict=True)]
        self.barely_R = np.array(barely)
        self.titled_R = np.array(["title" in inputs for inputs in self.inputs])
        self.strange_title_R = np.array(["title" in inputs for inputs in strange])
        self.answers, levels = _fields(answered.column("answers")), answered.column("levels")
        others, level = _fields(self.answers["alternatives"]), _fields(levels)
        values = [self.answers["value"], others["value"], level["value"]]
        coded = pa.concat_arrays(values).dictionary_encode()
        self.words: list[str] = coded.dictionary.to_pylist()
        self.none = len(self.words)
        value, other, node = np.split(values_of(filled(coded.indices, self.none)), np.cumsum([*map(len, values[:2])]))
        properties = self.answers["property"]
        self.names: list[str] = properties[: len(properties) // answered.num_rows].to_pylist()
        shape = answered.num_rows, len(self.names)
        self.value_RP = value.reshape(shape)
        self.probability_RP = values_of(self.answers["probability"]).reshape(shape)
        self.conflict_RP = values_of(self.answers["conflict"]).reshape(shape)
        named = self.answers["named"]
        self.group_RP = (2 - values_of(filled(named.cast(pa.int8()), 2))).reshape(shape)
        other_NA = _padded(self.answers["alternatives"], other, self.none)
        self.others_RPA = other_NA.reshape(*shape, other_NA.shape[1])
        self.category = self.names.index(CATEGORY) if CATEGORY in self.names else None
        self.node_RL = _padded(levels, node, self.none)
        self.share_RL = _padded(levels, values_of(level["probability"]), 0.0)
        self.node_conflict_RL = _padded(levels, values_of(level["conflict"]), False)
        if self.category is not None:
            self.node_RL = np.column_stack([self.node_RL, self.value_RP[:, self.category]])
            self.share_RL = np.column_stack([self.share_RL, self.probability_RP[:, self.category]])
            self.node_conflict_RL = np.column_stack([self.node_conflict_RL, self.conflict_RP[:, self.category]])

    def thresholds(self, number: int, name: str | None = None) -> np.ndarray:
        """(R,): from which probability on the property of that number, or a level of it, is accepted."""
        return self.rules.thresholds_for(self.inputs, name or self.names[number], self.group_RP[:, number])

    @cached_property
    def level_thresholds(self) -> np.ndarray:
        """(R, L): from which probability on each level of the category is accepted."""
        above = map(level_name, range(1, self.node_RL.shape[1]))
        return np.stack([self.thresholds(self.category or 0, name) for name in (*above, CATEGORY)], axis=1)

    def applies(self, name: str, category_R: np.ndarray) -> np.ndarray:
        """(R,) bool: products of the category have the property of that name."""
        distinct, place_R = np.unique(category_R, return_inverse=True)
        paths = [self.words[number].split(CATEGORY_JOIN) if number < self.none else () for number in distinct]
        applies: np.ndarray = np.array([self.rules.ontology.applies(name, path) for path in paths])[place_R]
        return applies

    def apart(self, name: str, node: np.ndarray, value: np.ndarray) -> np.ndarray:
        """Bool, of the shape of both together: the category never goes together with the value of that property."""
        values_of = self.rules.apart.get(name)
        if values_of is None:
            return np.zeros(np.broadcast_shapes(node.shape, value.shape), dtype=bool)

        def never_together(node: str, value: str) -> bool:
            return any(value in values_of.get(above, ()) for above in _with_above(node))

        return self._holds(node, value, never_together)

    def under(self, node: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Bool, of the shape of both together: the first is the second, or a category in it."""
        return self._holds(node, other, lambda node, other: other in _with_above(node))

    def _holds(self, first: np.ndarray, second: np.ndarray, test: Callable[[str, str], bool]) -> np.ndarray:
        """Whether it holds of two values, which are looked at once however often they come; false where one is none."""
        pairs, place = np.unique(first.astype(np.int64) * (self.none + 1) + second, return_inverse=True)
        numbers = zip(*(side.tolist() for side in np.divmod(pairs, self.none + 1)), strict=True)
        holds = [self.none not in (one, other) and test(self.words[one], self.words[other]) for one, other in numbers]
        shaped: np.ndarray = np.array(holds, dtype=bool)[place].reshape(np.broadcast_shapes(first.shape, second.shape))
        return shaped


def _with_above(path: str) -> Iterator[str]:
    """A joined path, and those of the nodes above it."""
    steps = path.split(CATEGORY_JOIN)
    return (CATEGORY_JOIN.join(steps[:depth]) for depth in range(1, len(steps) + 1))


def _decided_category(said: _Said, barred_RL: np.ndarray) -> _Column:
    """The category at the deepest level that is accepted, which must lie in the best node of every level above."""
    number = said.category or 0
    leaf_R, probability_R = said.value_RP[:, number], said.probability_RP[:, number]
    path_RA = np.column_stack([leaf_R, said.others_RPA[:, number]])
    value_R, guess_R = leaf_R, leaf_R
    accepted_R = held_back_R = np.zeros(len(leaf_R), dtype=bool)
    known_R = said.seen_R & ~said.barely_R & (leaf_R != said.none)
    for level in range(said.node_RL.shape[1]):
        node_R, share_R = said.node_RL[:, level], said.share_RL[:, level]
        in_node_RA = said.under(path_RA, node_R[:, None])
        nested_R = said.under(node_R[:, None], said.node_RL[:, :level]).all(axis=1) & in_node_RA.any(axis=1)
        enough_R = share_R >= said.level_thresholds[:, level]
        good_R = known_R & nested_R & enough_R & ~said.node_conflict_RL[:, level]
        held_back_R, good_R = held_back_R | (good_R & barred_RL[:, level]), good_R & ~barred_RL[:, level]
        first_R = np.take_along_axis(path_RA, in_node_RA.argmax(axis=1)[:, None], axis=1)[:, 0]
        value_R, guess_R = np.where(good_R, node_R, value_R), np.where(good_R, first_R, guess_R)
        probability_R, accepted_R = np.where(good_R, share_R, probability_R), accepted_R | good_R
    reason_R = np.select(
        [~said.seen_R, leaf_R == said.none, said.barely_R, accepted_R, held_back_R, said.conflict_RP[:, number]],
        [np.where(said.strange_R, UNFAMILIAR, EMPTY), UNKNOWN_CATEGORY, BARELY, ACCEPTED, APART, DISAGREE],
        BELOW,
    )
    return _Column(value_R, guess_R, probability_R, reason_R)


def _decided_property(said: _Said, number: int, category: _Column | None) -> _Column:
    """A property's answer, as far as the product has a category that is known and has it."""
    value_R, probability_R = said.value_RP[:, number], said.probability_RP[:, number]
    prop = said.rules.ontology.property(said.names[number])
    unseen_R = ~said.titled_R & (prop is not None and prop.visual == "no")
    applies_R, known_R = value_R != said.none, np.ones(len(value_R), dtype=bool)
    unsure_R = apart_R = np.zeros(len(value_R), dtype=bool)
    if category is not None:
        known_R = category.likely & (category.value_R != said.none)
        # of which not even the top level is sure; where few calibration rows allow none to be, the others go on alone
        can_be_sure_R = np.isfinite(said.level_thresholds).any(axis=1)
        unsure_R = can_be_sure_R & (category.reason_R == BELOW)
        apart_R = (category.reason_R == ACCEPTED) & said.apart(said.names[number], category.value_R, value_R)
        applies_R = applies_R & said.applies(said.names[number], category.value_R)
    reason_R = np.select(
        [
            ~said.seen_R,
            unseen_R,
            ~known_R,
            ~applies_R,
            said.barely_R,
            said.conflict_RP[:, number],
            probability_R < said.thresholds(number),
            unsure_R,
            apart_R,
        ],
        [
            np.where(said.strange_R, UNFAMILIAR, EMPTY),
            np.where(said.strange_title_R, UNFAMILIAR, EMPTY),
            UNKNOWN_CATEGORY,
            NOT_APPLYING,
            BARELY,
            DISAGREE,
            BELOW,
            UNKNOWN_CATEGORY,
            APART,
        ],
        ACCEPTED,
    )
    return _Column(value_R, value_R, probability_R, reason_R)


def _table(said: _Said, columns: Sequence[_Column]) -> pa.RecordBatch:
    """The columns as rows: product by product, its properties in their order."""
    value_RP, guess_RP, probability_RP, reason_RP = (
        np.stack([getattr(column, name) for column in columns], axis=1)
        for name in ("value_R", "guess_R", "probability_R", "reason_R")
    )
    lacks_RP = np.isin(reason_RP, VALUELESS) | (value_RP == said.none)
    words = array([*said.words, None], pa.string())
    value, guess = (words.take(array(np.where(lacks_RP, said.none, n_RP).ravel())) for n_RP in (value_RP, guess_RP))
    unlikely_RP = lacks_RP | (probability_RP < UNKNOWN_BELOW)
    decision_RP = np.where(reason_RP == ACCEPTED, 0, np.where(unlikely_RP, 2, 1))
    lacks_N = lacks_RP.ravel()
    cells = {
        **said.answers,
        "product_id": said.product_id.take(array(np.arange(lacks_RP.size) // len(columns))),
        "value": value,
        "best_guess": guess,
        "probability": array(probability_RP.ravel(), pa.float32()),
        "decision": array(DECISIONS).take(array(decision_RP.ravel())),
        "reason": array(REASONS).take(array(reason_RP.ravel())),
        "evidence": _emptied(said.answers["evidence"], lacks_N),
        "picture": _emptied(said.answers["picture"], lacks_N, pa.nulls(1, pa.int8())),
        "conflict": array(said.conflict_RP.ravel() & ~lacks_N),
        "alternatives": _emptied(_alternatives(said, np.flatnonzero(value_RP != guess_RP)), lacks_N),
        **{name: pa.nulls(len(lacks_N), DECIDED.field(name).type) for name in STATED_COLUMNS},
    }
    return pa.RecordBatch.from_arrays([cells[name] for name in DECIDED.names], schema=DECIDED)


def _and_stated(table: pa.RecordBatch, answered: pa.RecordBatch, rules: Rules) -> pa.RecordBatch:
    """The rows of heads, and behind them, product by product, those of what texts state; a set takes the place of the
    head's one value."""
    properties = max(1, len(table) // len(answered))
    about = table.filter(pc.equal(table.column("property"), CATEGORY)).select(["value", "decision"]).to_pylist()
    paths = [
        tuple(row["value"].split(CATEGORY_JOIN)) if row["value"] and row["decision"] != "unknown" else ()
        for row in about
    ] or [()] * len(answered)
    products = zip(answered.column("product_id").to_pylist(), answered.column("stated").to_pylist(), paths, strict=True)
    asked, names = (*rules.ontology.stated, *rules.sets), table.column("property")[:properties].to_pylist()
    rows, place = [], [np.repeat(np.arange(len(answered)), properties)]
    kept = np.ones(len(table), dtype=bool)
    for number, (product_id, stated, path) in enumerate(products):
        own = stated_rows(rules.ontology, rules.stated, stated or (), path, asked)
        replaced = {row["property"] for row in own}.intersection(names)
        kept[[number * properties + names.index(name) for name in replaced]] = False
        rows += [{"product_id": product_id, **row} for row in own]
        place.append(np.full(len(own), number))
    place[0] = place[0][kept]
    both = pa.Table.from_batches([table.filter(array(kept)), record_batch(rows, DECIDED)])
    return both.take(array(np.argsort(np.concatenate(place), kind="stable"))).combine_chunks().to_batches()[0]


def _alternatives(said: _Said, inner: np.ndarray) -> pa.Array:
    """As they were answered; for the answers of the numbers `inner`, where a node was accepted, the whole paths."""
    lists = said.answers["alternatives"]
    names = ("value", "probability", "alternatives")
    answers = zip(*(said.answers[name].take(array(inner)).to_pylist() for name in names), strict=True)
    paths = [[{"value": value, "probability": share}, *others] for value, share, others in answers]
    source = np.arange(len(lists))
    source[inner] = len(lists) + np.arange(len(inner))
    return pa.concat_arrays([lists, array(paths, ALTERNATIVES)]).take(array(source))


def _emptied(cells: pa.Array, lacks_N: np.ndarray, nothing: pa.Array | None = None) -> pa.Array:
    """The cells, with `nothing` (an empty list if left out) where something lacks."""
    source = np.where(lacks_N, len(cells), np.arange(len(cells)))
    nothing = array([[]], cells.type) if nothing is None else nothing
    return pa.concat_arrays([cells, nothing]).take(array(source))


def _fields(structs: pa.ListArray) -> dict[str, pa.Array]:
    """The fields of the structs in all lists, by name."""
    flat = structs.flatten()
    return {flat.type.field(number).name: column for number, column in enumerate(flat.flatten())}


def _padded(lists: pa.ListArray, flat: np.ndarray, fill: float) -> np.ndarray:
    """What is in lists as rows as long as the longest."""
    length_R = values_of(lists.value_lengths())
    there = np.arange(length_R.max(initial=0)) < length_R[:, None]
    padded = np.full(there.shape, fill, dtype=flat.dtype)
    padded[there] = flat
    return padded
