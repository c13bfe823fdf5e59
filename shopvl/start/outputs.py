"""What a frozen model says of every product of a catalog, kept: what decisions teach is then learned in seconds."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, Modality, inputs_name
from shopvl.catalog.readers import Catalog
from shopvl.checksums import Remedy, verify_sealed
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.errors import CatalogError, DamagedError, DesignError
from shopvl.files import Table
from shopvl.inference.encode import Encoded, Pool, Values, encode
from shopvl.inference.predict import NEVER, PromptedAnswers
from shopvl.inference.views import pooled_vectors
from shopvl.models.answering_encoder import AnsweringDualEncoder
from shopvl.models.prompt_heads import PromptMaskHead

OUTPUTS = "outputs.parquet"
MADE_FROM = b"made from"
BATCH_ROWS = 256
PART_ROWS = 512  # a run that is stopped goes on after the last so many that were read


@dataclass(frozen=True)
class LegalAnswers:
    """One question with its L legal answers: its group and place among the prepared questions, the answers' columns
    there, their numbers among all answers, and where they stand in a line of outputs."""

    group: int
    place: int
    columns_L: Tensor
    answers_L: np.ndarray
    span: slice


class NameReader:
    """Answers by name of a prompt-mask design, as lines of numbers: question by question the legal answers."""

    def __init__(self, design: Design) -> None:
        self.design, self.answers = design, PromptedAnswers(design)
        self.model = design.model
        assert isinstance(self.model, AnsweringDualEncoder)
        if not isinstance(self.model.head, PromptMaskHead):
            raise DesignError(f"the design {design.name} compares no names; start from one with a prompt-mask head")
        self.head: PromptMaskHead = self.model.head
        self.asked: list[LegalAnswers] = []
        width = 0
        for number, group in enumerate(self.answers.groups):
            for place, legal_K in enumerate(group.questions.legal_QK.cpu()):
                columns_L = legal_K.nonzero().flatten()
                numbers_L = columns_L if group.numbers_K is None else group.numbers_K.cpu()[columns_L]
                span = slice(width, width + len(columns_L))
                self.asked.append(LegalAnswers(number, place, columns_L, numbers_L.numpy(), span))
                width = span.stop
        self.width = width

    def free(self, number: int) -> np.ndarray:
        """(L,) bool: the answers of a question that are answers to no other one, as `unknown` is to all."""
        free: np.ndarray = self._questions_of_answer[self.asked[number].answers_L] == 1
        return free

    @cached_property
    def _questions_of_answer(self) -> np.ndarray:
        """(K,): how many questions each answer is legal to."""
        return np.bincount(np.concatenate([one.answers_L for one in self.asked]))

    def read(self, batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        """What is kept of a batch.

        `INPUTS` -> (B, F) log-probabilities from each choice of its inputs, `pooled` (B, W) of the pictures, and unit
        vectors (B, D) of the picture, or else of the title.
        """
        choices = [choice for choice in INPUT_CHOICES if set(choice) <= set(inputs)]
        assert isinstance(self.model, AnsweringDualEncoder)
        answered, features = self.model.answer_with_features(batch, self.answers.groups, choices)
        lines = {inputs: self._line(logp) for inputs, logp in answered.items()}
        own = features["image" if "image" in features else "title"]
        found = {**lines, "vector": own[:, -self.model.width :]}
        if "image" in features:
            found["pooled"] = features["image"][:, : -self.model.width]
        return found

    def _line(self, logp: Sequence[Tensor]) -> Tensor:
        parts = [logp[one.group][:, one.place, one.columns_L.to(logp[one.group].device)] for one in self.asked]
        return torch.cat(parts, dim=1).clamp(min=NEVER)

    def by_property(self, line_NF: np.ndarray) -> dict[str, Tensor]:
        """Property -> (N, K) log-probabilities of the labels, from lines of scores, which need not sum to anything."""
        parts: dict[str, list[Tensor]] = {}
        for start in range(0, len(line_NF), BATCH_ROWS):
            some_BF = torch.from_numpy(line_NF[start : start + BATCH_ROWS].astype(np.float32))
            groups = []
            for group in self.answers.groups:
                legal_QK = group.questions.legal_QK.cpu()
                groups.append(torch.full((len(some_BF), *legal_QK.shape), -torch.inf))
            for one in self.asked:
                groups[one.group][:, one.place, one.columns_L] = some_BF[:, one.span].log_softmax(-1)
            for name, logp_BK in self.answers.answered(groups).items():
                parts.setdefault(name, []).append(logp_BK)
        return {name: torch.cat(own) for name, own in parts.items()}


@dataclass(frozen=True)
class CatalogOutputs:
    """What was read of the N good products of a catalog, in its order."""

    ids: list[str]
    titles: list[str]  # empty where there is none that counts
    lines: dict[str, np.ndarray]  # inputs -> (N, F), NaN where a product lacks one of them
    pooled_NW: np.ndarray  # NaN where there is no picture
    vector_ND: np.ndarray
    rejects: list[RejectedRow]

    def has(self, inputs: str) -> np.ndarray:
        """(N,) bool: products with all of these inputs."""
        there: np.ndarray = ~np.isnan(self.lines[inputs][:, 0])
        return there

    @cached_property
    def inputs(self) -> list[tuple[Modality, ...]]:
        """Of each product."""
        has_NI = np.stack([self.has(name) for name in MODALITIES], axis=1).tolist()
        return [tuple(name for name, there in zip(MODALITIES, has, strict=True) if there) for has in has_NI]

    @cached_property
    def share_of(self) -> dict[str, float]:
        """Inputs -> the share of products that have exactly these."""
        return {name: own / len(self.ids) for name, own in Counter(map(inputs_name, self.inputs)).items()}

    def where(self, chosen_N: np.ndarray) -> CatalogOutputs:
        """Some of the products, by number."""
        return replace(
            self,
            ids=[self.ids[number] for number in chosen_N],
            titles=[self.titles[number] for number in chosen_N],
            lines={inputs: line_NF[chosen_N] for inputs, line_NF in self.lines.items()},
            pooled_NW=self.pooled_NW[chosen_N],
            vector_ND=self.vector_ND[chosen_N],
        )


def outputs_of(
    design: Design, catalog: Catalog, folder: Path, report: Callable[[float], None] = lambda share: None
) -> tuple[NameReader, CatalogOutputs]:
    """What the design says of the catalog's products: as it is kept in the folder, where it is of these two; else read
    now, and kept part by part. Raises CatalogError where no product can be read."""
    reader, path = NameReader(design), folder / OUTPUTS
    made_from = hashlib.blake2b(
        json.dumps([design.name, design.labels, catalog.digest(), reader.width], sort_keys=True).encode(),
        digest_size=16,
    ).hexdigest()
    try:
        kept = _opened(path, made_from)
    except (DamagedError, FileNotFoundError):  # nothing is lost by reading the catalog again
        _read_all(reader, catalog, path, made_from, report)
        kept = _opened(path, made_from)
    report(1.0)
    if not kept.ids:
        first = f"; the first: {kept.rejects[0].reason}" if kept.rejects else ""
        raise CatalogError(f"no product of {catalog.path} can be read{first}")
    return reader, kept


def _read_all(
    reader: NameReader, catalog: Catalog, path: Path, made_from: str, report: Callable[[float], None]
) -> None:
    """Every row of the catalog once: what was read of it, or why nothing was. Parts that a stopped run has left are
    kept."""
    total, parts, written = max(1, catalog.count()), path.with_suffix(".parts"), []
    parts.mkdir(parents=True, exist_ok=True)
    schema, seen, done = _schema(reader, made_from), set[str](), 0
    for number, frame in enumerate(catalog.batches(PART_ROWS)):
        part = parts / f"{number:06}.parquet"
        if not _is_part(part, made_from):
            with Table(part, schema) as table:
                for batch in _read_part(reader, catalog, frame, schema, seen):
                    table.write_batch(batch)
        ids = pq.read_table(part, columns=["product_id", "reason"])
        seen.update(ids.filter(pc.is_null(ids.column("reason"))).column("product_id").to_pylist())
        written.append(part)
        done += frame.height
        report(done / total)
    with Table(path, schema) as table:
        for part in written:
            for batch in pq.read_table(part).to_batches():
                table.write_batch(batch)
    shutil.rmtree(parts)


def _schema(reader: NameReader, made_from: str) -> pa.Schema:
    model = reader.model
    assert isinstance(model, AnsweringDualEncoder)
    widths = {**{inputs_name(c): reader.width for c in INPUT_CHOICES}, "pooled": model.image_tower.width}
    widths["vector"] = model.width
    return pa.schema(
        [
            *(pa.field(name, pa.string()) for name in ("product_id", "words", "reason")),
            *(pa.field(name, pa.list_(pa.float32(), width)) for name, width in widths.items()),
        ],
        metadata={MADE_FROM: made_from},
    )


def _is_part(path: Path, made_from: str) -> bool:
    """Whether a part is there, as it was written, of this catalog and model."""
    try:
        verify_sealed(path, Remedy("start again"))
        metadata = pq.read_schema(path).metadata or {}
    except (DamagedError, OSError, pa.ArrowException):
        return False
    return metadata.get(MADE_FROM) == made_from.encode()


def _read_part(
    reader: NameReader, catalog: Catalog, frame: pl.DataFrame, schema: pa.Schema, seen: set[str]
) -> Iterator[pa.RecordBatch]:
    """Some rows of the catalog; those whose ids were `seen` before are rejects."""
    pool = Pool(reader.read, mean_of_pictures)
    for item in encode(reader.design, [frame], catalog.root, MODALITIES, reader.read, pool=pool):
        if isinstance(item, Encoded):
            titled = "title" in item.inputs
            item, again = _new(item, seen)
            words = [row["title"] if titled else "" for row in item.rows]
            ids = [row["product_id"] for row in item.rows]
            yield _batch(schema, [(*pair, None) for pair in zip(ids, words, strict=True)], item.values)
        else:
            again = [item]
        yield _batch(schema, [(row.product_id, "", row.reason) for row in again], {})


def _new(item: Encoded, seen: set[str]) -> tuple[Encoded, list[RejectedRow]]:
    """Without products whose ids came before, which are rejects; the others are now `seen`."""
    again, good = [], []
    for number, row in enumerate(item.rows):
        if row["product_id"] in seen:
            again.append(RejectedRow(row["product_id"], f"the id {row['product_id']} came before; ids must be unique"))
        else:
            good.append(number)
            seen.add(row["product_id"])
    values = {name: value[good] for name, value in item.values.items()}
    return Encoded(item.inputs, [item.items[number] for number in good], values), again


def mean_of_pictures(values: Values, seen: Values, owner_V: np.ndarray, number_V: np.ndarray) -> Values:
    """What is kept of products with all of their pictures: of scores the mean, which is the geometric mean of what they
    stand for (`inference/views.py`); of pooled vectors, too, so that linear terms are means as well."""
    count_R = 1 + np.bincount(owner_V, minlength=len(values["vector"]))[:, None]
    found = dict(values)
    for name, of_views in seen.items():
        if name == "pooled" or "image" in name.split("+"):
            total_RX = values[name].copy()
            np.add.at(total_RX, owner_V, of_views)
            found[name] = total_RX / count_R
    return pooled_vectors(found, seen, owner_V, number_V, "vector")


def _batch(
    schema: pa.Schema, rows: Sequence[tuple[str, str, str | None]], values: Mapping[str, np.ndarray]
) -> pa.RecordBatch:
    """Id, words and reason of every row, and what was read of them, NaN where nothing was."""
    texts = zip(*rows, strict=True) if rows else ((), (), ())
    columns = [pa.array(column, pa.string()) for column in texts]
    for one in schema.names[len(columns) :]:
        width = schema.field(one).type.list_size
        own_BX = values.get(one, np.full((len(rows), width), np.nan)).astype(np.float32)
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(own_BX.ravel()), width))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _opened(path: Path, made_from: str) -> CatalogOutputs:
    """What is kept there. Raises DamagedError for a damaged file, and for what is of another model or catalog."""
    remedy = Remedy("delete it, and start again")
    verify_sealed(path, remedy)
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise remedy.damaged(path) from error
    if (table.schema.metadata or {}).get(MADE_FROM) != made_from.encode():
        raise remedy.damaged(path, "it was read of another catalog, or by another model")
    good = table.filter(pc.is_null(table.column("reason")))
    bad = table.filter(pc.is_valid(table.column("reason")))
    columns = {name: _array(good.column(name)) for name in good.column_names[3:]}
    return CatalogOutputs(
        ids=good.column("product_id").to_pylist(),
        titles=good.column("words").to_pylist(),
        lines={inputs_name(choice): columns[inputs_name(choice)] for choice in INPUT_CHOICES},
        pooled_NW=columns["pooled"],
        vector_ND=columns["vector"],
        rejects=[RejectedRow(**row) for row in bad.select(["product_id", "reason"]).to_pylist()],
    )


def _array(column: pa.ChunkedArray) -> np.ndarray:
    """(N, X) float32."""
    lists = column.combine_chunks()
    width: int = column.type.list_size
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, width).copy()
