"""Texts about all products of a catalog, from what is known of them: a table of texts and a file of rejects.

Read, cached and resumed as tags are (`run.py`). What is known is what the catalog says and the accepted answers of
`tags.parquet`; nothing else is said.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl
import pyarrow as pa

from shopvl import __version__
from shopvl.arrow import record_batch
from shopvl.batch import Modality
from shopvl.catalog.cells import language_of
from shopvl.catalog.readers import Catalog
from shopvl.catalog.shared_pictures import shared_pictures
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, UNKNOWN
from shopvl.data.instructions import telling
from shopvl.data.rows import RejectedRow, ValidRow, pairs, validate_row
from shopvl.design.design import Design
from shopvl.errors import ShopvlError
from shopvl.files import REJECTS, Table, exclusive_lock
from shopvl.inference.grounds import Grounds
from shopvl.inference.write import ProductWriter, Telling, What, Written
from shopvl.runtime.malloc import disable_malloc_trim
from shopvl.tagging.cache import KEY_BYTES, Pieces, ResultCache, disk_error
from shopvl.tagging.executor import BatchResult, WorkItem
from shopvl.tagging.reader import TOLD, CatalogReader
from shopvl.tagging.summary import RunSummary, reason_kind
from shopvl.tagging.working import keep_results, mapped, works_of

From = Literal["image", "attributes", "title"]
FROM: tuple[From, ...] = ("image", "attributes", "title")
Language = Literal["en", "zh"]
CACHE_FOLDER, MERGED_ROWS = ".written", 4096
SHOWN_WORDS = 5  # of what texts said beyond what is known
AT_ONCE = 32  # products that are written about in one batch

_TEXTS = pa.list_(pa.struct([("text", pa.string()), ("logp", pa.float32()), ("facts", pa.list_(pa.string()))]))
KNOWN = pa.schema(
    [
        ("key", pa.binary(KEY_BYTES)),
        ("reason", pa.string()),  # of a reject
        ("silence", pa.string()),  # why nothing is written about a row, which another try would not change
        ("product_id", pa.string()),
        ("texts", _TEXTS),
    ]
)
TEXTS = pa.schema(
    [
        ("product_id", pa.string()),
        ("rank", pa.int16()),  # 1 is the best
        ("text", pa.string()),
        ("logp", pa.float32()),  # of all its words together, by the model
        ("facts", pa.list_(pa.string())),  # that it names
        ("model", pa.string()),
    ]
)


@dataclass
class WrittenTexts(RunSummary):
    """Rows in = written + rejected, and how many texts there are."""

    written: int = 0
    texts: int = 0


class Request(NamedTuple):
    """What is to be written, from which of a product's inputs, in which language, and how many texts of each."""

    what: What = "title"
    sources: tuple[From, ...] = FROM
    language: Language | None = None  # None: each title's own, English where there is none
    number: int = 1


@dataclass(frozen=True)
class WhatIsKnown:
    """Per row what a writer may say, as a text: the category, attributes and words that the request takes, and the
    accepted answers of earlier tags, by product."""

    request: Request
    accepted: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    columns: tuple[str, ...] = ("category_path", "attributes")

    def __call__(self, frame: pl.DataFrame) -> list[str]:
        """JSON with path, attributes, words and language."""
        rows = frame.select("product_id", "title", *(name for name in self.columns if name in frame.columns))
        return [json.dumps(self._known(row), ensure_ascii=False) for row in rows.iter_rows(named=True)]

    def _known(self, row: Mapping[str, Any]) -> dict[str, Any]:
        path: Sequence[str] = ()
        values: dict[str, str] = {}
        if "attributes" in self.request.sources:
            path, values = row.get("category_path") or (), dict(pairs(row.get("attributes")))
        for name, value in self.accepted.get(row["product_id"] or "", ()):
            if name == CATEGORY:
                path = path or value.split(CATEGORY_JOIN)
            else:
                values.setdefault(name, value)
        title = (row["title"] or "").strip()
        words = title if "title" in self.request.sources else ""
        language = self.request.language or ("zh" if language_of(title) == "zh" else "en")
        return {"path": list(path), "attributes": sorted(values.items()), "words": words, "language": language}


def accepted_in(tags: Path) -> dict[str, tuple[tuple[str, str], ...]]:
    """Product -> its accepted (property, value) pairs, out of the folder that `tag` wrote. Raises ShopvlError."""
    path = tags / "tags.parquet"
    if not path.is_file():
        raise ShopvlError(f"there is no {path}; name a folder that `shopvl tag` wrote")
    sure = pl.scan_parquet(path).filter((pl.col("decision") == "accept") & (pl.col("value") != UNKNOWN))
    found: dict[str, list[tuple[str, str]]] = {}
    for product_id, name, value in sure.select("product_id", "property", "value").collect().iter_rows():
        found.setdefault(product_id, []).append((name, value))
    return {product_id: tuple(answers) for product_id, answers in found.items()}


class WriteMapper:
    """Rows to texts. A row of which nothing may be said, or nothing can be, is a reject with the reason."""

    def __init__(self, design: Design, root: Path, request: Request, shared: frozenset[bytes] = frozenset()) -> None:
        self.design, self.root, self.request, self.shared = design, root, request, shared

    def fingerprint(self) -> bytes:
        """A digest of everything besides the row that a text depends on."""
        settings = {
            "version": __version__,
            "kept": KNOWN.to_string(),
            "model": self.model_name,
            "ontology": self.design.ontology.model_dump(mode="json"),
            "request": self.request,
            "shared pictures": sorted(digest.hex() for digest in self.shared),
        }
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=KEY_BYTES).digest()

    @cached_property
    def model_name(self) -> str:
        """The design's name; computing it reads all of its weights."""
        return self.design.name

    @property
    def pictured(self) -> bool:
        """Whether it looks at pictures."""
        return "image" in self.request.sources and "image" in self.design.recipe.inputs

    def prepared(self, work: WorkItem) -> tuple[list[ValidRow | RejectedRow], float]:
        """The rows with their decoded pictures, and the seconds that took."""
        started = time.perf_counter()
        wanted: tuple[Modality, ...] = ("image", "title") if self.pictured else ("title",)
        rows = [self._examined(row, wanted) for row in work.frame.iter_rows(named=True)]
        return rows, time.perf_counter() - started

    def _examined(self, row: dict[str, Any], wanted: tuple[Modality, ...]) -> ValidRow | RejectedRow:
        known = json.loads(row[TOLD])
        needs_none = bool(known["path"] or known["attributes"])
        examined = validate_row(row, self.root, wanted, at_least_px=self.design.loader.decoded_px, shared=self.shared)
        lacks_inputs = isinstance(examined, RejectedRow) and examined.reason.startswith("the product has no ")
        return ValidRow(row, ()) if lacks_inputs and needs_none and row["product_id"] else examined

    def answered(self, work: WorkItem, ready: list[ValidRow | RejectedRow], preparing: float) -> BatchResult:
        """Texts for prepared rows."""
        started = time.perf_counter()
        results: list[dict[str, Any]] = [
            {"key": key, "product_id": product_id or "", "reason": None, "silence": None, "texts": []}
            for key, product_id in zip(work.keys, work.frame["product_id"], strict=True)
        ]
        groups: dict[bool, list[tuple[int, ValidRow]]] = {}
        for place, row in enumerate(ready):
            if isinstance(row, RejectedRow):
                results[place]["reason"] = row.reason
            else:
                groups.setdefault("image" in row.inputs, []).append((place, row))
        for pictured, group in groups.items():
            for start in range(0, len(group), AT_ONCE):
                for place, result in self._written(group[start : start + AT_ONCE], pictured):
                    results[place] |= result
        return BatchResult(record_batch(results, KNOWN), {"prepare": preparing, "model": time.perf_counter() - started})

    def _written(self, group: Sequence[tuple[int, ValidRow]], pictured: bool) -> list[tuple[int, dict[str, Any]]]:
        tellings = [self._telling(row) for _, row in group]
        spoken = [n for n, telling in enumerate(tellings) if telling.grounds.names]
        silent = {"silence": "nothing was written: neither the row nor an accepted tag says anything of the product"}
        found: list[tuple[int, dict[str, Any]]] = [
            (place, silent) for n, (place, _) in enumerate(group) if not tellings[n].grounds.names
        ]
        if not spoken:
            return found
        images = [group[n][1].image for n in spoken]
        pictures = self.design.loader.pictures([image for image in images if image]).pictures if pictured else None
        outcomes = self._writer.write(pictures, [tellings[n] for n in spoken], self.request.number)
        for n, outcome in zip(spoken, outcomes, strict=True):
            place, grounds = group[n][0], tellings[n].grounds
            if outcome.texts:
                found.append((place, {"texts": [_text(one, grounds) for one in outcome.texts]}))
            else:
                more = ", ".join([*dict.fromkeys(outcome.beyond)][:SHOWN_WORDS]) or "nothing at all"
                found.append((place, {"silence": f"nothing was written: the texts said what is not known ({more})"}))
        return found

    def _telling(self, row: ValidRow) -> Telling:
        known = json.loads(row.row[TOLD])
        attributes = [(name, value) for name, value in known["attributes"]]
        language, words = known["language"], "" if "title" in row.absent else known["words"]
        told = telling(self.request.what, known["path"], attributes, words, language)
        return Telling(told, Grounds.of(self.design.ontology, known["path"], attributes, words, language))

    def lost(self, work: WorkItem, reason: str) -> BatchResult:
        """Rows that kill every worker, as rejects."""
        return BatchResult(
            record_batch(
                [
                    {"key": key, "product_id": product_id or "", "reason": reason, "silence": None, "texts": []}
                    for key, product_id in zip(work.keys, work.frame["product_id"], strict=True)
                ],
                KNOWN,
            )
        )

    @cached_property
    def _writer(self) -> ProductWriter:
        return ProductWriter(self.design)

    def __getstate__(self) -> dict[str, Any]:  # a worker makes its own
        return {name: value for name, value in vars(self).items() if name != "_writer"}


def _text(one: Written, grounds: Grounds) -> dict[str, Any]:
    facts = [str(grounds.ontology.facts[number]) for number in grounds.said(one.text)]
    return {"text": one.text, "logp": one.logp, "facts": facts}


def write(
    design: Design,
    catalog: Catalog,
    out: Path,
    request: Request,
    *,
    tags: Path | None = None,
    limit: int | None = None,
    workers: int = 1,
    report: Callable[[int], None] = lambda rows: None,
    pieces: Pieces | None = None,
) -> WrittenTexts:
    """Write `out/texts.parquet` and `out/rejects.parquet`, each complete or not at all.

    What is done is kept in `out/.written` by the content of each row and what is known of it: a run that was stopped
    goes on where it was, and a changed catalog costs what changed. `tags` is a folder that `tag` wrote. Raises
    ShopvlError where the disk is full, and where another process writes into `out`.
    """
    started = time.monotonic()
    ProductWriter(design)  # says at once where a design cannot
    disable_malloc_trim()
    pieces = pieces or Pieces()
    summary = WrittenTexts(workers=workers)
    known = WhatIsKnown(request, {} if tags is None else accepted_in(tags))
    with summary.timed("read"):
        shared = shared_pictures(catalog) if "image" in request.sources else frozenset()
    mapper = WriteMapper(design, catalog.root, request, shared)
    with exclusive_lock(out / CACHE_FOLDER, f"writing into {out}"):
        cache = ResultCache(out / CACHE_FOLDER, KNOWN, pieces)
        reading = CatalogReader(catalog, mapper.fingerprint(), limit, pieces.work_rows, known)
        works = works_of(reading, cache, summary, pictured=mapper.pictured)
        keep_results(mapped(mapper, works, workers, design.device), reading, cache, summary, report)
        with summary.timed("merge"):
            _merge(cache, reading, out, mapper.model_name, summary)
        cache.finish(reading.slots(), complete=limit is None)
    summary.reused, summary.damaged, summary.seconds = reading.reused, cache.damaged, time.monotonic() - started
    assert summary.rows == summary.written + summary.rejected
    return summary


def _merge(cache: ResultCache, reading: CatalogReader, out: Path, model: str, summary: WrittenTexts) -> None:
    """Write the cached results, in the catalog's order, as texts and rejects."""
    slots, repeated = reading.slots(), reading.repeated()
    try:
        with ExitStack() as stack:
            texts = stack.enter_context(Table(out / "texts.parquet", TEXTS))
            rejects = stack.enter_context(Table(out / "rejects.parquet", REJECTS))
            for start in range(0, len(slots), MERGED_ROWS):
                for number, row in enumerate(cache.take(slots[start : start + MERGED_ROWS]).to_pylist(), start):
                    reason = row["reason"] or row["silence"]
                    if (first := repeated.get(number)) is not None and reason is None:
                        reason = f"the id {row['product_id']} came before, in row {first + 1}; ids must be unique"
                    summary.rows += 1
                    if reason is not None:
                        summary.rejected += 1
                        summary.reasons[reason_kind(reason)] += 1
                        rejects.write([{"product_id": row["product_id"], "reason": reason}])
                        continue
                    summary.written += 1
                    summary.texts += len(row["texts"])
                    ranked = enumerate(row["texts"], 1)
                    texts.write(
                        [{"product_id": row["product_id"], "rank": rank, **one, "model": model} for rank, one in ranked]
                    )
    except OSError as error:
        raise disk_error(error, out, len(slots)) from error
