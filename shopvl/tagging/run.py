"""Category and attributes for a whole catalog: one row per product and property, and a file of rejects.

Reader -> prepare -> model -> writer. The reader looks every row up in the cache of results (`cache.py`),
so that a run that was killed goes on where it was, and a changed catalog costs no more than its changes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import torch

from shopvl.arrow import array, filled, values_of
from shopvl.batch import Modality
from shopvl.catalog.readers import Catalog
from shopvl.catalog.shared_pictures import shared_pictures
from shopvl.catalog.vocabulary import DEFAULT_PRECISION, MOST_PICTURES
from shopvl.design.design import Design
from shopvl.design.in_use import Runtime
from shopvl.errors import ShopvlError
from shopvl.files import REJECTS, Table, exclusive_lock
from shopvl.inference.decide import ACCEPTED, ANSWERED, DECIDED, REASONS, Rules, decide
from shopvl.recipes.capabilities import require_capability
from shopvl.runtime.cores import usable_cores
from shopvl.tagging.cache import Pieces, ResultCache, disk_error
from shopvl.tagging.comparison import Comparison
from shopvl.tagging.executor import BatchResult
from shopvl.tagging.mapper import CLOSER, KNOWN, TaggingWay, TagMapper, TextsOfRows
from shopvl.tagging.reader import CatalogReader
from shopvl.tagging.summary import RunSummary, reason_kind
from shopvl.tagging.working import keep_results, mapped, threads_each, works_of

CACHE_FOLDER, NOTES = ".ledger", "notes.parquet"
MERGED_ROWS = 4096
WORTH_WORKERS_ROWS = 5000

TAGS = pa.schema([*DECIDED, ("model", pa.string())])


@dataclass
class Tagged(RunSummary):
    """What a run did: rows in = tagged + rejected, and decisions per property."""

    worker_stages = ("prepare", "model", CLOSER, "answers")

    tagged: int = 0
    decisions: dict[str, Counter[str]] = field(default_factory=dict)
    whys: dict[str, Counter[str]] = field(default_factory=dict)  # the reasons of the decisions, per property
    conflicts: int = 0
    noted: int = 0  # tagged rows in whose pictures OCR could not read
    comparison: Comparison | None = None  # with the rows that the model was calibrated on; None for zero-shot answers
    precision: float = DEFAULT_PRECISION  # that was asked for
    pictured: int = 0  # products with a picture that answers rest on, and how many of them the model looked at twice
    looked_twice: int = 0
    absent: Counter[str] = field(default_factory=Counter)  # why inputs of tagged rows did not count, by kind of reason

    def why_lines(self) -> Iterator[str]:
        """Per reason against accepting an answer how many there are, the most frequent first."""
        total: Counter[str] = sum(self.whys.values(), Counter())
        for reason, count in total.most_common():
            if reason != REASONS[ACCEPTED]:
                most = sorted(self.whys, key=lambda name: -self.whys[name][reason])
                told = ", ".join(f"{name} {n}" for name in most if (n := self.whys[name][reason]))
                yield f"  {count} not accepted, {reason}: {told}"

    def fit_line(self) -> str:
        """Whether what was measured for the model holds for this catalog; empty where nothing was measured."""
        return "" if self.comparison is None else self.comparison.sentence(self.precision)

    def looks_line(self) -> str:
        """How many pictures took a second look, where the model decides that; and its share of the model's time."""
        if not 0 < self.looked_twice < self.pictured:
            return ""
        share = self.looked_twice / self.pictured
        spent = self.stages[CLOSER] / max(self.stages[CLOSER] + self.stages["model"], 1e-9)
        took = f", which was {spent:.0%} of the model's time" if self.stages[CLOSER] else ""
        return f"{self.looked_twice} of {self.pictured} pictures ({share:.0%}) needed a second look{took}"


def tag(
    design: Design,
    catalog: Catalog,
    out: Path,
    *,
    use: tuple[Modality, ...] = ("image", "title"),
    precision: float = DEFAULT_PRECISION,
    limit: int | None = None,
    zero_shot: bool = False,
    report: Callable[[int], None] = lambda rows: None,
    workers: int = 1,
    engine: Literal["local", "ray"] = "local",
    bfloat16: bool = False,
    int8: bool = False,
    pieces: Pieces | None = None,
    runtime: Runtime = "auto",
) -> Tagged:
    """Write `out/tags.parquet` and `out/rejects.parquet`, each complete or not at all.

    Answers come from the design's heads, or with `zero_shot` (and where there are no heads) from the names of
    values (`inference/choose.py`). A zero-shot answer is never accepted: how often it is right is not known.

    What is done is kept in `out/.ledger` by the content of each row. Called again after a crash, it goes on where it
    was; called on a changed catalog or with another `precision`, it computes only what is new. Rows that an earlier run
    rejected are tried again. With `workers` > 1, so many processes do the work. `bfloat16` computes in half the bits:
    faster where the machine can, and probabilities change a little; so do they in `int8` (`in_use`). Raises ShopvlError
    where the disk is full (what was done is safe) or another process tags into `out`.

    `out/notes.parquet` names the products with a picture or title that says nothing, and why; they are tagged from the
    other one. It also names those whose pictures the design's reader could not read; the next run tries them again.
    """
    started = time.monotonic()
    _require_one_process(design, engine, workers)
    zero_shot, pieces = _without_heads(design, zero_shot), pieces or Pieces()
    summary = Tagged(workers=workers, precision=precision, comparison=None if zero_shot else Comparison.of(design))
    with summary.timed("read"):
        shared = shared_pictures(catalog) if "image" in use else frozenset()
    way = TaggingWay(zero_shot, bfloat16, int8, runtime, catalog.count() if limit is None else limit)
    mapper = TagMapper(design, catalog.root, use, way, shared)
    with exclusive_lock(out / CACHE_FOLDER, f"tagging into {out}"):
        cache = ResultCache(out / CACHE_FOLDER, KNOWN, pieces)
        texts = TextsOfRows.of(catalog, design, use)
        pictures = MOST_PICTURES if "image" in use else 1
        reading = CatalogReader(catalog, mapper.fingerprint(), limit, pieces.work_rows, texts, pictures)
        results = _results(engine, workers, mapper, reading, cache, summary)
        keep_results(results, reading, cache, summary, report)
        with summary.timed("merge"):
            _merge(cache, reading, out, mapper.rules(precision), mapper, summary)
        cache.finish(reading.slots(), complete=limit is None)
    report(summary.rows)
    summary.reused, summary.damaged, summary.seconds = reading.reused, cache.damaged, time.monotonic() - started
    assert summary.rows == summary.tagged + summary.rejected
    return summary


def _require_one_process(design: Design, engine: str, workers: int) -> None:
    """Raises ShopvlError where several are asked for on a device that one process fills."""
    if design.device.type != "cpu" and (engine == "ray" or workers > 1):
        raise ShopvlError(f"on {design.device} one process tags, decoding ahead; leave out --workers and --engine")


def _without_heads(design: Design, zero_shot: bool) -> bool:
    """Whether values are compared by name. Raises ShopvlError for a design that cannot."""
    if zero_shot or not design.labels:
        require_capability(design.recipe, "zero-shot")
        return True
    return False


def _results(
    executor: str, workers: int, mapper: TagMapper, reading: CatalogReader, cache: ResultCache, summary: Tagged
) -> Iterator[tuple[np.ndarray, BatchResult]]:
    if executor == "ray":
        from shopvl.tagging.ray_executor import in_ray

        return in_ray(mapper, reading, cache.index, workers)
    if workers > 1:
        mapper.prepare_runtime(threads_each(workers))
    works = works_of(reading, cache, summary, pictured="image" in mapper.use)
    return mapped(mapper, works, workers, mapper.design.device)


def _merge(
    cache: ResultCache,
    reading: CatalogReader,
    out: Path,
    rules: Rules,
    mapper: TagMapper,
    summary: Tagged,
) -> None:
    """Write the cached results, in the catalog's order, as tags, rejects and notes."""
    slots, repeated = reading.slots(), reading.repeated()
    try:
        with ExitStack() as stack:
            tags = stack.enter_context(Table(out / "tags.parquet", TAGS))
            rejects = stack.enter_context(Table(out / "rejects.parquet", REJECTS))
            notes = stack.enter_context(Table(out / NOTES, REJECTS))
            for start in range(0, len(slots), MERGED_ROWS):
                known = cache.take(slots[start : start + MERGED_ROWS])
                ids, reasons = known.column("product_id").to_pylist(), known.column("reason").to_pylist()
                for row in range(len(ids)):
                    if (first := repeated.get(start + row)) is not None and reasons[row] is None:
                        reasons[row] = f"the id {ids[row]} came before, in row {first + 1}; ids must be unique"
                bad = [row for row, reason in enumerate(reasons) if reason is not None]
                rejects.write([{"product_id": ids[row], "reason": reasons[row]} for row in bad])
                summary.reasons.update(reason_kind(reasons[row]) for row in bad)
                summary.rows += len(ids)
                summary.rejected += len(bad)
                good = known.filter(array([reason is None for reason in reasons], pa.bool_()))
                summary.tagged += good.num_rows
                looks_R = values_of(filled(good.column("looks"), 0))
                summary.pictured += int((looks_R > 0).sum())
                summary.looked_twice += int((looks_R > 1).sum())
                if summary.comparison is not None:
                    summary.comparison.add(good)
                rows = tag_rows(good, rules, mapper.model_name)
                tags.write_batch(rows)
                notes.write(_noted(good, summary))
                _count(summary, rows)
    except OSError as error:
        raise disk_error(error, out, len(slots)) from error


def _noted(good: pa.RecordBatch, summary: Tagged) -> list[dict[str, str]]:
    """A note for every input that did not count and every picture that OCR could not read."""
    notes = []
    columns = (good.column(name).to_pylist() for name in ("product_id", "note", "absent"))
    for product_id, note, absent in zip(*columns, strict=True):
        summary.noted += note is not None
        if absent is not None:
            summary.absent.update(map(reason_kind, absent.split("; ")))
        notes += [{"product_id": product_id, "reason": reason} for reason in (absent, note) if reason is not None]
    return notes


def tag_rows(known: pa.RecordBatch, rules: Rules, model: str) -> pa.RecordBatch:
    """One row per product and property, or value where there are several, with the decision."""
    decided = decide(known.select(ANSWERED.names), rules)
    return pa.RecordBatch.from_arrays([*decided.columns, array([model] * len(decided), pa.string())], schema=TAGS)


def _count(summary: Tagged, rows: pa.RecordBatch) -> None:
    for column, counters in (("decision", summary.decisions), ("reason", summary.whys)):
        counted = pl.DataFrame(
            [pl.Series(values=rows.column(name)) for name in ("property", column)], ["property", "said"]
        )
        for name, said, count in counted.group_by("property", "said", maintain_order=True).len().iter_rows():
            counters.setdefault(name, Counter())[said] += count
    summary.conflicts += pc.sum(rows.column("conflict")).as_py() or 0


def executor_named(name: str) -> Literal["local", "ray"]:
    """`local` or `ray`; raises ShopvlError for anything else."""
    if name == "local" or name == "ray":
        return "local" if name == "local" else "ray"
    raise ShopvlError(f"there is no engine {name!r}; write --engine local or --engine ray")


def workers_for(rows: int, device: torch.device) -> int:
    """As many as this process may use cores; one where there is too little to do for starting others, or on a GPU."""
    return usable_cores() if rows >= WORTH_WORKERS_ROWS and device.type == "cpu" else 1
