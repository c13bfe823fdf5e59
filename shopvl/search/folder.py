"""An index folder: files that never change once they are named, and one `config.json` that names those in use.

A change writes new files under new names and then replaces `config.json`: a process killed at any moment leaves the old
index or the new one. Files that the config does not name are removed by the next change. The config has checksums of
all files; those that are mapped into memory are verified by block, when a block is first read.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from shopvl.checksums import BLOCKS, file_digests, read_object, verify_all
from shopvl.errors import IndexFolderError
from shopvl.files import LOCK, write_object
from shopvl.search.stores.base import REBUILD, VectorStore
from shopvl.search.stores.factory import read_store, store_keys

FORMAT = 4
READABLE = (3, FORMAT)  # 3: no checksums, and one name for the ontology of every version
TITLE_WEIGHT = 0.5  # of the title in a product's vector, where nothing was measured; the rest is the picture's
CONFIG, ONTOLOGY, REJECTS = "config.json", "ontology.json", "rejects.parquet"
VECTORS, PRODUCTS, SHOWN = "vectors.f32", "products.parquet", "shown.arrow"  # of one segment
WORDS, OLD_WORDS = "words-", "lexical-"  # lexical indexes; those of old have the title's words among the facts, too
KINDS = ("vectors-", "deleted-", WORDS, OLD_WORDS, "tags-", "ontology-")  # what begins the names of other files


class _FrozenSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


QueryKind = Literal["title", "facts", "mixed", "words"]  # see `ranking.Candidates.kind`


class Weights(_FrozenSettings):
    """What a product's score adds up: cosine, BM25 as a share of the query's best, and how well all facts hold.

    BM25 counts more where the words name no category or value, but say a brand or a model: `unnamed` times their share;
    and where they stand in a product's title in the same order, as in a title that somebody copied: by `titled`.
    """

    dense: float = 1.0
    lexical: float = 0.1
    unnamed: float = 0.4
    titled: float = 0.5
    facts: float = 0.4


class CutOff(_FrozenSettings):
    """A query is answered where `bias + weights . signals` is at least `threshold` (a logit)."""

    weights: dict[str, float]
    bias: float
    threshold: float
    kept: float  # share of good queries that were answered where it was measured
    refused: float  # share of the others that were not


class Settings(_FrozenSettings):
    """What is tuned on validation data."""

    # of the title in a product's vector; the rest is the picture's. `config.json` calls it `title_share`
    title_weight: float = Field(
        TITLE_WEIGHT,
        ge=0,
        le=1,
        validation_alias=AliasChoices("title_share", "title_weight"),
        serialization_alias="title_share",
    )
    weights: Weights = Weights()
    by_kind: dict[QueryKind, Weights] = {}  # of the kinds of query that they were learned for
    cut_off: CutOff | None = None  # None: every query is answered

    def weights_of(self, kind: QueryKind) -> Weights:
        """Those that were learned for that kind of query, or those of every kind."""
        return self.by_kind.get(kind, self.weights)


class Segment(_FrozenSettings):
    """Products that were added together."""

    name: str
    rows: int


class State(_FrozenSettings):
    """`config.json`: which model made the index, which files it is, and what was measured for it."""

    format: int = FORMAT
    version: int  # counts changes
    model: str
    dimension: int
    metric: str = "cosine"
    store: VectorStore  # in the file, the keys that `stores/factory.py` writes
    segments: tuple[Segment, ...] = ()
    deleted: str | None = None  # file with the row numbers of deleted products
    deleted_count: int = 0
    lexical: str
    unlisted: tuple[int, ...] = ()  # deleted rows that the lexical index and the store still hold
    tags: str | None = None
    ontology: str = ONTOLOGY
    checksums: dict[str, str] = {}  # of the files below the folder; of mapped ones, of their blocks' checksums
    settings: Settings = Settings()

    @property
    def rows(self) -> int:
        """Row numbers given out, those of deleted products included."""
        return sum(segment.rows for segment in self.segments)

    def files(self) -> set[str]:
        """The files that the folder has to hold."""
        named = {self.deleted, self.lexical, self.tags, self.ontology, *(segment.name for segment in self.segments)}
        return {name for name in (*named, *self.store.files()) if name}


def lexical_name(version: int) -> str:
    """Of the lexical index that a version of the folder begins with."""
    return f"{WORDS}{version:05d}"


def read_state(folder: Path) -> State:
    """What `config.json` says. Raises IndexFolderError for a folder that is not an index, or one of another format."""
    path = folder / CONFIG
    config: dict[str, Any] = read_object(path, REBUILD) if path.is_file() else {}
    if "dimension" not in config:
        raise IndexFolderError(f"{folder} is not an index folder; make one with `shopvl index`")
    if config.get("format") not in READABLE:
        raise IndexFolderError(f"{folder} is in another index format; rebuild it with `shopvl index`")
    try:
        store, rest = read_store(config)
        state = State.model_validate({**rest, "store": store})
    except ValidationError as fault:
        first = fault.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise IndexFolderError(f"{path} is damaged at {where}: {first['msg']}; rebuild the index") from None
    missing = sorted(name for name in {*state.files(), *state.checksums} if not (folder / name).exists())
    if missing:
        raise IndexFolderError(f"the index {folder} is damaged: {missing[0]} is missing; rebuild it")
    return state


def check_model(folder: Path, state: State, model: str) -> None:
    """Raises IndexFolderError where another model made the index."""
    if state.model != model:
        raise IndexFolderError(
            f"the index {folder} was made with the model {state.model}, but {model} is to search it; "
            "use that model, or rebuild the index with `shopvl index`"
        )


def publish(folder: Path, state: State) -> None:
    """Make `state` the index, in one step, and clear away what it does not name."""
    state = state.model_copy(update={"format": FORMAT, "checksums": _checksums(folder, state)})
    keys = state.model_dump(mode="json", by_alias=True, exclude={"store"}) | store_keys(state.store)
    write_object(folder / CONFIG, keys, durable=True)
    clear(folder, state)


def verify(folder: Path, state: State, *, but: Collection[str] = ()) -> None:
    """Raises IndexFolderError for a file that is damaged, but for those that are mapped, and those named."""
    verify_all(folder, {name: known for name, known in state.checksums.items() if name not in but}, REBUILD)


def _checksums(folder: Path, state: State) -> dict[str, str]:
    """Of the files that the state names; files of a name never change."""
    paths = [path for name in state.files() for path in _files(folder / name)]
    by_block = {path: path.with_name(path.name + BLOCKS) for path in paths}
    files = {beside if beside.is_file() else path for path, beside in by_block.items()}
    names = {path.relative_to(folder).as_posix() for path in files}
    known = {name: checksum for name, checksum in state.checksums.items() if name in names}
    return known | file_digests(folder, names - known.keys())


def _files(path: Path) -> Iterator[Path]:
    """The file, or those below a folder but for its locks."""
    below = path.rglob("*") if path.is_dir() else iter([path])
    return (file for file in below if file.is_file() and file.suffix != LOCK)


def clear(folder: Path, state: State | None) -> None:
    """Remove files left by earlier versions and killed changes."""
    keep = {CONFIG, LOCK, REJECTS}
    for name in state.files() if state else ():
        keep |= {name, name + BLOCKS}
    for entry in folder.iterdir():
        if entry.name in keep or (not entry.name.startswith(("segment-", *KINDS)) and entry.name != ONTOLOGY):
            continue
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
