"""What the texts of a product state: values of the properties that no head answers, each with a probability.

A kind (`catalog/kinds`) finds the places that may state a property and the clues that speak for each. Here the clues
are weighed, for all kinds alike: a logistic scorer over a catalog's own products, then the score of the best value and
its lead over the next as a probability, then the probability from which on a precision holds, as for heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from shopvl.catalog.cells import folded
from shopvl.catalog.descriptions import described, description_columns, sentences_of
from shopvl.catalog.kinds.base import SOURCES, Learned, ProductText, PropertyKind, Source, Statement, ValuePart
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import Property
from shopvl.catalog.property_kinds import kind_of, parts_of, set_kind
from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import FAULT
from shopvl.catalog.vocabulary import UNKNOWN_BELOW
from shopvl.data.rows import ValidRow
from shopvl.inference.thresholds import Scored, precision_curve
from shopvl.metrics.calibration import calibration_error
from shopvl.metrics.retrieval import group_ids

MIN_ROWS = 20  # that state a property, to learn or to calibrate it at all
OWN_ROWS = 500  # that state it, for a property to have a curve of its own; others share their kind's
MAX_ROWS, FITTED_ROWS = 20_000, 3000  # most rows; about as many of a property, that weights are fitted to
NO_RIVAL = 8.0  # nats that a value leads by that has no rival, at most
SURE_SHAPE = (1.0, 0.0, 0.0)  # of the curve before anything is learned: the scorer's own probability
ALTERNATIVES = 3
MORE_LIKELY = 0.5  # probability from which on a value is one of several
CONFLICT_FROM = 0.5  # probability from which on another text's other value is a contradiction

Row = Mapping[str, Any]
Clues = Mapping[str, float]


@dataclass(frozen=True)
class StatedAnswer:
    """The answer about one property: its parts, what it rests on, and other values that were likely."""

    parts: tuple[ValuePart, ...]
    probability: float  # that all of them are right, and no other is
    quote: str
    evidence: tuple[str, ...]
    conflict: bool
    others: tuple[tuple[str, float], ...]
    shares: tuple[float, ...] = ()  # of several values, the probability of each


def texts_of(row: Row, printed: Sequence[str] = ()) -> list[ProductText]:
    """The texts about a product: title, sentences of its `description`, words that are `printed` on it, attributes."""
    texts = [ProductText("title", title)] if (title := (row.get("title") or "").strip()) else []
    texts += [ProductText("description", one) for one in sentences_of(row.get("description") or "")]
    texts += [ProductText("ocr", " ".join(printed))] if printed else []
    pairs = ((pair["property"], pair["value"]) for pair in row.get("attributes") or ())
    texts += [ProductText("attributes", f"{name}: {value}") for name, value in pairs if name and value]
    heads: Mapping[str, Mapping[str, Clues]] = row.get("heads") or {}
    source: Source = (
        "image" if (row.get("image") or {}).get("bytes") or (row.get("image") or {}).get("path") else "title"
    )
    return texts + [
        ProductText(source, value, name, own) for name, said in heads.items() for value, own in said.items()
    ]


def texts_about(prop: Property, texts: Sequence[ProductText]) -> Sequence[ProductText]:
    """Texts without what heads say of other properties."""
    return [text for text in texts if text.about in ("", prop.id)]


class StatedReader:
    """Reads the properties of an ontology that texts state, by what was `learned` of each."""

    def __init__(self, ontology: Ontology, learned: Mapping[str, Learned]) -> None:
        self.ontology, self.learned = ontology, learned
        self.asked = [(prop, kind) for prop in ontology.stated if (kind := kind_of(prop)) is not None]
        # choices of several values, which heads answer too
        self.headed = {
            prop.id: prop for prop in ontology.properties if prop.id in learned and set_kind(prop) is not None
        }
        self.asked += [(prop, kind) for prop in self.headed.values() if (kind := set_kind(prop)) is not None]

    def __bool__(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.asked)

    def read(self, texts: Sequence[ProductText]) -> list[tuple[Property, StatedAnswer]]:
        """The properties that the texts state, in the ontology's order."""
        answers = ((prop, self._answer(prop, kind, texts)) for prop, kind in self.asked)
        return [(prop, answer) for prop, answer in answers if answer is not None]

    def rows_of(self, item: ValidRow, heads: Mapping[str, Mapping[str, Clues]]) -> list[dict[str, Any]]:
        """What the texts of a checked row state, and heads say; a title that says nothing, or was not asked for, is no
        text."""
        if not self.asked:
            return []
        row = {**item.row, "heads": heads} if "title" in item.inputs else {**item.row, "heads": heads, "title": None}
        if "image" not in item.inputs:
            row["image"] = None
        return self.rows(texts_of(row, [word.text for word in item.printed]))

    def rows(self, texts: Sequence[ProductText]) -> list[dict[str, Any]]:
        """The same as the field `stated` of ANSWERED describes it."""
        return [
            {
                "property": prop.id,
                "parts": [
                    {"value": p.value, "low": p.low, "high": p.high, "unit": p.unit, "probability": share}
                    for p, share in zip_longest(answer.parts, answer.shares)
                ],
                "probability": answer.probability,
                "quote": answer.quote,
                "evidence": list(answer.evidence),
                "conflict": answer.conflict,
                "alternatives": [{"value": value, "probability": share} for value, share in answer.others],
            }
            for prop, answer in self.read(texts)
        ]

    def _answer(self, prop: Property, kind: PropertyKind, texts: Sequence[ProductText]) -> StatedAnswer | None:
        learned, texts = self.learned.get(prop.id, {}), texts_about(prop, texts)
        ranked = weighed(prop, kind, texts, learned)
        if kind.each:
            return _every(ranked, texts, learned)
        if not ranked:
            return None
        best = ranked[0]
        probability = probability_of(best.score, lead_of(ranked), learned)
        if probability < UNKNOWN_BELOW:
            return None
        contradicted = any(
            sigmoid(score) >= CONFLICT_FROM and score > best.by_source.get(source, -math.inf)
            for other in ranked[1:]
            for source, score in other.by_source.items()
        )
        shares = [sigmoid(value.score) * (1 - probability) for value in ranked[1 : ALTERNATIVES + 1]]
        others = tuple(zip((kind.cell(value.parts) for value in ranked[1:]), shares, strict=False))
        evidence = tuple(source for source in SOURCES if source in best.by_source)
        return StatedAnswer(best.parts, probability, best.quote, evidence, contradicted, others)


@dataclass(frozen=True)
class _Weighed:
    """A value that is stated: the score of its best place, its words there, and the best score in each source."""

    parts: tuple[ValuePart, ...]
    score: float
    quote: str
    by_source: Mapping[str, float]


def weighed(prop: Property, kind: PropertyKind, texts: Sequence[ProductText], learned: Learned) -> list[_Weighed]:
    """The values that texts may state, the likeliest first."""
    weights = learned.get("weights") or kind.prior
    groups = _grouped(kind, kind.statements(prop, texts, learned))
    values = []
    for group in groups:
        scored = [(score_of(one.clues, weights), -number, one) for number, one in enumerate(group)]
        by_source: dict[str, float] = {
            source: max(score for score, _, one in scored if one.source == source)
            for source in {one.source for one in group}
        }
        score, _, best = max(scored, key=lambda item: item[:2])
        values.append(_Weighed(best.parts, score, best.quote, by_source))
    return sorted(values, key=lambda value: -value.score)


def _every(ranked: Sequence[_Weighed], texts: Sequence[ProductText], learned: Learned) -> StatedAnswer:
    """All values that are more likely than not; or the likeliest one, if anybody should look at it; else none."""
    shares = [probability_of(value.score, 0.0, learned) for value in ranked]
    number = sum(share >= MORE_LIKELY for share in shares) or int(max(shares, default=0.0) >= UNKNOWN_BELOW)
    likely = ranked[:number]
    said = {part.value for value in likely for part in value.parts}
    sources = {source for value in likely for source in value.by_source}
    sources |= {one.source for one in texts if one.about and one.text in said}
    return StatedAnswer(
        parts=tuple(part for value in likely for part in value.parts),
        probability=whole_probability(whole_clues(shares, texts), learned),
        quote=", ".join(dict.fromkeys(value.quote for value in likely if value.quote)),
        evidence=tuple(source for source in SOURCES if source in sources),
        conflict=False,
        others=tuple((value.parts[0].value, share) for value, share in zip(ranked, shares, strict=True))[number:][
            :ALTERNATIVES
        ],
        shares=tuple(shares[:number]),
    )


def whole_clues(shares: Sequence[float], texts: Sequence[ProductText]) -> Clues:
    """What speaks for likely values being all there, and none too many: that each is right by itself; and how many are
    found in how much text, for who says little may leave some out."""
    number = sum(share >= MORE_LIKELY for share in shares)
    whole = math.prod(max(share, 1 - share) for share in shares)
    described = any(text.source == "description" for text in texts)
    return {
        "odds": _log_odds(whole),
        f"{min(number, 4)} values": 1.0,
        "described" if described else "no description": 1.0,
    }


def whole_probability(clues: Clues, learned: Learned) -> float:
    """The probability of the whole, by its clues; before anything is learned, as if each were right by itself."""
    whole = learned.get("whole", {})
    return probability_of(score_of(clues, whole.get("weights") or {"odds": 1.0}), 0.0, whole)


def _log_odds(share: float) -> float:
    share = min(max(share, 1e-6), 1 - 1e-6)
    return math.log(share / (1 - share))


def _grouped(kind: PropertyKind, statements: Sequence[Statement]) -> list[list[Statement]]:
    """Statements that say the same, with how many sources say so as a further clue."""
    groups: list[list[Statement]] = []
    spelled: dict[tuple[str, ...], list[Statement]] = {}
    for one in statements if kind.exact else ():
        spelled.setdefault(tuple(folded(part.value) for part in one.key), []).append(one)
    groups += spelled.values()
    for one in () if kind.exact else statements:
        own = next((group for group in groups if _same(kind, group[0].key, one.key)), None)
        if own is None:
            groups.append([one])
        else:
            own.append(one)
    told = []
    for group in groups:
        again = {"sources": float(len({one.source for one in group}) - 1), "again": math.log(len(group))}
        told.append([replace(one, clues={**one.clues, **again}) for one in group])
    return told


def _same(kind: PropertyKind, one: Sequence[ValuePart], other: Sequence[ValuePart]) -> bool:
    return len(one) == len(other) and all(kind.same(a, b) for a, b in zip(one, other, strict=True))


def score_of(clues: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The log-odds that a place with these clues states the property."""
    return weights.get("", 0.0) + sum(weights.get(name, 0.0) * value for name, value in clues.items())


def lead_of(ranked: Sequence[_Weighed]) -> float:
    """By how many nats the best value leads the next."""
    return min(NO_RIVAL, ranked[0].score - ranked[1].score) if len(ranked) > 1 else NO_RIVAL


def probability_of(score: float, lead: float, learned: Learned) -> float:
    """The probability that a value of that score and lead is right."""
    by_score, by_lead, constant = learned.get("shape") or SURE_SHAPE
    return sigmoid(by_score * score + by_lead * lead + constant)


def sigmoid(score: float) -> float:
    """Log-odds as a probability."""
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


# --- learning


MeasuredRow = tuple[float, float, bool, str]  # the best value's score and lead, whether it is right, the title
Known = tuple[Sequence[ProductText], tuple[ValuePart, ...]]  # the texts of a product and its true value


class StatedFit:
    """What a reader is to know of each stated property, learned from rows and calibrated on others."""

    def __init__(
        self,
        ontology: Ontology,
        learned_from: Iterable[Row],
        held_out: Iterable[Row],
        asked: Sequence[Property] | None = None,
    ) -> None:
        """Rows with `title`, `attributes`, and `description` where there is one. Without rows to learn from, every
        second one of those held out is learned from. `asked` are the properties, all that texts state if left out."""
        self.ontology, self.asked = ontology, ontology.stated if asked is None else asked
        rows, held = _some(learned_from), _some(held_out)
        self.rows, self.held = (rows, held) if rows else (held[::2], held[1::2])

    @classmethod
    def of(cls, ontology: Ontology, learned_from: Catalog | None, held_out: Catalog) -> StatedFit:
        """From catalogs, with their descriptions."""
        rows = () if learned_from is None else described_rows(learned_from)
        return cls(ontology, rows, described_rows(held_out))

    def learned(self) -> dict[str, dict[str, Any]]:
        """Property id -> what was learned of it; a kind that too few rows state is left out."""
        by_kind: dict[PropertyKind, list[Property]] = {}
        for prop in self.asked:
            if (kind := kind_of(prop) or set_kind(prop)) is not None:
                by_kind.setdefault(kind, []).append(prop)
        found: dict[str, dict[str, Any]] = {}
        for kind, properties in by_kind.items():
            found |= self._kind(kind, properties)
        return found

    def _kind(self, kind: PropertyKind, properties: Sequence[Property]) -> dict[str, dict[str, Any]]:
        """Its properties share the weights of clues, and those that few rows have a curve as well."""
        known = {prop.id: list(self._known(prop, self.rows)) for prop in properties}
        if sum(map(len, known.values())) < MIN_ROWS:
            return {}
        some = {name: rows[:: max(1, len(rows) // FITTED_ROWS)] for name, rows in known.items()}
        seen = [place for prop in properties for place in self._places(prop, kind, some[prop.id])]
        weights = fitted_weights(*zip(*seen, strict=True)) if len({right for _, right in seen}) == 2 else {}
        learned = {prop.id: {**kind.learn(prop, known[prop.id]), "weights": weights} for prop in properties}
        measured = {
            prop.id: self._measured_within(prop, kind, some[prop.id], weights)
            + list(_measured(prop, kind, self._known(prop, self.held), learned[prop.id]))
            for prop in properties
        }
        together = calibrated([row for rows in measured.values() for row in rows])
        for name, rows in measured.items():
            learned[name] |= calibrated(rows) if len(rows) >= OWN_ROWS else together
        if kind.each:
            for prop in properties:
                learned[prop.id] |= self._whole(prop, kind, learned[prop.id], some[prop.id])
        return learned

    def _whole(self, prop: Property, kind: PropertyKind, learned: Learned, known: Sequence[Known]) -> dict[str, Any]:
        """How far sets can be trusted as a whole: all values there, and none too many."""
        halves = known[::2], known[1::2]
        tasks = [(part, {**learned, **kind.learn(prop, other)}) for part, other in (halves, halves[::-1])]
        seen: list[tuple[Clues, bool, str]] = []
        for rows, own in (*tasks, (list(self._known(prop, self.held)), learned)):
            for texts, truth in rows:
                ranked = weighed(prop, kind, texts, own)
                shares = [probability_of(value.score, 0.0, own) for value in ranked]
                number = sum(share >= MORE_LIKELY for share in shares)
                found = {part for value in ranked[:number] for part in value.parts}
                seen.append((whole_clues(shares, texts), found == set(truth), folded(texts[0].text if texts else "")))
        if len(seen) < MIN_ROWS:
            return {}
        clues, right, titles = zip(*seen, strict=True)
        weights = fitted_weights(clues, right) if len(set(right)) == 2 else {"odds": 1.0}
        rows_N = [
            (score_of(own, weights), 0.0, is_right, title)
            for own, is_right, title in zip(clues, right, titles, strict=True)
        ]
        return {"whole": {"weights": weights, **calibrated(rows_N)}}

    def _places(self, prop: Property, kind: PropertyKind, known: Sequence[Known]) -> Iterator[tuple[Clues, bool]]:
        """The clues of every place that may state the property, and whether it does.

        Of words, and of values known by heart, that were learned from the other half of the rows, else they would look
        surer than they are: a value that nobody knows has to be found as well.
        """
        halves = known[::2], known[1::2]
        for part, other in (halves, halves[::-1]):
            learned, asked = kind.learn(prop, other), _knowing(prop, other) if kind.by_heart else prop
            for texts, truth in part:
                for group in _grouped(kind, kind.statements(asked, texts, learned)):
                    yield from ((one.clues, _is_true(kind, one.key, truth)) for one in group)

    def _measured_within(
        self, prop: Property, kind: PropertyKind, known: Sequence[Known], weights: Mapping[str, float]
    ) -> list[MeasuredRow]:
        """What is said about rows that are learned from, by words of the other half of them.

        Of a kind that knows values by heart they show nothing: the ontology has their values.
        """
        if kind.by_heart:
            return []
        halves = known[::2], known[1::2]
        return [
            row
            for part, other in (halves, halves[::-1])
            for row in _measured(prop, kind, part, {**kind.learn(prop, other), "weights": weights})
        ]

    def _known(self, prop: Property, rows: Sequence[Row]) -> Iterator[Known]:
        """Rows that have the property: their texts, without what the attributes say of it, and its value."""
        for row in rows:
            pairs = row.get("attributes") or ()
            own = [pair["value"] for pair in pairs if pair["value"] and self._is_of(prop, pair["property"])]
            others = [pair for pair in pairs if not self._is_of(prop, pair["property"])]
            if own and (truth := parts_of(prop, own)) is not None:
                yield texts_about(prop, texts_of({**row, "attributes": others})), self._known_values(prop, truth)

    def _known_values(self, prop: Property, truth: tuple[ValuePart, ...]) -> tuple[ValuePart, ...]:
        """Values as the ontology calls them."""
        if set_kind(prop) is None:
            return truth
        names = (self.ontology.value_of(prop.id, [(prop.id, part.value)]) or part.value for part in truth)
        return tuple(map(ValuePart, dict.fromkeys(names)))

    def _is_of(self, prop: Property, name: str | None) -> bool:
        known = self.ontology.property(name or "")
        return known is not None and known.id == prop.id


def _measured(prop: Property, kind: PropertyKind, known: Iterable[Known], learned: Learned) -> Iterator[MeasuredRow]:
    """What a reader that learned so much says about products."""
    for number, (texts, truth) in enumerate(known):
        ranked = weighed(prop, kind, texts, learned)
        if kind.each:
            yield from ((value.score, 0.0, _is_true(kind, value.parts, truth), f"{number}") for value in ranked)
        elif ranked:
            right = _same(kind, _key(ranked[0].parts), _key(truth))
            yield ranked[0].score, lead_of(ranked), right, folded(texts[0].text if texts else "")


def calibrated(measured: Sequence[MeasuredRow]) -> dict[str, Any]:
    """The curve from score to probability, and the probabilities from which on precisions hold; {} for too few rows.

    Probabilities are measured on the half of the rows that their curve was not fitted to.
    """
    if len(measured) < MIN_ROWS:
        return {}
    scores_N2 = np.array([row[:2] for row in measured])
    right_N = np.array([row[2] for row in measured], dtype=bool)
    half_N = np.arange(len(right_N)) % 2 == 0
    confidence_N = np.empty(len(right_N))
    for own_N in (half_N, ~half_N):
        confidence_N[own_N] = _probabilities(scores_N2[own_N], fitted_shape(scores_N2[~own_N], right_N[~own_N]))
    curve = precision_curve(Scored(confidence_N, right_N, group_ids([row[3] for row in measured])))
    return {
        "shape": list(fitted_shape(scores_N2, right_N)),
        "curve": [list(point) for point in curve],
        "rows": len(right_N),
        "accuracy": float(right_N.mean()),
        "ece": float(calibration_error(confidence_N, right_N)),
    }


def described_rows(catalog: Catalog) -> Iterator[Row]:
    """The good rows of a catalog with `title`, `attributes`, and all that describes a product as its `description`."""
    columns = description_columns(catalog.columns)
    for frame in catalog.batches(columns=("title", "attributes", FAULT, *columns)):
        for row in frame.iter_rows(named=True):
            if row[FAULT] is None:
                yield {**row, "description": described(row, columns)}


def _knowing(prop: Property, known: Sequence[Known]) -> Property:
    """The property as somebody knows it who has seen these products."""
    seen = {folded(part.value) for _, truth in known for part in truth}
    return prop.model_copy(update={"values": tuple(value for value in prop.values if folded(value.id) in seen)})


def _is_true(kind: PropertyKind, parts: Sequence[ValuePart], truth: Sequence[ValuePart]) -> bool:
    """Whether the parts are the true value, or one of several."""
    if kind.each:
        return all(any(kind.same(part, true) for true in truth) for part in parts)
    return _same(kind, _key(parts), _key(truth))


def _some(rows: Iterable[Row]) -> list[Row]:
    return [row for row, _ in zip(rows, range(MAX_ROWS), strict=False)]


def _key(parts: Sequence[ValuePart]) -> list[ValuePart]:
    return sorted(parts, key=_name)


def _name(part: ValuePart) -> str:
    return part.value


def fitted_weights(clues: Sequence[Mapping[str, float]], right: Sequence[bool]) -> dict[str, float]:
    """Weights of clues by logistic regression; "" is the constant."""
    from sklearn.feature_extraction import DictVectorizer  # here, not above: who only reads starts sooner without
    from sklearn.linear_model import LogisticRegression

    names = DictVectorizer()
    clues_NF = names.fit_transform(clues)
    model = LogisticRegression(C=1.0, max_iter=500).fit(clues_NF, np.array(right))
    weights = zip(names.get_feature_names_out().tolist(), model.coef_[0].tolist(), strict=True)
    return {"": round(float(model.intercept_[0]), 5)} | {name: round(weight, 5) for name, weight in weights}


def fitted_shape(scores_N2: np.ndarray, right_N: np.ndarray) -> tuple[float, float, float]:
    """The logistic curve over score and lead (Platt 1999), its targets smoothed as there."""
    from scipy.optimize import minimize

    target_N = np.where(right_N, (right_N.sum() + 1) / (right_N.sum() + 2), 1 / ((~right_N).sum() + 2))

    def loss(shape: np.ndarray) -> float:
        log_odds_N = np.clip(scores_N2 @ shape[:2] + shape[2], -30, 30)
        # a little towards the scorer's own probability: few rows change little
        away = shape - np.array(SURE_SHAPE)
        return float((np.logaddexp(0, log_odds_N) - target_N * log_odds_N).sum() + 0.5 * (away**2).sum())

    found = minimize(loss, np.array(SURE_SHAPE), method="Nelder-Mead", options={"maxiter": 2000}).x
    return round(float(found[0]), 6), round(float(found[1]), 6), round(float(found[2]), 6)


def _probabilities(scores_N2: np.ndarray, shape: Sequence[float]) -> np.ndarray:
    return np.array([sigmoid(shape[0] * score + shape[1] * lead + shape[2]) for score, lead in scores_N2.tolist()])
