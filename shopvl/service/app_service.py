"""What a merchandiser works with, loaded once for all: models, catalog, index, tagging runs, and the log of decisions.

Every method may be called by several people at once: nothing of one call is seen by another but what is in the files.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shopvl.batch import Modality
from shopvl.catalog.cells import folded
from shopvl.catalog.correction_log import CorrectionLog, decided
from shopvl.catalog.corrections import Correction, merged
from shopvl.catalog.downloading import MAX_DOWNLOAD_BYTES
from shopvl.catalog.images import decode, smaller
from shopvl.catalog.ontology import Ontology, apply_names
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.catalog.vocabulary import DEFAULT_PRECISION
from shopvl.design.design import Design
from shopvl.design.folder import CARD
from shopvl.design.in_use import in_use
from shopvl.device import device_named
from shopvl.errors import CatalogError, ImageError, ReviewError, ShopvlError
from shopvl.inference.ask import ParsedQuestion, Product, Reply, answered, parse_question
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.recipes.capabilities import capabilities
from shopvl.review.decisions import LegalNames
from shopvl.search import Found, SearchIndex
from shopvl.search.browsing import newest
from shopvl.service.catalog_run import RUN, CatalogRun, FencedCatalog, read_run, table_of_run
from shopvl.service.decisions import check_product, check_texts
from shopvl.service.read import Pictures, Read, each_picture
from shopvl.service.shown import Shown, first_shown, shown_columns, shown_hit, shown_in_full, shown_row
from shopvl.service.suggesting import SuggestedTitles, suggested
from shopvl.vision.map_picture import FAINT, drawn_heat, drawn_map
from shopvl.vision.ocr import Reader, Word
from shopvl.vision.subject import subject_map

MAX_TITLE, MAX_QUESTION = 1000, 300  # characters
MAX_PICTURE_BYTES = MAX_DOWNLOAD_BYTES
CACHED_CATALOG_PRODUCTS = 256  # looked up in the catalog, with their pictures
CACHED_PRODUCTS = 4  # products asked about last, decoded and read: a picture may take 150 MB
SHOWN_PX = 640  # longest side of the maps that are drawn


@dataclass(frozen=True)
class Model:
    """A model folder that is loaded; `answers` are prepared for all of its questions."""

    folder: Path
    design: Design
    answers: HeadAnswers

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> Model:
        """Raises DesignError for a folder that is not a model, or one that cannot answer anything."""
        design = in_use(Design.from_pretrained(folder).on(device_named(device)))
        return cls(folder, design, HeadAnswers(design))

    @property
    def card(self) -> str:
        """Its README, Markdown."""
        return (self.folder / CARD).read_text("utf-8")


class AppService:
    """Models, and where there are any a catalog, an index and a tagging run; decisions go to `work/corrections.jsonl`,
    catalog runs to `work/runs`."""

    def __init__(
        self,
        models: Mapping[str, Model],
        work: Path,
        *,
        catalog: Catalog | None = None,
        index: SearchIndex | None = None,
        tags: Path | None = None,
        names: Path | None = None,
        corrections: Path | None = None,
    ) -> None:
        """The first model is the one that is meant where none is named.

        `names` are more words for categories and values, which people may use and are shown; models do not see them.
        """
        self.models, self.work, self.catalog, self.index, self.tags = dict(models), work, catalog, index, tags
        known = self.model().design.ontology
        self.ontology: Ontology = known if names is None else apply_names(known, names)
        if index is not None and names is not None:
            index.ontology = apply_names(index.ontology, names)
        self.log = CorrectionLog(corrections or work / "corrections.jsonl")
        self._thinking = threading.Lock()  # the model reads one product at a time: two that share the cores are slower
        self._decoded_product = lru_cache(CACHED_PRODUCTS)(self._decode_product)  # by picture, title and model
        self._photo = lru_cache(CACHED_PRODUCTS)(_photo)  # by picture
        self._looking = threading.Lock()
        self._products: OrderedDict[str, Shown] = OrderedDict()
        self._running: dict[str, CatalogRun] = {}
        self._reader: Reader | None = None

    @classmethod
    def open(
        cls,
        model: Path,
        work: Path,
        *,
        others: Sequence[Path] = (),
        catalog: str | Path | None = None,
        index: Path | None = None,
        tags: Path | None = None,
        names: Path | None = None,
        corrections: Path | None = None,
        device: str | None = None,
    ) -> AppService:
        """Load everything that is named. Raises ShopvlError for the first thing that does not fit."""
        models: dict[str, Model] = {}
        for folder in (model, *others):
            loaded = Model.load(folder, device)
            name = folder.resolve().name
            models[name if name not in models else f"{name} ({loaded.design.digest()})"] = loaded
        first = next(iter(models.values())).design
        return cls(
            models,
            work,
            catalog=None if catalog is None else open_catalog(catalog),
            index=None if index is None else SearchIndex(index, first),
            tags=tags,
            names=names,
            corrections=corrections,
        )

    # --- one product

    def model(self, name: str | None = None) -> Model:
        """The model of that name. Raises ShopvlError where there is none."""
        if not name:
            return next(iter(self.models.values()))
        if name not in self.models:
            raise ShopvlError(f"no model {name!r} is loaded; there is {', '.join(self.models)}")
        return self.models[name]

    def read(
        self,
        picture: Pictures,
        title: str | None,
        *,
        model: str | None = None,
        precision: float = DEFAULT_PRECISION,
        description: str | None = None,
    ) -> Read:
        """Every answer about a photo (or several of one product), a title, or both, and of a description what it
        states. Raises ShopvlError for what cannot be used."""
        product = self._product(picture, title, model, description)
        replies = product.replies(precision)
        return Read(
            replies, product.applicable(replies), product.conflicts(replies), product.inputs, product.not_used()
        )

    def ask(
        self,
        question: str,
        picture: Pictures,
        title: str | None,
        *,
        model: str | None = None,
        precision: float = DEFAULT_PRECISION,
    ) -> tuple[ParsedQuestion, list[Reply]]:
        """Answers to a question in English or Chinese. Raises ShopvlError where it names nothing that is known."""
        if not question.strip():
            raise ShopvlError("the question is empty; ask for example: what colour is it?")
        if len(question) > MAX_QUESTION:
            raise ShopvlError(f"the question has {len(question)} characters; at most {MAX_QUESTION} are read")
        understood = parse_question(question, self.ontology)
        return understood, answered(understood, self._product(picture, title, model), precision)

    @property
    def writer(self) -> Design | None:
        """The first model that writes, if there is one."""
        designs = (model.design for model in self.models.values())
        return next((design for design in designs if "write" in capabilities(design.recipe)), None)

    def suggest(
        self,
        picture: Pictures,
        title: str | None,
        *,
        model: str | None = None,
        precision: float = DEFAULT_PRECISION,
    ) -> SuggestedTitles:
        """Titles by the model that writes, of what is accepted of the product. Raises ShopvlError where none does."""
        if (writer := self.writer) is None:
            raise ShopvlError("no model here writes; add one of a recipe that does, such as simvlm, with --compare")
        product = self._product(picture, title, model)
        with self._thinking:
            return suggested(writer, product, product.replies(precision))

    def heat(
        self, picture: Pictures, title: str | None, name: str, value: str, *, model: str | None = None
    ) -> tuple[Image.Image, bool]:
        """The first photo with the places that speak for an answer, and whether any does so more than a little."""
        product = self._product(picture, title, model)
        if name not in product.design.labels or value not in product.design.labels[name]:
            raise ShopvlError(f"the model does not know {name}: {value}")
        with self._thinking:
            heat = product.heat(name, value)
        return drawn_heat(self._photo(product.usable.data or b""), heat), float(heat.max()) >= FAINT

    def subject(self, picture: bytes) -> tuple[Image.Image, dict[str, float], tuple[Word, ...]]:
        """The photo with product, background and overlay text marked; their shares; and all words in it."""
        photo = self._photo(picture)
        words = self._words(picture)
        shown = subject_map(photo, words)
        shares = {"subject": float(shown.subject.mean()), "overlay": float(shown.overlay.mean())}
        return drawn_map(photo, shown), shares, (*shown.overlays, *shown.printed)

    def _words(self, picture: bytes) -> tuple[Word, ...]:
        """What OCR reads; nothing where the extra `ocr` is not installed."""
        with self._looking:
            if self._reader is None:
                self._reader = Reader(decode).__enter__()
            try:
                return self._reader.read(picture).words
            except ShopvlError:
                return ()

    def _product(
        self, picture: Pictures, title: str | None, model: str | None, description: str | None = None
    ) -> Product:
        pictures = each_picture(picture)
        title, description = (title or "").strip() or None, (description or "").strip() or None
        if not pictures and title is None:
            raise ShopvlError("there is neither a photo nor a title; give one of them, or both")
        if title is not None and len(title) > MAX_TITLE:
            raise ShopvlError(f"the title has {len(title):,} characters; at most {MAX_TITLE:,} are read")
        if (largest := max(map(len, pictures), default=0)) > MAX_PICTURE_BYTES:
            raise ImageError(
                f"the photo has {largest / 2**20:.0f} MB; at most {MAX_PICTURE_BYTES // 2**20} MB are read"
            )
        return self._decoded_product(pictures, title, model or next(iter(self.models)), description)

    def _decode_product(
        self, pictures: tuple[bytes, ...], title: str | None, model: str, description: str | None = None
    ) -> Product:
        loaded, main, turn = self.model(model), next(iter(pictures), None), self._thinking
        read, more = loaded.answers, pictures[1:]
        try:
            return Product(loaded.design, main, title, read, turn, description=description, more_pictures=more)
        except CatalogError:
            if main is not None:
                decode(main, at_least_px=SHOWN_PX)  # raises what is wrong with it, without the words around that
            raise

    def warm_up(self) -> None:
        """Do everything once that is slow the first time: libraries, caches, the OCR process."""
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64), "white").save(buffer, "PNG")
        for name in self.models:
            self.read(buffer.getvalue(), "red shirt", model=name)
        self.subject(buffer.getvalue())
        if self.index is not None and len(self.index):
            self.search("red shirt", None)

    # --- the catalog

    def first(self) -> Shown | None:
        """The first product that can be looked at, of the catalog or else of the index; None where there is neither."""
        if self.catalog is not None:
            return first_shown(self.catalog)
        if self.index is not None and len(self.index):
            return shown_hit(self.index.hits_at([int(np.argmax(self.index.live))])[0])
        return None

    def sample(self, seed: int, count: int = 12) -> list[Shown]:
        """Some products, to pick one from: others for another seed."""
        if self.index is not None:
            rows = np.flatnonzero(self.index.live)
            chosen = np.random.default_rng(seed).choice(rows, min(count, len(rows)), replace=False)
            return [shown_hit(hit) for hit in self.index.hits_at(chosen.tolist())]
        if self.catalog is None:
            return []
        frame = next(self.catalog.batches(256))
        return [
            shown_row(row, self.catalog)
            for row in frame.sample(min(count, len(frame)), seed=seed).iter_rows(named=True)
        ]

    def product(self, product_id: str, catalog: Catalog | None = None) -> Shown:
        """A product by its id, with its picture from the catalog. Raises CatalogError where there is none."""
        catalog = catalog or self.catalog
        key = f"{'' if catalog is None else catalog.path}\n{product_id}"
        with self._looking:
            if key in self._products:
                self._products.move_to_end(key)
                return self._products[key]
        shown = self._found(product_id, catalog)
        with self._looking:
            self._products[key] = shown
            while len(self._products) > CACHED_CATALOG_PRODUCTS:
                self._products.popitem(last=False)
        return shown

    def _found(self, product_id: str, catalog: Catalog | None) -> Shown:
        if catalog is not None:
            for frame in catalog.batches(columns=shown_columns(catalog)):
                rows = frame.filter(frame["product_id"] == product_id)
                if len(rows):
                    return shown_in_full(rows.head(1), catalog)
        if self.index is not None and (row := self.index.row_of(product_id)) is not None:
            return shown_hit(self.index.hits_at([row])[0])
        raise CatalogError(f"there is no product {product_id!r} in the catalog")

    def search(self, text: str | None, picture: bytes | None, **options: Any) -> Found:
        """As `SearchIndex.search`; the newest products where nothing is asked for, for which `not_meant` has no use.

        Raises ShopvlError where there is no index.
        """
        if self.index is None:
            raise ShopvlError("there is no index to search; make one with `shopvl index` and name it with --index")
        if not (text and text.strip()) and picture is None:
            return newest(self.index, **{name: told for name, told in options.items() if name != "not_meant"})
        if text and len(text) > MAX_QUESTION:
            raise ShopvlError(f"the query has {len(text):,} characters; at most {MAX_QUESTION} are read")
        photo = self.index.photo_query(picture) if picture is not None else None
        with self._thinking:
            return self.index.search(text, photo, **options)

    # --- catalog runs

    def start_run(
        self,
        table: Path,
        *,
        name: str,
        model: str | None = None,
        precision: float = DEFAULT_PRECISION,
        use: tuple[Modality, ...] = ("image", "title"),
        limit: int | None = None,
        properties: Sequence[str] = (),
    ) -> CatalogRun:
        """Tag a table in the background; what it wrote is a tagging run like any other when it is done.

        Raises ShopvlError for a table that cannot be read, and while another run is under way.
        """
        root = self.catalog.root if self.catalog is not None else table.parent
        opened = FencedCatalog.around(open_catalog(table, required=("product_id", *use)), root)
        if self.under_way() is not None:
            raise ShopvlError("another catalog is being tagged just now; try again when it is done")
        run = CatalogRun.start(
            self.model(model).design,
            opened,
            self.work / "runs",
            name=name,
            precision=precision,
            use=use,
            limit=limit,
            properties=properties,
        )
        self._running[run.folder.name] = run
        return run

    def named_table(self, path: str) -> Path:
        """A table that somebody named rather than uploaded. Raises ShopvlError for one that this app may not read: it
        must lie in the folder that the app was started in, or beside the catalog."""
        given = Path(path.strip()).expanduser()
        homes = [Path.cwd(), *([self.catalog.root] if self.catalog is not None else [])]
        for home in homes:
            table = (home / given).resolve()
            if table.is_relative_to(home.resolve()) and table.exists():
                return table
        raise ShopvlError(
            f"there is no table {path.strip()[:200]!r} in {' or '.join(map(str, homes))}; upload it instead"
        )

    def run(self, name: str) -> CatalogRun:
        """A run of this session by its folder's name. Raises ShopvlError where there is none."""
        if name not in self._running:
            raise ShopvlError(f"no catalog run {name!r} was started here")
        return self._running[name]

    def under_way(self) -> CatalogRun | None:
        """The run in progress, if there is one."""
        return next((run for run in list(self._running.values()) if run.alive), None)

    def table_of(self, run: str) -> str:
        """What people call the table of a tagging run."""
        return table_of_run(self.work / "runs" / run)

    def runs(self) -> list[str]:
        """Names of the tagging runs that can be reviewed: the one that was given first, then the newest."""
        done = sorted((path.parent.name for path in (self.work / "runs").glob(f"*/{RUN}")), reverse=True)
        return ([str(self.tags)] if self.tags is not None and self.catalog is not None else []) + done

    def run_parts(self, name: str) -> tuple[Path, Catalog, Ontology]:
        """The folder of a tagging run, its catalog, and the names of values. Raises ReviewError where there is none."""
        if self.tags is not None and name == str(self.tags) and self.catalog is not None:
            return self.tags, self.catalog, self.ontology
        if name not in self.runs():
            raise ReviewError(f"there is no tagging run {name!r}; run a catalog first")
        folder = self.work / "runs" / name
        catalog = read_run(folder)
        return folder, catalog, self.ontology

    # --- review

    def pictured(self, run: str, product_id: str) -> bytes | None:
        """The picture of a product that a run was about."""
        return self.product(product_id, self.run_parts(run)[1]).picture

    def correct(
        self,
        product_id: str,
        name: str,
        value: str | None,
        previous: str | None,
        by: str,
        *,
        known: bool = False,
        **more: Any,
    ) -> Correction:
        """Write down what a person decided, with `more` fields of a Correction. Raises ReviewError as `made` does, and
        for a product that there is not (unless it is `known`)."""
        correction = self.made(product_id, name, value, previous, by, **more)
        if not known:
            check_product(product_id, self.index, [self.tags, *self.work.glob("runs/*")], self.catalog)
        self.log.add(correction)
        return correction

    def made(
        self, product_id: str, name: str, value: str | None, previous: str | None, by: str, **more: Any
    ) -> Correction:
        """A decision that is not written down yet; `value` may be any name of a legal value, None or `unknown` that
        there is none. Raises ReviewError for another value."""
        check_texts(product_id, name, value, previous, by, more.get("note"))
        legal = None if value is None else self._legal.value(name, value)
        return decided(product_id, self._legal.property(name), legal, previous, by, **more)

    @cached_property
    def _legal(self) -> LegalNames:
        return LegalNames(self.ontology)

    def decision(self, product_id: str, name: str) -> Correction | None:
        """The decision in force about a product's property."""
        return next(
            (correction for correction in self.decisions() if correction.key() == (product_id, folded(name))), None
        )

    def undo(self, by: str) -> list[Correction]:
        """Take back the last decision of that person, with all that were made with it."""
        check_texts(by)
        return self.log.undo(by)

    def decisions(self) -> list[Correction]:
        """What is decided, one correction per product and property, oldest first; nothing on which people disagree."""
        return sorted(merged(self.log.standing()), key=lambda correction: correction.decided_at)


def _photo(data: bytes) -> Image.Image:
    """Decoded, at most SHOWN_PX a side; it is cached, so do not draw in it."""
    return smaller(decode(data, at_least_px=SHOWN_PX), size_px=SHOWN_PX)
