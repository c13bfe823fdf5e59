"""Change an index: products added, replaced and deleted by their ids, tags attached, always in one step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.errors import ShopvlError
from shopvl.files import exclusive_lock
from shopvl.search.build import (
    Indexed,
    Plan,
    Report,
    documents,
    embed,
    finish,
    read_tags,
    write_deleted,
    write_lexical,
    write_tags,
)
from shopvl.search.folder import (
    OLD_WORDS,
    PRODUCTS,
    Segment,
    State,
    check_model,
    clear,
    lexical_name,
    publish,
    read_state,
    verify,
)
from shopvl.search.lexical import Lexical
from shopvl.search.near_duplicates import NearDuplicateGroups
from shopvl.search.segments import COLUMNS, FRAME_ROWS, Writer, read_matrix, read_shown

STALE_SHARE = 0.2  # of rows that are deleted, or outside the store's fast index: from here on all files are rewritten


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

    The cost grows with the size of the change, until STALE_SHARE of the rows are deleted or outside the store's fast
    index: then all files are rewritten from the stored vectors. Ids to delete that the index does not have are skipped
    and returned as `unknown`. Raises IndexFolderError for a design that did not make the index.
    """
    fill = None
    if catalog is not None:
        if design is None:
            raise ShopvlError("products can only be added with the model that made the index; name it with --model")
        fill = partial(_fill, design, catalog, report)
    if design is not None:
        check_model(out, read_state(out), design.name)
    return apply_update(out, fill, delete, None if tags is None else read_tags(tags))


def _fill(design: Design, catalog: Catalog, report: Report, writer: Writer, title_weight: float) -> list[RejectedRow]:
    rejects = embed(design, catalog, writer, title_weight, report)
    if not writer.rows:
        reason = rejects[0].reason if rejects else "there are none"
        raise ShopvlError(f"no row of {catalog.path} could be indexed: {reason}")
    return rejects


Fill = Callable[["Writer", float], list[RejectedRow]]  # puts products into a segment, with that title weight


def apply_update(
    out: Path, fill: Fill | None = None, delete: Collection[str] = (), new_tags: pl.DataFrame | None = None
) -> Indexed:
    """`update_index` for callers that bring their own vectors."""
    with exclusive_lock(out, f"changing the index {out}"):
        old = read_state(out)
        clear(out, old)
        verify(out, old)
        return _apply(out, old, fill, delete, new_tags)


def _apply(out: Path, old: State, fill: Fill | None, delete: Collection[str], new_tags: pl.DataFrame | None) -> Indexed:
    ontology = Ontology.load(out / old.ontology)
    gone = _deleted_rows(out, old)
    frames = [_products(out, segment, "product_id", "photo") for segment in old.segments]
    ids = pl.concat([frame.select("product_id") for frame in frames]).with_row_index("row")
    ids = ids.filter(~pl.col("row").is_in(sorted(gone)))
    rejects: list[RejectedRow] = []
    segments, added = old.segments, pl.DataFrame(schema=COLUMNS)
    if fill is not None:
        writer = Writer(out, old.version + 1, ontology, _known_groups(out, old, frames))
        rejects = fill(writer, old.settings.title_weight)
        segments = (*segments, writer.close())
        added = _products(out, segments[-1])
    repeated_rows = (
        added.with_row_index("row").filter(~pl.col("product_id").is_last_distinct())["row"].to_numpy() + old.rows
    )
    replaced_or_deleted = ids.filter(pl.col("product_id").is_in(list({*delete, *added["product_id"]})))
    removed = {*replaced_or_deleted["row"].to_list(), *repeated_rows.tolist()}
    tags = _merged_tags(out, old, new_tags)
    rows = sum(segment.rows for segment in segments)
    indexed = rows if old.store.takes_additions else old.segments[0].rows
    if len(gone) + len(removed) + rows - indexed > STALE_SHARE * rows:
        _compact(out, old, segments, gone | removed, tags, ontology)
    else:
        _append(out, old, segments, added, gone, removed, tags, ontology, tagged=new_tags is not None)
    replaced = len(replaced_or_deleted.filter(pl.col("product_id").is_in(added["product_id"].to_list())))
    to_delete = set(delete) - set(added["product_id"])
    deleted = to_delete & set(replaced_or_deleted["product_id"])
    unknown = tuple(sorted(to_delete - deleted))
    return Indexed(added.height - len(repeated_rows), len(rejects), len(repeated_rows), replaced, len(deleted), unknown)


def _products(out: Path, segment: Segment, *columns: str) -> pl.DataFrame:
    return pl.read_parquet(out / segment.name / PRODUCTS, columns=list(columns) or None)


def _append(
    out: Path,
    old: State,
    segments: tuple[Segment, ...],
    added: pl.DataFrame,
    gone: set[int],
    removed: set[int],
    tags: pl.DataFrame | None,
    ontology: Ontology,
    *,
    tagged: bool,
) -> None:
    """Add new files beside the old ones, and list the rows that were deleted."""
    version, new = old.version + 1, segments[len(old.segments) :]
    matrices = [read_matrix(out / segment.name, segment.rows) for segment in new]
    matrix = matrices[0] if matrices else np.empty((0, old.dimension), np.float32)
    old.store.append(matrix, old.rows, old.unlisted)
    changed: dict[str, object] = {"version": version, "segments": segments, "unlisted": tuple(sorted(removed))}
    if tagged or old.lexical.startswith(OLD_WORDS):  # tags are among a product's words: the lexical index is rebuilt
        frames = [_products(out, segment) for segment in segments]
        changed |= {"lexical": write_lexical(out, version, frames, gone | removed, tags, ontology)}
        changed |= {"tags": write_tags(out, version, tags)}
    elif new or old.unlisted:
        listed = (item for item in documents([added], old.rows, tags, ontology) if item[0] not in removed)
        lexical = Lexical.copied(out / old.lexical, out / lexical_name(version))
        lexical.change(listed, old.unlisted, end=old.rows)
        changed |= {"lexical": lexical.folder.name}
    changed |= {"deleted": write_deleted(out, version, gone | removed), "deleted_count": len(gone) + len(removed)}
    publish(out, old.model_copy(update=changed))


def _deleted_rows(out: Path, state: State) -> set[int]:
    return set() if state.deleted is None else set(np.load(out / state.deleted).tolist())


def _known_groups(out: Path, state: State, frames: Sequence[pl.DataFrame]) -> NearDuplicateGroups:
    """The groups of the index; each has the hash of its first product that is still in the files."""
    groups = NearDuplicateGroups()
    for segment, frame in zip(state.segments, frames, strict=True):
        image_hashes = pl.Series(read_shown(out / segment.name).column("print"))
        first = frame["photo"].is_first_distinct() & image_hashes.is_not_null()
        groups.restore(zip(frame["photo"].filter(first), image_hashes.filter(first), strict=True))
    return groups


def _merged_tags(out: Path, old: State, new: pl.DataFrame | None) -> pl.DataFrame | None:
    """The new tags, and the old ones of products that were not tagged again."""
    before = None if old.tags is None else pl.read_parquet(out / old.tags)
    if before is None or new is None:
        return before if new is None else new
    unchanged = before.join(new.select("product_id").unique(), on="product_id", how="anti")
    return pl.concat([unchanged, new], how="vertical_relaxed")


def _compact(
    out: Path,
    old: State,
    segments: Sequence[Segment],
    gone: Collection[int],
    tags: pl.DataFrame | None,
    ontology: Ontology,
) -> None:
    """Rewrite all files with the rows that are left."""
    writer = Writer(out, old.version + 2, ontology)  # the next number may be a segment that was just added
    start = 0
    for segment in segments:
        frame, pictures = _products(out, segment), read_shown(out / segment.name)
        matrix = read_matrix(out / segment.name, segment.rows, whole=True)
        left = np.array([row for row in range(segment.rows) if start + row not in gone], dtype=np.int64)
        for at in range(0, len(left), FRAME_ROWS):
            rows = left[at : at + FRAME_ROWS]
            taken = pictures.select(["thumbnail", "print"]).take(pa.array(rows)).to_pydict()
            writer.put(matrix[rows], frame[rows].to_dicts(), [*zip(taken["thumbnail"], taken["print"], strict=True)])
        start += segment.rows
    if not writer.rows:
        raise ShopvlError(f"that would delete every product of {out}; remove the folder instead")
    plan = Plan(settings=old.settings, store=old.store.renewed())
    finish(out, old.model, writer.close(), plan, ontology, tags, old)


def read_ids(path: Path) -> Collection[str]:
    """Product ids to delete, one a line. Raises ShopvlError for a file that cannot be read or holds none."""
    try:
        ids = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise ShopvlError(f"the ids to delete cannot be read from {path} ({fault}); one id a line was wanted") from None
    if not ids:
        raise ShopvlError(f"{path} holds no ids to delete; one id a line was wanted")
    return ids
