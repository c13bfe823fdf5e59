"""People's corrections of products, applied to a catalog batch by batch: the table itself is never changed."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from shopvl.catalog.cells import folded, path_of
from shopvl.catalog.readers import Catalog
from shopvl.catalog.schema import PRODUCT_SCHEMA
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.checksums import Remedy, read_object, unstamped, verify_sealed
from shopvl.errors import CatalogError

CHECKSUM_LETTERS = 33  # that follow the last key of a line of a log
LOG_SUFFIX = ".jsonl"  # of a log that decisions are added to one by one (catalog/correction_log.py)
LENGTH = ".length"  # after a log's name: the file that says how long the log was when its last line was confirmed
CORRECTIONS = pa.schema(
    [
        ("product_id", pa.string()),
        ("property", pa.string()),
        ("value", pa.string()),
        ("previous", pa.string()),
        ("decided_at", pa.timestamp("us", tz="UTC")),
        ("at_random", pa.bool_()),
        *((name, pa.string()) for name in ("by", "note", "batch")),
    ]
)
LATER = {"at_random": False, "by": "", "note": "", "batch": ""}  # what earlier files lack, and says so
NEEDED = tuple(name for name in CORRECTIONS.names if name not in LATER)


@dataclass(frozen=True, slots=True)
class Correction:
    """A person's decision on one property of one product. `value` None: the product does not have it."""

    product_id: str
    property: str
    value: str | None
    previous: str | None  # what was answered before
    decided_at: datetime
    at_random: bool = False  # the product was drawn at random, so that it stands for others
    by: str = ""  # who decided; empty where nobody said
    note: str = ""  # why
    batch: str = ""  # of those that were accepted together, on one screen: its name

    def key(self) -> tuple[str, str]:
        """What the correction is about."""
        return self.product_id, folded(self.property)

    def says(self) -> str | None:
        """The value as it is compared with another decision's."""
        return None if self.value is None else folded(self.value)

    def as_row(self) -> dict[str, Any]:
        """As a row of CORRECTIONS."""
        return {name: getattr(self, name) for name in CORRECTIONS.names}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log: a decision, or the taking back of one (`undoes`: that line's id)."""

    id: str
    by: str
    correction: Correction | None = None
    undoes: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As data_schemas/correction_log.schema.json describes it."""
        ids: dict[str, Any] = {"id": self.id, "by": self.by}
        if self.correction is None:
            return {**ids, "undoes": self.undoes}
        more = [name for name, plain in LATER.items() if name != "by" and getattr(self.correction, name) != plain]
        values = {name: getattr(self.correction, name) for name in (*NEEDED, *more)}
        return {**ids, **values, "decided_at": self.correction.decided_at.astimezone(UTC).isoformat()}


def read_corrections(path: Path) -> list[Correction]:
    """What was decided: the rows of a corrections.parquet (data_schemas/correction.schema.json), or what stands in a
    log of decisions (.jsonl). Raises CatalogError for other files."""
    if path.suffix.lower() == LOG_SUFFIX:
        try:
            length = confirmed_length(path)
            text = path.read_bytes()
            check_length(path, len(text), length)
            lines = read_log_lines(text, path)
        except OSError as error:
            raise CatalogError(f"{path} cannot be read as corrections: {error.strerror or error}") from error
        return [line.correction for line in standing(lines) if line.correction is not None]
    verify_sealed(path, Remedy("import the review sheets again", CatalogError))
    try:
        names = pq.read_schema(path).names
        if missing := [name for name in NEEDED if name not in names]:
            raise CatalogError(
                f"{path} has no column {', '.join(missing)}, so it is not a table of corrections; "
                "`shopvl review import` writes one"
            )
        there = [name for name in CORRECTIONS.names if name in names]
        rows = pq.read_table(path, columns=there).cast(pa.schema(map(CORRECTIONS.field, there))).to_pylist()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise CatalogError(
            f"{path} cannot be read as corrections: {reason}; `shopvl review import` writes such a file"
        ) from error
    told = ({**row, **{name: row.get(name) or plain for name, plain in LATER.items()}} for row in rows)
    return [Correction(**row) for row in told if row["product_id"] and row["property"]]


def confirmed_length(log: Path) -> int:
    """Bytes that a log had when its last line was confirmed, at least; 0 where nobody says."""
    beside = log.with_name(log.name + LENGTH)
    if not beside.exists():
        return 0
    length = read_object(beside, Remedy(f"delete it if {log.name} is whole", CatalogError)).get("bytes")
    return length if isinstance(length, int) else 0


def check_length(log: Path, size: int, confirmed: int) -> None:
    """Raises CatalogError for a log that lost whole lines, which no line's checksum shows."""
    if size < confirmed:
        raise CatalogError(
            f"{log} is damaged: it has {size:,} bytes and had {confirmed:,} when its last decision was confirmed; "
            f"bring it back from a copy, or delete {log.name}{LENGTH} to go on without what is missing"
        )


def read_log_lines(text: bytes, path: Path) -> list[LogLine]:
    """The lines of a log; one that a crash cut short was never confirmed to anybody and is skipped.

    Raises CatalogError for JSON that is not a line of a log.
    """
    log_lines = []
    remedy = Remedy("bring the file back from a copy, or remove that line and decide again", CatalogError)
    for number, line in enumerate(text.splitlines(), 1):
        try:
            fields = json.loads(line)
        except ValueError:
            if line.endswith(b"}") or b'"checksum": "' in line[:-CHECKSUM_LETTERS]:  # a crash leaves no such end
                raise remedy.damaged(path, f"line {number} is not JSON") from None
            continue
        if isinstance(fields, dict) and not unstamped(fields):
            raise remedy.damaged(path, f"line {number} is not as it was written")
        try:
            if "undoes" in fields:
                log_lines.append(LogLine(id=fields["id"], by=fields["by"], undoes=fields["undoes"]))
            else:
                values = {name: fields[name] for name in NEEDED} | {
                    name: fields.get(name, plain) for name, plain in LATER.items()
                }
                values["decided_at"] = datetime.fromisoformat(fields["decided_at"])
                log_lines.append(LogLine(fields["id"], fields["by"], Correction(**values)))
        except (TypeError, KeyError, ValueError) as error:
            raise CatalogError(
                f"line {number} of {path} is not a decision ({error!r}); a log that `shopvl app` wrote was wanted"
            ) from error
    return log_lines


def standing(lines: Iterable[LogLine]) -> list[LogLine]:
    """The decisions among them that no line takes back."""
    lines = list(lines)
    undone = {line.undoes for line in lines if line.undoes is not None}
    return [line for line in lines if line.correction is not None and line.id not in undone]


def latest(*lots: Iterable[Correction]) -> list[Correction]:
    """The latest correction per product, property and person; of equally late ones the last given. A product that was
    drawn at random once stays one that was."""
    found: dict[tuple[str, str, str], Correction] = {}
    drawn: set[tuple[str, str]] = set()
    for correction in (correction for lot in lots for correction in lot):
        key = (*correction.key(), correction.by)
        before = found.get(key)
        if correction.at_random:
            drawn.add(correction.key())
        if before is None or correction.decided_at >= before.decided_at:
            found[key] = correction
    return [replace(own, at_random=True) if own.key() in drawn else own for own in found.values()]


def merged(*lots: Iterable[Correction]) -> list[Correction]:
    """What is decided, one correction per product and property: of each person the latest counts, of several people
    what most of them say. Where as many say one thing as another, nothing is decided (`disputed`)."""
    return [most[0] for own in _by_key(lots) if len(most := _most_said(own)) == 1]


def disputed(*lots: Iterable[Correction]) -> list[list[Correction]]:
    """What people said of each product and property that needs a look by somebody else, the earliest first."""
    return [
        sorted(own, key=lambda one: one.decided_at)
        for own in _by_key(lots)
        if len(own) > 1 and len(_most_said(own)) > 1
    ]


def _by_key(lots: Iterable[Iterable[Correction]]) -> Iterable[list[Correction]]:
    """The latest correction of each person, by product and property."""
    about: dict[tuple[str, str], list[Correction]] = {}
    for correction in latest(*lots):
        about.setdefault(correction.key(), []).append(correction)
    return about.values()


def _most_said(own: list[Correction]) -> list[Correction]:
    """Of what most people say the latest correction; several where as many say something else."""
    by_value: dict[str | None, list[Correction]] = {}
    for correction in own:
        by_value.setdefault(correction.says(), []).append(correction)
    most = max(map(len, by_value.values()))
    return [max(said, key=lambda one: one.decided_at) for said in by_value.values() if len(said) == most]


def corrected(frames: Iterable[pl.DataFrame], corrections: Iterable[Correction]) -> Iterator[pl.DataFrame]:
    """Frames in the catalog's canonical columns, with the corrections applied to `category_path` and `attributes`.

    A corrected value replaces all values of its property, a corrected category the whole path; a correction without a
    value takes them away. A correction that a frame has no column for is skipped. Needs `product_id`.
    """
    return _corrected_frames(frames, _by_product(corrections))


@dataclass(frozen=True)
class CorrectedCatalog(Catalog):
    """A catalog as people corrected it: everything that takes a `Catalog` takes this one too."""

    corrections: tuple[Correction, ...] = field(default=(), kw_only=True)

    def has(self, column: str) -> bool:
        """Whether the table or a correction brings this column."""
        brought = {
            "category_path" if folded(correction.property) == CATEGORY else "attributes"
            for correction in self.corrections
        }
        return column in brought or super().has(column)

    def batches(self, rows: int = 1024, *, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """As `Catalog.batches`, corrected."""
        if columns is None or not {"category_path", "attributes"} & set(columns):
            frames = super().batches(rows, columns=columns)
            yield from frames if columns is not None else corrected(frames, self.corrections)
            return
        keep = [name for name in self.columns if name in columns]
        for frame in corrected(super().batches(rows, columns={*columns, "product_id"}), self.corrections):
            yield frame.select(keep)

    def digest(self) -> str:
        """SHA-256 of the table's content and of what was corrected."""
        corrected_values = sorted(
            (*correction.key(), correction.property, correction.value or "", correction.value is None)
            for correction in self.corrections
        )
        return hashlib.sha256(f"{super().digest()}\n{json.dumps(corrected_values)}".encode()).hexdigest()

    @property
    def label(self) -> str:
        """The table and split, in words."""
        return f"{self.path}" if self.split is None else f"{self.path}, split {self.split!r}"

    def applied(self) -> int:
        """How many of the corrections are about products that this catalog (this split of it) has."""
        by_product = _by_product(self.corrections)
        product_ids: set[str] = set()
        for frame in super().batches(8192, columns=("product_id",)):
            product_ids.update(name for name in frame["product_id"].drop_nulls().to_list() if name in by_product)
        return sum(len(by_product[name]) for name in product_ids)


def with_corrections(catalog: Catalog, path: Path, *, needed: bool = True) -> CorrectedCatalog:
    """The catalog with a corrections file applied.

    Raises CatalogError for a file that holds none, and, where they are `needed`, if none of them is about a product of
    this catalog.
    """
    corrections = tuple(merged(read_corrections(path)))
    if not corrections:
        raise CatalogError(f"{path} holds no corrections; `shopvl review import` writes them from a review sheet")
    told = catalog.source, catalog.root, catalog.plan, catalog.split
    corrected_catalog = CorrectedCatalog(*told, corrections=corrections, parents=catalog.parents)
    if needed and not corrected_catalog.applied():
        raise CatalogError(
            f"none of the {len(corrections)} corrections in {path} is about a product of {corrected_catalog.label}, "
            "so there is nothing to learn from them; name the catalog and split that hold the reviewed products"
        )
    return corrected_catalog


_ByProduct = Mapping[str, Mapping[str, Correction]]  # product -> folded property -> correction


def _by_product(corrections: Iterable[Correction]) -> _ByProduct:
    by_product: dict[str, dict[str, Correction]] = {}
    for correction in merged(corrections):
        by_product.setdefault(correction.product_id, {})[folded(correction.property)] = correction
    return by_product


def _corrected_frames(frames: Iterable[pl.DataFrame], by_product: _ByProduct) -> Iterator[pl.DataFrame]:
    for frame in frames:
        corrected_rows = {
            i: by_product[name] for i, name in enumerate(frame["product_id"].to_list()) if name in by_product
        }
        changed = []
        if corrected_rows and "category_path" in frame.columns:
            paths = frame["category_path"].to_list()
            for row, by_property in corrected_rows.items():
                if (correction := by_property.get(CATEGORY)) is not None:
                    paths[row] = path_of(correction.value)
            changed.append(pl.Series("category_path", paths, dtype=PRODUCT_SCHEMA["category_path"]))
        if corrected_rows and "attributes" in frame.columns:
            lists = frame["attributes"].to_list()
            for row, by_property in corrected_rows.items():
                lists[row] = _replaced(lists[row] or [], by_property)
            changed.append(pl.Series("attributes", lists, dtype=PRODUCT_SCHEMA["attributes"]))
        yield frame.with_columns(changed) if changed else frame


def _replaced(attributes: list[dict[str, Any]], by_property: Mapping[str, Correction]) -> list[dict[str, Any]] | None:
    """Attributes without those that a correction is about, then the corrected ones."""
    untouched = [pair for pair in attributes if folded(pair["property"] or "") not in by_property]
    news = [
        {"property": correction.property, "value": correction.value}
        for name, correction in by_property.items()
        if name != CATEGORY and correction.value is not None
    ]
    return [*untouched, *news] or None
