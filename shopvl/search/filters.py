"""Facts of the products: which rows fulfil a condition, how many have each value, how sure each tag is.

N  products of an index, by row number        M  chosen rows
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, cast

import numpy as np
import polars as pl

from shopvl.catalog.cells import folded
from shopvl.catalog.kinds.base import PropertyKind
from shopvl.catalog.ontology import Fact, Ontology
from shopvl.catalog.properties import Property
from shopvl.catalog.property_kinds import kind_of, set_kind
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.errors import ShopvlError
from shopvl.search.measures import Measures, Span, are_measures

Sign = Literal["=", "!=", "<", "<=", ">", ">="]
_COMPARING = ("<", "<=", ">", ">=")
_CONDITION = re.compile(r"^\s*(.*?[^\s<>=!])\s*(!=|<=|>=|=|<|>)\s*([^\s=](?:.*\S)?)\s*$")
_BETWEEN = re.compile(r"([^<>=!]*[^\s<>=!]) (-?\d+(?:[.,]\d+)? ?[^\s\d<>=!]{0,12}? ?\.\. ?-?\d[^<>=!]*)")
MOST_LETTERS = 1000  # of a condition
NO_CONDITION = (
    "--where {text!r} is not a condition; write PROPERTY=VALUE or PROPERTY<NUMBER, such as --where colour=Red, "
    "--where 'price<50' or --where 'heel height 5..8 cm' (signs: = != < <= > >=)"
)
_LISTS = pl.Schema(
    {"row": pl.UInt32, "property": pl.String, "value": pl.String, "share": pl.Float32, "hard": pl.Boolean}
)
_NUMBERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that a product must fulfil. Names and values are compared without case, width and spacing."""

    name: str
    sign: Sign
    value: str

    def __str__(self) -> str:
        """As `--where` reads it."""
        return f"{self.name}{self.sign}{self.value}"

    @property
    def span(self) -> Span | None:
        """The numbers that a value means; None for other texts. Raises ShopvlError for a comparison with such a one."""
        span = Span.of(self.value)
        if self.sign in _COMPARING and (span is None or not span.exact):
            raise ShopvlError(f"--where '{self}' compares with {self.value!r}; a number was wanted")
        return span


def conditions(texts: Iterable[str]) -> tuple[Condition, ...]:
    """`["colour=Red", "price<50"]` as conditions. Raises ShopvlError for one that cannot be read."""
    return tuple(_condition(text) for text in texts)


def _condition(text: str) -> Condition:
    if len(text) > MOST_LETTERS:
        raise ShopvlError(f"--where {text[:40]!r}… has {len(text):,} characters; at most {MOST_LETTERS:,} are read")
    between = _BETWEEN.fullmatch(" ".join(text.split())) if ".." in text else None
    match = _CONDITION.match(text)
    if between is not None:
        name, sign, value = between[1], "=", between[2]
    elif match is not None:
        name, sign, value = match.groups()
    else:
        raise ShopvlError(NO_CONDITION.format(text=text))
    condition = Condition(name, cast(Sign, sign), value)
    _ = condition.span
    return condition


class Facts:
    """Values of properties by row, own and tagged ones, as inverted lists: value -> rows, each with its probability.

    A value of the catalog's own is certain. A tag counts for a property that the product has no value of; it is *hard*
    (filters and facets see it) where it was accepted, and soft, with its probability, where it was not. Conditions on
    `category` fit any level of the path, or the whole path joined with ` > `.
    """

    def __init__(
        self, products: pl.DataFrame, tags: pl.DataFrame | None = None, ontology: Ontology | None = None
    ) -> None:
        """The ontology says in which unit numbers are, and which cells hold several values."""
        self._products, self._tags, self._ontology = products, tags, ontology
        self._measured = lru_cache(maxsize=32)(self._measures)
        self._cached_mask = lru_cache(maxsize=32)(self._mask)
        self._known_rows = lru_cache(maxsize=32)(self._rows_with)
        self._together = lru_cache(maxsize=32)(self._any_of)

    @cached_property
    def _lists(self) -> tuple[dict[str, dict[str, slice]], np.ndarray, np.ndarray, np.ndarray]:
        """Property -> value -> its slice of (rows, shares, hard), in the order of rows; categories are prefixes."""
        table = self._table()
        slices: dict[str, dict[str, slice]] = {}
        start = 0
        for name, value, length in table.group_by("property", "value", maintain_order=True).len().iter_rows():
            slices.setdefault(name, {})[value] = slice(start, start + length)
            start += length
        return slices, table["row"].to_numpy().astype(np.int64), table["share"].to_numpy(), table["hard"].to_numpy()

    def _table(self) -> pl.DataFrame:
        """(row, property, value, share, hard), sorted by property and value; category values are joined prefixes."""
        rows = self._products.with_row_index("row")
        pairs = rows.select("row", pl.col("attributes").alias("pair")).explode("pair").drop_nulls("pair")
        named = pairs.select("row", pl.col("pair").struct.field("property"), pl.col("pair").struct.field("value"))
        own = _with_folded(self._each(named), "property", "value").filter(
            (pl.col("property") != "") & (pl.col("value") != "")
        )
        paths = rows.select(
            "row", pl.lit(CATEGORY).alias("property"), pl.col("category_path").list.join(CATEGORY_JOIN).alias("value")
        ).filter(pl.col("value").is_not_null() & (pl.col("value") != ""))
        further = [
            _with_folded(
                rows.select("row", pl.lit(folded(name)).alias("property"), _text(rows[name]).alias("value")),
                "value",
            )
            for name in self._further
        ]
        own = pl.concat([own, _prefixes(paths), *further]).with_columns(
            pl.lit(1.0, dtype=pl.Float32).alias("share"), pl.lit(True).alias("hard")
        )
        tables = [own.select(_LISTS.names()).cast(_LISTS)]
        if self._tags is not None:
            tables.append(_soft(rows, own, self._tags))
        return pl.concat(tables).unique(["row", "property", "value"], keep="first").sort("property", "value", "row")

    def _each(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """(row, property, value): cells of properties that may have several values in one, as their values."""
        kinds: dict[str, tuple[PropertyKind, Property]] = {}
        for prop in self._ontology.properties if self._ontology is not None else ():
            kind = set_kind(prop) or kind_of(prop)
            if kind is not None and kind.several:
                kinds |= {folded(name): (kind, prop) for name in (prop.id, *prop.every_name())}
        if not kinds:
            return pairs
        told = pairs.select("property", "value").unique().drop_nulls()
        parts = [
            (name, value, [part.value for part in read])
            for name, value in told.iter_rows()
            if (own := kinds.get(folded(name))) is not None and (read := own[0].read(value, own[1]))
        ]
        schema = pl.Schema({"property": pl.String(), "value": pl.String(), "each": pl.List(pl.String)})
        split = pairs.join(pl.DataFrame(parts, schema=schema, orient="row"), on=["property", "value"], how="left")
        return (
            split.with_columns(pl.col("each").fill_null(pl.concat_list("value")))
            .explode("each")
            .select("row", "property", pl.col("each").alias("value"))
        )

    @property
    def _further(self) -> list[str]:
        known = {"product_id", "title", "category_path", "attributes", "photo", "variant"}
        return [name for name in self._products.columns if name not in known]

    @property
    def _slices(self) -> dict[str, dict[str, slice]]:
        return self._lists[0]

    @cached_property
    def _endings(self) -> dict[str, list[str]]:
        """Last step of a category path, or the whole path -> joined paths."""
        paths_of: dict[str, list[str]] = {}
        for path in self._slices.get(CATEGORY, {}):
            for name in {path, path.split(CATEGORY_JOIN)[-1]}:
                paths_of.setdefault(name, []).append(path)
        return paths_of

    def properties(self) -> tuple[str, ...]:
        """Names that conditions may use."""
        return tuple(self._slices)

    def values_of(self, name: str) -> tuple[str, ...]:
        """The values that products have of that property, in lower case."""
        return tuple(self._slices.get(folded(name), ()))

    def known_rows(self, name: str) -> np.ndarray:
        """(N,) bool: rows that have any value of that property, accepted or not."""
        return self._known_rows(folded(name))

    # --- filters

    def filter_mask(self, conditions: Sequence[Condition]) -> np.ndarray:
        """(N,) bool: rows that fulfil every condition. Raises ShopvlError for a property that no product has."""
        keep = np.ones(len(self._products), dtype=bool)
        for condition in conditions:
            keep &= self._cached_mask(condition)
        return keep

    def _mask(self, condition: Condition) -> np.ndarray:
        name = folded(condition.name)
        if name not in self._slices:
            known = ", ".join(sorted(self._slices)) or "none"
            raise ShopvlError(f"no product of this index has the property {condition.name!r}; it knows: {known}")
        span = condition.span
        if condition.sign in _COMPARING:
            return self._measured(name).holds(condition.sign, span or Span(np.nan, np.nan))
        mask = np.zeros(len(self._products), dtype=bool)
        mask[self._hard_rows(name, folded(condition.value))] = True
        if span is not None and (span.unit is not None or not span.exact):  # 8 cm is 80 mm
            mask |= self._measured(name).holds("=", span)
        return ~mask if condition.sign == "!=" else mask

    def _rows_with(self, name: str) -> np.ndarray:
        known = np.zeros(len(self._products), dtype=bool)
        for part in self._slices.get(name, {}).values():
            known[self._lists[1][part]] = True
        return known

    def _hard_rows(self, name: str, value: str) -> np.ndarray:
        _, rows, _, hard = self._lists
        values = self._endings.get(value, []) if name == CATEGORY else [value]
        slices = [self._slices[name][value] for value in values if value in self._slices[name]]
        return np.concatenate([rows[part][hard[part]] for part in slices] or [np.empty(0, np.int64)])

    def _measures(self, name: str) -> Measures:
        """What products have of a property as numbers."""
        for own in self._further:
            if folded(own) == name and self._products.schema[own] in _NUMBERS:
                number_N = self._products[own].cast(pl.Float64).fill_null(float("nan")).to_numpy()
                return Measures(number_N, number_N)
        _, rows, _, hard = self._lists
        values = ((value, rows[part][hard[part]]) for value, part in self._slices.get(name, {}).items())
        prop = self._ontology.property(name) if self._ontology is not None else None
        return Measures.of_values(len(self._products), values, prop.unit if prop is not None else None)

    def facets(self, chosen_N: np.ndarray, names: Sequence[str], top: int = 10) -> dict[str, list[tuple[str, int]]]:
        """Per property the most frequent values among the chosen (N,) bool, with counts; categories as whole paths.

        More than `top` numbers with a unit are counted by ranges (`5..8 cm`), from the lowest on.
        """
        _, rows, _, hard = self._lists
        counts_of = {}
        for name in names:
            slices = self._slices.get(folded(name), {})
            if (
                len(slices) > top
                and are_measures(slices)
                and (ranges := self._measured(folded(name)).ranges(chosen_N, top))
            ):
                counts_of[name] = ranges
                continue
            counts = ((value, int(np.count_nonzero(chosen_N[rows[p]] & hard[p]))) for value, p in slices.items())
            ranked = sorted((item for item in counts if item[1]), key=lambda item: (-item[1], item[0]))
            counts_of[name] = ranked[:top]
        return counts_of

    # --- soft constraints

    def share(self, fact: Fact, rows_M: np.ndarray) -> np.ndarray:
        """(M,) in [0, 1]: the probability that each row fits; 0 where nothing is known."""
        listed, shares = self._listed(fact)
        if not len(listed):
            return np.zeros(len(rows_M), dtype=np.float32)
        at = np.minimum(np.searchsorted(listed, rows_M), len(listed) - 1)
        result: np.ndarray = np.where(listed[at] == rows_M, shares[at], np.float32(0))
        return result

    def among(self, fact: Fact, filter_mask_N: np.ndarray) -> int:
        """How many rows of the mask fit with a probability of 0.5 or more."""
        rows, shares = self._listed(fact)
        return int(np.count_nonzero(filter_mask_N[rows] & (shares >= 0.5)))

    def fitting(self, fact: Fact) -> np.ndarray:
        """(N,) bool: rows that fit with a probability of 0.5 or more."""
        rows, shares = self._listed(fact)
        fits = np.zeros(len(self._products), dtype=bool)
        fits[rows[shares >= 0.5]] = True
        return fits

    def likely(self, facts: Sequence[Fact], k: int, filter_mask_N: np.ndarray) -> np.ndarray:
        """The k rows of the mask with the highest summed probability of the facts."""
        total = np.zeros(len(self._products), dtype=np.float32)
        for fact in facts:
            rows, shares = self._listed(fact)
            total[rows] += shares
        total[~filter_mask_N] = 0
        fitting = np.flatnonzero(total >= max(total.max(initial=0.0) - 0.5, 1e-6))
        if len(fitting) > k:
            fitting = fitting[np.argpartition(-total[fitting], k)[:k]]
        return fitting

    def vote(self, name: str, rows_M: np.ndarray) -> Fact | None:
        """The value with the highest mean probability over these rows; of a category, the whole path."""
        shares = self.votes(name, rows_M)
        candidates = [(round(share, 3), len(value), value) for value, share in shares.items() if share >= 1 / 4]
        return fact_of(name, max(candidates)[2]) if candidates else None

    def votes(self, name: str, rows_M: np.ndarray) -> dict[str, float]:
        """Every value of the property, and its mean probability over these rows."""
        values = self._slices.get(folded(name), {})
        return {value: float(self.share(fact_of(name, value), rows_M).sum()) / max(len(rows_M), 1) for value in values}

    def _listed(self, fact: Fact) -> tuple[np.ndarray, np.ndarray]:
        """Sorted rows, and the probability of each."""
        if fact.others:
            return self._together(fact)
        name = CATEGORY if fact.kind == "category" else folded(fact.property)
        value = folded(CATEGORY_JOIN.join(fact.path)) if fact.kind == "category" else folded(fact.value)
        part = self._slices.get(name, {}).get(value, slice(0, 0))
        _, rows, shares, _ = self._lists
        return rows[part], shares[part]

    def _any_of(self, fact: Fact) -> tuple[np.ndarray, np.ndarray]:
        rows, shares = (np.concatenate(parts) for parts in zip(*map(self._listed, fact.each()), strict=True))
        distinct, inverse = np.unique(rows, return_inverse=True)
        return distinct, np.bincount(inverse, shares, len(distinct)).clip(max=1).astype(np.float32)


def fact_of(name: str, value: str) -> Fact:
    """The value of that property; a category is written as its joined path."""
    if folded(name) == CATEGORY:
        return Fact("category", path=tuple(value.split(CATEGORY_JOIN)))
    return Fact("value", property=folded(name), value=value)


def _text(column: pl.Series) -> pl.Series:
    """Its values as text; 65.0 is 65."""
    text = column.cast(pl.String)
    return text.str.strip_suffix(".0") if column.dtype.is_float() else text


def _with_folded(table: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Rows that have all of these, folded; each distinct text once, for there are few."""
    table = table.drop_nulls(names)
    for name in names:
        distinct = table[name].unique()
        plain = pl.Series(list(map(folded, distinct)), dtype=pl.String)
        table = table.with_columns(pl.col(name).replace_strict(distinct, plain, return_dtype=pl.String))
    return table


def _prefixes(paths: pl.DataFrame) -> pl.DataFrame:
    """A row per level: `a > b > c` also as `a > b` and `a`."""
    distinct = paths.select("value").unique()
    levels = [
        (path, CATEGORY_JOIN.join(steps[:depth]))
        for (path,) in distinct.iter_rows()
        for steps in [[folded(step) for step in path.split(CATEGORY_JOIN)]]
        for depth in range(1, len(steps) + 1)
    ]
    table = pl.DataFrame(levels, schema={"value": pl.String, "level": pl.String}, orient="row")
    return (
        paths.join(table, on="value")
        .drop("value")
        .rename({"level": "value"})
        .select("row", "property", "value", pl.exclude("row", "property", "value"))
    )


def _soft(rows: pl.DataFrame, own: pl.DataFrame, tags: pl.DataFrame) -> pl.DataFrame:
    """Tags of properties that a product has no value of: the answer, and its alternatives with their probabilities."""
    answered = _with_folded(tags.filter(pl.col("value").is_not_null()), "property")
    missing = answered.join(rows.select("row", "product_id"), on="product_id").join(
        own.select("row", "property").unique(), on=["row", "property"], how="anti"
    )
    best = missing.select(
        "row", "property", "value", pl.col("probability").alias("share"), (pl.col("decision") == "accept").alias("hard")
    )
    others = (
        missing.select("row", "property", "alternatives")
        .explode("alternatives")
        .drop_nulls("alternatives")
        .select(
            "row",
            "property",
            pl.col("alternatives").struct.field("value"),
            pl.col("alternatives").struct.field("probability").alias("share"),
            pl.lit(False).alias("hard"),
        )
    )
    every = pl.concat([best.cast(_LISTS), others.cast(_LISTS)])
    categories = _prefixes(_whole(every.filter(pl.col("property") == CATEGORY)))
    values = _with_folded(every.filter(pl.col("property") != CATEGORY), "value").with_columns(part=False)
    return (
        pl.concat([categories.select(*_LISTS.names(), "part"), values])
        .group_by("row", "property", "value")
        .agg(
            pl.max_horizontal(pl.col("share").filter(~pl.col("part")).sum(), pl.col("share").max()).clip(0, 1),
            pl.col("hard").any(),
        )
        .select(_LISTS.names())
        .cast(_LISTS)
    )


def _whole(paths: pl.DataFrame) -> pl.DataFrame:
    """The same with `part`: whether a path is a part of another one of its row, whose share is in that of the part."""
    pairs = paths.select("row", "value").join(paths.select("row", longer="value"), on="row")
    parts = pairs.filter(pl.col("longer").str.starts_with(pl.col("value") + CATEGORY_JOIN)).select("row", "value")
    return paths.join(parts.unique().with_columns(part=True), on=["row", "value"], how="left").with_columns(
        pl.col("part").fill_null(value=False)
    )
