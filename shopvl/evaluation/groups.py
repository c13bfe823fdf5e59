"""How far accepted answers can be trusted: in groups of products, near the threshold, at each depth of the category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from shopvl.catalog.queries import language_spoken, named_properties
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY_JOIN, FAMILIAR_FROM
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.evaluation.outputs import ModelOutputs, PropertyAnswers
from shopvl.metrics.classification import auroc
from shopvl.metrics.intervals import wilson

NEAR = 0.2  # share of the accepted answers that are near the threshold: the least certain ones
MOST_GROUPS = 20  # of one column, the largest
NAMES, NAMES_NONE = "names a value", "names none"
LANGUAGE, NO_LANGUAGE = "language", "no word that is known"


def accepted_scores(answers: PropertyAnswers, chosen: np.ndarray | None = None) -> dict[str, Any]:
    """Of the chosen answers (all, if none are given): how many, the share that is accepted, the precision of these and
    its 95% interval; None where nothing is accepted."""
    accepted_N, holding_N = answers.decided.accepted, answers.holding
    if chosen is not None:
        accepted_N, holding_N = accepted_N[chosen], holding_N[chosen]
    right, count = int(holding_N[accepted_N].sum()), int(accepted_N.sum())
    low, high = wilson(right, count)
    return {
        "rows": len(accepted_N),
        "accepted": count / max(len(accepted_N), 1),
        "precision": right / count if count else None,
        "interval": [float(low), float(high)] if count else None,
    }


def trust(answers: PropertyAnswers) -> dict[str, Any]:
    """By depth of the accepted value, near the threshold, and why what is not accepted is not: shares of all answers.

    `near_threshold` is the least certain NEAR of the accepted answers.
    """
    accepted = np.flatnonzero(answers.decided.accepted)
    surest_last = accepted[np.argsort(answers.decided.probability[accepted], kind="stable")]
    nearest = np.sort(surest_last[: int(np.ceil(NEAR * len(accepted)))])
    depth_N = np.array([0 if value is None else value.count(CATEGORY_JOIN) + 1 for value in answers.decided.value])
    total = len(answers.rows)
    return {
        "interval_of_accepted": accepted_scores(answers)["interval"],
        "near_threshold": _of(answers, nearest, total),
        "depth": {
            str(depth): _of(answers, accepted[depth_N[accepted] == depth], total)
            for depth in sorted(set(depth_N[accepted].tolist()))
        },
        "reasons": {reason: count / total for reason, count in Counter(answers.decided.reason).most_common()},
    }


def _of(answers: PropertyAnswers, accepted: np.ndarray, total: int) -> dict[str, Any]:
    """Scores of some accepted answers; `share` of all answers."""
    scores = accepted_scores(answers, accepted)
    return {"share": len(accepted) / total, "precision": scores["precision"], "interval": scores["interval"]}


def group_scores(design: Design, outputs: ModelOutputs, by: Sequence[str] = ()) -> list[dict[str, Any]]:
    """`accepted_scores` for each group of products, inputs and property.

    Products are grouped by whether their title names a value of the property, by its language (as its words tell, where
    `by` has no such column), and by columns of the catalog.
    """
    titles = [row["title"] or "" for row in outputs.rows]
    named = named_properties(titles, design.ontology)
    spoken = [] if LANGUAGE in by else [language_spoken(title, design.ontology) or NO_LANGUAGE for title in titles]
    found = []
    for inputs, by_property in outputs.answers.items():
        for name, answers in by_property.items():
            if not answers.rows:
                continue
            names = [NAMES if name in named[place] else NAMES_NONE for place in answers.rows]
            groupings = {"title": names} if "title" in inputs else {}
            if spoken and "title" in inputs:
                groupings[LANGUAGE] = [spoken[place] for place in answers.rows]
            groupings |= {column: [_text(outputs.rows[place].get(column)) for place in answers.rows] for column in by}
            for column, group_of in groupings.items():
                for group, _ in Counter(group_of).most_common(MOST_GROUPS):
                    chosen = np.array([own == group for own in group_of])
                    about = {"by": column, "group": group, "inputs": inputs, "property": name}
                    found.append(about | accepted_scores(answers, chosen))
    return found


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def familiarity_scores(outputs: ModelOutputs, against: ModelOutputs | None = None) -> dict[str, Any]:
    """By input: the rows that have it, and the share that is familiar.

    With products that are of no category, also the share of these that is, and the AUROC: in what share of pairs the
    catalog's own product looks more familiar.
    """
    found: dict[str, Any] = {}
    for name, value_N in outputs.familiarity.items():
        found[name] = {"rows": len(value_N), "passed": float((value_N >= FAMILIAR_FROM[name]).mean())}
        other_M = against.familiarity.get(name) if against is not None else None
        if other_M is not None:
            passed = float((other_M >= FAMILIAR_FROM[name]).mean())
            found[name] |= {"others": len(other_M), "others_passed": passed, "auroc": auroc(value_N, other_M)}
    return found


def against_scores(against: ModelOutputs) -> dict[str, Any]:
    """What is accepted about products that are of no category, from all inputs that each has.

    The share of products with any accepted answer, and of answers by property; none of these is right.
    """
    inputs_of: dict[int, str] = {}
    accepted: dict[str, dict[int, bool]] = {}
    for inputs, by_property in against.answers.items():  # all inputs together come first
        for name, answers in by_property.items():
            for place, marked in zip(answers.rows, answers.decided.accepted.tolist(), strict=True):
                if inputs_of.setdefault(place, inputs) == inputs:
                    accepted.setdefault(name, {})[place] = marked
    any_accepted = {place for marks in accepted.values() for place, marked in marks.items() if marked}
    return {
        "products": len(against.rows),
        "rejects": len(against.rejects),
        "products_with_accepted": len(any_accepted) / len(against.rows),
        "accepted": {name: sum(marks.values()) / len(marks) for name, marks in accepted.items()},
    }


def grouping(catalog: Catalog, columns: Sequence[str]) -> list[str]:
    """The columns to group by: those asked for, and the language where the catalog has it.

    Raises CatalogError for a column that it has not.
    """
    if missing := [name for name in columns if not catalog.has(name)]:
        there = ", ".join(catalog.plan.further) or "none beside the usual ones"
        raise CatalogError(f"{catalog.path} has no column {', '.join(missing)} to group by; it has: {there}")
    return list(dict.fromkeys([*columns, *([LANGUAGE] if catalog.has(LANGUAGE) else [])]))
