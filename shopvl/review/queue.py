"""Answers that a person should look at, out as a sheet; what they decided, back in as corrections."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import polars as pl

from shopvl.catalog.cells import folded, path_of
from shopvl.catalog.corrections import CORRECTIONS, Correction, merged, read_corrections
from shopvl.catalog.images import Thumbnail, image_bytes, thumbnail
from shopvl.catalog.ontology import JOIN, Ontology
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.errors import ImageError, ReviewError
from shopvl.files import Table, whole
from shopvl.review.sheet import (
    NAMES,
    PICTURE_FILE_PX,
    Reason,
    SheetQuestion,
    SheetRow,
    read_sheet,
    write_csv,
    write_workbook,
)

UNKNOWN = "unknown"  # in the drop-down: the product does not have this property
UNKNOWN_WORDS = frozenset({UNKNOWN, "none", "未知", "无", "没有"})
TOP_VALUES = 3
FETCHERS = 8  # pictures may be URLs
MAX_ROWS = 1_000_000  # of a sheet; XLSX ends at 1,048,576
NEAREST = 3  # legal values named beside an illegal one
READ = ("product_id", "property", "value", "probability", "decision", "evidence", "conflict", "alternatives")


# --- out


@dataclass(frozen=True)
class ReviewExport:
    """What a sheet asks: its rows, how many there would be without a limit, and what they are about."""

    questions: int
    of: int
    products: int
    conflicts: int
    missing: int  # products that the catalog does not have


def export_review(
    tags: Path,
    catalog: Catalog,
    ontology: Ontology,
    out: Path,
    *,
    limit: int | None = None,
    report: Callable[[int], None] = lambda products: None,
) -> ReviewExport:
    """Write the answers of a tagging run that a person should look at as `out`, an .xlsx or .csv, most useful first.

    `tags` is the run's folder or its tags.parquet. Raises ReviewError where there is nothing to ask, where tags,
    catalog and ontology do not belong together, and for another kind of file. `report` is called with products found.
    """
    if out.suffix.lower() not in (".xlsx", ".csv"):
        raise ReviewError(f"a review sheet is an .xlsx or a .csv, {out.name} is neither; write --out review.xlsx")
    queue = review_queue(tags, catalog, ontology, limit, pictures=out.suffix.lower() == ".xlsx", report=report)
    questions = queue.questions
    with whole(out) as draft:
        if out.suffix.lower() == ".csv":
            names = [name for name in NAMES if name != "picture"]
            write_csv(draft, (question.texts(" | ") for question in questions), names)
        else:
            write_workbook(draft, questions, choices(ontology, {question.property for question in questions}))
    return ReviewExport(
        questions=len(questions),
        of=queue.of,
        products=len({question.product_id for question in questions}),
        conflicts=sum(question.reason.kind.startswith("conflict") for question in questions),
        missing=queue.missing,
    )


@dataclass(frozen=True)
class Queue:
    """Questions about a tagging run, most useful first, how many there would be without a limit, and how many of the
    products the catalog does not have."""

    questions: list[SheetQuestion]
    of: int
    missing: int


def review_queue(
    tags: Path,
    catalog: Catalog,
    ontology: Ontology,
    limit: int | None = None,
    *,
    pictures: bool = False,
    report: Callable[[int], None] = lambda products: None,
) -> Queue:
    """What a person should look at in a tagging run. Raises ReviewError where there is nothing to ask, and where tags,
    catalog and ontology do not belong together. With `pictures` the questions have small ones."""
    asked, of = most_useful(tags, ontology, min(limit or MAX_ROWS, MAX_ROWS))
    if not asked:
        raise ReviewError(f"{tags} has nothing to review: every answer was accepted, or there is none")
    wanted = {row["product_id"] for row in asked}
    seen = _look_up(catalog, wanted, pictures, report)
    if not seen:
        raise ReviewError(
            f"none of the products tagged in {tags} is in {catalog.path}; name the catalog that was tagged"
        )
    questions = [_question(row, *seen.get(row["product_id"], ("", None))) for row in asked]
    return Queue(questions, of, len(wanted - seen.keys()))


def most_useful(tags: Path, ontology: Ontology, limit: int) -> tuple[list[dict[str, Any]], int]:
    """The rows of a tagging run to ask about, most useful first, and how many there are without the limit.

    First those where picture and title disagree, then the others. Within each, a row counts by its uncertainty (1 less
    the margin between the best two values) divided by how many rows of its property and of its product come before
    it, as seats are divided among parties (D'Hondt): no property or product takes the whole list, and an easy property
    is still asked about less often than a hard one. Raises ReviewError for a table that holds no tags, or those of a
    model with another ontology.
    """
    rows = _tags(tags)
    worth = pl.col("value").is_not_null() & (pl.col("conflict") | (pl.col("decision") != "accept"))
    runner_up = pl.col("alternatives").list.first().struct.field("probability").fill_null(0.0)
    light = (
        rows.filter(worth)
        .select(
            *("number", "product_id", "property", "value", "conflict"),
            (1 - pl.col("probability") + runner_up).alias("doubt"),
        )
        .unique(["product_id", "property"], keep="first", maintain_order=True)
        .collect()
    )
    _check_known(tags, light.select("property", "value").unique(maintain_order=True), ontology)
    light = light.join(_not_had(rows, ontology), on=["product_id", "property"], how="anti", maintain_order="left")

    def place(name: str) -> pl.Expr:
        return pl.col("doubt").rank("ordinal", descending=True).over("conflict", name)

    ranked = light.with_columns((pl.col("doubt") / (place("property") * place("product_id"))).alias("use"))
    chosen = ranked.sort(["conflict", "use", "number"], descending=[True, True, False]).head(limit)["number"]
    told = {
        row["number"]: row
        for row in rows.filter(pl.col("number").is_in(chosen.implode())).collect().iter_rows(named=True)
    }
    return [told[number] for number in chosen], light.height


def _tags(tags: Path) -> pl.LazyFrame:
    path = tags / "tags.parquet" if tags.is_dir() else tags
    try:
        names = list(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise ReviewError(
            f"{path} cannot be read: {reason}; the folder that `shopvl tag --out` wrote was wanted"
        ) from error
    if missing := [name for name in READ if name not in names]:
        raise ReviewError(f"{path} has no column {', '.join(missing)}, so it holds no tags; `shopvl tag` writes them")
    return pl.scan_parquet(path).with_row_index("number").select("number", *READ)


def _check_known(tags: Path, answers: pl.DataFrame, ontology: Ontology) -> None:
    known = {(CATEGORY, folded(JOIN.join(node.path))) for node in ontology.categories}
    known |= {(prop.id, folded(value.id)) for prop in ontology.properties for value in prop.values}
    strange = [f"{name} {value!r}" for name, value in answers.iter_rows() if (name, folded(value)) not in known]
    if strange:
        raise ReviewError(
            f"the model does not know {', '.join(sorted(strange)[:3])}, which {tags} has as an answer; "
            "name the --model that made these tags"
        )


def _not_had(rows: pl.LazyFrame, ontology: Ontology) -> pl.DataFrame:
    """Products and the properties that their answered category does not have: nobody is asked for a mug's sleeves."""
    categories = rows.filter(pl.col("property") == CATEGORY).select("product_id", pl.col("value").alias("path"))
    found = categories.drop_nulls().collect()
    lacking = [
        (path, prop.id)
        for path in found["path"].unique().to_list()
        if (had := {known.id for known in ontology.properties_of(path.split(JOIN))})
        for prop in ontology.properties
        if prop.id not in had
    ]
    schema = {"path": pl.String, "property": pl.String}
    return found.join(pl.DataFrame(lacking, schema=schema, orient="row"), on="path").select("product_id", "property")


def _look_up(
    catalog: Catalog, wanted: set[str], pictures: bool, report: Callable[[int], None]
) -> dict[str, tuple[str, Thumbnail | None]]:
    """Title and picture of those products; a picture that cannot be read is None."""
    seen: dict[str, tuple[str, Thumbnail | None]] = {}
    columns = ("product_id", "title", "image") if pictures else ("product_id", "title")

    def look(row: Mapping[str, Any]) -> tuple[str, Thumbnail | None]:
        return row["title"] or "", _small_picture(row["image"], catalog.root) if pictures else None

    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        for frame in catalog.batches(columns=columns):
            new = frame.filter(pl.col("product_id").is_in(list(wanted - seen.keys()))).unique(
                "product_id", keep="first"
            )
            found = list(new.iter_rows(named=True))
            seen |= zip((row["product_id"] for row in found), pool.map(look, found), strict=True)
            report(len(seen))
            if len(seen) == len(wanted):
                break
    return seen


def _small_picture(image: Mapping[str, Any] | None, root: Path) -> Thumbnail | None:
    try:
        return thumbnail(image_bytes(image, root), size_px=PICTURE_FILE_PX)
    except ImageError:
        return None


def _question(row: Mapping[str, Any], title: str, picture: Thumbnail | None) -> SheetQuestion:
    others = [(other["value"], other["probability"]) for other in row["alternatives"] or ()]
    return SheetQuestion(
        product_id=row["product_id"],
        title=title,
        property=row["property"],
        answer=row["value"],
        probability=row["probability"],
        reason=_reason(row),
        top=[(row["value"], row["probability"]), *others][:TOP_VALUES],
        key=_key(row["product_id"], row["property"], row["value"]),
        picture=picture,
    )


def _reason(row: Mapping[str, Any]) -> Reason:
    if row["conflict"]:
        match row["evidence"]:
            case ["image"]:
                return Reason("conflict, picture's", row["probability"])
            case ["title"]:
                return Reason("conflict, title's", row["probability"])
            case _:
                return Reason("conflict", row["probability"])
    if row["decision"] == "unknown":
        return Reason("unknown", row["probability"])
    near = next(iter(row["alternatives"] or ()), None)
    if near is not None and near["probability"] >= row["probability"] / 2:
        leaf, own = near["value"].split(JOIN)[-1], row["value"].split(JOIN)[-1]
        return Reason("near", row["probability"], leaf if leaf != own else near["value"])
    return Reason("low", row["probability"])


def choices(ontology: Ontology, names: Iterable[str]) -> dict[str, list[str]]:
    """What the drop-down of each of these properties offers: `unknown`, then every legal value."""
    values = {CATEGORY: [JOIN.join(path) for path in ontology.leaves()]} | {
        name: list(legal) for name, legal in ontology.values().items()
    }
    return {name: [UNKNOWN, *(v for v in values[name] if folded(v) != UNKNOWN)] for name in sorted(names)}


def _key(product_id: str, name: str, answer: str) -> str:
    """What a row was about when it went out: letters and digits that no spreadsheet takes for a number or a date."""
    text = json.dumps([product_id, name, answer], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def _unlocked(key: str) -> tuple[str, str, str] | None:
    try:
        parts = json.loads(base64.urlsafe_b64decode(key.encode()).decode())
    except (binascii.Error, ValueError):
        return None
    if isinstance(parts, list) and len(parts) == 3 and all(isinstance(part, str) for part in parts):
        return parts[0], parts[1], parts[2]
    return None


# --- in


@dataclass(frozen=True)
class SheetFault:
    """A row that was not taken: its number in the sheet, its cells, and why."""

    row: int
    reason: str
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """Rows in = taken + empty + faults; `corrections` are now in the file, earlier ones included."""

    rows: int
    taken: int
    changed: int  # of those taken: other than the answer was
    empty: int
    corrections: int
    faults: tuple[SheetFault, ...]
    rejects: Path | None  # where the faults are


def import_review(sheet: Path, ontology: Ontology, out: Path, *, now: datetime | None = None) -> Imported:
    """Read an edited sheet and add what was decided to `out`, a corrections.parquet; a later decision replaces one.

    Every row is checked. Good ones are taken, the others go to `SHEET-rejects.csv` beside `out` with the reason: a
    sheet like the first, to be mended and imported as well. Raises ReviewError for a file that is no review sheet or
    in which nothing was decided.
    """
    if out.suffix.lower() != ".parquet":
        raise ReviewError(f"corrections are kept as .parquet, {out.name} is not; write --out corrections.parquet")
    rows = read_sheet(sheet)
    before = read_corrections(out) if out.exists() else []
    decided: list[tuple[SheetRow, Correction]] = []
    faults: list[SheetFault] = []
    names, moment = LegalNames(ontology), now or datetime.now(UTC)
    for row in rows:
        try:
            if (correction := _decided(row, names, moment)) is not None:
                decided.append((row, correction))
        except IllegalError as bad:
            faults.append(SheetFault(row.number, str(bad), row.cells))
    good, contradictory = _agreed(decided)
    faults = sorted([*faults, *contradictory], key=lambda fault: fault.row)
    if not good and not faults:
        raise ReviewError(f"nothing is decided in {sheet}: the column correct is empty in all {len(rows)} rows")
    after = merged(before, good)
    if good:
        with Table(out, CORRECTIONS) as table:
            table.write([{name: getattr(one, name) for name in CORRECTIONS.names} for one in after])
    return Imported(
        rows=len(rows),
        taken=len(decided) - len(contradictory),
        changed=sum(one.value != one.previous for one in good),
        empty=len(rows) - len(decided) - len(faults) + len(contradictory),
        corrections=len(after),
        faults=tuple(faults),
        rejects=_write_rejects(sheet, out, faults),
    )


def _write_rejects(sheet: Path, out: Path, faults: Sequence[SheetFault]) -> Path | None:
    path = out.with_name(f"{sheet.stem}-rejects.csv")
    if not faults:
        if path.resolve() != sheet.resolve():
            path.unlink(missing_ok=True)  # of an earlier import of this sheet, since mended
        return None
    names = ["row", "reason", *(name for name in NAMES if name != "picture")]
    with whole(path) as draft:
        write_csv(draft, ({**fault.cells, "row": str(fault.row), "reason": fault.reason} for fault in faults), names)
    return path


class IllegalError(ReviewError):
    """A decision that cannot be taken, and why."""


def _decided(row: SheetRow, names: LegalNames, moment: datetime) -> Correction | None:
    """What a row says; None where nobody filled it in. Raises IllegalError."""
    if row.fault is not None:
        raise IllegalError(row.fault)
    text, key = row.cells["correct"], row.cells["key"]
    origin = _unlocked(key) if key else None
    if origin is None:
        if not text and not key:
            return None  # a note that somebody wrote below the table
        came = f"its key {key!r} is damaged" if key else "it has no key"
        raise IllegalError(f"{came}, so it is no row of an exported sheet; fill in the row that was exported")
    product_id, name, answer = origin
    changed = [
        f"{column} was {before!r} and is now {row.cells[column]!r}"
        for column, before in (("product_id", product_id), ("property", name), ("answer", answer))
        if not _same(before, row.cells[column])
    ]
    if changed:
        raise IllegalError(f"{'; '.join(changed)}; undo that, and write the right value in the column correct")
    if not text:
        return None
    return Correction(product_id, names.property(name), names.value(name, text), answer, moment)


def _same(before: str, now: str) -> bool:
    """Whether a cell is unchanged, but for what spreadsheets do to long numbers and zeros in front (00123, 8.8E+12)."""
    if folded(before) == folded(now):
        return True
    try:
        told, came = float(before), float(now)
    except ValueError:
        return False
    return abs(told - came) <= (1e-5 * abs(told) if "e" in now.lower() else 0)


def _agreed(decided: Sequence[tuple[SheetRow, Correction]]) -> tuple[list[Correction], list[SheetFault]]:
    """One correction per product and property; rows that contradict each other are all faults."""
    by_key: dict[tuple[str, str], list[tuple[SheetRow, Correction]]] = defaultdict(list)
    for row, correction in decided:
        by_key[correction.key()].append((row, correction))
    good, faults = [], []
    for rows in by_key.values():
        said = Counter(one.value for _, one in rows)
        if len(said) == 1:
            good.append(rows[0][1])
            continue
        told = ", ".join(f"{one.value or UNKNOWN} in row {row.number}" for row, one in rows)
        reason = f"{rows[0][1].property} of product {rows[0][1].product_id} is given more than once: {told}; keep one"
        faults += [SheetFault(row.number, reason, row.cells) for row, _ in rows]
    return good, faults


class LegalNames:
    """What may be written in `correct`: ids, names and synonyms of values in every language, and `unknown`."""

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        self._values = {prop.id: _value_names(prop.values) for prop in ontology.properties}
        self._values[CATEGORY] = _category_names(ontology)

    def property(self, name: str) -> str:
        """The id of a property. Raises IllegalError where there is none of that name."""
        if name == CATEGORY:
            return CATEGORY
        known = self.ontology.property(name)
        if known is not None:
            return known.id
        ids = {folded(one): one for one in (CATEGORY, *(prop.id for prop in self.ontology.properties))}
        near = get_close_matches(folded(name), ids, n=NEAREST)
        hint = f" (near: {_listed([ids[one] for one in near])})" if near else ""
        raise IllegalError(
            f"this model has no property {name!r}{hint}; name the --model that the sheet was exported with"
        )

    def value(self, name: str, text: str) -> str | None:
        """The id of the value that `text` names, None for `unknown`. Raises IllegalError that names the nearest."""
        name = self.property(name)
        names = self._values[name]
        meant = names.get(_folded_path(text) if name == CATEGORY else folded(text), set())
        if len(meant) == 1:
            return next(iter(meant))
        if len(meant) > 1:
            raise IllegalError(f"{text!r} can mean {_listed(sorted(meant))}; write which")
        if folded(text) in UNKNOWN_WORDS:
            return None
        if name == CATEGORY and (below := self._below(text)):
            raise IllegalError(f"{text!r} has kinds of its own below it, one of them is wanted: {_listed(below)}")
        near = get_close_matches(folded(text), names, n=NEAREST * 3, cutoff=0.6)
        ids = list(dict.fromkeys(one for found in near for one in sorted(names[found])))[:NEAREST]
        if ids:
            raise IllegalError(f"{text!r} is no {name}; did you mean {_listed(ids)}? Or write {UNKNOWN}")
        legal = sorted(set().union(*names.values()))
        raise IllegalError(f"{text!r} is no {name}; legal are {_listed(legal)}, and {UNKNOWN}")

    def _below(self, text: str) -> list[str]:
        path = path_of(text)
        if path is None:
            return []
        ends = [leaf for leaf in self.ontology.leaves() if _key_of(path) == _key_of(leaf)[: len(path)]]
        named = [leaf for leaf in self.ontology.leaves() if len(path) == 1 and _key_of(path)[0] in _key_of(leaf)[:-1]]
        return [JOIN.join(leaf) for leaf in ends or named]


def _value_names(values: Iterable[Any]) -> dict[str, set[str]]:
    """Folded name -> ids. A value's own id is nobody else's name."""
    names: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for name in (*value.names.values(), *value.synonyms):
            names[folded(name)].add(value.id)
    return names | {folded(value.id): {value.id} for value in values}


def _category_names(ontology: Ontology) -> dict[str, set[str]]:
    """Folded path, in the catalog's words or another language's, or name of a leaf -> joined paths of leaves."""
    short: dict[str, set[str]] = defaultdict(set)
    long: dict[str, set[str]] = {}
    for leaf in ontology.leaves():
        node, joined = ontology.category(leaf), JOIN.join(leaf)
        assert node is not None
        for name in (leaf[-1], *node.names.values(), *node.synonyms):
            short[folded(name)].add(joined)
        for language in node.names:
            steps = [ontology.category(leaf[: depth + 1]) for depth in range(len(leaf))]
            spoken = [(step.name(language) if step else None) or own for step, own in zip(steps, leaf, strict=True)]
            long.setdefault(_folded_path(JOIN.join(spoken)), set()).add(joined)
    own = {_folded_path(JOIN.join(leaf)): {JOIN.join(leaf)} for leaf in ontology.leaves()}
    return short | long | own


def _key_of(path: Sequence[str]) -> tuple[str, ...]:
    return tuple(folded(step) for step in path)


def _folded_path(text: str) -> str:
    return JOIN.join(_key_of(path_of(text.replace("＞", ">")) or ()))


def _listed(values: Sequence[str], most: int = 8) -> str:
    told = ", ".join(repr(value) for value in values[:most])
    return f"{told} … ({len(values)} in all)" if len(values) > most else told
