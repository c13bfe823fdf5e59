"""Models and indexes by name, each of which another can take the place of while requests are answered."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from shopvl.batch import MODALITIES
from shopvl.catalog.decoding_memory import answering
from shopvl.data.request_rows import picture_root
from shopvl.data.rows import RejectedRow, Row, ValidRow
from shopvl.design.in_use import LOADED_FROM, in_use
from shopvl.errors import DesignError, IndexFolderError, ShopvlError
from shopvl.inference.ask import Product
from shopvl.inference.embed import Vectors, vectors_of
from shopvl.inference.encode import validated
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.loaded import load
from shopvl.recipes.capabilities import require_capability
from shopvl.search.folder import read_state
from shopvl.search.search import SearchIndex
from shopvl.server.batching import Batcher

Seen = Callable[[int], None]
Served = TypeVar("Served")


class ServedModel:
    """A model that answers for many requests at once, and the indexes that it made."""

    def __init__(self, name: str, place: str, seen: Seen) -> None:
        self.name, self.place = name, place
        self.design = load(place).design
        # it stays for long: in the runtime that `tag` found to be faster on this machine, where it did
        self._ready = in_use(self.design, rows=LOADED_FROM)
        self.design_name = self.design.name
        self.indexes: dict[str, SearchIndex] = {}
        self.searching = threading.Lock()  # the searches of an index share what they keep
        with contextlib.suppress(DesignError):  # one without heads can still embed and search
            _ = self._answers
        self.products = Batcher[ValidRow, Product](lambda items: Product.each(self._answers, items), seen=seen)
        self.vectors = Batcher[ValidRow, Vectors](lambda items: vectors_of(self._ready, items), seen=seen)

    @cached_property
    def _answers(self) -> HeadAnswers:
        return HeadAnswers(self._ready)

    def require(self, capability: Literal["answer", "embed"]) -> None:
        """Raises DesignError where the model cannot do that."""
        if capability == "embed":
            require_capability(self.design.recipe, "embed")
        else:
            _ = self._answers

    def open(self, indexes: Mapping[str, Path]) -> None:
        """Raises IndexFolderError for an index that another model made."""
        self.indexes = {name: SearchIndex(folder, self.design) for name, folder in indexes.items()}

    def checked(self, row: Row) -> RejectedRow | ValidRow:
        """The row with its picture decoded."""
        with answering():
            return validated(self._ready.loader, row, picture_root(), MODALITIES)

    def close(self) -> None:
        """Answer what waits, then take no more."""
        self.products.close()
        self.vectors.close()


class ServedModels:
    """What one server answers with. The first model and the first index answer where none is named."""

    def __init__(self, places: Mapping[str, str], indexes: Mapping[str, Path], seen: Seen = lambda rows: None) -> None:
        """Raises DesignError or IndexFolderError for what cannot be opened."""
        self._folders, self._seen = dict(indexes), seen
        self._reloading = threading.Lock()
        self._models: dict[str, ServedModel] = {}
        for name, place in places.items():
            self._models[name] = ServedModel(name, place, seen)
        makers = {name: self._maker_of(name, folder) for name, folder in indexes.items()}
        for name, model in self._models.items():
            model.open({index: folder for index, folder in indexes.items() if makers[index] == name})

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def model(self, name: str | None) -> ServedModel:
        """Raises ShopvlError for a name that is not served."""
        return _named("model", name, self._models)

    def maker(self, index: str | None) -> tuple[str, ServedModel]:
        """The index's name and the model that opened it. Raises ShopvlError for a name that is not served."""
        makers = {own: model for model in self._models.values() for own in model.indexes}
        by_order = {own: (own, makers[own]) for own in self._folders}
        return _named("index", index, by_order)

    def reload(self, name: str) -> ServedModel:
        """Open a model and its indexes anew; the old one answers until the new one does.

        Raises ShopvlError where that is not possible: the old one goes on answering.
        """
        with self._reloading:
            old = self.model(name)
            new = ServedModel(name, old.place, self._seen)
            try:
                new.open({index: self._folders[index] for index in old.indexes})
            except ShopvlError:
                new.close()
                raise
            self._models[name] = new
        old.close()
        return new

    def close(self) -> None:
        """Answer what waits."""
        for model in self._models.values():
            model.close()

    def _maker_of(self, index: str, folder: Path) -> str:
        made_by = read_state(folder).model
        for name, model in self._models.items():
            if model.design_name == made_by:
                return name
        raise IndexFolderError(
            f"the index {index} ({folder}) was made by {made_by}, and no model that is served is that one; "
            "name its model with --model, or rebuild it with `shopvl index`"
        )


def _named(kind: str, name: str | None, served: Mapping[str, Served]) -> Served:
    if name is None and served:
        return next(iter(served.values()))
    if name is None or name not in served:
        known = ", ".join(served) or "none"
        raise ShopvlError(f"no {kind} called {str(name)[:100]!r} is served here; there is {known}")
    return served[name]
