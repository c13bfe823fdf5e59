"""Does a matching head put right what embeddings rank first? The first 50 of each query, ranked again by the head.

    python experiments/bench/reranking.py --model runs/albef/design --data $SHOPVL_DATA/TABLE.parquet \\
        --out experiments/results/reranking.json

Protocol `full`, both ways, on a split's products, for `--queries` of them: R@1, R@5 and R@10 by embeddings, by the
head's logit alone (ALBEF, arXiv:2107.07651), and by both, the logit and `--weight` times the scaled cosine, chosen on
the validation split where it is not given. Differences in R@1 with a paired bootstrap over the queries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from shopvl.catalog.cells import folded
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.evaluation.outputs import ModelOutputs, run_model
from shopvl.inference.pair_scorer import Matcher
from shopvl.metrics.intervals import paired_bootstrap
from shopvl.metrics.retrieval import group_ids, summarise_ranks
from shopvl.models.text_cross import TextCrossModel
from shopvl.runtime.bfloat16 import bf16_is_fast
from shopvl.tracking.provenance import write_result

FIRST, KS = 50, (1, 5, 10)
WEIGHTS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
Lists = list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]]


def main(
    model: Annotated[Path, typer.Option()],
    data: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    split: str = "test",
    queries: int = 2000,
    weight: float | None = None,
    seed: int = 0,
) -> None:
    """Write recalls before and after."""
    design = Design.from_pretrained(model)
    if weight is None:
        tuned = first_of(design, data, "val", 500, seed)
        weight = max(WEIGHTS, key=lambda w: sum(_hits(found, w) for found in tuned.values()))
    told: dict[str, Any] = {
        "recipe": design.recipe.name,
        "parameters": design.parameter_count(),
        "data": data.name,
        "split": split,
        "first": FIRST,
        "weight_of_scaled_cosine": weight,
        "ways": {},
    }
    for way, found in first_of(design, data, split, queries, seed).items():
        ranks = {
            "embeddings": _ranks(found, 1.0, 0.0),
            "head": _ranks(found, 0.0, 1.0),
            "both": _ranks(found, weight, 1.0),
        }
        scores: dict[str, Any] = {}
        for name, rank_Q in ranks.items():
            scores[name] = {f"R@{k}": float((rank_Q <= k).mean()) for k in KS}
            if name != "embeddings":
                gain = paired_bootstrap(rank_Q <= 1, ranks["embeddings"] <= 1)
                scores[name]["R@1 gained"] = [gain.difference, gain.low, gain.high]
        told["ways"][way] = {"queries": len(found), **scores}
        print(way, told["ways"][way], flush=True)
    write_result(out, told, model=design.name, data=[data])


def first_of(design: Design, data: Path, split: str, queries: int, seed: int) -> dict[str, Lists]:
    """By direction, per query: the first rows by cosine, their scaled cosines, their logits, and which are right."""
    catalog = open_catalog(data, split=split)
    matcher = Matcher(design, catalog, bfloat16=bf16_is_fast())
    seen: ModelOutputs = run_model(design, catalog)
    if [row["product_id"] for row in seen.rows] != [row["product_id"] for row in matcher.rows]:
        raise typer.BadParameter(f"{split} is larger than the {len(matcher.rows)} products that are matched at once")
    drawn_hard = isinstance(design.model, TextCrossModel)  # its scores hold the cosines already
    group_N = group_ids([folded(row["title"]) for row in seen.rows])
    scale = float(design.model.scales()["title-image"].detach())
    chosen = np.random.default_rng(seed).permutation(len(group_N))[:queries]
    image, title = seen.embeddings["image"], seen.embeddings["title"]
    ways = {"text_to_image": (title, image, matcher.by_title), "image_to_text": (image, title, matcher.by_picture)}
    found: dict[str, Lists] = {}
    for way, (query_ND, gallery_ND, judge) in ways.items():
        found[way] = []
        for query in chosen.tolist():
            cosine_N = gallery_ND @ query_ND[query]
            first = np.argsort(-cosine_N, kind="stable")[:FIRST]
            right = group_N[first] == group_N[query]
            scaled_C = scale * cosine_N[first].astype(float)
            found[way].append((first, scaled_C, judge(query, first) - (scaled_C if drawn_hard else 0.0), right))
    return found


def _ranks(found: Lists, cosine: float, logit: float) -> NDArray[np.int64]:
    """The rank of the first right row by the weighted sum, in its list; beyond it where the list has none."""
    ranks = []
    for _, scaled_C, logit_C, right_C in found:
        score_C = cosine * scaled_C + logit * logit_C
        best = score_C[right_C].max() if right_C.any() else -np.inf
        ranks.append(1 + int((score_C[~right_C] >= best).sum()) if right_C.any() else FIRST + 1)
    return np.array(ranks)


def _hits(found: Lists, weight: float) -> float:
    return summarise_ranks(_ranks(found, weight, 1.0), FIRST).recall[1]


if __name__ == "__main__":
    typer.run(main)
