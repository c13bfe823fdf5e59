"""What a catalog and its tags say of each product, as columns: read once, for a page over all of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from shopvl.catalog.cells import folded
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.inference.decide import NOT_APPLYING, REASONS

State = Literal["nothing", "apart", "unknown", "review", "accept", "own", "person"]
STATES: tuple[State, ...] = get_args(State)
NOTHING, APART, UNKNOWN, REVIEW, ACCEPT, OWN, PERSON = range(len(STATES))
MANY = " | "  # between several values of one property
MOST_PROPERTIES, MOST_FURTHER, LONG_LETTERS = 64, 12, 60
TAG_COLUMNS = ("product_id", "property", "value", "best_guess", "probability", "decision", "reason", "conflict")
READ_ROWS = 8192


def read_products(catalog: Catalog, limit: int | None) -> pl.DataFrame:
    """Id, title, category and attributes of each product, its row in the catalog, and short columns to filter by."""
    further = list(catalog.plan.further)
    wanted = ("product_id", "title", "category_path", "attributes", *further)
    frames, rows = [], 0
    for frame in catalog.batches(min(limit or READ_ROWS, READ_ROWS), columns=wanted):
        frames.append(frame.with_columns(at=pl.int_range(rows, rows + frame.height, dtype=pl.Int64)))
        rows += frame.height
        if limit is not None and rows >= limit:
            break
    if not frames:
        return pl.DataFrame(schema={**dict.fromkeys(("product_id", "title"), pl.String), "at": pl.Int64})
    table = pl.concat(frames, how="vertical_relaxed").head(rows if limit is None else limit)
    long = [name for name in further if _is_long(table[name])]
    dropped = [*long, *[name for name in further if name not in long][MOST_FURTHER:]]
    return table.drop(dropped).filter(pl.col("product_id").is_not_null() & pl.col("product_id").is_first_distinct())


def _is_long(column: pl.Series) -> bool:
    texts = column.head(1000).drop_nulls().to_list() if column.dtype == pl.String else []
    return sum(map(len, texts)) > LONG_LETTERS * len(texts)


def values_differ(accepted: str, own: str) -> bool:
    """Whether an answer is none of the catalog's own values, nor a category above or below."""
    one, values = folded(accepted), [folded(value) for value in own.split(MANY)]
    return not any(_above(one, value) or _above(value, one) for value in values)


def _above(path: str, other: str) -> bool:
    return (other + CATEGORY_JOIN).startswith(path + CATEGORY_JOIN)


def own_cells(products: pl.DataFrame) -> pl.DataFrame:
    """(row, property, value) of the catalog's own, one per row and property."""
    rows = products.with_row_index("row")
    pairs = rows.select("row", pair="attributes").explode("pair").drop_nulls("pair")
    attributes = (
        pairs.select("row", pl.col("pair").struct.field("property"), pl.col("pair").struct.field("value"))
        .drop_nulls()
        .group_by("row", "property", maintain_order=True)
        .agg(pl.col("value").unique(maintain_order=True).str.join(MANY))
    )
    paths = rows.select("row", property=pl.lit(CATEGORY), value=pl.col("category_path").list.join(CATEGORY_JOIN))
    return pl.concat([paths.filter(pl.col("value") != ""), attributes])


def tagged_cells(tags: Path | None, products: pl.DataFrame, limit: int | None) -> pl.DataFrame:
    """(row, property, value, state, share, conflict) of the answers; one that is not accepted is the best guess."""
    schema = {"row": pl.UInt32, "property": pl.String, "value": pl.String, "state": pl.UInt8, "share": pl.Float32}
    if tags is None:
        return pl.DataFrame(schema={**schema, "conflict": pl.Boolean})
    answers = pl.scan_parquet(tags / "tags.parquet" if tags.is_dir() else tags)
    answers = answers.select(*TAG_COLUMNS, _share_of_a_whole(answers.collect_schema().names()))
    if limit is not None:
        answers = answers.filter(pl.col("product_id").is_in(products["product_id"].implode()))
    state = (
        pl.when(pl.col("reason") == REASONS[NOT_APPLYING])
        .then(APART)
        .otherwise(pl.col("decision").replace_strict({"accept": ACCEPT, "review": REVIEW, "unknown": UNKNOWN}))
    )
    cells = (
        answers.collect()
        .join(products.select("product_id").with_row_index("row"), on="product_id")
        .select(
            pl.col("row").cast(pl.UInt32),
            "property",
            pl.coalesce("value", "best_guess").alias("value"),
            state.cast(pl.UInt8).alias("state"),
            pl.col("probability").fill_null(0).cast(pl.Float32).alias("share"),
            pl.col("conflict").fill_null(value=False),
            "whole",
        )
    )
    cells = cells.with_columns(pl.concat_str(pl.col("whole").fill_null(""), "value").alias("value")).drop("whole")
    # several values of one property, which have one decision, as one cell
    several = pl.struct("row", "property").is_duplicated()
    if not (many := cells.filter(several)).height:
        return cells
    first = [pl.col(name).first() for name in ("state", "share", "conflict")]
    joined = many.group_by("row", "property", maintain_order=True).agg(pl.col("value").str.join(MANY), *first)
    return pl.concat([cells.filter(~several), joined]).sort("row", maintain_order=True)


def _share_of_a_whole(names: Collection[str]) -> pl.Expr:
    """`60% ` of a composition; tables of former versions have none."""
    if not {"low", "unit", "together"} <= set(names):
        return pl.lit(None, pl.String).alias("whole")
    share = pl.format("{}% ", pl.col("low").round(2).cast(pl.String).str.strip_suffix(".0"))
    return pl.when(pl.col("together").is_not_null() & (pl.col("unit") == "%")).then(share).alias("whole")


def properties_of(own: pl.DataFrame, tagged: pl.DataFrame, ontology: Ontology) -> tuple[str, ...]:
    """The category, then what was asked, then what people may decide on, then what else the catalog has most often."""
    others = own["property"].value_counts(sort=True)["property"].to_list()
    asked = tagged["property"].unique(maintain_order=True)
    names = (CATEGORY, *asked, *(prop.id for prop in ontology.properties), *others)
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(folded(name), name)
    return tuple(first.values())[:MOST_PROPERTIES]
