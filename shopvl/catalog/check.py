"""Everything that is wrong with a product table, in one go: what, how often, and where."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from shopvl.catalog.cells import folded
from shopvl.catalog.charset import UTF_8
from shopvl.catalog.check_pictures import MIN_SIDE_PX, faults_of_pictures
from shopvl.catalog.fetching import Fetcher
from shopvl.catalog.formats.delimited import CsvSource
from shopvl.catalog.mining import looks_many
from shopvl.catalog.numbers import PRICE_COLUMNS, price_in
from shopvl.catalog.readers import ROUNDED_ID, Catalog, open_catalog
from shopvl.catalog.schema import FAULT, MORE_IMAGES, SPLITS, folded_name, missing_columns_message
from shopvl.catalog.splits import split_of
from shopvl.catalog.vocabulary import CATEGORY_JOIN
from shopvl.errors import CatalogError

MAX_EXAMPLES = 5
MAX_NAMES = 20_000  # distinct categories, and values per property, that are looked at for their spelling
MAX_TITLE_CHARS = 300

# kind -> what it means and what to do, in the order of the report
MEANINGS: Mapping[str, str] = {
    "missing-column": "",  # says itself which
    "damaged-table": "the table cannot be read to its end; what follows is about the rows before that",
    "no-rows": "the table has no rows",
    "other-encoding": "",  # says itself which
    "unreadable-row": "the row cannot be read in full; it will be rejected",
    "empty-id": "the product has no id; answers could not be joined back to it",
    "rounded-id": "a spreadsheet has rounded the id; export the table again with that column as text",
    "duplicate-id": "an earlier row has the same id; give every product its own",
    "empty-title": "the product has no title",
    "title-encoding": "the title holds bytes that are not UTF-8, or UTF-8 read as Latin-1; save the table as UTF-8",
    "title-control": "the title holds control or invisible characters, or line breaks",
    "title-html": "the title holds HTML; write plain text",
    "title-long": f"the title is longer than {MAX_TITLE_CHARS} characters; is a description in that column?",
    "missing-image": "the product has no picture",
    "unreadable-image": "the picture cannot be read",
    "further-image": "a further picture of the product cannot be read; the others answer without it",
    "tiny-image": f"the picture is smaller than {MIN_SIDE_PX} pixels on a side; it shows next to nothing",
    "blank-image": "the picture shows no product, so it counts as none; give a photo",
    "empty-category": "the product has no category",
    "category-number": "the category is a bare number; write its path, as in `Apparel > Shirts`",
    "category-depth": "the category is less or more deep than most; fine if that is meant",
    "category-inner": "the product sits on a category that has others below it; a more special one may be missing",
    "leaf-two-parents": "the category of that name sits under several parents; fine if they are meant to differ",
    "category-spelling": "categories that differ only in case or spacing; they are read as one",
    "empty-attribute": "an attribute has no property or no value",
    "placeholder-value": "an attribute's value says that it is not known; leave the attribute out instead",
    "conflicting-values": "the property has two values, where nearly all products have one",
    "property-spelling": "properties that differ only in case or spacing; they are read as one",
    "value-spelling": "values that differ only in case or spacing; they are read as one",
    "bad-price": "the price is not a number above 0, with or without a currency",
    "unknown-split": f"the split is none of {', '.join(SPLITS)}",
    "empty-split": "the row has no split while others have one; it gets one by its title",
    "title-in-splits": "the title stands in several splits, so a test would meet what was learned by heart",
}
_PLACEHOLDERS = frozenset(
    {"n/a", "na", "none", "null", "nan", "nil", "-", "--", "?", "unknown", "not applicable", "tbd"}
)
_CONTROL = r"[\p{Cc}\u200B-\u200F\u202A-\u202E\u2060\uFEFF]"
_MISREAD = r"\x{FFFD}|[ÃÂ][\u0080-\u00BF]|â€"
_HTML = r"<[a-zA-Z/!][^<>]*>|&(?:[a-zA-Z]{2,8}|#\d{1,6}|#x[0-9a-fA-F]{1,6});"
_PRICE = r"^(?:[A-Za-z]{3}|\p{Sc})?\s*\d[\d.,'’ ]*\s*(?:[A-Za-z]{3}|\p{Sc})?$"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault in a table: how many rows (or names) have it, and the first few."""

    kind: str
    message: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(slots=True)
class _Findings:
    counts: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    said: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, count: int, examples: Iterable[str] = (), message: str | None = None) -> None:
        """Count a kind up; only the first examples are kept."""
        assert kind in MEANINGS, kind
        if count:
            self.counts[kind] += count
            shown = self.examples[kind]
            for example in examples:
                if len(shown) >= MAX_EXAMPLES:
                    break
                shown.append(example if len(example) <= 200 else example[:199] + "…")
            self.said.setdefault(kind, message or MEANINGS[kind])

    def faults(self) -> list[Fault]:
        """In the order of MEANINGS."""
        kinds = (kind for kind in MEANINGS if kind in self.counts)
        return [Fault(kind, self.said[kind], self.counts[kind], tuple(self.examples[kind])) for kind in kinds]


def check_catalog(
    catalog: Catalog | str | Path, *, images: bool = True, report: Callable[[int], None] = lambda rows: None
) -> list[Fault]:
    """All faults of a table, most basic first; an empty list for a clean one.

    Give the path rather than an opened catalog to have missing columns listed with the rest. The table streams
    through; names are kept up to a bound, and hashes of ids and titles in a temporary file. `images=False` leaves
    the pictures themselves alone. `report` is told after every batch how many rows it had.
    """
    if not isinstance(catalog, Catalog):
        catalog = open_catalog(catalog, required=())
    findings = _Findings()
    if catalog.missing:
        message = missing_columns_message(catalog.path.name, catalog.source.names(), catalog.missing)
        findings.add("missing-column", len(catalog.missing), catalog.missing, message)
    if isinstance(catalog.source, CsvSource) and (encoding := catalog.source.text.layout.encoding) != UTF_8:
        message = f"the table is not UTF-8 and was read as {encoding}; if titles look wrong, save it as UTF-8"
        findings.add("other-encoding", 1, message=message)
    prices = [name for name in catalog.plan.further if folded_name(name) in PRICE_COLUMNS]
    columns = ["product_id", "split", "title", "category_path", "attributes", FAULT, *prices]
    looks_at_images = images and catalog.has("image")
    # without the pictures, only text formats can say for free whether there is one
    if catalog.has("image") and (images or not _holds_bytes(catalog)):
        columns += ["image", MORE_IMAGES]
    fetcher = Fetcher()
    with _Hashes() as ids, _Hashes() as titles, ThreadPoolExecutor(4) as threads:
        names = _Names()
        row, with_split, without_split = 0, 0, _Findings()
        try:
            for frame in catalog.batches(256 if looks_at_images else 8192, columns=columns):
                frame = frame.with_row_index("row", offset=row + 1)
                row += frame.height
                _check_rows(catalog, frame, findings)
                for price in prices:
                    _check_price(frame, price, findings)
                _check_attributes(frame, names, findings)
                names.add_paths(frame)
                with_split += frame["split"].count()
                empty = pl.col("split").is_null() & pl.col(FAULT).is_null()
                without_split.add("empty-split", *_where(frame, empty))
                ids.add(frame["product_id"].drop_nulls())
                if catalog.has("split"):
                    titles.add(*_titles_by_split(_in_splits(frame)))
                if looks_at_images:
                    for number, product_id, kind, detail in faults_of_pictures(frame, catalog.root, fetcher, threads):
                        findings.add(kind, 1, [_label(number, product_id, detail)])
                report(frame.height)
        except CatalogError as error:
            findings.add("damaged-table" if row else "no-rows", 1, [str(error)])
        if not row:
            findings.add("no-rows", int("no-rows" not in findings.counts))
        names.conclude(findings)
        if with_split:
            findings.add("empty-split", without_split.counts["empty-split"], without_split.examples["empty-split"])
        _check_repeats(catalog, ids, titles, findings)
    return findings.faults()


def _holds_bytes(catalog: Catalog) -> bool:
    return catalog.path.suffix.lower() == ".parquet"


def _where(frame: pl.DataFrame, condition: pl.Expr, detail: pl.Expr | None = None) -> tuple[int, Iterator[str]]:
    """How many rows fulfil it, and the first few as `row 7 (10001): detail`."""
    hits = frame.lazy().filter(condition)
    columns = [pl.col("row"), pl.col("product_id"), (detail if detail is not None else pl.lit(None)).alias("detail")]
    matches = hits.select(columns).collect()
    return matches.height, (_label(*line) for line in matches.head(MAX_EXAMPLES).iter_rows())


def _label(row: int, product_id: str | None, detail: str | None = None) -> str:
    row_label = f"row {row}" if product_id is None else f"row {row} ({product_id})"
    return row_label if detail is None else f"{row_label}: {detail}"


def _check_rows(catalog: Catalog, frame: pl.DataFrame, findings: _Findings) -> None:
    readable = pl.col(FAULT).is_null()
    title = pl.col("title")
    findings.add("unreadable-row", *_where(frame, ~readable, pl.col(FAULT)))
    for column, kind in (
        ("product_id", "empty-id"),
        ("title", "empty-title"),
        ("image", "missing-image"),
        ("category_path", "empty-category"),
    ):
        if catalog.has(column) and column in frame.columns:
            empty = pl.col(column).is_null()
            if column == "category_path":
                empty |= pl.col(column).list.eval(pl.element().str.strip_chars() != "").list.any().not_()
            findings.add(kind, *_where(frame, empty & readable))
    findings.add("rounded-id", *_where(frame, pl.col("product_id").str.contains(ROUNDED_ID)))
    findings.add("title-encoding", *_where(frame, title.str.contains(_MISREAD), title))
    findings.add("title-control", *_where(frame, title.str.contains(_CONTROL), title))
    findings.add("title-html", *_where(frame, title.str.contains(_HTML), title))
    findings.add("title-long", *_where(frame, title.str.len_chars() > MAX_TITLE_CHARS, title))
    if catalog.has("split"):
        unknown = pl.col("split").is_not_null() & ~pl.col("split").is_in(SPLITS)
        findings.add("unknown-split", *_where(frame, unknown, pl.col("split")))


def _check_price(frame: pl.DataFrame, column: str, findings: _Findings) -> None:
    price = pl.col(column)
    if frame[column].dtype.is_numeric():
        bad = (price.is_not_null() & ~(price > 0)) | ~price.cast(pl.Float64).is_finite()
    else:
        text = price.cast(pl.String).str.strip_chars()
        odd = (
            frame[column]
            .cast(pl.String)
            .str.strip_chars()
            .filter(
                frame.select(
                    price.is_not_null() & ~(text.str.contains(_PRICE) & text.str.contains("[1-9]"))
                ).to_series()
            )
        )
        bad = text.is_in([value for value in odd.unique().to_list() if price_in(value) is None])
    findings.add("bad-price", *_where(frame, bad, pl.format("{} is {}", pl.lit(column), price)))


def _check_attributes(frame: pl.DataFrame, names: "_Names", findings: _Findings) -> None:
    pairs = frame.select("row", "product_id", "attributes").explode("attributes").drop_nulls("attributes")
    pairs = pairs.unnest("attributes")
    name, value = pl.col("property").str.strip_chars(), pl.col("value").str.strip_chars()
    empty = (name.fill_null("") == "") | (value.fill_null("") == "")
    findings.add("empty-attribute", *_where(pairs, empty, pl.format("{}: {}", name.fill_null(""), value.fill_null(""))))
    pairs = pairs.filter(~empty)
    unknown = value.str.to_lowercase().is_in(list(_PLACEHOLDERS))
    findings.add("placeholder-value", *_where(pairs, unknown, pl.format("{}: {}", name, value)))
    names.add_pairs(pairs)


def _titles_by_split(frame: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Titles as they are compared, and their split's number, of `_in_splits`."""
    text = pl.col("title").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    numbers = pl.col("split").replace_strict(
        {name: i for i, name in enumerate(SPLITS)}, default=3, return_dtype=pl.UInt64
    )
    known = frame.select(text, numbers)
    return known["title"], known["split"]


def _in_splits(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with a title, each in the split that it names, or else in that of its title."""
    known = frame.drop_nulls("title")
    splits = [split or split_of(title) for split, title in known.select("split", "title").iter_rows()]
    return known.with_columns(pl.Series("split", splits, dtype=pl.String))


# --- names


@dataclass(slots=True)
class _Names:
    """Categories, properties and values with counts and a row each: for faults that can only be found at the end."""

    paths: Counter[tuple[str, ...]] = field(default_factory=Counter)
    path_rows: dict[tuple[str, ...], str] = field(default_factory=dict)
    values: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    having: Counter[str] = field(default_factory=Counter)  # folded property -> products
    several: Counter[str] = field(default_factory=Counter)  # ... with more than one value
    several_rows: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add_paths(self, frame: pl.DataFrame) -> None:
        """Count a batch's categories."""
        known = frame.filter(pl.col("category_path").is_not_null())
        grouped = known.group_by(pl.col("category_path").list.join("\x1f").alias("path"), maintain_order=True).agg(
            pl.len().alias("count"), pl.col("row").first(), pl.col("product_id").first()
        )
        for joined, count, row, product_id in grouped.iter_rows():
            path = tuple(step.strip() for step in joined.split("\x1f") if step.strip())
            if path and (path in self.paths or len(self.paths) < MAX_NAMES):
                self.paths[path] += count
                self.path_rows.setdefault(path, _label(row, product_id, CATEGORY_JOIN.join(path)))

    def add_pairs(self, pairs: pl.DataFrame) -> None:
        """Count a batch's properties and values."""
        for name, value, count in pairs.group_by("property", "value", maintain_order=True).len().iter_rows():
            known = self.values[name] if name in self.values or len(self.values) < MAX_NAMES else Counter[str]()
            if value in known or len(known) < MAX_NAMES:
                known[value] += count
        low = [pl.col(column).str.strip_chars().str.to_lowercase() for column in ("property", "value")]
        per_row = pairs.group_by("row", low[0], maintain_order=True).agg(
            low[1].n_unique().alias("different"), pl.col("value").str.join(" / "), pl.col("product_id").first()
        )
        for name, count in per_row.group_by("property").len().iter_rows():
            if name in self.having or len(self.having) < MAX_NAMES:
                self.having[name] += count
        for row, name, _, values, product_id in per_row.filter(pl.col("different") > 1).iter_rows():
            if name in self.having:
                self.several[name] += 1
                if len(self.several_rows[name]) < MAX_EXAMPLES:
                    self.several_rows[name].append(_label(row, product_id, f"{name}: {values}"))

    def conclude(self, findings: _Findings) -> None:
        """Add the faults of the names counted."""
        self._judge_paths(findings)
        for name, count in self.several.items():
            if not looks_many(count, self.having[name]):
                findings.add("conflicting-values", count, self.several_rows[name])
        properties = Counter({name: sum(values.values()) for name, values in self.values.items()})
        for variants in _variants(properties):
            findings.add("property-spelling", 1, [_spelled(variants)])
        together: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for name, values in self.values.items():
            together[folded(name)].update(values)
        for name, values in together.items():
            for variants in _variants(values):
                findings.add("value-spelling", 1, [f"{name}: {_spelled(variants)}"])

    def _judge_paths(self, findings: _Findings) -> None:
        numbers = {path for path in self.paths if CATEGORY_JOIN.join(path).isdigit()}
        for path in self.paths:
            if path in numbers:
                findings.add("category-number", self.paths[path], [self.path_rows[path]])
        paths = {path: count for path, count in self.paths.items() if path not in numbers}
        depths = Counter[int]()
        for path, count in paths.items():
            depths[len(path)] += count
        usual = max(depths, key=lambda depth: depths[depth], default=0)
        inner = {_folded(path[:depth]) for path in paths for depth in range(1, len(path))}
        parents: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
        for path, count in paths.items():
            if len(path) != usual:
                findings.add(
                    "category-depth", count, [f"{self.path_rows[path]} ({len(path)} levels, most have {usual})"]
                )
            if _folded(path) in inner:
                findings.add("category-inner", count, [self.path_rows[path]])
            elif len(path) > 1:
                parents[folded(path[-1])].add(_folded(path[:-1]))
        spelled = {_folded(path): path for path in reversed(paths)}
        nodes = {_folded(path[:depth]): path[:depth] for path in paths for depth in range(1, len(path) + 1)}
        for leaf, above in parents.items():
            if len(above) > 1:
                own = spelled[(*min(above), leaf)][-1]
                under = " and under ".join(CATEGORY_JOIN.join(nodes[parent]) for parent in sorted(above))
                findings.add("leaf-two-parents", 1, [f"{own} is under {under}"])
        joined = Counter({CATEGORY_JOIN.join(path): count for path, count in paths.items()})
        for variants in _variants(joined):
            findings.add("category-spelling", 1, [_spelled(variants)])


def _folded(path: Sequence[str]) -> tuple[str, ...]:
    return tuple(folded(step) for step in path)


def _variants(names: Mapping[str, int]) -> list[list[tuple[str, int]]]:
    """Names that are one when folded, the most frequent spelling first."""
    groups: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, count in names.items():
        groups[folded(name)].append((name, count))
    return [sorted(group, key=lambda item: (-item[1], item[0])) for group in groups.values() if len(group) > 1]


def _spelled(variants: Iterable[tuple[str, int]]) -> str:
    return " / ".join(f"{name!r} ({count})" for name, count in variants)


# --- repeats


class _Hashes:
    """64-bit hashes of many texts in a temporary file: a million ids are 8 MB there, and none in memory.

    The last two bits can carry a number; two texts are taken for one with a chance of n² / 2^63.
    """

    def __init__(self, chunk: int = 1 << 19) -> None:
        self.chunk = chunk  # hashes that are read at once
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)
        self._count = 0

    def __enter__(self) -> "_Hashes":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, texts: pl.Series, tags: pl.Series | None = None) -> None:
        """Remember texts, each with a number from 0 to 3 if tags are given."""
        hashes = self.of(texts)
        if tags is not None:
            hashes |= tags.to_numpy().astype(np.uint64)
        self._file.write(hashes.tobytes())
        self._count += len(hashes)

    @staticmethod
    def of(texts: pl.Series) -> np.ndarray:
        """Hashes with the last two bits free for a tag."""
        return texts.hash(seed=11).to_numpy().astype(np.uint64) & ~np.uint64(3)

    def repeats(self) -> tuple[int, np.ndarray]:
        """How many texts are repeated, and the hashes of a few of them."""
        count, some = 0, []
        for hashes in self._parts():
            distinct, times = np.unique(hashes, return_counts=True)
            count += int((times - 1).sum())
            some.extend(distinct[times > 1][:MAX_EXAMPLES].tolist())
        return count, np.array(some[:MAX_EXAMPLES], dtype=np.uint64)

    def with_several_tags(self) -> tuple[int, np.ndarray]:
        """How many texts have more than one tag, and the hashes of a few of them."""
        count, some = 0, []
        for hashes in self._parts():
            distinct, times = np.unique(np.unique(hashes) & ~np.uint64(3), return_counts=True)
            count += int((times > 1).sum())
            some.extend(distinct[times > 1][:MAX_EXAMPLES].tolist())
        return count, np.array(some[:MAX_EXAMPLES], dtype=np.uint64)

    def _parts(self) -> Iterator[np.ndarray]:
        """All hashes, those of one text in the same part; a part is small enough to be sorted in memory."""
        part_count = np.uint64(self._count // self.chunk + 1)
        for part in range(int(part_count)):
            self._file.seek(0)
            own_hashes = []
            while data := self._file.read(8 * self.chunk):
                hashes = np.frombuffer(data, dtype=np.uint64)
                own_hashes.append(hashes[(hashes >> np.uint64(2)) % part_count == part])
            yield np.concatenate(own_hashes) if own_hashes else np.zeros(0, dtype=np.uint64)


def _check_repeats(catalog: Catalog, ids: _Hashes, titles: _Hashes, findings: _Findings) -> None:
    """Repeated ids, and titles in several splits; if there are any, a second pass looks up their rows."""
    same_ids, id_hashes = ids.repeats()
    if same_ids:
        findings.add("duplicate-id", same_ids, _rows_of_hashes(catalog, "product_id", id_hashes))
    across, title_hashes = titles.with_several_tags()
    if across:
        findings.add("title-in-splits", across, _rows_of_hashes(catalog, "title", title_hashes))


def _rows_of_hashes(catalog: Catalog, column: str, hashes: np.ndarray) -> list[str]:
    """The texts with these hashes and their first rows."""
    rows_of: dict[str, list[str]] = {}
    row = 0
    columns = ("product_id",) if column == "product_id" else ("title", "split")
    try:
        for frame in catalog.batches(8192, columns=columns):
            frame = frame.with_row_index("row", offset=row + 1)
            row += frame.height
            if column == "product_id":
                known = frame.filter(pl.col("product_id").is_not_null())
                texts, seconds = known["product_id"], known["row"].cast(pl.String)
            else:
                known = _in_splits(frame)
                texts, seconds = _titles_by_split(known)[0], known["split"]
            for index in np.flatnonzero(np.isin(_Hashes.of(texts), hashes)).tolist():
                text_rows = rows_of.setdefault(texts[index], [])
                if len(text_rows) < 4 and seconds[index] not in text_rows:
                    text_rows.append(seconds[index])
    except CatalogError:  # said already
        pass
    before = "rows" if column == "product_id" else "in"
    return [f"{text} ({before} {', '.join(text_rows)})" for text, text_rows in rows_of.items()]
