"""Make an index of a catalog: embed it, and write all files that an index folder holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import MODALITIES, Batch, Modality
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog
from shopvl.catalog.shared_pictures import shared_pictures
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.checksums import verify_sealed
from shopvl.data.rows import RejectedRow, pairs
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.files import exclusive_lock
from shopvl.inference.decide import TAG_AGAIN
from shopvl.inference.encode import Encoded, Pool, encode
from shopvl.inference.views import pooled_vectors
from shopvl.recipes.capabilities import require_capability
from shopvl.search.folder import (
    CONFIG,
    PRODUCTS,
    REJECTS,
    TITLE_WEIGHT,
    Segment,
    Settings,
    State,
    clear,
    lexical_name,
    publish,
    read_state,
)
from shopvl.search.lexical import Lexical
from shopvl.search.segments import OWN, THUMBNAIL_SOURCE_PX, Writer, read_matrix
from shopvl.search.stores.base import VectorStore
from shopvl.search.stores.faiss import FaissStore

_TAG_COLUMNS = ("product_id", "property", "value", "probability", "decision", "alternatives")

Report = Callable[[int], None]


@dataclass(frozen=True)
class Indexed:
    """What a build or a change did. Rows in = indexed + rejected + repeated; `replaced` of the indexed were there
    before."""

    indexed: int
    rejected: int
    repeated: int = 0  # rows whose id comes again further down: the last one counts
    replaced: int = 0
    deleted: int = 0
    unknown: tuple[str, ...] = ()  # ids to delete that the index has not


@dataclass(frozen=True)
class Plan:
    """How an index is to be made."""

    settings: Settings = field(default_factory=Settings)
    store: VectorStore = field(default_factory=lambda: FaissStore(kind=None))  # of the kind that suits its size


def product_vectors(
    embeddings: Mapping[str, Tensor], inputs: tuple[Modality, ...], title_weight: float = TITLE_WEIGHT
) -> Tensor:
    """Unit vectors (B, D): the mix of picture and title, or the one there is."""
    if len(inputs) == 1:
        return embeddings[inputs[0]]
    return F.normalize(title_weight * embeddings["title"] + (1 - title_weight) * embeddings["image"], dim=-1)


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
    """Embed the catalog and write the index folder. It replaces an older index only once it is complete.

    `ontology` (the design's, if none is given) brings the names by which words of a query are understood.
    """
    require_capability(design.recipe, "embed")
    plan, ontology = plan or Plan(), ontology or design.ontology
    attached = None if tags is None else read_tags(tags)  # first, to fail before the costly embedding
    with exclusive_lock(out, f"changing the index {out}"):
        old = _version(out)
        clear(out, old)
        writer = Writer(out, (old.version if old else 0) + 1, ontology)
        rejects = embed(design, catalog, writer, plan.settings.title_weight, report)
        pl.DataFrame([vars(r) for r in rejects], schema={"product_id": pl.String, "reason": pl.String}).write_parquet(
            out / REJECTS
        )
        if not writer.rows:
            raise ShopvlError(f"no row of {catalog.path} could be indexed; {out / REJECTS} says why for each")
        segment = writer.close()
        state = finish(out, design.name, segment, plan, ontology, attached, old)
    return Indexed(segment.rows - state.deleted_count, len(rejects), state.deleted_count)


def _version(out: Path) -> State | None:
    """The present index, if there is one that can be read."""
    if not (out / CONFIG).is_file():
        return None
    try:
        return read_state(out)
    except IndexFolderError:
        return None


def embed(design: Design, catalog: Catalog, writer: Writer, title_weight: float, report: Report) -> list[RejectedRow]:
    """Put the catalog's products into a segment; returns the rows that could not be read."""
    design = in_use(design)

    def read(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        return {"vector": product_vectors(design.embeddings(batch, inputs), inputs, title_weight)}

    rejects: list[RejectedRow] = []
    further = [name for name in catalog.plan.further if name not in OWN]
    frames, shared, pool = (
        catalog.batches(),
        shared_pictures(catalog),
        Pool(read, partial(pooled_vectors, name="vector")),
    )
    for item in encode(
        design, frames, catalog.root, MODALITIES, read, pool=pool, shown_px=THUMBNAIL_SOURCE_PX, shared=shared
    ):
        if isinstance(item, Encoded):
            writer.add(item.values["vector"], item.items, further)
        else:
            rejects.append(item)
        report(writer.rows + len(rejects))
    return rejects


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
    matrix = read_matrix(out / segment.name, segment.rows)
    repeated_rows = products.with_row_index("row").filter(~pl.col("product_id").is_last_distinct())["row"].to_list()
    store = plan.store.create(out, version, matrix)
    lexical = write_lexical(out, version, [products], set(repeated_rows), tags, ontology)
    state = State(
        version=version,
        model=model,
        dimension=int(matrix.shape[1]),
        store=store,
        segments=(segment,),
        deleted=write_deleted(out, version, repeated_rows),
        deleted_count=len(repeated_rows),
        lexical=lexical,
        ontology=write_ontology(out, version, ontology),
        tags=write_tags(out, version, tags),
        settings=plan.settings,
    )
    publish(out, state)
    if old is not None:
        old.store.drop()
    return state


def write_ontology(out: Path, version: int, ontology: Ontology) -> str:
    """The names by which words of a query are understood."""
    name = f"ontology-{version:05d}.json"
    ontology.save(out / name)
    return name


def write_lexical(
    out: Path,
    version: int,
    frames: Sequence[pl.DataFrame],
    gone: Collection[int],
    tags: pl.DataFrame | None,
    ontology: Ontology,
) -> str:
    """A new lexical index over all rows that are not deleted."""
    name = lexical_name(version)
    listed = (item for item in documents(frames, 0, tags, ontology) if item[0] not in gone)
    Lexical.create(out / name).change(listed, end=0)
    return name


def documents(
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
    """Further names of the product's category and values, besides those in the catalog."""
    known = {*path, *(value for _, value in own)}
    for fact in ontology.fact_ids(path, own):
        yield from (name for name in ontology.written_names(fact) if name not in known)


def read_tags(folder_or_file: Path) -> pl.DataFrame:
    """`tags.parquet`, or the one in a folder written by `shopvl tag`. Raises ShopvlError for anything else."""
    path = folder_or_file / "tags.parquet" if folder_or_file.is_dir() else folder_or_file
    verify_sealed(path, TAG_AGAIN)
    try:
        return pl.read_parquet(path, columns=list(_TAG_COLUMNS))
    except (OSError, pl.exceptions.PolarsError) as fault:
        reason = str(fault).splitlines()[0]
        raise ShopvlError(f"{path} holds no tags ({reason}); name a folder written by `shopvl tag`") from None


def write_tags(out: Path, version: int, tags: pl.DataFrame | None) -> str | None:
    """The tags, if there are any."""
    if tags is None:
        return None
    name = f"tags-{version:05d}.parquet"
    tags.select(_TAG_COLUMNS).write_parquet(out / name)
    return name


def write_deleted(out: Path, version: int, rows: Collection[int]) -> str | None:
    """The deleted row numbers, if there are any."""
    if not rows:
        return None
    name = f"deleted-{version:05d}.npy"
    np.save(out / name, np.array(sorted(rows), dtype=np.int64))
    return name
