"""Runs of a grid against one of them, product by product: differences with 95% intervals.

    python experiments/bench/paired.py runs/crossing-vilt --against crossing=none \\
        --out experiments/results/paired_crossing_vilt.json

Writes OUT.json, OUT.md and, of the chief figures, OUT.svg. Of every figure there is the mean over the seeds; the
difference to the run `--against` has two intervals: a paired bootstrap over products or queries (each one's difference
averaged over the seeds both have), which says how far other products would move it, and, from three seeds on, Student's
t over the seeds, which says how far another training would.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from matplotlib.figure import Figure

from shopvl.metrics.intervals import mean_interval, paired_bootstrap
from shopvl.tracking.provenance import write_result

WAYS = {"text_to_image": "t->i", "image_to_text": "i->t"}
PROPERTIES = ("category", "colour")
INPUTS = ("image", "image+title")
PLOTTED = (
    "sampled-101 judged, t->i, R@10",
    "sampled-101 judged, i->t, R@10",
    "sampled-101, t->i, R@10",
    "sampled-101, i->t, R@10",
    "category, image",
    "colour, image",
    "category, image+title",
    "colour, image+title",
)


def main(
    runs: Annotated[Path, typer.Argument()],
    against: Annotated[str, typer.Option()],
    out: Annotated[Path, typer.Option()],
) -> None:
    """Compare whatever runs are done."""
    found: dict[str, dict[int, dict[str, np.ndarray]]] = defaultdict(dict)
    for path in sorted(runs.glob("*/scores/outcomes.json")):
        label, _, seed = path.parts[-3].rpartition("-seed")
        found[label][int(seed)] = marks(json.loads(path.read_text("utf-8")))
    if against not in found:
        raise typer.BadParameter(f"{runs} has no finished run {against!r}; there are {', '.join(found) or 'none'}")
    table = {
        label: {name: compared(found, label, against, name) for name in found[label][min(found[label])]}
        for label in found
    }
    told = {"against": against, "seeds": {label: sorted(seeds) for label, seeds in found.items()}, "figures": table}
    write_result(out, told, table=markdown(runs.name, told))
    plot(told).savefig(out.with_suffix(".svg"), metadata={"Date": None})


def marks(outcomes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Figure -> a mark of 0 or 1 per query or product."""
    kept = {
        f"{protocol}, {short}, R@{k}": np.array(ranks[way]) <= k
        for protocol, ranks in outcomes["ranks"].items()
        for way, short in WAYS.items()
        for k in (1, 10)
    }
    for inputs in INPUTS:
        for name in PROPERTIES:
            known = [mark for mark in outcomes["answers"].get(inputs, {}).get(name, []) if mark is not None]
            if known:
                kept[f"{name}, {inputs}"] = np.array(known)
    return {name: values.astype(float) for name, values in kept.items()}


def compared(found: dict[str, dict[int, dict[str, np.ndarray]]], label: str, against: str, name: str) -> dict[str, Any]:
    """The mean over the seeds, and the difference with both intervals."""
    own, other = found[label], found[against]
    told: dict[str, Any] = {"mean": float(np.mean([seed[name].mean() for seed in own.values()]))}
    both = sorted(own.keys() & other.keys())
    if label == against or not both:
        return told
    mine, theirs = (np.mean([side[seed][name] for seed in both], axis=0) for side in (own, other))
    paired = paired_bootstrap(mine, theirs)
    told["difference"] = paired.difference
    told["over_products"] = [paired.low, paired.high]
    if len(both) > 2:
        seeds = mean_interval([own[seed][name].mean() - other[seed][name].mean() for seed in both])
        assert seeds.half_width is not None
        told["over_seeds"] = [seeds.mean - seeds.half_width, seeds.mean + seeds.half_width]
    return told


def markdown(name: str, told: dict[str, Any]) -> str:
    """One table per figure would be long: figures are rows, runs are columns; bold where both intervals leave out 0."""
    labels = list(told["figures"])
    labels.sort(key=lambda label: label != told["against"])
    lines = [
        f"# {name}: each run against {told['against']}",
        "",
        "In percent: the mean over the seeds; in brackets the difference, with its 95% interval over products / over "
        "seeds. Bold: neither holds 0. Seeds: "
        + "; ".join(f"{label} {', '.join(map(str, seeds))}" for label, seeds in told["seeds"].items())
        + ".",
        "",
        "| figure | " + " | ".join(labels) + " |",
        "|" + "---|" * (len(labels) + 1),
    ]
    lines += [
        f"| {figure} | " + " | ".join(_cell(told["figures"][label].get(figure)) for label in labels) + " |"
        for figure in told["figures"][told["against"]]
    ]
    return "\n".join(lines) + "\n"


def plot(told: dict[str, Any]) -> Figure:
    """Differences to the run that all are compared with, a panel per figure: dark over products, light over seeds."""
    labels = [label for label in told["figures"] if label != told["against"]][::-1]
    figure = Figure(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(2, 4, sharey=True)
    for panel, name in zip(panels.flat, PLOTTED, strict=True):
        panel.axvline(0, color="0.6", linewidth=1)
        for place, label in enumerate(labels):
            scores = told["figures"][label].get(name, {})
            for key, colour, width in (("over_seeds", "0.8", 6), ("over_products", "tab:blue", 2)):
                if key in scores:
                    panel.plot([100 * end for end in scores[key]], [place] * 2, color=colour, linewidth=width)
            if "difference" in scores:
                panel.plot(100 * scores["difference"], place, "o", color="tab:blue")
        panel.set_title(name, fontsize=9)
        panel.set_yticks(range(len(labels)), [label.partition("=")[2] for label in labels])
    figure.supxlabel(f"points more than {told['against']}; 95% intervals over products (blue) and over seeds (grey)")
    return figure


def _cell(scores: dict[str, Any] | None) -> str:
    if scores is None:
        return "–"
    if "difference" not in scores:
        return f"{scores['mean']:.1%}"
    intervals = [scores[key] for key in ("over_products", "over_seeds") if key in scores]
    shown = " / ".join(f"{100 * low:+.1f} to {100 * high:+.1f}" for low, high in intervals)
    text = f"{scores['mean']:.1%} ({100 * scores['difference']:+.1f}; {shown})"
    sure = len(intervals) == 2 and all(low > 0 or high < 0 for low, high in intervals)
    return f"**{text}**" if sure else text


if __name__ == "__main__":
    typer.run(main)
