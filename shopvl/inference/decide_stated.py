"""What becomes of what texts state: each value's decision and reason, as `decide.py` does it for what heads answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import CHOICE, Property
from shopvl.catalog.property_kinds import property_kinds, set_kind
from shopvl.catalog.vocabulary import UNKNOWN_BELOW, Decision, Reason

NOTHING: Mapping[str, Any] = {
    **{"value": None, "best_guess": None, "probability": 0.0, "decision": "unknown", "evidence": (), "conflict": False},
    **{"alternatives": (), "low": None, "high": None, "unit": None, "quote": None, "together": None, "picture": None},
}


def stated_rows(
    ontology: Ontology,
    thresholds: Mapping[str, float],
    stated: Sequence[Mapping[str, Any]],
    path: Sequence[str],
    asked: Sequence[Property] | None = None,
) -> list[dict[str, Any]]:
    """One row per stated property of the ontology, or per value where it has several, but for the product's id.

    `stated` has the answers (STATED) that there are, `path` the category, as far as it is known. A property that the
    category does not have stays apart from one that no text states: the first is an answer, the second is none. `asked`
    are the properties, those of the ontology that texts state if left out; of a choice nothing is said where no set is.
    """
    said = {one["property"]: one for one in stated}
    rows: list[dict[str, Any]] = []
    for prop in ontology.stated if asked is None else asked:
        one = said.get(prop.id)
        if one is None and prop.kind == CHOICE:
            continue
        if path and not ontology.applies(prop.id, path):
            rows.append({"property": prop.id, **NOTHING, "reason": "property does not apply"})
        elif one is None:
            rows.append({"property": prop.id, **NOTHING, "reason": "not stated"})
        elif not one["parts"]:  # no value is likely: an answer, too, in place of the head's, which presumes that one is
            others = {"alternatives": one["alternatives"], "together": "unknown", "reason": "not stated"}
            rows.append({"property": prop.id, **NOTHING, **others})
        else:
            rows += _rows(prop, one, thresholds, path)
    return rows


def whole_of(name: str) -> str:
    """The name under which the threshold of all values together stands, beside that of each."""
    return f"{name} (together)"


def _rows(
    prop: Property, one: Mapping[str, Any], thresholds: Mapping[str, float], path: Sequence[str]
) -> list[dict[str, Any]]:
    told = {name: one[name] for name in ("property", "quote", "evidence", "conflict", "alternatives")}
    threshold, rows = thresholds.get(prop.id, math.inf), []
    for part in one["parts"]:
        share = one["probability"] if part.get("probability") is None else part["probability"]
        reason = _reason(prop, one, share, threshold, path)
        about = {"probability": share, "decision": _decision(reason, share), "reason": reason}
        rows.append({**told, **part, **about, "best_guess": part["value"], "together": None})
    kind = set_kind(prop) or property_kinds()[prop.kind]
    if kind.several:
        whole = rows[0]["decision"]
        if kind.each:
            reason = _reason(prop, one, one["probability"], thresholds.get(whole_of(prop.id), math.inf), path)
            whole = _decision(reason, one["probability"])
        rows = [{**row, "together": whole} for row in rows]
    return rows


def _decision(reason: Reason, share: float) -> Decision:
    if reason == "accepted":
        return "accept"
    return "review" if share >= UNKNOWN_BELOW else "unknown"


def _reason(prop: Property, one: Mapping[str, Any], share: float, threshold: float, path: Sequence[str]) -> Reason:
    if one["conflict"]:
        return "texts disagree"
    low, high = prop.span_at(path)
    ends = [end for part in one["parts"] for end in (part["low"], part["high"]) if end is not None]
    if any((low is not None and end < low) or (high is not None and end > high) for end in ends):
        return "outside its span"
    return "accepted" if share >= threshold else "below the threshold"
