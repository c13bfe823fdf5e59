"""Catalogs that are looked at as a whole: read once each, edited through the log of decisions, with their pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import polars as pl

from shopvl.catalog.corrections import Correction
from shopvl.catalog.images import thumbnail
from shopvl.catalog.readers import Catalog
from shopvl.errors import ReviewError
from shopvl.service.app_service import AppService
from shopvl.service.catalog_view import CatalogView
from shopvl.service.shown import Shown, readable, shown_columns, shown_in_full
from shopvl.tagging.export import ExportSummary, export_products

OPEN = 2  # views that are kept
FIRST_ROWS = 200  # that are shown while all are read
BLOCK_ROWS, BLOCKS = 512, 4  # pictures are read by blocks, and so many blocks kept
PICTURE_PX = 200
PICTURES = 2048  # small ones that are kept


class CatalogViews:
    """The catalogs of an app: the one it was started with, and those of its tagging runs.

    A view is named as its run; "" is the app's catalog where it has no tags.
    """

    def __init__(self, service: AppService) -> None:
        self.service = service
        self._views: OrderedDict[str, tuple[float, CatalogView, _RowsByNumber]] = OrderedDict()
        self._opening = Lock()
        self._small = lru_cache(PICTURES)(self._read_small)

    def names(self) -> list[str]:
        """What can be opened, the app's own catalog first."""
        bare = [""] if self.service.catalog is not None and self.service.tags is None else []
        return [*bare, *self.service.runs()]

    def open(self, name: str) -> CatalogView:
        """A view with the decisions in force. Raises ReviewError for a name that is not there."""
        catalog, tags = self._parts(name)
        written = 0.0 if tags is None else (tags / "tags.parquet" if tags.is_dir() else tags).stat().st_mtime
        with self._opening:
            known = self._views.get(name)
            if known is None or known[0] != written:
                known = written, CatalogView(catalog, tags, self.service.ontology), _RowsByNumber(catalog)
                self._views[name] = known
            self._views.move_to_end(name)
            while len(self._views) > OPEN:
                self._views.popitem(last=False)
        known[1].refresh(self.service.decisions())
        return known[1]

    def start(self, name: str) -> CatalogView:
        """The same where it is open already; else its first rows, at once."""
        if name in self._views:
            return self.open(name)
        catalog, tags = self._parts(name)
        view = CatalogView(catalog, tags, self.service.ontology, FIRST_ROWS)
        view.refresh(self.service.decisions())
        return view

    def _parts(self, name: str) -> tuple[Catalog, Path | None]:
        if name == "" and self.service.catalog is not None:
            return self.service.catalog, self.service.tags
        folder, catalog, _ = self.service.run_parts(name)
        return catalog, folder

    def warm_up(self) -> None:
        """Open what a page shows first."""
        for name in self.names()[:1]:
            _ = self.open(name).facts

    def edit(self, name: str, product_id: str, prop: str, value: str | None, by: str) -> Correction:
        """Write down what a person says of a cell; None that the product does not have it.

        Raises ReviewError for a product or a property that is not here, and for a value that is none of its.
        """
        before = self.open(name).cell(product_id, prop)
        return self.service.correct(product_id, prop, value, before.value, by, known=True)

    def export(
        self, name: str, rows: np.ndarray, form: str, target: Path, report: Callable[[int], None] = lambda rows: None
    ) -> ExportSummary:
        """Write what stands of these products. Raises ShopvlError for a form that there is not, or no products."""
        if not len(rows):
            raise ReviewError("no product is chosen, so there is nothing to export; take filters back")
        view = self.open(name)
        return export_products(
            view.tagged(rows), view.properties, target, form=form, catalog=view.catalog, report=report
        )

    def product(self, name: str, product_id: str) -> Shown:
        """A product with its title and its pictures as they are. Raises ReviewError where there is none."""
        return shown_in_full(self._row(name, product_id), self._parts(name)[0])

    def _row(self, name: str, product_id: str) -> pl.DataFrame:
        view = self.open(name)
        row = view.row(product_id)
        if row is None:
            raise ReviewError(f"there is no product {product_id[:100]!r} in this catalog")
        return self._views[name][2].at(int(view.products["at"][row]))

    def picture(self, name: str, product_id: str) -> bytes | None:
        """A small JPEG of a product; None where it has none that can be read."""
        return self._small(name, product_id)

    def _read_small(self, name: str, product_id: str) -> bytes | None:
        catalog, _ = self._parts(name)
        shown = self._in_index(product_id) if catalog is self.service.catalog else None
        if shown is None:
            shown = readable(self._row(name, product_id)["image"][0], catalog.root)
        small = thumbnail(shown, size_px=PICTURE_PX)
        return None if small is None else small.jpeg

    def _in_index(self, product_id: str) -> bytes | None:
        index = self.service.index
        row = None if index is None else index.row_of(product_id)
        return None if index is None or row is None else index.hits_at([row])[0].thumbnail


class _RowsByNumber:
    """The rows of a catalog by their numbers, read block by block: tables are read from the top."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._reading = catalog, Lock()
        self._blocks: OrderedDict[int, pl.DataFrame] = OrderedDict()

    def at(self, row: int) -> pl.DataFrame:
        """The row, as a frame of it alone."""
        with self._reading:
            number = row // BLOCK_ROWS
            if number not in self._blocks:
                self._blocks[number] = self._read(number * BLOCK_ROWS, (number + 1) * BLOCK_ROWS)
            self._blocks.move_to_end(number)
            while len(self._blocks) > BLOCKS:
                self._blocks.popitem(last=False)
            return self._blocks[number].slice(row % BLOCK_ROWS, 1)

    def _read(self, start: int, stop: int) -> pl.DataFrame:
        parts, begun = [], 0
        for frame in self._catalog.batches(BLOCK_ROWS, columns=shown_columns(self._catalog)):
            if begun + frame.height > start:
                parts.append(frame[max(start - begun, 0) : stop - begun])
            begun += frame.height
            if begun >= stop:
                break
        return pl.concat(parts)
