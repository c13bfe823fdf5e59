"""A model in three lines: `import shopvl; model = shopvl.load(); model.tag("shirt.jpg", title="Linen shirt")`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch

from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.design.design import Design
from shopvl.design.in_use import in_use
from shopvl.errors import CatalogError, ImageError
from shopvl.inference.ask import Product, Reply, Tag, answered, parse_question
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.paths import SHIPPED
from shopvl.runtime.collecting import no_collection

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from shopvl.catalog.readers import Catalog
    from shopvl.search.search import SearchIndex

    Products: TypeAlias = str | Path | pl.DataFrame | pd.DataFrame | Sequence[Mapping[str, Any]]


class TaggedTable(NamedTuple):
    """Answers, a row per product and property, and the products that have none, each with the reason."""

    tags: pl.DataFrame  # as `tags.parquet`
    rejects: pl.DataFrame  # product_id, reason


class LoadedModel:
    """A design that is ready to answer about products; slow to make and quick to ask, so keep it.

    Products of a table are a file that `shopvl tag` reads, a polars or pandas frame, or a list of records, with the
    same columns (`product_id`, `title`, `image`); paths of pictures in frames and records begin where Python runs.
    """

    def __init__(self, design: Design) -> None:
        self.design = design

    @cached_property
    def _answers(self) -> HeadAnswers:
        with _one_thread():
            return HeadAnswers(in_use(self.design))

    def tag(
        self, picture: str | Path | bytes | None, title: str | None = None, *, precision: float = DEFAULT_PRECISION
    ) -> tuple[Tag, ...]:
        """The category and every property of one product, as `shopvl tag` answers them.

        The picture is a file or its bytes. Raises CatalogError where there is neither picture nor title, or the picture
        cannot be read; ImageError for a file that is not there; DesignError for a model without heads.
        """
        return self._product(picture, title).tags(precision)

    def ask(
        self,
        question: str,
        picture: str | Path | bytes | None = None,
        title: str | None = None,
        *,
        precision: float = DEFAULT_PRECISION,
    ) -> list[Reply]:
        """Answers to a question in English or Chinese about one product, as `shopvl ask` gives them.

        Raises CatalogError for a question that names nothing the model knows; else as `tag`.
        """
        parsed = parse_question(question, self.design.ontology)
        return answered(parsed, self._product(picture, title), precision)

    def _product(self, picture: str | Path | bytes | None, title: str | None) -> Product:
        return Product(self.design, _bytes_of(picture), title, self._answers)

    def tag_table(self, products: Products, *, precision: float = DEFAULT_PRECISION) -> TaggedTable:
        """The answers about many products; no row is lost: what cannot be read is among the rejects.

        Raises CatalogError for a table without the columns, DesignError for a model without heads. For a catalog that
        does not fit into memory, or a run that can be killed and goes on, use `shopvl.tagging.run.tag`.
        """
        import polars as pl

        from shopvl.tagging.run import tag

        with _catalog(products) as catalog, TemporaryDirectory() as scratch:
            tag(self.design, catalog, Path(scratch), precision=precision)
            return TaggedTable(*(pl.read_parquet(Path(scratch) / f"{name}.parquet") for name in TaggedTable._fields))

    def index(self, products: Products, folder: str | Path) -> SearchIndex:
        """Make a search index of the products in that folder and open it."""
        from shopvl.search.build import build_index

        with _catalog(products) as catalog:
            build_index(self.design, catalog, Path(folder))
        return self.open_index(folder)

    def open_index(self, folder: str | Path) -> SearchIndex:
        """An index that this model made; `.search("red dress", k=10).hits`. Raises IndexFolderError for another."""
        from shopvl.search.search import SearchIndex

        return SearchIndex(Path(folder), self.design)


def load(name_or_folder: str | Path = SHIPPED) -> LoadedModel:
    """The model in that folder, or of that name in MLflow (`models:/NAME@champion`); the bundled one if left out.

    Raises DesignError for a folder that is no model.
    """
    with no_collection(), _one_thread():
        return LoadedModel(Design.from_pretrained(name_or_folder))


@contextmanager
def _catalog(products: Products) -> Iterator[Catalog]:
    """A table in whichever form. Raises CatalogError for anything else."""
    from shopvl.catalog.readers import open_catalog

    if isinstance(products, str | Path):
        yield open_catalog(products)
        return
    with TemporaryDirectory() as scratch:  # written, so that every table is read in one way
        table = Path(scratch) / "products.parquet"
        _frame(products).write_parquet(table)
        yield replace(open_catalog(table), root=Path.cwd())


def _frame(products: pl.DataFrame | pd.DataFrame | Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    import polars as pl

    if isinstance(products, pl.DataFrame):
        return products
    try:
        if isinstance(products, Sequence):
            return pl.DataFrame(list(products), infer_schema_length=None)
        return pl.from_pandas(products)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as fault:
        raise CatalogError(
            f"a {type(products).__name__} is no table of products ({str(fault).splitlines()[0]}); pass a file, a "
            "polars or pandas frame, or a list of records"
        ) from fault


@contextmanager
def _one_thread() -> Iterator[None]:
    """Many small steps: several threads would mostly wait for each other, and take processor time for that."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _bytes_of(picture: str | Path | bytes | None) -> bytes | None:
    if picture is None or isinstance(picture, bytes):
        return picture
    if not Path(picture).is_file():
        raise ImageError(f"there is no picture {picture}; name a JPEG, PNG or WebP file")
    return Path(picture).read_bytes()
