"""What becomes of what texts state: each value's decision and reason, as `decide.py` does it for what heads answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import Property
from shopvl.catalog.property_kinds import property_kinds
from shopvl.catalog.vocabulary import UNKNOWN_BELOW, Decision, Reason

NOTHING: Mapping[str, Any] = {
    **{"value": None, "best_guess": None, "probability": 0.0, "decision": "unknown", "evidence": (), "conflict": False},
    **{"alternatives": (), "low": None, "high": None, "unit": None, "quote": None, "together": None},
}


def stated_rows(
    ontology: Ontology, thresholds: Mapping[str, float], stated: Sequence[Mapping[str, Any]], path: Sequence[str]
) -> list[dict[str, Any]]:
    """One row per stated property of the ontology, or per value where it has several, but for the product's id.

    `stated` has the answers (STATED) that there are, `path` the category, as far as it is known. A property that the
    category does not have stays apart from one that no text states: the first is an answer, the second is none.
    """
    said = {one["property"]: one for one in stated}
    rows: list[dict[str, Any]] = []
    for prop in ontology.stated:
        one = said.get(prop.id)
        if path and not ontology.applies(prop.id, path):
            rows.append({"property": prop.id, **NOTHING, "reason": "property does not apply"})
        elif one is None:
            rows.append({"property": prop.id, **NOTHING, "reason": "not stated"})
        else:
            rows += _rows(prop, one, thresholds.get(prop.id, math.inf), path)
    return rows


def _rows(prop: Property, one: Mapping[str, Any], threshold: float, path: Sequence[str]) -> list[dict[str, Any]]:
    reason = _reason(prop, one, threshold, path)
    likely: Decision = "review" if one["probability"] >= UNKNOWN_BELOW else "unknown"
    decision: Decision = "accept" if reason == "accepted" else likely
    together = decision if property_kinds()[prop.kind].several else None
    told = {name: one[name] for name in ("property", "probability", "quote", "evidence", "conflict", "alternatives")}
    about = {**told, "decision": decision, "reason": reason, "together": together}
    return [{**about, **part, "best_guess": part["value"]} for part in one["parts"]]


def _reason(prop: Property, one: Mapping[str, Any], threshold: float, path: Sequence[str]) -> Reason:
    if one["conflict"]:
        return "texts disagree"
    low, high = prop.span_at(path)
    ends = [end for part in one["parts"] for end in (part["low"], part["high"]) if end is not None]
    if any((low is not None and end < low) or (high is not None and end > high) for end in ends):
        return "outside its span"
    return "accepted" if one["probability"] >= threshold else "below the threshold"
