"""The vector stores there are, and which one an index folder's `config.json` names.

FAISS's keys (`kind`, `effort`, `vectors`) stand in the file itself; any other store's stand under its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shopvl.errors import ShopvlError
from shopvl.search.stores.base import VectorStore
from shopvl.search.stores.faiss import FaissStore
from shopvl.search.stores.milvus import MilvusStore

STORES: dict[str, type[VectorStore]] = {"faiss": FaissStore, "milvus": MilvusStore}


def read_store(config: Mapping[str, Any]) -> tuple[VectorStore, dict[str, Any]]:
    """The store that `config.json` means, and the keys that are left. Raises pydantic's ValidationError."""
    own = {name: config[name] for name in FaissStore.config_keys() if name in config}
    rest = {name: value for name, value in config.items() if name not in {*own, *STORES}}
    for name, store in STORES.items():
        if config.get(name) is not None:
            return store.model_validate(config[name]), rest
    return FaissStore.model_validate(own), rest


def store_keys(store: VectorStore) -> dict[str, Any]:
    """The keys of `config.json` that mean this store."""
    if isinstance(store, FaissStore):
        return store.model_dump(by_alias=True)
    name = next(name for name, kind in STORES.items() if isinstance(store, kind))
    return {name: store.model_dump()}


def store_at(text: str, folder: Path) -> VectorStore:
    """The store that NAME=PLACE names, for an index folder. Raises ShopvlError for a store that there is not."""
    name, _, location = text.partition("=")
    if name not in STORES or not location:
        raise ShopvlError(f"--store takes {' or '.join(f'{known}=PLACE' for known in STORES)}, not {text!r}")
    return STORES[name].at(location, folder)
