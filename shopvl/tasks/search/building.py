"""Make an index of a catalog, and change it: products added, replaced and deleted by their ids, tags attached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from shopvl.batch import Batch, Modality
from shopvl.catalog.images import decode, image_bytes
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import ATTRIBUTES
from shopvl.design import Design
from shopvl.encoding import Encoded, encode
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.loading import CATEGORY, CATEGORY_JOIN, Reject, Row, pairs
from shopvl.tasks.search import milvus
from shopvl.tasks.search import vectors as nearest
from shopvl.tasks.search.folder import (
    CONFIG,
    ONTOLOGY,
    PRODUCTS,
    REJECTS,
    THUMBNAILS,
    TITLE_SHARE,
    VECTORS,
    Milvus,
    Segment,
    Settings,
    State,
    clear,
    publish,
    read_state,
    sole_writer,
)
from shopvl.tasks.search.groups import Photos, fingerprint, variant_key
from shopvl.tasks.search.lexical import Lexical

THUMBNAIL_PX = 160
STALE_SHARE = 0.2  # of rows that are deleted or not in the FAISS index: from here on a change makes all files anew
FRAME_ROWS = 10_000
COLLECTION_VERSION = "_v"  # stands before the version in the name of a Milvus collection

_SHOWN = pl.Schema(
    {
        "product_id": pl.String(),
        "title": pl.String(),
        "category_path": pl.List(pl.String),
        "attributes": ATTRIBUTES,
        "photo": pl.String(),
        "variant": pl.String(),
    }
)
_PICTURES = pa.schema([("thumbnail", pa.large_binary()), ("print", pa.large_binary())])
_KEPT_TYPES = (pl.String, pl.Boolean, pl.Int32, pl.Int64, pl.Float32, pl.Float64)
_TAG_COLUMNS = ("product_id", "property", "value", "probability", "decision", "alternatives")

Report = Callable[[int], None]


@dataclass(frozen=True)
class Indexed:
    """What a build or a change did. Rows in = indexed + rejected; `replaced` of the indexed were there before."""

    indexed: int
    rejected: int
    replaced: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class Plan:
    """How an index is to be made; what is None is chosen by size."""

    settings: Settings = field(default_factory=Settings)
    kind: nearest.Kind | None = None
    budget_mb: int | None = None
    milvus: Milvus | None = None


def product_vectors(
    embeddings: Mapping[str, Tensor], inputs: tuple[Modality, ...], title_share: float = TITLE_SHARE
) -> Tensor:
    """Unit vectors (B, D): the mix of picture and title, or the one there is."""
    if len(inputs) == 1:
        return embeddings[inputs[0]]
    return F.normalize(title_share * embeddings["title"] + (1 - title_share) * embeddings["image"], dim=-1)


def build_index(
    design: Design,
    catalog: Catalog,
    out: Path,
    report: Report = lambda rows: None,
    *,
    tags: Path | None = None,
    plan: Plan | None = None,
    ontology: Ontology | None = None,
) -> Indexed:
    """Embed the catalog and write the index folder. It replaces an older index only when it is whole.

    `ontology` (the design's, if none is given) brings the names by which words of a query are understood.
    """
    plan, ontology = plan or Plan(), ontology or design.ontology
    with sole_writer(out):
        old = _version(out)
        clear(out, old)
        writer = Writer(out, (old.version if old else 0) + 1, ontology)
        rejects = _embed(design, catalog, writer, plan.settings.title_share, report)
        pl.DataFrame([vars(r) for r in rejects], schema={"product_id": pl.String, "reason": pl.String}).write_parquet(
            out / REJECTS
        )
        if not writer.rows:
            raise ShopvlError(f"no row of {catalog.path} could be indexed; {out / REJECTS} says why for each")
        segment = writer.close()
        ontology.save(out / ONTOLOGY)
        finish(out, design.name, segment, plan, ontology, None if tags is None else read_tags(tags), old)
    return Indexed(segment.rows, len(rejects))


def _version(out: Path) -> State | None:
    """The index that is there, if there is one that can be read."""
    if not (out / CONFIG).is_file():
        return None
    try:
        return read_state(out)
    except IndexFolderError:
        return None


def _embed(design: Design, catalog: Catalog, writer: Writer, title_share: float, report: Report) -> list[Reject]:
    def read(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        return {"vector": product_vectors(design.embeddings(batch, inputs), inputs, title_share)}

    rejects: list[Reject] = []
    for item in encode(design, catalog.batches(), catalog.root, ("image", "title"), read):
        if isinstance(item, Encoded):
            writer.add(item.values["vector"], item.rows, catalog.root, catalog.plan.further)
        else:
            rejects.append(item)
        report(writer.rows + len(rejects))
    return rejects


class Writer:
    """One new segment of an index folder: vectors, what is shown, pictures. The last row of an id wins."""

    def __init__(self, out: Path, version: int, ontology: Ontology, photos: Photos | None = None) -> None:
        self.name = f"segment-{version:05d}"
        self.folder = out / self.name
        self.folder.mkdir(parents=True)
        self.ontology, self.photos = ontology, photos or Photos()
        self.rows, self.dimension = 0, 0
        self._vectors = (self.folder / VECTORS).open("wb")
        self._pictures = pa.ipc.new_file(str(self.folder / THUMBNAILS), _PICTURES)
        self._frames: list[pl.DataFrame] = []
        self._waiting: list[dict[str, Any]] = []

    def add(self, matrix_ND: np.ndarray, rows: Sequence[Row], root: Path, further: Collection[str] = ()) -> None:
        """Products with their unit vectors; pictures are read from the rows, relative paths from `root`."""
        pictures = [_pictured(row, root) for row in rows]
        shown = []
        for row, (_, print_) in zip(rows, pictures, strict=True):
            own = {name: row[name] for name in ("product_id", "title", "category_path", "attributes")}
            own["photo"] = self.photos.group(row["product_id"], print_)
            own["variant"] = (
                variant_key(row["title"], row["category_path"], row["attributes"], self.ontology) or own["photo"]
            )
            shown.append(own | {name: row[name] for name in further})
        self.put(matrix_ND, shown, pictures)

    def put(
        self,
        matrix_ND: np.ndarray,
        shown: Sequence[dict[str, Any]],
        pictures: Sequence[tuple[bytes | None, bytes | None]],
    ) -> None:
        """The same for rows that are ready: as they stand in the products table, with (thumbnail, fingerprint)."""
        self.dimension = int(matrix_ND.shape[1])
        self._vectors.write(np.ascontiguousarray(matrix_ND, dtype="<f4").tobytes())
        columns = [pa.array(column, pa.large_binary()) for column in zip(*pictures, strict=True)]
        self._pictures.write_batch(pa.record_batch(columns, schema=_PICTURES))
        self._waiting.extend(shown)
        self.rows += len(shown)
        if len(self._waiting) >= FRAME_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            frame = pl.DataFrame(self._waiting, schema_overrides=_SHOWN, infer_schema_length=None)
            kept = [name for name, kind in frame.schema.items() if name in _SHOWN or kind in _KEPT_TYPES]
            self._frames.append(frame.select(kept))
            self._waiting = []

    def close(self) -> Segment:
        """Write what is left."""
        self._flush()
        self._vectors.close()
        self._pictures.close()
        pl.concat(self._frames, how="diagonal_relaxed").write_parquet(self.folder / PRODUCTS)
        return Segment(name=self.name, rows=self.rows)


def finish(
    out: Path,
    model: str,
    segment: Segment,
    plan: Plan,
    ontology: Ontology,
    tags: pl.DataFrame | None,
    old: State | None,
) -> State:
    """Index one segment that holds everything, and make it the folder's index."""
    version = int(segment.name.rsplit("-", 1)[1])
    products = pl.read_parquet(out / segment.name / PRODUCTS)
    matrix = _matrix(out, segment)
    twice = products.with_row_index("row").filter(~pl.col("product_id").is_last_distinct())["row"].to_list()
    place = None
    if plan.milvus is not None:  # a collection of its own, so that the old index is whole until the new one is
        stem = plan.milvus.collection.split(COLLECTION_VERSION)[0]
        place = plan.milvus.model_copy(update={"collection": f"{stem}{COLLECTION_VERSION}{version}"})
        milvus.store(place, matrix, 0)
    kind, effort, file = ("flat", 0, None) if place else _vectors_file(out, version, matrix, plan)
    lexical = _lexical(out, version, [products], set(twice), tags, ontology)
    state = State(
        version=version,
        model=model,
        dimension=int(matrix.shape[1]),
        kind=kind,
        effort=effort,
        vectors=file,
        milvus=place,
        segments=(segment,),
        deleted=_write_deleted(out, version, twice),
        deleted_count=len(twice),
        lexical=lexical,
        tags=_write_tags(out, version, tags),
        settings=plan.settings,
    )
    publish(out, state)
    if old is not None and old.milvus is not None:
        milvus.drop(old.milvus)
    return state


def _vectors_file(out: Path, version: int, matrix: np.ndarray, plan: Plan) -> tuple[nearest.Kind, int, str | None]:
    budget = plan.budget_mb or nearest.memory_budget_mb()
    kind = plan.kind or nearest.choose_kind(len(matrix), matrix.shape[1], budget)
    if kind == "flat":
        return kind, 0, None
    index, effort = nearest.build(kind, matrix)
    name = f"vectors-{version:05d}.faiss"
    nearest.write(index, out / name)
    return kind, effort, name


def _lexical(
    out: Path,
    version: int,
    frames: Sequence[pl.DataFrame],
    gone: Collection[int],
    tags: pl.DataFrame | None,
    ontology: Ontology,
) -> str:
    """A new lexical folder over all rows that are not gone."""
    name = f"lexical-{version:05d}"
    documents = (item for item in _documents(frames, 0, tags, ontology) if item[0] not in gone)
    Lexical.create(out / name).change(documents, end=0)
    return name


def _documents(
    frames: Sequence[pl.DataFrame], start: int, tags: pl.DataFrame | None, ontology: Ontology
) -> Iterator[tuple[int, str, str]]:
    """(row, title, names of all that is known of it, in every language)."""
    accepted: dict[str, list[tuple[str, str]]] = {}
    if tags is not None:
        chosen = tags.filter((pl.col("decision") == "accept") & pl.col("value").is_not_null())
        for product_id, name, value in chosen.select("product_id", "property", "value").iter_rows():
            accepted.setdefault(product_id, []).append((name, value))
    row = start
    for frame in frames:
        columns = frame.select("product_id", "title", "category_path", "attributes")
        for product_id, title, path, attributes in columns.iter_rows():
            path, own = tuple(path or ()), pairs(attributes)
            known = {name for name, _ in own}
            for name, value in accepted.get(product_id, ()):
                if name == CATEGORY:
                    path = path or tuple(value.split(CATEGORY_JOIN))
                elif name not in known:
                    own = (*own, (name, value))
            yield row, title or "", " ".join((*path, *(value for _, value in own), *_names(path, own, ontology)))
            row += 1


def _names(path: Sequence[str], own: Iterable[tuple[str, str]], ontology: Ontology) -> Iterator[str]:
    """Further names of its category and values; those it is called by in the catalog are there already."""
    known = {*path, *(value for _, value in own)}
    for fact in ontology.fact_ids(path, own):
        yield from (name for name in ontology.names_of_facts[fact] if name not in known)


def read_tags(place: Path) -> pl.DataFrame:
    """`tags.parquet`, or the one in a folder written by `shopvl tag`. Raises ShopvlError for anything else."""
    path = place / "tags.parquet" if place.is_dir() else place
    try:
        return pl.read_parquet(path, columns=list(_TAG_COLUMNS))
    except (OSError, pl.exceptions.PolarsError) as fault:
        reason = str(fault).splitlines()[0]
        raise ShopvlError(f"{path} holds no tags ({reason}); name a folder written by `shopvl tag`") from None


def _write_tags(out: Path, version: int, tags: pl.DataFrame | None) -> str | None:
    if tags is None:
        return None
    name = f"tags-{version:05d}.parquet"
    tags.select(_TAG_COLUMNS).write_parquet(out / name)
    return name


def _write_deleted(out: Path, version: int, rows: Sequence[int]) -> str | None:
    if not rows:
        return None
    name = f"deleted-{version:05d}.npy"
    np.save(out / name, np.array(sorted(rows), dtype=np.int64))
    return name


def _matrix(out: Path, segment: Segment) -> np.ndarray:
    path = out / segment.name / VECTORS
    flat = np.memmap(path, dtype="<f4", mode="r")
    return np.asarray(flat).reshape(segment.rows, -1)


# --- changes


def update_index(
    design: Design | None,
    catalog: Catalog | None,
    out: Path,
    report: Report = lambda rows: None,
    *,
    delete: Collection[str] = (),
    tags: Path | None = None,
) -> Indexed:
    """Add the catalog's products (in place of those with the same ids), delete others, and attach tags, in one step.

    Its cost goes with the size of the change, until STALE_SHARE of the rows are no longer in place: then all files are
    made anew, without embedding anything again. Raises ShopvlError for ids to delete that the index has not, and
    IndexFolderError for a design that did not make the index.
    """
    if catalog is not None and design is None:
        raise ShopvlError("products can only be added with the model that made the index; name it with --model")

    def fill(writer: Writer, title_share: float) -> list[Reject]:
        assert design is not None
        assert catalog is not None
        rejects = _embed(design, catalog, writer, title_share, report)
        if not writer.rows:
            reason = rejects[0].reason if rejects else "there are none"
            raise ShopvlError(f"no row of {catalog.path} could be indexed: {reason}")
        return rejects

    if design is not None:
        check_model(out, read_state(out), design)
    return change(out, None if catalog is None else fill, delete, None if tags is None else read_tags(tags))


def check_model(folder: Path, state: State, design: Design) -> None:
    """Raises IndexFolderError where another model made the index."""
    if state.model != design.name:
        raise IndexFolderError(
            f"the index {folder} was made with the model {state.model}, but {design.name} is to search it; "
            "use that model, or make the index anew with `shopvl index`"
        )


Fill = Callable[["Writer", float], list[Reject]]  # puts products into a segment, with that title share


def change(
    out: Path, fill: Fill | None = None, delete: Collection[str] = (), new_tags: pl.DataFrame | None = None
) -> Indexed:
    """`update_index` for those who bring their own vectors."""
    with sole_writer(out):
        old = read_state(out)
        clear(out, old)
        return _changed(out, old, fill, delete, new_tags)


def _changed(
    out: Path, old: State, fill: Fill | None, delete: Collection[str], new_tags: pl.DataFrame | None
) -> Indexed:
    version = old.version + 1
    ontology = Ontology.load(out / ONTOLOGY)
    columns = ["product_id", "photo"]
    frames = [pl.read_parquet(out / segment.name / PRODUCTS, columns=columns) for segment in old.segments]
    gone = _deleted_rows(out, old)
    ids = pl.concat([frame.select("product_id") for frame in frames]).with_row_index("row")
    ids = ids.filter(~pl.col("row").is_in(sorted(gone)))
    unknown = sorted(set(delete) - set(ids["product_id"])) if delete else []
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise ShopvlError(f"the index {out} has no product {', '.join(unknown[:3])}{more}; nothing was changed")
    rejects: list[Reject] = []
    segment: Segment | None = None
    added = pl.DataFrame(schema=_SHOWN)
    if fill is not None:
        writer = Writer(out, version, ontology, _known_photos(out, old, frames))
        rejects = fill(writer, old.settings.title_share)
        segment = writer.close()
        added = pl.read_parquet(out / segment.name / PRODUCTS)
    twice = added.with_row_index("row").filter(~pl.col("product_id").is_last_distinct())["row"].to_numpy() + old.rows
    away = ids.filter(pl.col("product_id").is_in(list({*delete, *added["product_id"]})))
    removed = sorted({*away["row"].to_list(), *twice.tolist()})
    tags = _merged_tags(out, old, new_tags)
    segments = (*old.segments, segment) if segment else old.segments
    rows = sum(part.rows for part in segments)
    indexed = old.segments[0].rows if old.kind != "flat" else rows
    if len(gone) + len(removed) + rows - indexed > STALE_SHARE * rows:
        _compact(out, old, segments, {*gone, *removed}, tags, ontology, version)
    else:
        if old.milvus is not None:
            matrix = _matrix(out, segment) if segment else np.empty((0, old.dimension), np.float32)
            milvus.store(old.milvus, matrix, old.rows, old.unlisted)
        lexical, unlisted = old.lexical, (*old.unlisted, *removed)
        if new_tags is not None:
            every = [pl.read_parquet(out / part.name / PRODUCTS) for part in segments]
            lexical, unlisted = _lexical(out, version, every, {*gone, *removed}, tags, ontology), ()
        elif segment or old.unlisted:
            documents = _documents([added], old.rows, tags, ontology)
            skipped = set(removed)
            Lexical.open(out / old.lexical).change(
                (item for item in documents if item[0] not in skipped), old.unlisted, end=old.rows
            )
            unlisted = tuple(removed)
        publish(
            out,
            old.model_copy(
                update={
                    "version": version,
                    "segments": segments,
                    "deleted": _write_deleted(out, version, [*gone, *removed]),
                    "deleted_count": len(gone) + len(removed),
                    "lexical": lexical,
                    "unlisted": unlisted,
                    "tags": _write_tags(out, version, new_tags if tags is None else tags)
                    if new_tags is not None
                    else old.tags,
                }
            ),
        )
    replaced = len(away.filter(pl.col("product_id").is_in(added["product_id"].to_list())))
    return Indexed(added.height - len(twice), len(rejects), replaced, len(set(delete) - set(added["product_id"])))


def _deleted_rows(out: Path, state: State) -> set[int]:
    return set() if state.deleted is None else set(np.load(out / state.deleted).tolist())


def _known_photos(out: Path, state: State, frames: Sequence[pl.DataFrame]) -> Photos:
    """The groups there are; only the first product of each counts."""
    photos = Photos()
    for segment, frame in zip(state.segments, frames, strict=True):
        prints = pl.Series(read_pictures(out / segment.name).column("print"))
        first = (frame["product_id"] == frame["photo"]) & prints.is_not_null()
        photos.remember(zip(frame["photo"].filter(first), prints.filter(first), strict=True))
    return photos


def _merged_tags(out: Path, old: State, new: pl.DataFrame | None) -> pl.DataFrame | None:
    """Old tags, but of products that were tagged anew."""
    before = None if old.tags is None else pl.read_parquet(out / old.tags)
    if before is None or new is None:
        return before if new is None else new
    kept = before.join(new.select("product_id").unique(), on="product_id", how="anti")
    return pl.concat([kept, new], how="vertical_relaxed")


def _compact(
    out: Path,
    old: State,
    segments: Sequence[Segment],
    gone: Collection[int],
    tags: pl.DataFrame | None,
    ontology: Ontology,
    version: int,
) -> None:
    """All files anew, of the rows that are left."""
    writer = Writer(out, version + 1, ontology)
    start = 0
    for segment in segments:
        frame = pl.read_parquet(out / segment.name / PRODUCTS)
        pictures = read_pictures(out / segment.name)
        matrix = _matrix(out, segment)
        left = np.array([row for row in range(segment.rows) if start + row not in gone], dtype=np.int64)
        for at in range(0, len(left), FRAME_ROWS):
            rows = left[at : at + FRAME_ROWS]
            shown = frame[rows].to_dicts()
            taken = pictures.take(pa.array(rows)).to_pydict()
            writer.put(matrix[rows], shown, list(zip(taken["thumbnail"], taken["print"], strict=True)))
        start += segment.rows
    if not writer.rows:
        raise ShopvlError(f"that would delete every product of {out}; remove the folder instead")
    kind = None if old.kind == "flat" else old.kind
    plan = Plan(settings=old.settings, kind=kind, milvus=old.milvus)
    finish(out, old.model, writer.close(), plan, ontology, tags, old)


def read_pictures(segment: Path) -> pa.Table:
    """(thumbnail, print) of a segment's rows, memory-mapped."""
    return pa.ipc.open_file(pa.memory_map(str(segment / THUMBNAILS))).read_all()


def _pictured(row: Row, root: Path) -> tuple[bytes | None, bytes | None]:
    """Thumbnail and fingerprint of a row's picture, if it has one."""
    image = row["image"] or {}
    if not (image.get("bytes") or image.get("path")):
        return None, None
    data = image_bytes(image, root)
    picture = decode(data)
    return _thumbnail(data, picture), fingerprint(picture)


def _thumbnail(data: bytes, picture: Image.Image) -> bytes:
    """A JPEG of at most THUMBNAIL_PX a side; a picture that is small already stays as it is."""
    if max(picture.size) <= THUMBNAIL_PX:
        return data
    small = picture.copy()
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    out = BytesIO()
    small.save(out, "JPEG", quality=88)
    return out.getvalue()
