"""The mapper of a tagging run: rows of a catalog to results for the cache, in any process on any machine."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import torch
from safetensors.torch import save

from shopvl import __version__
from shopvl.arrow import record_batch
from shopvl.batch import Modality
from shopvl.catalog.descriptions import described, description_columns
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import BARELY_FAMILIAR_FROM, FAMILIAR_FROM
from shopvl.data.collate import Collator
from shopvl.design.design import Design
from shopvl.design.in_use import Runtime, in_use
from shopvl.errors import ShopvlError
from shopvl.inference.choose import by_name
from shopvl.inference.decide import ANSWERED, Rules, calibrations_of
from shopvl.inference.encode import Prepared, encoded, prepare
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.models.familiarity import as_tensors
from shopvl.runtime.bfloat16 import bf16_is_fast
from shopvl.tagging.cache import KEY_BYTES
from shopvl.tagging.executor import BatchResult, WorkItem
from shopvl.tagging.reader import TOLD

# One row per product. The decisions are not in it: they follow from what is in it and the precision that is asked for.
KNOWN = pa.schema(
    [
        ("key", pa.binary(KEY_BYTES)),
        ("reason", pa.string()),  # of a reject
        ("note", pa.string()),
        ("absent", pa.string()),  # why an input of the row does not count: a placeholder, a file name for a title
        ("looks", pa.int8()),  # at the picture, that the answers rest on
        *ANSWERED,
    ]
)


CLOSER = "second look"  # the stage of what the model does about pictures that need one


@dataclass(frozen=True)
class TaggingWay:
    """With heads or without, and how the model is run: `rows` is how many products are to come."""

    zero_shot: bool = False
    bfloat16: bool = False
    int8: bool = False
    runtime: Runtime = "auto"
    rows: int = 0

    def ready(self, design: Design) -> Design:
        """The design made ready for use."""
        return in_use(design, self.runtime, bfloat16=self.bfloat16, int8=self.int8, rows=self.rows)


class TagMapper:
    """Prepare, model, answers. Raises ShopvlError where bfloat16 is asked for and would be slow."""

    def __init__(
        self,
        design: Design,
        root: Path,
        use: tuple[Modality, ...],
        way: TaggingWay,
        shared: frozenset[bytes] = frozenset(),
    ) -> None:
        if way.bfloat16 and not bf16_is_fast():
            raise ShopvlError("this machine is slower in bfloat16 than in float32; leave it out")
        # as it was trained: every worker makes its own ready
        self.design, self.root, self.use = design.source or design, root, use
        self.way, self.shared = way, shared

    def fingerprint(self) -> bytes:
        """A digest of everything besides the row that an answer depends on."""
        design = self.design
        settings = {
            "version": __version__,
            "kept": KNOWN.to_string(),
            "model": self.model_name,
            "labels": design.labels,
            "ontology": design.ontology.model_dump(mode="json"),
            "calibration": design.calibration,
            "first look": design.first_look,
            "familiarity": hashlib.blake2b(save(as_tensors(design.familiarity))).hexdigest(),
            "familiar from": [FAMILIAR_FROM, BARELY_FAMILIAR_FROM],
            "use": self.use,
            "zero_shot": "from every choice of inputs" if self.way.zero_shot else False,
            "bfloat16": self.way.bfloat16,
            **({"stated": design.stated} if design.ontology.stated else {}),
            **({"int8": True} if self.way.int8 else {}),  # named since it exists: what was tagged before stays known
            "shared pictures": sorted(digest.hex() for digest in self.shared),
            "words": None if design.reader is None else design.reader.version(),
        }
        return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=KEY_BYTES).digest()

    @cached_property
    def model_name(self) -> str:
        """The design's name; computing it reads all of its weights."""
        return self.design.name

    def rules(self, precision: float) -> Rules:
        """What decides about the results."""
        ontology = self.design.ontology
        if self.way.zero_shot:
            return Rules.of(ontology, {}, precision, self.design.stated)
        return Rules.of(ontology, calibrations_of(self.design), precision, self.design.stated)

    def prepared(self, work: WorkItem) -> tuple[Prepared, float]:
        """The rows as batches, and the seconds that took."""
        started = time.perf_counter()
        rows = [_with_texts(row) for row in work.frame.iter_rows(named=True)]
        ready = prepare(self._loader, rows, self.root, self.use, shared=self.shared)
        return ready, time.perf_counter() - started

    def answered(self, work: WorkItem, ready: Prepared, preparing: float) -> BatchResult:
        """The model's answers for prepared rows."""
        seconds = {"prepare": preparing, "model": 0.0, CLOSER: 0.0, "answers": 0.0}
        results = [_result(key, row) for key, row in zip(work.keys, work.frame["product_id"], strict=True)]
        for position, reject in ready.rejects.items():
            results[position]["reason"] = reject.reason
        for position, note in ready.notes.items():
            results[position]["note"] = note
        for position, reason in ready.absent.items():
            results[position]["absent"] = reason
        for group in ready.groups:
            started, before = time.perf_counter(), self._answers.closer_seconds
            with self._arithmetic():
                item = encoded(self._used, group, self._answers.read, self._answers.pool)
            between = time.perf_counter()
            for position, product in zip(group.places, self._answers.products(item), strict=True):
                results[position] |= product
            closer = self._answers.closer_seconds - before
            seconds[CLOSER] += closer
            seconds["model"] += between - started - closer
            seconds["answers"] += time.perf_counter() - between
        started = time.perf_counter()
        batch = record_batch(results, KNOWN)
        seconds["answers"] += time.perf_counter() - started
        return BatchResult(batch, seconds)

    def lost(self, work: WorkItem, reason: str) -> BatchResult:
        """Rows that kill every worker, as rejects."""
        results = [
            _result(key, product_id) | {"reason": reason}
            for key, product_id in zip(work.keys, work.frame["product_id"], strict=True)
        ]
        return BatchResult(record_batch(results, KNOWN))

    def _arithmetic(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.design.device.type, torch.bfloat16) if self.way.bfloat16 else nullcontext()

    @cached_property
    def _loader(self) -> Collator:
        return self.design.loader

    @cached_property
    def _answers(self) -> HeadAnswers:
        return HeadAnswers(self._used, by_name(self._used) if self.way.zero_shot else None)

    def prepare_runtime(self, threads: int) -> None:
        """Export and measure for workers with so many threads, so that they need not wait for each other."""
        own = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            self.way.ready(self.design)
        finally:
            torch.set_num_threads(own)

    @cached_property
    def _used(self) -> Design:
        return self.way.ready(self.design)

    def __getstate__(self) -> dict[str, Any]:  # a worker makes its own
        return {name: value for name, value in vars(self).items() if name not in ("_loader", "_answers", "_used")}


@dataclass(frozen=True)
class TextsOfRows:
    """Per row what its description and attributes say, for designs with properties that texts state."""

    described_by: tuple[str, ...]  # columns

    @classmethod
    def of(cls, catalog: Catalog, design: Design, use: tuple[Modality, ...]) -> TextsOfRows | None:
        """None where nothing is read of them."""
        if "title" not in use or not design.ontology.stated:
            return None
        return cls(description_columns(catalog.columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """That are read."""
        return ("attributes", *self.described_by)

    def __call__(self, frame: pl.DataFrame) -> list[str]:
        """JSON with description and attributes."""
        rows = frame.select(self.columns).iter_rows(named=True)
        return [
            json.dumps(
                {"description": described(row, self.described_by), "attributes": row["attributes"]}, ensure_ascii=False
            )
            for row in rows
        ]


def _with_texts(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **json.loads(row[TOLD])} if TOLD in row else row


def _result(key: bytes, product_id: str | None) -> dict[str, Any]:
    empty = dict.fromkeys(("reason", "note", "absent"))
    nothing = {"inputs": "", "unfamiliar": [], "levels": [], "answers": [], "stated": []}
    return {"key": key, "product_id": product_id or "", **empty, **nothing}
