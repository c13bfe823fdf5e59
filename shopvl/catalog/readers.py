"""Product tables of every format, and folders of pictures, read lazily and alike."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from shopvl.catalog import cells
from shopvl.catalog.formats.base import Chunk, Source
from shopvl.catalog.notes import ReadingNotes
from shopvl.catalog.opening import open_source
from shopvl.catalog.parents import Parents
from shopvl.catalog.picture_cells import NOT_PLAIN, PLAIN, Picture, picture_of, pictures_of
from shopvl.catalog.reading import Reading
from shopvl.catalog.schema import (
    FAULT,
    FRAME_SCHEMA,
    IMAGE,
    MORE_IMAGES,
    PRODUCT_SCHEMA,
    REQUIRED,
    SPLIT_SYNONYMS,
    ColumnPlan,
    missing_columns_message,
    plan_columns,
)
from shopvl.catalog.splits import split_of
from shopvl.errors import CatalogError

ROUNDED_ID = r"^\d(?:[.,]\d+)?[eE]\+\d{2,3}$"
PARTED = r"[^\s/|\\]\s*[/|\\]\s*[^\s/|\\]|[^\s,],[^\s,\d]"  # what parts levels, or several categories, elsewhere
SPLIT_BY = ("split", "title", "product_id")


@dataclass(frozen=True)
class Catalog:
    """A product table that is opened but not read. `batches` reads it again each time, so it can be sent to workers."""

    source: Source
    root: Path  # the folder that relative picture paths start from
    plan: ColumnPlan
    split: str | None = None
    parents: Parents | None = field(default=None, kw_only=True, compare=False, repr=False)  # whose variants rows may be

    @property
    def path(self) -> Path:
        """The table, or the folder of pictures."""
        return self.source.path

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the frames: the canonical ones, `fault`, and the table's further ones."""
        return (*FRAME_SCHEMA, *self.plan.further)

    @property
    def missing(self) -> tuple[str, ...]:
        """Required columns that the table has not (empty unless opened without asking for them)."""
        return self.plan.missing

    def uses(self) -> dict[str, str]:
        """Column of the file -> what it holds: a canonical or further column, `attribute NAME`, or nothing known."""
        canonical = {source: name for name, source in self.plan.sources.items()}
        attributes = {source: f"attribute {name}" for source, name in self.plan.attributes.items()}
        further = dict.fromkeys(self.plan.pictures, MORE_IMAGES)
        return {
            column: canonical.get(own) or attributes.get(own) or further.get(own) or ("" if own == column else own)
            for column, own in self.source.uses().items()
        }

    def has(self, column: str) -> bool:
        """Whether the table brings this canonical or further column, rather than it being all null."""
        if (column == "attributes" and self.plan.attributes) or (column == MORE_IMAGES and self.plan.pictures):
            return True
        return column in self.plan.sources or column in self.plan.further

    def has_further_pictures(self) -> bool:
        """Whether products may have several pictures, whatever their split: in columns of their own, or in the main
        one's cells, which are read up to the first that lists several."""
        if self.plan.pictures:
            return True
        frames = replace(self, split=None).batches(8192, columns=(MORE_IMAGES,))
        return any(frame[MORE_IMAGES].null_count() < frame.height for frame in frames)

    def batches(self, rows: int = 1024, *, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """Frames of at most `rows` rows, in the table's order; only the given `columns` if any are given.

        A row that cannot be read in full is not left out: what could not be read is null and `fault` says why.
        """
        if rows < 1:
            raise CatalogError(f"batches of {rows} rows were asked for; at least 1 was wanted")
        keep = [name for name in self.columns if columns is None or name in columns]
        if columns is not None and (unknown := sorted(set(columns) - set(self.columns))):
            raise CatalogError(f"{self.path} has no column {', '.join(unknown)}; it has: {', '.join(self.columns)}")
        building = keep if self.split is None else {*keep, *SPLIT_BY}
        seen: set[str] = set()
        in_split, first = False, True
        for chunk in self._chunks(rows, self._wanted(building)):
            if self.split is not None:  # rows of other splits are dropped before their cells are parsed
                split = _splits(chunk, self.plan)
                if not in_split and len(seen) < 20:
                    seen.update(split.unique().to_list())
                chunk = chunk.only(split == self.split)
                in_split = in_split or chunk.height > 0
            if chunk.height:
                frame = _canonical(chunk, self.plan, keep, self.source.notes)
                if "product_id" in frame.columns:
                    _note_rounded(frame["product_id"], self.source.notes)
                if first and "category_path" in frame.columns:
                    _note_flat(frame["category_path"], self.source.notes)
                first = False
                yield frame
        if self.split is not None and not in_split:
            there = ", ".join(sorted(seen)) or "none at all"
            raise CatalogError(f"no row of {self.path} is in split {self.split!r}; the splits in it are: {there}")

    def count(self) -> int:
        """Number of rows, those that cannot be parsed included."""
        if self.split is None and (rows := self.source.rows()) is not None:
            return rows
        return sum(frame.height for frame in self.batches(8192, columns=(FAULT,)))

    def split_counts(self) -> Counter[str]:
        """Number of rows in each split, whichever of them the catalog is opened for."""
        counts: Counter[str] = Counter()
        for chunk in self._chunks(8192, self._wanted(SPLIT_BY)):
            counts.update(_splits(chunk, self.plan).to_list())
        return counts

    def digest(self) -> str:
        """SHA-256 of the content: of the file, or of all pictures of a folder and their names."""
        return self.source.digest()

    def _chunks(self, rows: int, wanted: set[str]) -> Iterator[Chunk]:
        """The table's rows, variants with what they lack from their parents; where nothing is wanted, to be counted."""
        if self.parents is None or not wanted:
            return self.source.chunks(rows, wanted)
        return self.parents.inherited(self.source.chunks(rows, wanted | self.parents.columns))

    def _wanted(self, building: Collection[str]) -> set[str]:
        wanted = {source for canonical, source in self.plan.sources.items() if canonical in building}
        if "attributes" in building:
            wanted |= set(self.plan.attributes)
        if MORE_IMAGES in building:
            wanted.update(self.plan.pictures, filter(None, [self.plan.sources.get("image")]))
        wanted.update(*(others for canonical, others in self.plan.fallbacks.items() if canonical in building))
        return wanted | set(building).intersection(self.plan.further)


def spread(frames: Iterable[pl.DataFrame], total: int, at_most: int) -> Iterator[pl.DataFrame]:
    """At most `at_most` of the `total` rows, evenly spread: a table may be sorted by what is measured."""
    taken, begun = min(total, at_most), 0
    for frame in frames:
        index = pl.int_range(begun, begun + frame.height)
        begun += frame.height
        yield frame.filter((index + 1) * taken // total > index * taken // total)


def open_catalog(
    source: str | Path,
    *,
    split: str | None = None,
    required: Collection[str] = REQUIRED,
    reading: Reading | None = None,
) -> Catalog:
    """Open a product table; nothing but its first rows is read now.

    `split` keeps only the rows of that split; a row that names none is in that of its title (`splits.split_of`).
    A table that lacks a `required` column is refused. `reading` is what people say about how to read it.
    """
    reader = open_source(Path(source).expanduser(), reading)
    names = reader.names()
    plan = plan_columns(names)
    if missing := [name for name in plan.missing if name in required]:
        raise CatalogError(missing_columns_message(reader.path.name, names, missing))
    parents = Parents.of(reader, plan)
    return Catalog(source=reader, root=reader.root, plan=plan, split=split and split.lower(), parents=parents)


def _splits(chunk: Chunk, plan: ColumnPlan) -> pl.Series:
    """The split of each row: the one it names, else that of its title, or of its id where there is none."""
    named = _canonical(chunk, plan, ["split"])["split"]
    if not named.null_count():
        return named
    frame = _canonical(chunk, plan, SPLIT_BY)
    keys = frame["title"].fill_null(frame["product_id"]).fill_null("")
    return pl.Series("split", [name or split_of(key) for name, key in zip(named, keys, strict=True)], dtype=pl.String)


def _canonical(
    chunk: Chunk, plan: ColumnPlan, columns: Collection[str], notes: ReadingNotes | None = None
) -> pl.DataFrame:
    """A chunk as a frame with exactly these columns."""
    faults = chunk.faults()
    made: dict[str, pl.Series] = {}
    for name in columns:
        if name == FAULT:
            continue
        if name == "split":
            made[name] = _column(chunk, plan, name, faults).str.to_lowercase().replace(SPLIT_SYNONYMS)
        elif name == MORE_IMAGES:
            made[name] = _more_pictures(chunk, plan, ReadingNotes.silent() if notes is None else notes)
        elif name in PRODUCT_SCHEMA:
            made[name] = _own_column(chunk, plan, name, faults, ReadingNotes.silent() if notes is None else notes)
        elif (series := chunk.series(name)) is not None:
            made[name] = series
        else:
            made[name] = _text_column(name, _parsed(chunk, name, cells.json_text_of, faults))
    if FAULT in columns:
        if (source := plan.sources.get(FAULT)) is not None:  # a table that this reader's frames were written to
            earlier_faults = _parsed(chunk, source, cells.text_of, [None] * chunk.height)
            faults = [fault or before or None for fault, before in zip(faults, earlier_faults, strict=True)]
        made[FAULT] = pl.Series(FAULT, faults, dtype=pl.String)
    return pl.DataFrame([made[name] for name in columns])


def _own_column(chunk: Chunk, plan: ColumnPlan, name: str, faults: list[str | None], notes: ReadingNotes) -> pl.Series:
    """A column of products; where its cell is empty, another column of the same meaning counts."""
    source = plan.sources.get(name)
    if name != "image" or source is None:
        made = _column(chunk, plan, name, faults)
    else:
        made = _pictures(chunk, source, faults, notes)
    for other in plan.fallbacks.get(name, ()):
        if not made.null_count():
            break
        instead = replace(plan, sources={**plan.sources, name: other}, fallbacks={})
        others = _own_column(chunk, instead, name, list(faults), notes)
        empty = made.is_null() & others.is_not_null() & pl.Series(faults, dtype=pl.String).is_null()
        if empty.any():
            example = str(others.filter(empty)[0])[:80]
            notes.add(f"synonym-{name}", f"where {source!r} is empty, {other!r} is used, e.g. {example}")
            made = pl.select(pl.when(empty).then(others).otherwise(made).alias(name)).to_series()
    return made


def _note_flat(paths: pl.Series, notes: ReadingNotes) -> None:
    """Categories that may be paths in other signs; names have them, too."""
    flat = paths.filter(paths.list.len() == 1).list.first()
    parted = flat.filter(flat.str.contains(PARTED))
    if len(parted) and 2 * len(parted) >= paths.count():
        notes.add(
            "flat-category",
            f"categories like {parted[0]!r} are read as one level; where that is a path, write > between its levels",
        )


def _note_rounded(ids: pl.Series, notes: ReadingNotes) -> None:
    """Long numbers that a spreadsheet has shown, and then saved, with a power of ten."""
    rounded = ids.filter(ids.str.contains(ROUNDED_ID))
    if len(rounded):
        notes.add(
            "rounded-id",
            f"ids like {rounded[0]} were rounded by a spreadsheet, and several products may share one now; export the "
            "table again with that column as text",
        )


def _column(chunk: Chunk, plan: ColumnPlan, name: str, faults: list[str | None]) -> pl.Series:
    source, dtype = plan.sources.get(name), PRODUCT_SCHEMA[name]
    extra = plan.attributes if name == "attributes" else {}
    series = None if source is None else chunk.series(source)
    if source is None and not extra:
        return pl.Series(name, [None] * chunk.height, dtype=dtype)
    if series is not None and not extra and (ready := _ready(series.alias(name), dtype)) is not None:
        return ready
    parsed = [None] * chunk.height if source is None else _parsed(chunk, source, _PARSERS[name], faults)
    if extra:
        others = zip(*(chunk.values(column) for column in extra), strict=True)
        for index, row in enumerate(others):
            try:
                parsed[index] = cells.with_columns_added(parsed[index], zip(extra.values(), row, strict=True))
            except cells.BadCell as error:
                _blame(faults, index, f"{', '.join(extra)}: {error}")
    return _text_column(name, parsed) if dtype == pl.String else _nested_column(name, parsed)


_PARSERS: dict[str, Callable[[object], Any]] = {
    "product_id": cells.text_of,
    "split": cells.text_of,
    "title": cells.text_of,
    "category_path": cells.path_of,
    "attributes": cells.attributes_of,
    "queries": cells.queries_of,
}


def _parsed(chunk: Chunk, source: str, parse: Callable[[object], Any], faults: list[str | None]) -> list[Any]:
    """Each cell of a column; one that cannot be understood is null and adds to its row's fault."""
    parsed = []
    for index, cell in enumerate(chunk.values(source)):
        try:
            parsed.append(parse(cell))
        except cells.BadCell as error:
            parsed.append(None)
            _blame(faults, index, f"{source}: {error}")
    return parsed


def _blame(faults: list[str | None], index: int, reason: str) -> None:
    before = faults[index]
    faults[index] = reason if before is None else f"{before}; {reason}"


def _pictures(chunk: Chunk, source: str, faults: list[str | None], notes: ReadingNotes) -> pl.Series:
    """The pictures of a column; cells that are more than a plain path or address are looked at one by one."""
    series = chunk.series(source)
    if series is not None and series.dtype == pl.Binary:
        return _image_column(series, pl.Series("path", [None] * len(series), dtype=pl.String))
    if series is not None and series.dtype == IMAGE and _are_plain(series.struct.field("path")):
        return _image_column(series.struct.field("bytes"), series.struct.field("path"))
    values = chunk.values(source)
    if all(value is None or isinstance(value, str) for value in values):
        paths = _as_paths(values)
        if _are_plain(paths):
            return _image_column(pl.Series("bytes", [None] * len(paths), dtype=pl.Binary), paths)
    return _nested_column("image", _parsed(chunk, source, partial(picture_of, tell=notes.add), faults))


def _more_pictures(chunk: Chunk, plan: ColumnPlan, notes: ReadingNotes) -> pl.Series:
    """The pictures of a row besides its main one: what else its cell has, and further columns; null where none are."""
    main = plan.sources.get("image")
    listed = main is not None and not _holds_one_each(chunk, main)
    sources = [*([main] if main is not None and listed else []), *plan.pictures]
    if not sources:
        return pl.Series(MORE_IMAGES, [None] * chunk.height, dtype=PRODUCT_SCHEMA[MORE_IMAGES])
    series = chunk.series(MORE_IMAGES) if sources == [MORE_IMAGES] else None
    if series is not None and series.dtype == PRODUCT_SCHEMA[MORE_IMAGES]:
        return series
    mains = [[]] * chunk.height if main is None else [pictures_of(cell)[:1] for cell in chunk.values(main)]
    rows = zip(*(chunk.values(name) for name in sources), strict=True)
    found = [
        _besides(first, (picture for cell in row for picture in pictures_of(cell, notes.add)))
        for first, row in zip(mains, rows, strict=True)
    ]
    return _nested_column(MORE_IMAGES, found)


def _holds_one_each(chunk: Chunk, source: str) -> bool:
    """Whether the cells of a column of pictures hold one each, which can be seen without a look at every cell."""
    series = chunk.series(source)
    if series is not None and series.dtype in (pl.Binary, IMAGE):
        return True
    values = chunk.values(source)
    return all(value is None or isinstance(value, str) for value in values) and _are_plain(_as_paths(values))


def _besides(main: Sequence[Picture], pictures: Iterable[Picture]) -> list[Picture] | None:
    """Each picture once, without the main one; None where none are left."""
    once = {picture["bytes"] or picture["path"]: picture for picture in (*main, *pictures)}
    return list(once.values())[len(main) :] or None


def _as_paths(values: Sequence[str | None]) -> pl.Series:
    return pl.Series("path", values, dtype=pl.String).str.strip_chars()


def _are_plain(paths: pl.Series) -> bool:
    there = paths.filter(paths.is_not_null() & (paths != ""))
    return bool((there.str.contains(PLAIN) & ~there.str.contains(NOT_PLAIN)).all())


def _ready(series: pl.Series, dtype: pl.DataType) -> pl.Series | None:
    """A typed column that only needs a touch, or None where its cells must be looked at one by one."""
    name = series.name
    if dtype == pl.String:
        if series.dtype.is_integer() or series.dtype in (pl.String, pl.Categorical, pl.Enum):
            return _text_column(name, series.cast(pl.String).to_list())
        return None
    if series.dtype != dtype or (name == "category_path" and (series.list.len() > cells.MOST_LEVELS).any()):
        return None
    return series


def _text_column(name: str, values: Iterable[str | None]) -> pl.Series:
    """Text without blanks around it; null where nothing is left."""
    return pl.Series(name, [(text.strip() or None) if text else None for text in values], dtype=pl.String)


# For nested values Arrow is ten times as fast as polars' own constructor.
_PICTURE = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
_ARROW = {
    "image": _PICTURE,
    MORE_IMAGES: pa.large_list(_PICTURE),
    "category_path": pa.large_list(pa.large_string()),
    "attributes": pa.large_list(pa.struct([("property", pa.large_string()), ("value", pa.large_string())])),
    "queries": pa.large_list(pa.large_string()),
}


def _nested_column(name: str, values: list[Any]) -> pl.Series:
    series = pl.from_arrow(pa.array(values, type=_ARROW[name]))
    assert isinstance(series, pl.Series)
    return series.alias(name)


def _image_column(data: pl.Series, path: pl.Series) -> pl.Series:
    columns = pl.DataFrame([data.alias("bytes"), _text_column("path", path.to_list())])
    if columns.height == 0:
        return pl.Series("image", [], dtype=IMAGE)
    nothing = pl.col("bytes").is_null() & pl.col("path").is_null()
    together = pl.struct("bytes", "path")
    if columns.select(nothing.any()).item():
        together = pl.when(nothing).then(None).otherwise(together)
    return columns.select(together.alias("image")).to_series()
