"""A model in three lines: `import shopvl; model = shopvl.load(); model.tag("shirt.jpg", title="Linen shirt")`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from shopvl.batch import MODALITIES
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.design.hub import hub_folder, is_on_hub
from shopvl.design.in_use import in_use
from shopvl.errors import CatalogError, ImageError
from shopvl.inference.ask import Product, Reply, Tag, answered, parse_question
from shopvl.inference.encode import validated
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.paths import SHIPPED
from shopvl.runtime.collecting import no_collection
from shopvl.runtime.threads import one_thread

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl

    from shopvl.adapt import Ability
    from shopvl.catalog.readers import Catalog
    from shopvl.evaluation.page import Evaluated
    from shopvl.search.search import SearchIndex

    Products: TypeAlias = str | Path | pl.DataFrame | pd.DataFrame | Sequence[Mapping[str, Any]]

Picture: TypeAlias = str | Path | bytes  # a file, or its bytes


class TaggedTable(NamedTuple):
    """Answers, a row per product and property, and the products that have none, each with the reason."""

    tags: pl.DataFrame  # as `tags.parquet`
    rejects: pl.DataFrame  # product_id, reason


class EmbeddedTable(NamedTuple):
    """Unit vectors of products' pictures and titles, and the products that have none, each with the reason."""

    vectors: pl.DataFrame  # as `embeddings.parquet`: product_id, image, title (null where there is none), model
    rejects: pl.DataFrame  # product_id, reason


class Adapted(NamedTuple):
    """A model that was made a catalog's own, and what it was measured to answer."""

    model: LoadedModel
    abilities: list[Ability]


class LoadedModel:
    """A design that is ready to answer about products; slow to make and quick to ask, so keep it.

    Products of a table are a file that `shopvl tag` reads, a polars or pandas frame, or a list of records, with the
    same columns (`product_id`, `title`, `image`); paths of pictures in frames and records begin where Python runs.
    """

    def __init__(self, design: Design, place: str | Path) -> None:
        self.design = design
        self.place = place  # the folder, or the name in MLflow

    @cached_property
    def ready(self) -> Design:
        """The design made ready for use, which takes a moment."""
        with one_thread():
            return in_use(self.design)

    @cached_property
    def answers(self) -> HeadAnswers:
        """What answers, made when it is first asked for. Raises DesignError for a model without heads."""
        with one_thread():
            return HeadAnswers(self.ready)

    def tag(
        self,
        picture: Picture | Sequence[Picture] | None,
        title: str | None = None,
        *,
        description: str | None = None,
        precision: float = DEFAULT_PRECISION,
    ) -> tuple[Tag, ...]:
        """The category and every property of one product, as `shopvl tag` answers them.

        A description (text or HTML) is read by models that know measures, compositions or free text.

        >>> for tag in shopvl.load().tag("shirt.jpg", title="Red cotton shirt"):
        ...     if tag.property == "colour":
        ...         print(tag.value)
        Red

        The picture is a file or its bytes; of several pictures of the product, in a list, the first is the main one,
        and `tag.picture` says which speaks most. Raises CatalogError where there is neither picture nor title, or no
        picture can be read; ImageError for a file that is not there; DesignError for a model without heads.
        """
        return self._product(picture, title, description).tags(precision)

    def ask(
        self,
        question: str,
        picture: str | Path | bytes | None = None,
        title: str | None = None,
        *,
        precision: float = DEFAULT_PRECISION,
    ) -> list[Reply]:
        """Answers to a question in English or Chinese about one product, as `shopvl ask` gives them.

        >>> (reply,) = shopvl.load().ask("is it red?", title="Red cotton shirt")
        >>> reply.verdict()
        'yes'

        Raises CatalogError for a question that names nothing the model knows; else as `tag`.
        """
        parsed = parse_question(question, self.design.ontology)
        return answered(parsed, self._product(picture, title), precision)

    def _product(
        self, picture: Picture | Sequence[Picture] | None, title: str | None, description: str | None = None
    ) -> Product:
        pictures = [picture] if picture is None or isinstance(picture, str | Path | bytes) else list(picture)
        main, *more = [_bytes_of(one) for one in pictures] or [None]
        further = [data for data in more if data is not None]
        return Product(self.design, main, title, self.answers, description=description, more_pictures=further)

    def tag_table(self, products: Products, *, precision: float = DEFAULT_PRECISION) -> TaggedTable:
        """The answers about many products; no row is lost: what cannot be read is among the rejects.

        >>> tags, rejects = shopvl.load().tag_table([{"product_id": "1", "title": "Red cotton shirt", "image": None}])
        >>> tags.filter(property="colour")["value"].to_list(), len(rejects)
        (['Red'], 0)

        Raises CatalogError for a table without the columns, DesignError for a model without heads. For a catalog that
        does not fit into memory, or a run that can be killed and goes on, use `shopvl.tagging.run.tag`.
        """
        import polars as pl

        from shopvl.tagging.run import tag

        with _catalog(products) as catalog, TemporaryDirectory() as scratch:
            tag(self.design, catalog, Path(scratch), precision=precision)
            return TaggedTable(*(pl.read_parquet(Path(scratch) / f"{name}.parquet") for name in TaggedTable._fields))

    def embed(self, picture: str | Path | bytes | None = None, title: str | None = None) -> dict[str, np.ndarray]:
        """The vectors of one product's `image` and `title`, each (D,) float32 of unit length, in one space.

        >>> vectors = shopvl.load().embed("shirt.jpg", "Red cotton shirt")
        >>> float(vectors["image"] @ vectors["title"]) > 0
        True

        Raises CatalogError where there is neither, or the picture cannot be read; DesignError for a model without a
        shared space.
        """
        from shopvl.inference.embed import vectors_of

        row = {"product_id": "asked", "title": title, "image": {"bytes": _bytes_of(picture), "path": None}}
        checked = validated(self.ready.loader, row, Path(), MODALITIES)
        if isinstance(checked, RejectedRow):
            raise CatalogError(f"nothing can be embedded of this product: {checked.reason}")
        with one_thread():
            return vectors_of(self.ready, [checked])[0]

    def embed_table(self, products: Products) -> EmbeddedTable:
        """The vectors of many products; no row is lost: what cannot be read is among the rejects.

        >>> shopvl.load().embed_table([{"product_id": "1", "title": "Red shirt", "image": None}]).vectors.shape
        (1, 4)
        """
        import polars as pl
        import pyarrow as pa

        from shopvl.files import REJECTS
        from shopvl.inference.embed import EMBEDDINGS, embedded

        rows: list[dict[str, Any]] = []
        rejects: list[dict[str, str]] = []
        with _catalog(products) as catalog:
            for item in embedded(self.ready, catalog):
                if isinstance(item, RejectedRow):
                    rejects.append(vars(item))
                else:
                    rows += item
        tables = (pa.Table.from_pylist(rows, EMBEDDINGS), pa.Table.from_pylist(rejects, REJECTS))
        return EmbeddedTable(*(pl.DataFrame(pl.from_arrow(table)) for table in tables))

    def adapt(
        self, table: str | Path, folder: str | Path, *, minutes: float = 20, names: Path | None = None
    ) -> Adapted:
        """Make a model of a catalog's own in that folder, as `shopvl adapt`, and open it; this one stays as it is.

        The table is a file, for a run that was stopped goes on from it. Raises CatalogError for one with too few
        products, or without labels.

        >>> model, abilities = shopvl.load().adapt("shop.csv", "mine", minutes=30)  # doctest: +SKIP
        """
        from shopvl.adapt import adapt

        if not isinstance(table, str | Path):
            raise CatalogError(f"adapt learns from a file, a {type(table).__name__} came; write it as Parquet first")
        done = adapt(str(table), Path(self.place), Path(folder), minutes=minutes, names=names)
        return Adapted(load(folder), done.abilities)

    def calibrate(
        self, products: Products, folder: str | Path, *, corrections: str | Path | None = None
    ) -> LoadedModel:
        """Measure on held-out products how far each answer can be trusted, write that model to the folder and open it.

        With `corrections` (what `shopvl review import` wrote) only the thresholds are set anew, from reviewed products.
        Raises CatalogError for products without labels, ShopvlError for corrections that show nothing.

        >>> mine = shopvl.load("mine").calibrate("held-out.csv", "mine-calibrated")  # doctest: +SKIP
        """
        from shopvl.training.stages import finish, finish_reviewed

        design = Design.from_pretrained(self.place)  # what is measured is kept in the design
        with _catalog(products) as catalog:
            if corrections is None:
                finish(design, Path(folder), held_out=catalog)
            else:
                finish_reviewed(design, Path(folder), catalog, Path(corrections))
        return load(folder)

    def evaluate(self, products: Products, folder: str | Path) -> Evaluated:
        """Measure the model on labelled products: `.figures` as in `metrics.json`, `.page` to look at, in the folder.

        >>> shopvl.load().evaluate("held-out.csv", "scores").figures["answers"]  # doctest: +SKIP
        """
        from shopvl.evaluation.page import evaluate

        with _catalog(products) as catalog:
            return evaluate(self.design, catalog, Path(folder))

    def index(self, products: Products, folder: str | Path) -> SearchIndex:
        """Make a search index of the products in that folder and open it, as `shopvl index`: where there are enough, a
        query that none of them answers finds nothing.

        >>> titles = ["Red tee", "Blue jeans", "Black leather shoes"]
        >>> products = [{"product_id": title, "title": title, "image": None} for title in titles]
        >>> index = shopvl.load().index(products, "my-index")
        >>> index.search("red tee", k=1).hits[0].title
        'Red tee'
        """
        from shopvl.search.build import build_index
        from shopvl.search.tune import tune_without_labels

        with _catalog(products) as catalog:
            build_index(self.design, catalog, Path(folder))
        tune_without_labels(self.design, Path(folder))
        return self.open_index(folder)

    def open_index(self, folder: str | Path) -> SearchIndex:
        """An index that this model made; `.search("red dress", k=10).hits`. Raises IndexFolderError for another."""
        from shopvl.search.search import SearchIndex

        return SearchIndex(Path(folder), self.design)


def load(name_or_folder: str | Path = SHIPPED) -> LoadedModel:
    """The model in that folder, or of that name in MLflow (`models:/NAME@champion`) or on the Hugging Face Hub
    (`hf://OWNER/NAME`); the bundled one if left out.

    >>> shopvl.load().tag(None, title="Red cotton shirt")[0].property
    'category'

    Raises DesignError for a folder that is no model.
    """
    with no_collection(), one_thread():
        place = hub_folder(str(name_or_folder)) if is_on_hub(name_or_folder) else name_or_folder
        return LoadedModel(Design.from_pretrained(place), place)


def open_index(folder: str | Path, model: str | Path = SHIPPED) -> SearchIndex:
    """An index that the model made; `.search("red dress", k=10).hits`. Raises IndexFolderError for another's.

    >>> index = shopvl.open_index("index", model="runs/tagger")  # doctest: +SKIP
    """
    return load(model).open_index(folder)


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


def _bytes_of(picture: str | Path | bytes | None) -> bytes | None:
    if picture is None or isinstance(picture, bytes):
        return picture
    if not Path(picture).is_file():
        raise ImageError(f"there is no picture {picture}; name a JPEG, PNG or WebP file")
    return Path(picture).read_bytes()
