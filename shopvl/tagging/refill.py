"""A catalog in its own format again, its gaps filled from tags; what was filled, and what the tags say otherwise."""

from __future__ import annotations

import csv
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from shopvl.catalog.cells import folded, path_of
from shopvl.catalog.formats.base import Source, TableLayout, is_empty
from shopvl.catalog.known_properties import known_property
from shopvl.catalog.opening import LaidOut, filling
from shopvl.catalog.packed import bare_suffix
from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import folded_name
from shopvl.catalog.taxonomy_map import id_of
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, TAXONOMY_ID
from shopvl.checksums import verify_sealed
from shopvl.errors import ShopvlError
from shopvl.files import atomic_write
from shopvl.inference.decide import STATED_COLUMNS, TAG_AGAIN
from shopvl.inference.several import by_property
from shopvl.tagging.by_product import ByProduct

MAX_TO_FINISH = 1000  # products that are named, those that lack least first
REPORT = ("product_id", "property", "stood", "tags", "what")
# Ends of names of one kind of file
ALIKE = tuple(map(str.split, (".csv .tsv .txt", ".json .jsonld", ".jsonl .ndjson", ".xml .rss .atom", ".parquet .pq")))


@dataclass
class Refilled:
    """What became of a catalog."""

    products: int = 0
    met: bool = False  # whether any product has tags
    filled: Counter[str] = field(default_factory=Counter)  # property -> cells that were empty
    differing: Counter[str] = field(default_factory=Counter)  # property -> cells that say something else; they stay
    before: Counter[str] = field(default_factory=Counter)  # what the channel asks for -> products that had it
    after: Counter[str] = field(default_factory=Counter)
    required: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()  # that are new
    by_category: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    to_finish: list[tuple[int, str, str, tuple[str, ...]]] = field(default_factory=list)  # lacking, id, title, what


def refill(
    tags: Path,
    catalog: Catalog,
    target: Path,
    taken: Collection[str],
    report: Callable[[int], None] = lambda rows: None,
    ids: Mapping[tuple[str, ...], str] | None = None,
) -> Refilled:
    """Write the catalog to `target` in its own format and order of columns; values that stand there stay.

    `ids` are those of categories in a public taxonomy (`taxonomy_map.read_map`), which products get too.

    Beside it, `target.report.csv` has each cell that was filled or says something else than the tags,
    `target.rates.csv` how full what the channel asks for is by category, and `target.finish.csv` the products that lack
    least of it.
    Raises ShopvlError for a target of another format and for tags of another catalog.
    """
    source, layout = filling(catalog.source)
    _check_target(source, target)
    if target.resolve() == source.path.resolve():
        raise ShopvlError(f"{target} is the catalog itself; name another file")
    done = Refilled(required=layout.required)
    with ByProduct() as gaps, _beside(target, "report") as write:  # the report comes with the table, or not at all
        with ByProduct() as answers:
            answers.put(_answers(tags / "tags.parquet" if tags.is_dir() else tags, taken))
            write(REPORT)
            rows = _rows(catalog, done.required, report)
            gaps.put(_gaps(rows, answers, layout, done, write, ids or {}))
            if done.products and not done.met and not answers.empty:
                raise ShopvlError(f"no product of {catalog.path.name} is in {tags}; name the catalog that was tagged")

        def filled(record: Mapping[str, Any]) -> Mapping[str, Any]:
            cells: dict[str, Any] = {}
            for name, value in gaps.of(layout.key(record)).items():
                column = layout.taxonomy_column(value) if name == TAXONOMY_ID else None
                if column is None:
                    layout.put(record, cells, name, value)
                elif is_empty(record.get(column)):
                    cells[column] = value
            return cells

        chunks = source.chunks(1024, layout.table_names)
        records = (record for chunk in chunks for record, fault in chunk.rows() if fault is None)
        new = dict.fromkeys(column for record in records for column in filled(record))
        done.columns = tuple(column for column in new if column not in layout.table_names)
        source.rewrite(target, filled, done.columns)
    _write_rates(done, target)
    return done


def _gaps(
    rows: Iterable[Mapping[str, Any]],
    answers: ByProduct,
    layout: TableLayout,
    done: Refilled,
    write: Callable[[tuple[Any, ...]], None],
    ids: Mapping[tuple[str, ...], str],
) -> Iterator[tuple[str, dict[str, str]]]:
    """Products with what fills their gaps; says what is filled, and counts it."""
    for row in rows:
        given = answers.of(row["product_id"])
        done.met |= bool(given)
        found = _compare(row, given, layout, done, write)
        if code := _taxonomy_id(row, found, ids):
            found[TAXONOMY_ID] = code
        if found:
            yield row["product_id"], found


def _check_target(source: Source, target: Path) -> None:
    """Raises ShopvlError for a name that says another format than the file will have."""
    own, wanted = source.written_as or bare_suffix(source.path), bare_suffix(target)
    if wanted == own or any({own, wanted} <= set(alike) for alike in ALIKE):
        return
    if source.written_as and own != bare_suffix(source.path):
        raise ShopvlError(f"{source.path.name} comes out as {own}, with values alone; name a {own} file, not {target}")
    raise ShopvlError(f"{target} does not end as {source.path.name}, whose format it gets; name a {own} file")


def _taxonomy_id(row: Mapping[str, Any], gaps: Mapping[str, str], ids: Mapping[tuple[str, ...], str]) -> str | None:
    """Of the category that stands there, or is filled; nothing where the product has one as an attribute."""
    if any(pair["property"] == TAXONOMY_ID for pair in row["attributes"] or ()):
        return None
    return id_of(row["category_path"] or path_of(gaps.get(CATEGORY)) or (), ids)


def is_feed(catalog: Catalog, form: str | None) -> bool:
    """Whether the catalog is in that form already."""
    return isinstance(catalog.source, LaidOut) and catalog.source.kind.name == form


def _answers(path: Path, taken: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Products of a table of tags with the values that are taken."""
    verify_sealed(path, TAG_AGAIN)
    wanted = pl.col("decision").is_in(list(taken)) & pl.col("value").is_not_null()

    def rows() -> Iterator[dict[str, Any]]:
        with pq.ParquetFile(path) as file:
            names = ("product_id", "property", "value", "decision", "best_guess", "probability", *STATED_COLUMNS)
            there = [name for name in names if name in file.schema_arrow.names]
            for batch in file.iter_batches(columns=there):
                yield from pl.DataFrame(batch).filter(wanted).iter_rows(named=True)

    try:
        for product, group in groupby(rows(), key=itemgetter("product_id")):
            yield product, {row["property"]: row["value"] for row in by_property(group)}
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        said = f"{path} cannot be read as tags ({str(error).splitlines()[0]})"
        raise ShopvlError(f"{said}; name a folder that `shopvl tag` wrote") from error


def _rows(catalog: Catalog, required: Collection[str], report: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    own = {name: folded_name(name) for name in catalog.plan.further if folded_name(name) in required}
    for frame in catalog.batches(columns=("product_id", "title", "image", "category_path", "attributes", *own)):
        yield from frame.rename(own).iter_rows(named=True)
        report(frame.height)


def _compare(
    row: Mapping[str, Any],
    given: Mapping[str, str],
    layout: TableLayout,
    done: Refilled,
    write: Callable[[tuple[Any, ...]], None],
) -> dict[str, str]:
    """The values for a product's gaps; counts them, and says what stands otherwise."""
    standing: defaultdict[str, list[str]] = defaultdict(list)
    for pair in row["attributes"] or ():
        standing[known_property(pair["property"] or "").name].append(pair["value"] or "")
    if row["category_path"]:
        standing[CATEGORY] = [CATEGORY_JOIN.join(row["category_path"])]
    gaps: dict[str, str] = {}
    for name, value in given.items():
        own = standing.get(known_property(name).name, [])
        if not own and not layout.accepts(name, value):
            write((row["product_id"], name, "", value, "not known to the channel, left empty"))
        elif not own:
            gaps[name] = value
            done.filled[name] += 1
            write((row["product_id"], name, "", value, "filled"))
        elif not _agree(name, value, own):
            done.differing[name] += 1
            write((row["product_id"], name, " / ".join(own), value, "differs, left as it stood"))
    _count(row, standing, gaps, done)
    return gaps


def _agree(name: str, value: str, standing: Collection[str]) -> bool:
    """Whether a value stands there; of a category, its last level."""
    said = folded(value.split(CATEGORY_JOIN)[-1] if name == CATEGORY else value)
    return any(said in (folded(own), folded(own.split(CATEGORY_JOIN)[-1])) for own in standing)


def _count(row: Mapping[str, Any], standing: Mapping[str, Any], gaps: Mapping[str, str], done: Refilled) -> None:
    had = {name for name in done.required if standing.get(name) or row.get(name)}
    filled = {"category_path" if name == CATEGORY else known_property(name).name for name in gaps}
    has = had | {name for name in done.required if name in filled}
    done.products += 1
    done.before.update(had)
    done.after.update(has)
    path = (row["category_path"] or gaps.get(CATEGORY, "").split(CATEGORY_JOIN) or [""])[-1]
    counts = done.by_category[path if path in done.by_category or len(done.by_category) < MAX_TO_FINISH else "others"]
    counts["products"] += 1
    counts.update(f"before {name}" for name in had)
    counts.update(f"after {name}" for name in has)
    if lacking := tuple(name for name in done.required if name not in has):
        # a heap of those that lack least: its first is the worst
        entry = (-len(lacking), row["product_id"] or "", row["title"] or "", lacking)
        (heapq.heappush if len(done.to_finish) < MAX_TO_FINISH else heapq.heappushpop)(done.to_finish, entry)


@contextmanager
def _beside(target: Path, what: str) -> Iterator[Callable[[tuple[Any, ...]], None]]:
    """A CSV file beside the target; call what is given with each of its rows."""
    with (
        atomic_write(target.with_name(f"{target.name}.{what}.csv")) as draft,
        draft.open("w", encoding="utf-8", newline="") as file,
    ):
        yield csv.writer(file).writerow


def _write_rates(done: Refilled, target: Path) -> None:
    with _beside(target, "rates") as write:
        write(("category", "required", "products", "filled before", "filled after"))
        for path, counts in sorted(done.by_category.items(), key=lambda item: -item[1]["products"]):
            for name in done.required:
                write((path, name, counts["products"], counts[f"before {name}"], counts[f"after {name}"]))
    with _beside(target, "finish") as write:
        write(("product_id", "title", "lacks", "what"))
        for lacking, product_id, title, what in sorted(done.to_finish, key=lambda entry: (-entry[0], entry[1])):
            write((product_id, title, -lacking, ", ".join(what)))
