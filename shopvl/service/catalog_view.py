"""All products of a catalog at once, with what stands of each: for a page that shows, filters and edits them.

N  products, in the catalog's order     P  properties, the category first     C  categories
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple, get_args

import numpy as np
import polars as pl
import pyarrow as pa

from shopvl.catalog.cells import folded
from shopvl.catalog.corrections import Correction
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.errors import ReviewError
from shopvl.search import Condition
from shopvl.search.filters import Facts
from shopvl.service.catalog_cells import (
    ACCEPT,
    APART,
    MANY,
    NOTHING,
    OWN,
    PERSON,
    REVIEW,
    STATES,
    UNKNOWN,
    State,
    own_cells,
    properties_of,
    read_products,
    tagged_cells,
    values_differ,
)
from shopvl.tagging.exporters.base import Answer, TaggedProduct

Shows = Literal["", "filled", "review", "missing", "person", "differs", "conflict"]
SHOWS: tuple[Shows, ...] = get_args(Shows)
SHOWN_STATES: Mapping[Shows, tuple[int, ...]] = {
    "filled": (ACCEPT, OWN, PERSON),
    "review": (REVIEW,),
    "missing": (NOTHING, UNKNOWN),
    "person": (PERSON,),
}
STANDING = SHOWN_STATES["filled"]  # what is filtered by, counted and exported


@dataclass(frozen=True)
class TagCell:
    """What is known of one property of a product. `value` is None where there is none, or a person said so."""

    value: str | None
    state: State
    probability: float
    conflict: bool
    other: str | None = None  # what was accepted, where the catalog says something else


@dataclass(frozen=True)
class ProductLine:
    """A product, with a cell per property that was asked for."""

    row: int
    product_id: str
    title: str
    cells: tuple[TagCell, ...]


@dataclass(frozen=True)
class Choice:
    """Which products are shown, and in which order: "" as in the catalog, `title`, `doubt`, or a property's name."""

    text: str = ""
    category: str = ""
    property: str = ""
    value: str = ""
    shows: Shows = ""
    conditions: tuple[Condition, ...] = ()
    order: str = ""

    def __post_init__(self) -> None:
        if self.shows not in SHOWS:
            raise ReviewError(f"there is no state {self.shows!r} to show; there are {', '.join(filter(None, SHOWS))}")


class _Numbers(NamedTuple):
    """A cell as the arrays hold it."""

    value: int
    state: int
    share: float
    conflict: bool
    other: int


@dataclass(frozen=True)
class CatalogCoverage:
    """How many of some products have each property: filled, to be looked at, missing; those that cannot have it are
    left out. `filled_CP` and `of_CP` count the same by category."""

    properties: tuple[str, ...]
    counts: tuple[dict[Shows, int], ...]
    categories: tuple[str, ...] = ()
    filled_CP: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    of_CP: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))


class CatalogView:
    """What stands of each product: what a person decided, else what the catalog says, else what was accepted.

    The catalog and its tags are read once; decisions come in with `refresh`. Several threads may use it.
    """

    def __init__(self, catalog: Catalog, tags: Path | None, ontology: Ontology, limit: int | None = None) -> None:
        """`limit` reads only the first products."""
        self.catalog, self.ontology, self.limit = catalog, ontology, limit
        self._mutex = Lock()
        self.products = read_products(catalog, limit)
        self.ids: list[str] = self.products["product_id"].to_list()
        self._row_of = {product_id: row for row, product_id in enumerate(self.ids)}
        own, tagged = own_cells(self.products), tagged_cells(tags, self.products, limit)
        self.properties = properties_of(own, tagged, ontology)
        self._column = {folded(name): column for column, name in enumerate(self.properties)}
        shape = len(self.ids), len(self.properties)
        self._value_NP = np.full(shape, -1, np.int32)  # numbers of `_words`; -1 for none
        self._state_NP = np.zeros(shape, np.uint8)
        self._share_NP = np.zeros(shape, np.float32)
        self._conflict_NP = np.zeros(shape, bool)
        self._other_NP = np.full(shape, -1, np.int32)  # what was accepted though the catalog says something else
        self._words: list[str] = []
        self._number: dict[str, int] = {}
        self._fill(tagged, own)
        self._mark_apart(np.arange(len(self)))
        self._decided: dict[tuple[str, str], Correction] = {}
        self._before: dict[tuple[str, str], _Numbers] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def _fill(self, tagged: pl.DataFrame, own: pl.DataFrame) -> None:
        certain = own.with_columns(state=pl.lit(OWN, pl.UInt8), share=1.0, conflict=False)
        every = pl.concat([tagged, certain.select(tagged.columns).cast(tagged.schema)])
        columns = {name: self._column.get(folded(name), -1) for name in every["property"].unique()}
        every = every.with_columns(column=pl.col("property").replace_strict(columns, return_dtype=pl.Int32))
        every = every.filter(pl.col("column") >= 0)
        coded = pa.array(every["value"].to_list(), pa.string()).dictionary_encode()
        self._words = coded.dictionary.to_pylist()
        self._number = {word: number for number, word in enumerate(self._words)}
        number_M = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        own_M = (every["state"] == OWN).to_numpy()
        for source_M in (~own_M, own_M):
            part, number = every.filter(source_M), number_M[source_M]
            at = part["row"].to_numpy(), part["column"].to_numpy()
            self._note_differing(at, number)
            self._value_NP[at] = number
            self._state_NP[at] = part["state"].to_numpy()
            self._share_NP[at] = part["share"].to_numpy()
            self._conflict_NP[at] = part["conflict"].to_numpy()

    def _note_differing(self, at: tuple[np.ndarray, np.ndarray], number_M: np.ndarray) -> None:
        """Keep what was accepted where the catalog's own values, which take its place, say something else."""
        before_M = np.where(self._state_NP[at] == ACCEPT, self._value_NP[at], -1)
        pairs, place_M = np.unique(np.stack([before_M, number_M]), axis=1, return_inverse=True)
        words = [*self._words, ""]  # the last for -1
        differ = [min(pair) >= 0 and values_differ(words[pair[0]], words[pair[1]]) for pair in pairs.T.tolist()]
        self._other_NP[at] = np.where(np.array(differ, bool)[place_M.reshape(-1)], before_M, -1)

    def _mark_apart(self, rows: np.ndarray) -> None:
        """Say of cells without a value whether a product of that category can have one."""
        categories, place_R = np.unique(self._value_NP[rows, 0], return_inverse=True)
        paths = [() if number < 0 else tuple(self._words[number].split(CATEGORY_JOIN)) for number in categories]
        for column, name in enumerate(self.properties[1:], 1):
            applies_R = np.array([self.ontology.applies(name, path) for path in paths], bool)[place_R]
            open_R = np.isin(self._state_NP[rows, column], (NOTHING, APART))
            self._state_NP[rows[open_R], column] = np.where(applies_R, NOTHING, APART)[open_R]

    # --- decisions

    def refresh(self, decisions: Sequence[Correction]) -> None:
        """Show these decisions of people, and no others."""
        known = {correction.key(): correction for correction in decisions if correction.product_id in self._row_of}
        with self._mutex:
            for key in {key for key in (*known, *self._decided) if known.get(key) != self._decided.get(key)}:
                column = self._column.get(key[1])
                if column is not None:
                    self._put(self._row_of[key[0]], column, key, known.get(key))
            self._decided = known

    def _put(self, row: int, column: int, key: tuple[str, str], decision: Correction | None) -> None:
        if key not in self._before:
            self._before[key] = self._numbers(row, column)
        if decision is None:
            cell = self._before[key]
        else:
            number = -1 if decision.value is None else self._number_of(decision.value)
            cell = _Numbers(number, PERSON, 1.0, conflict=False, other=-1)
        self._value_NP[row, column], self._state_NP[row, column] = cell.value, cell.state
        self._share_NP[row, column], self._conflict_NP[row, column] = cell.share, cell.conflict
        self._other_NP[row, column] = cell.other
        if column == 0:
            self._mark_apart(np.array([row]))

    def _numbers(self, row: int, column: int) -> _Numbers:
        arrays = self._value_NP, self._state_NP, self._share_NP, self._conflict_NP, self._other_NP
        return _Numbers(*(array[row, column].item() for array in arrays))

    def _number_of(self, word: str) -> int:
        if word not in self._number:
            self._number[word] = len(self._words)
            self._words.append(word)
        return self._number[word]

    # --- which products

    def rows(self, choice: Choice) -> np.ndarray:
        """Their row numbers, in their order. Raises ShopvlError for a condition on what no product has."""
        mask_N = self.mask(choice)
        rows = np.flatnonzero(mask_N)
        if choice.order == "title":
            return rows[self._titles.gather(rows).arg_sort().to_numpy()]
        if choice.order == "doubt":
            return rows[np.argsort(self._doubt(choice.property)[rows], kind="stable")]
        if choice.order and (column := self._column.get(folded(choice.order))) is not None:
            return rows[np.argsort(self._rank(column)[rows], kind="stable")]
        return rows

    def mask(self, choice: Choice) -> np.ndarray:
        """(N,) bool: the products that it chooses."""
        conditions = list(choice.conditions)
        if choice.category:
            conditions.append(Condition(CATEGORY, "=", choice.category))
        if choice.property and choice.value and not choice.shows:
            conditions.append(Condition(choice.property, "=", choice.value))
        mask_N = np.ones(len(self), bool)
        for condition in conditions:
            mask_N &= self._fulfil(condition)
        if choice.text.strip():
            found = self._titles.str.contains(folded(choice.text), literal=True)
            mask_N &= (found | (self.products["product_id"] == choice.text.strip())).to_numpy()
        return mask_N & self._in_state(choice) if choice.shows else mask_N

    def _in_state(self, choice: Choice) -> np.ndarray:
        column = self._column.get(folded(choice.property)) if choice.property else None
        columns = slice(None) if column is None else slice(column, column + 1)
        if choice.shows == "conflict":
            found_NP = self._conflict_NP[:, columns]
        elif choice.shows == "differs":
            found_NP = self._other_NP[:, columns] >= 0
        else:
            found_NP = np.isin(self._state_NP[:, columns], SHOWN_STATES[choice.shows])
        if column is not None and choice.value:
            found_NP = found_NP & np.isin(self._value_NP[:, columns], self._numbers_with(choice.property, choice.value))
        found_N: np.ndarray = np.logical_or.reduce(found_NP, axis=1)
        return found_N

    def _numbers_with(self, name: str, value: str) -> list[int]:
        """Words that hold the value: itself, lists that it is in, categories below it."""
        wanted, category = folded(value), folded(name) == CATEGORY
        return [
            number
            for word, number in self._number.items()
            if wanted in map(folded, word.split(MANY)) or (category and folded(word).startswith(wanted + CATEGORY_JOIN))
        ]

    @cached_property
    def _titles(self) -> pl.Series:
        return pl.Series("title", [folded(title or "") for title in self.products["title"]], dtype=pl.String)

    def _doubt(self, name: str) -> np.ndarray:
        """(N,): how sure the least sure answer is that somebody should look at; 2 where there is none."""
        column = self._column.get(folded(name)) if name else None
        columns = slice(None) if column is None else slice(column, column + 1)
        shares = np.where(self._state_NP[:, columns] == REVIEW, self._share_NP[:, columns], 2)
        least: np.ndarray = shares.min(axis=1)
        return least

    def _rank(self, column: int) -> np.ndarray:
        """(N,): the place of each product's value among all in alphabetical order; none comes last."""
        order = np.argsort(np.array(list(map(folded, self._words)) or [""]), kind="stable")
        place = np.empty(len(order) + 1, np.int64)
        place[order] = np.arange(len(order))
        place[-1] = len(order)
        ranks: np.ndarray = place[self._value_NP[:, column]]
        return ranks

    # --- filters by what stands

    @cached_property
    def facts(self) -> Facts:
        """What stood of every product when this was first asked for, to filter and to count by."""
        with self._mutex:
            self._facts_before = dict(self._decided)
            return Facts(self._standing(np.arange(len(self))), ontology=self.ontology)

    def _changed(self) -> tuple[np.ndarray, Facts]:
        """Rows that were decided on since `facts` was made, and what stands of them now."""
        _ = self.facts  # made first: it takes the same lock
        with self._mutex:
            keys = {key for key in (*self._decided, *self._facts_before) if self._differs(key)}
            rows = np.array(sorted({self._row_of[product_id] for product_id, _ in keys}), np.int64)
            return rows, Facts(self._standing(rows), ontology=self.ontology)

    def _differs(self, key: tuple[str, str]) -> bool:
        return self._decided.get(key) != self._facts_before.get(key)

    def _fulfil(self, condition: Condition) -> np.ndarray:
        rows, news = self._changed()
        parts = [facts for facts in (self.facts, news) if folded(condition.name) in facts.properties()]
        if not parts:
            self.facts.filter_mask([condition])  # raises, with the names that there are
        mask_N = self._part_mask(self.facts, condition, len(self)).copy()
        mask_N[rows] = self._part_mask(news, condition, len(rows))
        return mask_N

    @staticmethod
    def _part_mask(facts: Facts, condition: Condition, rows: int) -> np.ndarray:
        if folded(condition.name) not in facts.properties():
            return np.full(rows, condition.sign == "!=")
        return facts.filter_mask([condition])

    def facets(self, mask_N: np.ndarray, names: Sequence[str], top: int) -> dict[str, list[tuple[str, int]]]:
        """Per property the most frequent values of these products, with counts; categories at every level."""
        rows, news = self._changed()
        before_N = mask_N.copy()
        before_N[rows] = False
        counted: dict[str, list[tuple[str, int]]] = {}
        for name in names:
            both = dict(self.facts.facets(before_N, [name], top=len(self._words) + top)[name])
            for value, count in news.facets(mask_N[rows], [name], top=len(self._words) + top)[name]:
                both[value] = both.get(value, 0) + count
            counted[name] = sorted(both.items(), key=lambda pair: (-pair[1], pair[0]))[:top]
        return counted

    def _standing(self, rows: np.ndarray) -> pl.DataFrame:
        """The products of these rows, with what stands as their own category and attributes."""
        frame = self.products[rows.tolist()].drop("category_path", "attributes", "at")
        value_RP = np.where(np.isin(self._state_NP[rows], STANDING), self._value_NP[rows], -1)
        paths = [None if number < 0 else self._words[number].split(CATEGORY_JOIN) for number in value_RP[:, 0].tolist()]
        row_M, column_M = np.nonzero(value_RP[:, 1:] >= 0)
        split = [word.split(MANY) for word in self._words]
        values = [split[number] for number in value_RP[row_M, column_M + 1].tolist()]
        long = pl.DataFrame(
            {"row": row_M, "property": [self.properties[column + 1] for column in column_M.tolist()], "value": values},
            schema={"row": pl.UInt32, "property": pl.String, "value": pl.List(pl.String)},
        ).explode("value")
        pairs = long.group_by("row").agg(attributes=pl.struct("property", "value"))
        paths_of = pl.Series("category_path", paths, dtype=pl.List(pl.String))
        numbered = frame.with_columns(paths_of).with_row_index("row")
        return numbered.join(pairs, on="row", how="left", maintain_order="left").drop("row")

    # --- what is shown

    def shown(self, most: int) -> tuple[str, ...]:
        """The properties that most products have anything of, the category first; at most so many."""
        told = (self._state_NP > APART).sum(axis=0)
        ranked = sorted(range(1, len(self.properties)), key=lambda column: -int(told[column]))
        chosen = sorted(column for column in ranked[: most - 1] if told[column])
        return tuple(self.properties[column] for column in (0, *chosen))

    def lines(self, rows: Sequence[int], names: Sequence[str]) -> list[ProductLine]:
        """These products with these properties."""
        columns = [self._column[folded(name)] for name in names]
        titles = self.products["title"]
        return [
            ProductLine(row, self.ids[row], titles[row] or "", tuple(self._cell(row, column) for column in columns))
            for row in rows
        ]

    def _cell(self, row: int, column: int) -> TagCell:
        value, state, share, conflict, other = self._numbers(row, column)
        words = [None if number < 0 else self._words[number] for number in (value, other)]
        return TagCell(words[0], STATES[state], share, conflict, words[1])

    def cell(self, product_id: str, name: str) -> TagCell:
        """One cell. Raises ReviewError for a product or a property that is not here."""
        row, column = self._row_of.get(product_id), self._column.get(folded(name))
        if row is None or column is None:
            raise ReviewError(f"there is no product {product_id[:100]!r} with a property {name[:100]!r} here")
        return self._cell(row, column)

    def row(self, product_id: str) -> int | None:
        """The number of a product's row."""
        return self._row_of.get(product_id)

    def coverage(self, mask_N: np.ndarray, most: int = 20) -> CatalogCoverage:
        """Of the chosen products: how many have each property, over all and in the most frequent categories."""
        state_RP, category_R = self._state_NP[mask_N], self._value_NP[mask_N, 0]
        shown: tuple[Shows, ...] = ("filled", "review", "missing")
        counted = [
            {kind: int(np.isin(state_RP[:, column], SHOWN_STATES[kind]).sum()) for kind in shown}
            for column in range(len(self.properties))
        ]
        asked = np.flatnonzero((state_RP > APART).any(axis=0)).tolist()
        numbers, place_R, sizes = np.unique(category_R, return_inverse=True, return_counts=True)
        chosen = [c for c in np.argsort(-sizes, kind="stable").tolist() if numbers[c] >= 0][:most]
        filled_CP = np.zeros((len(numbers), len(asked)), np.int64)
        of_CP = np.zeros_like(filled_CP)
        for place, column in enumerate(asked):
            state_R = state_RP[:, column]
            np.add.at(filled_CP[:, place], place_R, np.isin(state_R, STANDING))
            np.add.at(of_CP[:, place], place_R, state_R != APART)
        names = tuple(self._words[numbers[c]] for c in chosen)
        properties = tuple(self.properties[column] for column in asked)
        return CatalogCoverage(properties, tuple(counted[c] for c in asked), names, filled_CP[chosen], of_CP[chosen])

    def tagged(self, rows: np.ndarray) -> Iterator[TaggedProduct]:
        """These products with what stands of them, as an exporter takes them, in the catalog's order."""
        for row in np.sort(rows).tolist():
            answers = [self._answer(row, column) for column in range(len(self.properties))]
            yield self.ids[row], answers

    def _answer(self, row: int, column: int) -> Answer:
        cell = self._cell(row, column)
        standing = STATES.index(cell.state) in STANDING
        return {
            "product_id": self.ids[row],
            "property": self.properties[column],
            "value": cell.value if standing else None,
            "best_guess": cell.value,
            "probability": cell.probability,
            "decision": cell.state,
            "reason": cell.state,
            "evidence": [],
            "conflict": cell.conflict,
        }
