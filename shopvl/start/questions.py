"""Which answers to ask a person about next, so that the most become automatic.

Only products drawn at random show what precision holds, and without them nothing can be accepted: until something is,
all questions are about these. Then half of the questions are hard ones: doubtful answers that stand for many like them
(information density: Settles and Craven, EMNLP 2008), no two of them alike (the farthest first, as in core-sets,
arXiv:1708.00489).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from shopvl.inference.thresholds import MISSED
from shopvl.review.queue import Chosen, random_place
from shopvl.start.history import Key
from shopvl.start.outputs import CatalogOutputs

HARD_SHARE = 0.5  # of a property's questions, once some of its answers are accepted
POOL = 4000  # products among which hard ones are looked for


def least_at_random(precision: float) -> int:
    """So many answers about products drawn at random, all of them right, show a precision."""
    return math.ceil(math.log(MISSED) / math.log(precision))


def choose(
    tags: Path,
    outputs: CatalogOutputs,
    decided: Mapping[Key, bool],
    count: int,
) -> list[Chosen]:
    """At most `count` questions about a tags.parquet, those of one product together.

    `decided`: what was decided already, and whether that product was drawn at random.
    """
    rows = pl.read_parquet(tags, columns=["product_id", "property", "probability", "decision", "value"])
    rows = rows.filter(pl.col("value").is_not_null()).unique(["product_id", "property"], keep="first")
    place = {name: number for number, name in enumerate(outputs.ids)}
    decided_of = Counter(name for _, name in decided)
    open_of = {
        name: int((own["decision"] != "accept").sum())
        for (name,), own in rows.group_by("property", maintain_order=True)
    }
    chosen: list[Chosen] = []
    for name, wanted in shares(open_of, decided_of, count).items():
        own = rows.filter(pl.col("property") == name)
        left = [key for key in own["product_id"].to_list() if (key, name) not in decided]
        hard = round(wanted * HARD_SHARE) if (own["decision"] == "accept").any() else 0
        drawn = sorted(left, key=random_place)[: wanted - hard]
        chosen += [Chosen(key, name, True) for key in drawn]
        doubtful = own.filter((pl.col("decision") != "accept") & ~pl.col("product_id").is_in([*drawn]))
        doubtful = doubtful.filter(pl.col("product_id").is_in(left))
        numbers = np.array([place[key] for key in doubtful["product_id"].to_list()], dtype=np.int64)
        doubt = 1 - doubtful["probability"].to_numpy()
        chosen += [Chosen(outputs.ids[number], name, False) for number in hard_ones(outputs, numbers, doubt, hard)]
    first = {product: number for number, product in enumerate(dict.fromkeys(one.product_id for one in chosen))}
    return sorted(chosen, key=lambda one: first[one.product_id])


def shares(open_of: Mapping[str, int], decided_of: Mapping[str, int], count: int) -> dict[str, int]:
    """How many of the questions each property gets: seat by seat to the one with the most open products for each
    question asked of it until then (D'Hondt)."""
    asked = Counter(dict(decided_of))
    given: Counter[str] = Counter()
    for _ in range(count):
        able = [name for name in open_of if open_of[name] > given[name]]
        if not able:
            break
        name = max(able, key=lambda name: open_of[name] / (1 + asked[name]))
        given[name] += 1
        asked[name] += 1
    return {name: given[name] for name in open_of if given[name]}


def hard_ones(outputs: CatalogOutputs, numbers: np.ndarray, doubt: np.ndarray, count: int) -> Sequence[int]:
    """At most `count` of the products with these numbers: each has the most doubt times likeness to the others of its
    kind, times unlikeness to those that were taken before."""
    if len(numbers) > POOL:
        most = np.argsort(-doubt, kind="stable")[:POOL]
        numbers, doubt = numbers[most], doubt[most]
    vector_ND = outputs.vector_ND[numbers]
    center_D = vector_ND.mean(0) if len(numbers) else np.zeros(outputs.vector_ND.shape[1])
    worth = doubt * (1 + vector_ND @ center_D) / 2
    unlike = np.ones(len(numbers))
    taken: list[int] = []
    for _ in range(min(count, len(numbers))):
        best = int(np.argmax(worth * unlike))
        taken.append(int(numbers[best]))
        unlike = np.minimum(unlike, (1 - vector_ND @ vector_ND[best]).clip(0))
        unlike[best] = -1
    return taken
