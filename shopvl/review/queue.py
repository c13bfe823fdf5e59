"""Select the answers that a person should review, and export them as a sheet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from shopvl.catalog.cells import folded
from shopvl.catalog.corrections import Correction, disputed, read_corrections
from shopvl.catalog.images import Thumbnail, image_bytes, thumbnail
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, UNKNOWN
from shopvl.checksums import verify_sealed
from shopvl.errors import ImageError, ReviewError
from shopvl.files import atomic_write
from shopvl.inference.decide import APART, DECIDED, LATER_COLUMNS, REASONS, TAG_AGAIN, UNKNOWN_CATEGORY
from shopvl.inference.several import together
from shopvl.review.keys import Origin, sheet_key
from shopvl.review.sheet import (
    NAMES,
    PICTURE_FILE_PX,
    Reason,
    SheetQuestion,
    write_csv,
    write_workbook,
)

EMPTY = {
    **dict.fromkeys(LATER_COLUMNS, pl.String()),
    **dict.fromkeys(("low", "high"), pl.Float64()),
    "picture": pl.Int8(),
}
TOP_VALUES = 3
FETCHERS = 8  # pictures may be URLs
MAX_ROWS = 1_000_000  # of a sheet; XLSX ends at 1,048,576
READ = tuple(name for name in DECIDED.names if name not in LATER_COLUMNS)


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
    sample: int | None = None,
    report: Callable[[int], None] = lambda products: None,
) -> ReviewExport:
    """Write the answers of a tagging run that a person should look at as `out`, an .xlsx or .csv, most useful first.

    With `sample`, all answers about so many products drawn at random instead: the useful ones say nothing of the rest.
    `tags` is the run's folder or its tags.parquet. Raises ReviewError where there is nothing to ask, where tags,
    catalog and ontology do not belong together, and for another kind of file. `report` is called with products found.
    """
    pictures = has_pictures(out)
    queue = review_queue(tags, catalog, ontology, limit, sample=sample, pictures=pictures, report=report)
    return write_sheet(out, queue, ontology)


@dataclass(frozen=True)
class Chosen:
    """A question that is to be asked about an answer; `at_random`: the product was drawn so. `said`: what was decided
    before, where it is asked again; `why` so."""

    product_id: str
    property: str
    at_random: bool
    said: str | None = None
    why: Literal["again", "disputed"] = "again"


def export_chosen(
    tags: Path,
    catalog: Catalog,
    ontology: Ontology,
    out: Path,
    chosen: Sequence[Chosen],
    report: Callable[[int], None] = lambda products: None,
) -> ReviewExport:
    """Write these questions, in their order, as a sheet; those that tags and catalog know nothing of are left out.

    Raises ReviewError as `export_review` does.
    """
    queue = chosen_queue(tags, catalog, ontology, chosen, pictures=has_pictures(out), report=report)
    if not queue.questions:
        raise ReviewError(f"{tags} has an answer to none of {len(chosen)} questions; name the tags that they are about")
    return write_sheet(out, queue, ontology)


def chosen_queue(
    tags: Path,
    catalog: Catalog,
    ontology: Ontology,
    chosen: Sequence[Chosen],
    *,
    pictures: bool = False,
    report: Callable[[int], None] = lambda products: None,
) -> Queue:
    """These questions, in their order; those that tags and catalog know nothing of are left out.

    Raises ReviewError where tags, catalog and ontology do not belong together.
    """
    wanted = {(one.product_id, folded(one.property)): place for place, one in enumerate(chosen)}
    products = pl.Series([one.product_id for one in chosen], dtype=pl.String)
    rows = _tags(tags).filter(pl.col("product_id").is_in(products.implode())).collect()
    _check_known(tags, rows.select("property", "best_guess").drop_nulls().unique(maintain_order=True), ontology)
    place_of = {
        (cell["product_id"], folded(cell["property"])): cell
        for _, cell in _as_cells(rows, ontology)
        if cell["best_guess"] is not None
    }
    cells = [place_of[key] for key in wanted if key in place_of]
    seen = look_up(catalog, {cell["product_id"] for cell in cells}, pictures, report)
    questions = []
    for cell in cells:
        own = chosen[wanted[cell["product_id"], folded(cell["property"])]]
        question = question_of(cell, *seen.get(cell["product_id"], ("", None)), at_random=own.at_random)
        again = (
            question if own.said is None else replace(question, reason=Reason(own.why, question.probability, own.said))
        )
        questions.append(again)
    missing = len({cell["product_id"] for cell in cells} - seen.keys())
    return Queue(questions, len(chosen), missing)


def export_disputed(
    tags: Path,
    catalog: Catalog,
    ontology: Ontology,
    out: Path,
    corrections: Path,
    report: Callable[[int], None] = lambda products: None,
) -> ReviewExport:
    """Write what people disagree on in a file of corrections as a sheet, with what each said. Raises ReviewError where
    they agree, and as `export_review` does."""
    chosen = disputes(read_corrections(corrections))
    if not chosen:
        raise ReviewError(f"nobody disagrees in {corrections}, so there is nothing to look at once more")
    return export_chosen(tags, catalog, ontology, out, chosen, report)


def disputes(decisions: Iterable[Correction]) -> list[Chosen]:
    """What people disagree on, to be asked of somebody else, with what each said and noted."""
    return [
        Chosen(own[0].product_id, own[0].property, any(one.at_random for one in own), _argued(own), "disputed")
        for own in disputed(decisions)
    ]


def _argued(own: Sequence[Correction]) -> str:
    said = (f"{one.value or UNKNOWN} ({', '.join(filter(None, (one.by, one.note)))})" for one in own)
    return "; ".join(part.replace(" ()", "") for part in said)


def has_pictures(out: Path) -> bool:
    """Whether a sheet of that name holds pictures. Raises ReviewError for another kind of file."""
    if out.suffix.lower() not in (".xlsx", ".csv"):
        raise ReviewError(f"a review sheet is an .xlsx or a .csv, {out.name} is neither; write --out review.xlsx")
    return out.suffix.lower() == ".xlsx"


def write_sheet(out: Path, queue: Queue, ontology: Ontology) -> ReviewExport:
    """Write the questions, in their order."""
    questions = queue.questions
    with atomic_write(out) as draft:
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
    sample: int | None = None,
    pictures: bool = False,
    report: Callable[[int], None] = lambda products: None,
) -> Queue:
    """What a person should look at in a tagging run, or all about a `sample` of so many products.

    Raises ReviewError where there is nothing to ask, and where tags, catalog and ontology do not belong together. With
    `pictures` the questions have small ones.
    """
    if sample is None:
        question_rows, of = most_useful(tags, ontology, min(limit or MAX_ROWS, MAX_ROWS))
    else:
        question_rows, of = at_random(tags, ontology, sample)
    if not question_rows:
        raise ReviewError(f"{tags} has nothing to review: every answer was accepted, or there is none")
    wanted = {row["product_id"] for row in question_rows}
    seen = look_up(catalog, wanted, pictures, report)
    if not seen:
        raise ReviewError(
            f"none of the products tagged in {tags} is in {catalog.path}; name the catalog that was tagged"
        )
    drawn = sample is not None
    questions = [question_of(row, *seen.get(row["product_id"], ("", None)), at_random=drawn) for row in question_rows]
    return Queue(questions, of, len(wanted - seen.keys()))


def most_useful(tags: Path, ontology: Ontology, limit: int) -> tuple[list[dict[str, Any]], int]:
    """The rows of a tagging run to ask about, most useful first, and how many there are without the limit.

    What was not accepted, and a category of which only a part of the path was. Where nobody knows the category, nothing
    else is asked of the product. First come those where picture and title disagree, then the others. Within each, a row
    counts by its uncertainty (1 less the margin between the best two values) divided by how many rows of its property
    and of its product come before it, as seats are divided among parties (D'Hondt): no property or product takes the
    whole list, and an easy property is still asked about less often than a hard one. Raises ReviewError for a table
    that holds no tags, or those of a model with another ontology.
    """
    rows = _tags(tags)
    is_part, known = pl.col("value") != pl.col("best_guess"), pl.col("reason") != REASONS[UNKNOWN_CATEGORY]
    not_accepted = (pl.col("decision") != "accept") | pl.col("together").is_in(["review", "unknown"])
    worth = pl.col("value").is_not_null() & known & (pl.col("conflict") | not_accepted | is_part)
    first, second = (
        pl.col("alternatives").list.get(place, null_on_oob=True).struct.field("probability").fill_null(0.0)
        for place in (0, 1)
    )
    light = (
        rows.filter(worth)
        .select(
            *("number", "product_id", "property", "best_guess", "conflict"),
            (1 - pl.when(is_part).then(first - second).otherwise(pl.col("probability") - first)).alias("doubt"),
        )
        .unique(["product_id", "property"], keep="first", maintain_order=True)
        .collect()
    )
    _check_known(tags, light.select("property", "best_guess").unique(maintain_order=True), ontology)

    def rank(name: str) -> pl.Expr:
        return pl.col("doubt").rank("ordinal", descending=True).over("conflict", name)

    ranked = light.with_columns((pl.col("doubt") / (rank("property") * rank("product_id"))).alias("use"))
    chosen = ranked.sort(["conflict", "use", "number"], descending=[True, True, False]).head(limit)["number"]
    keys = rows.filter(pl.col("number").is_in(chosen.implode())).select("product_id", "property")
    whole = rows.join(keys.unique(), on=["product_id", "property"], how="semi").collect()
    row_of = {number: row for numbers, row in _as_cells(whole, ontology) for number in numbers}
    return [row_of[number] for number in chosen], light.height


def at_random(tags: Path, ontology: Ontology, count: int) -> tuple[list[dict[str, Any]], int]:
    """The rows of a tagging run about `count` products drawn at random, and how many they are.

    The same products each time, whatever was answered about them: those with the smallest digests of their ids. An
    answer without a value is never accepted and asks nothing. Raises ReviewError as `most_useful` does.
    """
    rows = _tags(tags)
    ids = rows.select(pl.col("product_id").unique()).collect()["product_id"].to_list()
    drawn = sorted(ids, key=random_place)[:count]
    places = pl.DataFrame({"product_id": drawn}, {"product_id": pl.String}).with_row_index("place")
    asked = rows.filter(pl.col("product_id").is_in(drawn), pl.col("value").is_not_null()).collect()
    _check_known(tags, asked.select("property", "best_guess").unique(maintain_order=True), ontology)
    place = dict(places.select("product_id", "place").iter_rows())
    ranked = sorted(
        (row for _, row in _as_cells(asked, ontology)), key=lambda row: (place[row["product_id"]], row["number"])
    )
    found = list({(row["product_id"], row["property"]): row for row in reversed(ranked)}.values())[::-1]
    return found[:MAX_ROWS], len(found)


def random_place(product_id: str) -> bytes:
    """Sorts products at random, the same way each time, whatever was answered about them."""
    return hashlib.blake2b(product_id.encode(), digest_size=8).digest()


def _as_cells(rows: pl.DataFrame, ontology: Ontology) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """The rows with their numbers, those of one product and property with several values as one cell."""
    several: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows.sort("number").iter_rows(named=True):
        if row["together"] is None:
            yield [row["number"]], row
        else:
            several.setdefault((row["product_id"], row["property"]), []).append(row)
    yield from (([row["number"] for row in own], together(own, ontology)) for own in several.values())


def _tags(tags: Path) -> pl.LazyFrame:
    path = tags / "tags.parquet" if tags.is_dir() else tags
    verify_sealed(path, TAG_AGAIN)
    try:
        names = list(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise ReviewError(
            f"{path} cannot be read: {reason}; the folder that `shopvl tag --out` wrote was wanted"
        ) from error
    if missing := [name for name in READ if name not in names]:
        raise ReviewError(f"{path} has no column {', '.join(missing)}, so it holds no tags; `shopvl tag` writes them")
    rows = pl.scan_parquet(path).with_row_index("number")
    stated = [pl.col(name) if name in names else pl.lit(None, EMPTY[name]).alias(name) for name in LATER_COLUMNS]
    return rows.select("number", *READ, *stated)


def _check_known(tags: Path, answers: pl.DataFrame, ontology: Ontology) -> None:
    known = {(CATEGORY, folded(CATEGORY_JOIN.join(node.path))) for node in ontology.categories}
    known |= {(prop.id, folded(value.id)) for prop in ontology.properties for value in prop.values}
    free = {prop.id for prop in ontology.stated}
    strange = [
        f"{name} {value!r}"
        for name, value in answers.iter_rows()
        if (name, folded(value)) not in known and name not in free
    ]
    if strange:
        raise ReviewError(
            f"the model does not know {', '.join(sorted(strange)[:3])}, which {tags} has as an answer; "
            "name the --model that made these tags"
        )


def look_up(
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
            rows = list(new.iter_rows(named=True))
            seen |= zip((row["product_id"] for row in rows), pool.map(look, rows), strict=True)
            report(len(seen))
            if len(seen) == len(wanted):
                break
    return seen


def _small_picture(image: Mapping[str, Any] | None, root: Path) -> Thumbnail | None:
    try:
        return thumbnail(image_bytes(image, root), size_px=PICTURE_FILE_PX)
    except ImageError:
        return None


def question_of(row: Mapping[str, Any], title: str, picture: Thumbnail | None, *, at_random: bool) -> SheetQuestion:
    """One about a row of tags, with its product's title and picture."""
    guess = row["best_guess"]
    top = [(other["value"], other["probability"]) for other in row["alternatives"] or ()]
    if guess == row["value"]:
        top = [(guess, row["probability"]), *top]
    probability = dict(top)[guess]
    return SheetQuestion(
        product_id=row["product_id"],
        title=title,
        property=row["property"],
        answer=guess,
        probability=probability,
        reason=Reason("at random", probability) if at_random else _reason(row, probability),
        top=sorted(top, key=lambda pair: pair[0] != guess)[:TOP_VALUES],
        key=sheet_key(Origin(row["product_id"], row["property"], guess, at_random)),
        picture=picture,
    )


def _reason(row: Mapping[str, Any], probability: float) -> Reason:
    if row["reason"] == "texts disagree":
        return Reason("texts", row["probability"])
    if row["reason"] == "outside its span":
        return Reason("span", row["probability"])
    if row["conflict"]:
        match row["evidence"]:
            case ["image"]:
                return Reason("conflict, picture's", row["probability"])
            case ["title"]:
                return Reason("conflict, title's", row["probability"])
            case _:
                return Reason("conflict", row["probability"])
    if row["value"] != row["best_guess"]:
        return Reason("kind", probability, row["value"].split(CATEGORY_JOIN)[-1])
    if row["reason"] == REASONS[APART]:
        return Reason("apart", probability)
    if row["decision"] == "unknown":
        return Reason("unknown", row["probability"])
    near = next(iter(row["alternatives"] or ()), None)
    if near is not None and near["probability"] >= row["probability"] / 2:
        leaf, own = near["value"].split(CATEGORY_JOIN)[-1], row["value"].split(CATEGORY_JOIN)[-1]
        return Reason("near", row["probability"], leaf if leaf != own else near["value"])
    return Reason("low", row["probability"])


def choices(ontology: Ontology, names: Iterable[str]) -> dict[str, list[str]]:
    """What the drop-down of each of these properties offers: `unknown`, then every legal value."""
    values = {CATEGORY: [CATEGORY_JOIN.join(path) for path in ontology.leaves()]} | {
        name: list(legal) for name, legal in ontology.values().items()
    }
    values |= {prop.id: [value.id for value in prop.values] for prop in ontology.stated if prop.kind == "text"}
    return {name: [UNKNOWN, *(v for v in values.get(name, ()) if folded(v) != UNKNOWN)] for name in sorted(names)}
