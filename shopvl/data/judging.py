"""When an answer is right: by the category's deepest node that the ontology knows, and never for other goods."""

from __future__ import annotations

from collections.abc import Sequence

from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Ontology, path_key
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, UNKNOWN
from shopvl.data.rows import Row, label_of, pairs


def known_part(path: Sequence[str], ontology: Ontology) -> tuple[str, ...]:
    """The path as far as the ontology has its nodes; empty where it has not even the first."""
    depth = len(path)
    while depth and ontology.category(path[:depth]) is None:
        depth -= 1
    return tuple(path[:depth])


def true_value(row: Row, name: str, ontology: Ontology) -> str | None:
    """What to judge a row's answer by, None where it is not known.

    A category ends where the ontology's tree does: of `Apparel > Topwear > Ponchos` it may know the first two. A
    product that is in none of its categories is `unknown`, and so is what its row does not say of it: no value that is
    accepted for it is right.
    """
    path = row["category_path"] or ()
    part = known_part(path, ontology)
    if name == CATEGORY:
        return None if not path else CATEGORY_JOIN.join(part) or UNKNOWN
    return label_of(row, name, ontology) or (UNKNOWN if path and not part else None)


def true_one(truth: str, answer: str, row: Row, name: str, ontology: Ontology) -> str:
    """What to judge that answer by: of several values that the row has of a property, the answered one if it is among
    them."""
    prop = ontology.property(name)
    if prop is None or not prop.many or answer == truth:
        return truth
    true = {ontology.value_of(name, [pair]) for pair in pairs(row["attributes"])}
    return answer if {answer, truth} <= true else truth


def is_within(answer: str, truth: str) -> bool:
    """Whether the answer is the true value, or a category below it."""
    own, true = path_key(answer.split(CATEGORY_JOIN)), path_key(truth.split(CATEGORY_JOIN))
    return own[: len(true)] == true


def holds(answer: str, truth: str) -> bool:
    """Whether a value that was given is right: within the true one, or a node above it, which says less but nothing
    wrong. `unknown` is no value; for a product that is of no category none is right.
    """
    return folded(truth) != UNKNOWN and (is_within(answer, truth) or is_within(truth, answer))
