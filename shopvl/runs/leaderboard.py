"""Tracked runs side by side: what won, at what cost, how surely. From the tracking store alone, never by hand."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

from shopvl.catalog.vocabulary import CATEGORY
from shopvl.errors import TrackingError
from shopvl.files import atomic_write
from shopvl.inference.pair_scorer import ITM_PROTOCOL
from shopvl.metrics.intervals import Interval, mean_interval
from shopvl.reporting.page import Line, Page
from shopvl.runs.kept import KEPT, kept_runs
from shopvl.runs.running import CELL_TAG, REPEATS_TAG, SCORES, SEED_TAG
from shopvl.tracking.provenance import write_result
from shopvl.tracking.store import Run, RunStore

SCORE, R10 = "score", "retrieval/full/text_to_image/R_at_10"
RETRIEVAL = {
    f"{short}{way}, {recall.replace('_at_', '@')}": f"retrieval/{protocol}/{direction}/{recall}"
    for protocol, short, recalls in (
        ("full", "", ("R_at_1", "R_at_10")),
        ("sampled-101", "of 101, ", ("R_at_1",)),
        (ITM_PROTOCOL, "of 101 by the head, ", ("R_at_1", "R_at_10")),
    )
    for direction, way in (("text_to_image", "t->i"), ("image_to_text", "i->t"))
    for recall in recalls
}
LEVELS = f"{CATEGORY}/levels/"  # scores of each level of the category
BOTH, PICTURE = "image_and_title", "image"  # inputs by their names in metrics


@dataclass(frozen=True)
class Judged:
    """By which figures a system is judged, what each is to reach, and which figures of the same run stand beside."""

    by: str
    metrics: tuple[str, ...]
    bounds: tuple[float, ...] = ()
    beside: tuple[str, tuple[str, ...]] | None = None  # where no other run is the control
    lower: bool = False  # is better

    def met(self, values: Sequence[float]) -> str:
        """Whether all bounds are, in a word."""
        if not self.bounds:
            return "–"
        return "yes" if all(value >= bound for value, bound in zip(values, self.bounds, strict=True)) else "no"


_BY_LISTS = tuple(f"text_to_image/R_at_{k}" for k in (1, 10))
# the first of these that was measured
JUDGED_BY = (
    Judged(
        "R@1, R@10 of 101 by its head", tuple(f"retrieval/{ITM_PROTOCOL}/{name}" for name in _BY_LISTS), (0.05, 0.35)
    ),
    Judged(
        "R@1, R@10 of 101 by embeddings", tuple(f"retrieval/sampled-101/{name}" for name in _BY_LISTS), (0.05, 0.35)
    ),
    Judged("perplexity", ("language/perplexity",), beside=("a trigram", ("language/trigram_perplexity",)), lower=True),
    Judged("hidden pieces told", ("language/masked",), beside=("a trigram", ("language/trigram_masked",))),
    Judged("category from the picture", (f"answers/{PICTURE}/{CATEGORY}/accuracy",)),
    Judged("category from the title", (f"answers/title/{CATEGORY}/accuracy",)),
)
AHEAD = 0.10  # of what it was before training, for what is judged by answers


SYSTEMS_NOTE = (
    "Each design by its own objectives alone, from random weights, for so many minutes of processor time. Lists of 101 "
    "hold the match and 100 others of its kind; by chance R@1 is 0.01 and R@10 0.10. *Met*: 0.05 and 0.35 where lists "
    "are ranked; below the trigram, or more pieces told than it tells; an accuracy ten points above that of the design "
    "before training. On shuffled pairs pictures are those of other products."
)
PARTS_NOTE = (
    "The same steps with and without a part; minutes of processor time beside them. What the part brings is the "
    "difference, whether it helps or not."
)
SCORE_NOTE = (
    "Score: accuracy from picture and title, averaged over the category and every property. Means over the seeds, with "
    "95% intervals (Student's t) where there are several."
)
SEARCH_NOTE = (
    "Any product of the same title is right; t: title, i: picture. Of 101: lists of one right product and 100 others "
    "of its kind, compared by embeddings or judged pair by pair by a matching head."
)
RUNS_NOTE = "Written by `shopvl experiments compare`; `shopvl experiments repeat ID` does a run again."


@dataclass(frozen=True)
class Entry:
    """Runs that differ in their seed only."""

    label: str
    runs: tuple[Run, ...]

    @cached_property
    def experiment(self) -> dict[str, Any]:
        """The fields of what the runs did, but for the seed, as they were logged."""
        fields: dict[str, Any] = json.loads(self.runs[0].params["experiment"])
        return fields

    @property
    def split(self) -> str:
        """Which the runs were evaluated on."""
        return str(self.experiment["evaluate_on"])

    @property
    def is_control(self) -> bool:
        """Whether they could learn nothing: from shuffled pairs, or because they were not trained."""
        return bool(self.experiment.get("shuffle_pairs")) or self.experiment.get("epochs") == 0

    @property
    def lacks(self) -> str:
        """What was left out or changed, to see what it brings."""
        return self.label.removeprefix(str(self.experiment["recipe"])).strip()

    @property
    def minutes(self) -> float:
        """Of processor time that training took."""
        return mean(run.metrics["core_seconds"] for run in self.runs) / 60

    def values(self, metric: str) -> dict[int, float]:
        """The metric by seed, where it is known."""
        return {int(run.tags[SEED_TAG]): run.metrics[metric] for run in self.runs if metric in run.metrics}

    def interval(self, metric: str) -> Interval | None:
        """Its mean over the seeds, and how far the mean may be off."""
        values = list(self.values(metric).values())
        return mean_interval(values) if values else None

    def accuracy(self, inputs: str, name: str) -> Interval | None:
        """Of one property."""
        return self.interval(f"{self.split}/answers/{inputs}/{name}/accuracy")

    def properties(self, inputs: str) -> list[str]:
        """Which have an accuracy from these inputs."""
        start, end = f"{self.split}/answers/{inputs}/", "/accuracy"
        names = {m.removeprefix(start).removesuffix(end) for m in self.runs[0].metrics if m.startswith(start)}
        measured = [name for name in names if f"{start}{name}{end}" in self.runs[0].metrics]
        return sorted((name for name in measured if not name.startswith(LEVELS)), key=_category_first)


def _category_first(name: str) -> tuple[bool, str]:
    return name != CATEGORY, name


@dataclass(frozen=True)
class Leaderboard:
    """The entries of one experiment, best first, and how many runs are left out because they did not finish."""

    experiment: str
    store: RunStore
    entries: tuple[Entry, ...]
    unfinished: int
    stored: frozenset[str] = frozenset()  # ids of the runs that the store has; a file kept the others

    @classmethod
    def read(cls, experiment: str, uri: str | None = None, kept: Sequence[Run] = ()) -> Leaderboard:
        """From the finished runs in the store; of two with one label and seed the newer. Repetitions do not count.

        Of a run that the store has not, `kept` may have what tables show. Those of other data than the store's
        newest stand for nothing.
        """
        store = RunStore(uri)
        runs = [run for run in store.runs(experiment) if CELL_TAG in run.tags and REPEATS_TAG not in run.tags]
        stored = frozenset(run.run_id for run in runs)
        others = [run for run in kept if run.run_id not in stored]
        finished = sorted((run for run in [*others, *runs] if run.status == "FINISHED"), key=lambda run: run.started)
        if not finished:
            raise TrackingError(
                f"{store.uri} has no finished run of {experiment!r}; start some with `shopvl experiments run`"
            )
        last = max(finished, key=lambda run: (run.run_id in stored, run.started))
        finished = [run for run in finished if run.params["data_digest"] == last.params["data_digest"]]
        newest = {(run.tags[CELL_TAG], run.tags[SEED_TAG]): run for run in finished}
        groups: dict[str, list[Run]] = defaultdict(list)
        for (label, _), run in newest.items():
            groups[label].append(run)
        entries = [Entry(label, tuple(group)) for label, group in groups.items()]
        entries.sort(key=lambda entry: -(_mean(entry.interval(SCORE)) or 0.0))
        unfinished = sum(run.status != "FINISHED" for run in runs)
        return cls(experiment, store, tuple(entries), unfinished, stored)

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Headers and cells of the main table."""
        headers = ["run", "seeds", "score", "behind the best", CATEGORY, f"{CATEGORY}, picture only", "R@10"]
        headers += ["parameters", "core-seconds", "products/s"]
        return headers, [self._row(entry) for entry in self.entries]

    def system_rows(self) -> tuple[list[str], list[list[str]]]:
        """Headers and cells of the table of systems: as it is, beside shuffled pairs or itself before training."""
        whole = [entry for entry in self.entries if not entry.lacks]
        rows = [self._system_row(entry) for entry in whole] if any(entry.is_control for entry in self.entries) else []
        return ["system", "minutes", "measured", "it", "control", "met"], rows

    def part_rows(self) -> tuple[list[str], list[list[str]]]:
        """Headers and cells of the table of parts: each system as it is, and without a part of its own."""
        rows = []
        for entry in self.entries:
            judged = _judged(entry)
            if judged is None or entry.lacks:
                continue
            own = _told(_all_of(entry, judged.metrics))
            for other in self._others(entry):
                if other.lacks and not other.is_control and (values := _all_of(other, judged.metrics)):
                    minutes = f"{entry.minutes:.1f}, {other.minutes:.1f}"
                    rows.append([entry.label, other.lacks, judged.by, own, _told(values), minutes])
        return ["system", "changed", "measured", "it", "changed so", "minutes"], rows

    def _others(self, entry: Entry) -> list[Entry]:
        """The other entries of its recipe."""
        recipe = entry.experiment["recipe"]
        return [other for other in self.entries if other.experiment["recipe"] == recipe and other != entry]

    def _system_row(self, entry: Entry) -> list[str]:
        judged = _judged(entry)
        if judged is None:
            return [entry.label, f"{entry.minutes:.1f}", *["–"] * 4]
        own = _all_of(entry, judged.metrics)
        controls = [other for other in self._others(entry) if other.is_control]
        beside = [(control.lacks, _all_of(control, judged.metrics)) for control in controls]
        met = judged.met(own)
        if judged.beside is not None:
            label, metrics = judged.beside
            beside = [(label, other := _all_of(entry, metrics))]
            met = _yes(other > own if judged.lower else own > other)
        elif beside and not judged.bounds:
            met = _yes(own[0] >= beside[0][1][0] + AHEAD)
        return [
            entry.label,
            f"{entry.minutes:.1f}",
            judged.by,
            _told(own),
            "; ".join(f"{label}: {_told(values)}" for label, values in beside if values) or "–",
            met,
        ]

    def _row(self, entry: Entry) -> list[str]:
        first = entry.runs[0].metrics
        speeds = list(entry.values("products_per_second").values())  # none of a design that was not trained
        return [
            entry.label,
            str(len(entry.runs)),
            shown(entry.interval(SCORE)),
            shown(self._behind(entry)),
            shown(entry.accuracy(BOTH, CATEGORY)),
            shown(entry.accuracy(PICTURE, CATEGORY)),
            shown(entry.interval(f"{entry.split}/{R10}")),
            f"{first['parameters'] / 1e6:.2f} M",
            f"{mean(run.metrics['core_seconds'] for run in entry.runs):.0f}",
            f"{mean(speeds):.0f}" if speeds else "–",
        ]

    def _behind(self, entry: Entry) -> Interval | None:
        """The best entry's score less this one's."""
        return None if entry == self.entries[0] else _difference(self.entries[0], entry, SCORE)

    def property_rows(self, inputs: str) -> tuple[list[str], list[list[str]]]:
        """Headers and cells of the table of accuracies, of the entries that have any."""
        answering = [entry for entry in self.entries if entry.properties(inputs)]
        names = answering[0].properties(inputs) if answering else []
        return ["run", *names], [
            [entry.label, *(shown(entry.accuracy(inputs, name)) for name in names)] for entry in answering
        ]

    def retrieval_rows(self) -> tuple[list[str], list[list[str]]]:
        """Headers and cells of the table of recalls: of embeddings, and of matching heads where there are any."""
        intervals = {
            label: [entry.interval(f"{entry.split}/{metric}") for entry in self.entries]
            for label, metric in RETRIEVAL.items()
        }
        known = {label: values for label, values in intervals.items() if any(value is not None for value in values)}
        lines = zip(*known.values(), strict=True)
        return ["run", *known], [
            [entry.label, *map(shown, values)] for entry, values in zip(self.entries, lines, strict=False)
        ]

    def told(self) -> dict[str, Any]:
        """All that `LEADERBOARD.md` says: facts, and tables with their headings and notes."""
        systems, parts = self.system_rows(), self.part_rows()
        runs = [_run_row(entry, run) for entry in self.entries for run in entry.runs]
        tables = [
            *([("Systems", systems, SYSTEMS_NOTE)] if systems[1] else []),
            *([("Parts", parts, PARTS_NOTE)] if parts[1] else []),
            ("All runs" if systems[1] or parts[1] else "", self.rows(), SCORE_NOTE),
            ("Search", self.retrieval_rows(), SEARCH_NOTE),
            ("Accuracy from picture and title", self.property_rows(BOTH), ""),
            ("Accuracy from the picture alone", self.property_rows(PICTURE), ""),
            ("Runs", (["run", "seed", "id", "commit"], runs), RUNS_NOTE),
        ]
        return {
            "facts": self._facts(),
            "tables": [
                {"heading": heading, "headers": headers, "rows": rows, "note": note}
                for heading, (headers, rows), note in tables
                if rows
            ],
        }

    def _facts(self) -> str:
        first = self.entries[0].runs[0]
        left_out = f" {self.unfinished} runs that did not finish are left out." if self.unfinished else ""
        return f"Data {first.params['data_digest'][:12]}, split {self.entries[0].split}.{left_out}"

    def page(self) -> Page:
        """The same with plots."""
        page = Page(f"Runs of {self.experiment}", self._facts(), facts={"store": _without_password(self.store.uri)})
        for heading, note, (headers, rows) in (
            ("Leaderboard", "Means over the seeds with 95% intervals; best score first.", self.rows()),
            ("Search", "Any product of the same title is right.", self.retrieval_rows()),
            ("Accuracy from picture and title", "", self.property_rows(BOTH)),
            ("Accuracy from the picture alone", "", self.property_rows(PICTURE)),
        ):
            page.section(heading, note).table(headers, rows)
        page.section("Quality against compute", "One point per seed.")
        lines = [_points(entry) for entry in self.entries]
        page.lines(lines, "score", x_label="core-seconds of training", y_label="score", x_shown=",.0f", y_shown=".1%")
        page.section("Which answers to trust", "Share of wrong answers among the surest ones; the first seed of each.")
        for inputs in ("image+title", "image"):
            risks = [line for entry in self.entries if (line := self._risk(entry, inputs)) is not None]
            title = f"category from {inputs}"
            page.lines(risks, title, x_label="share answered", y_label="share wrong", y_shown=".0%")
        page.section("Learning curves", "The weighted sum of all losses; the first seed of each.")
        for metric, stage in (("loss", "first stage"), ("tune/loss", "second stage, prompted recipes")):
            drawn = [self._curve(entry, metric) for entry in self.entries if metric in entry.runs[0].metrics]
            if not drawn:
                continue
            page.lines(drawn, stage, x_label="step", y_label="loss", x_shown=",.0f", y_shown=".2f")
        return page

    def _curve(self, entry: Entry, metric: str) -> Line:
        steps, values = self.store.curve(entry.runs[0].run_id, metric)
        return Line(name=entry.label, x=steps, y=values)

    def _risk(self, entry: Entry, inputs: str) -> Line | None:
        if entry.runs[0].run_id not in self.stored:
            return None
        with tempfile.TemporaryDirectory() as folder:
            name = f"{SCORES}/risk_coverage.json"
            curves = json.loads(self.store.file(entry.runs[0].run_id, name, Path(folder)).read_text("utf-8"))
        curve = curves.get(inputs, {}).get(CATEGORY)
        return None if curve is None else Line(name=entry.label, x=curve["coverage"], y=curve["risk"])

    def write(self, folder: Path) -> tuple[Path, Path]:
        """`LEADERBOARD.md` and `leaderboard.html` in that folder."""
        path = folder / "LEADERBOARD.md"
        with atomic_write(path) as draft:
            draft.write_text(f"# {self.experiment}\n\n{markdown_of(self.told(), '##')}\n", "utf-8")
        return path, self.page().write(folder / "leaderboard.html")

    def write_result(self, path: Path) -> None:
        """What `told` has, as a file of results with its stamp, and what is shown of each run."""
        first = self.entries[0]
        catalog = Path(first.experiment.get("catalog") or "drawn shop").name
        kept = kept_runs(run for entry in self.entries for run in entry.runs)
        write_result(
            path, {"leaderboard": self.told(), KEPT: kept}, data={catalog: first.runs[0].params["data_digest"]}
        )


def markdown_of(told: dict[str, Any], level: str = "###") -> str:
    """What `Leaderboard.told` has, with headings of that level."""
    sections = [told["facts"]]
    for table in told["tables"]:
        heading = f"{level} {table['heading']}" if table["heading"] else ""
        sections += filter(None, (heading, markdown_table(table["headers"], table["rows"]), table["note"]))
    return "\n\n".join(sections)


def _judged(entry: Entry) -> Judged | None:
    """By what it is judged: the first figures that were measured."""
    return next((judged for judged in JUDGED_BY if _all_of(entry, judged.metrics)), None)


def _all_of(entry: Entry, metrics: Sequence[str]) -> list[float]:
    """Their means over the seeds; none where one was not measured."""
    found = [entry.interval(f"{entry.split}/{metric}") for metric in metrics]
    return [interval.mean for interval in found if interval is not None] if all(found) else []


def _told(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _difference(one: Entry, other: Entry, metric: str) -> Interval | None:
    """The first entry's value less the other's, over the seeds that both have."""
    values, others = one.values(metric), other.values(metric)
    seeds = sorted(values.keys() & others.keys())
    return mean_interval([values[seed] - others[seed] for seed in seeds]) if seeds else None


def shown(value: Interval | None) -> str:
    """`0.812 ± 0.011`; a dash for nothing."""
    if value is None:
        return "–"
    return f"{value.mean:.3f}" + ("" if value.half_width is None else f" ± {value.half_width:.3f}")


def _mean(value: Interval | None) -> float | None:
    return None if value is None else value.mean


def _points(entry: Entry) -> Line:
    seconds, scores = entry.values("core_seconds"), entry.values(SCORE)
    seeds = sorted(scores, key=lambda seed: seconds[seed])
    return Line(name=entry.label, x=[seconds[seed] for seed in seeds], y=[scores[seed] for seed in seeds])


def _run_row(entry: Entry, run: Run) -> list[str]:
    commit = run.tags.get("mlflow.source.git.commit", "")[:12]
    changed = " (changed since)" if run.tags.get("shopvl.code.dirty") == "true" else ""
    return [entry.label, run.tags[SEED_TAG], run.run_id, commit + changed]


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their head."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _without_password(uri: str) -> str:
    scheme, mark, rest = uri.partition("://")
    return scheme + mark + rest.rsplit("@", 1)[-1]
