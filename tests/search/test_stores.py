"""One contract for every store of vectors; nearest is what a plain comparison in numpy says."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore
from typer.testing import CliRunner

from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import ALLOW_HOSTS
from shopvl.cli import app
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.search import Plan, SearchIndex, build_index, conditions, update_index
from shopvl.search.folder import read_state
from shopvl.search.stores import factory, milvus
from shopvl.search.stores.base import VectorSearch, VectorStore
from shopvl.search.stores.faiss import FaissStore
from shopvl.search.stores.milvus import LISTED, MilvusStore, filter_of
from shopvl.search.stores.raw_vectors import RawVectors

N, D, K = 300, 16, 9
RNG = np.random.default_rng(3)
# what people write after --store; a line here runs every test on one store more
PLACES = {
    "flat": "faiss=flat",
    "ivf-sq8": "faiss=ivf-sq8",
    "milvus": "milvus={folder}/vectors.db",
    "memory": "memory=here",
}
OTHERS = [name for name, place in PLACES.items() if not place.startswith("faiss=")]
LEAST = {"ivf-sq8": 0.9}  # share of the true K that an approximate store has to find; all others find all


def unit(rows: int) -> np.ndarray:
    made = RNG.standard_normal((rows, D)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


FIRST, ADDED, OTHER, NEWER, QUERIES = unit(N), unit(40), unit(25), unit(280), unit(8)


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(factory.STORES, "memory", MemoryStore)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """`PLACES`, each in a folder of its own."""
    return {name: place.format(folder=tmp_path_factory.mktemp(name)) for name, place in PLACES.items()}


@pytest.fixture(params=PLACES)
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "milvus":
        pytest.importorskip("pymilvus")
        pytest.importorskip("milvus_lite")
    return str(request.param)


@pytest.fixture
def made(name: str, places: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> VectorStore:
    folder = tmp_path / request.node.name  # a collection of the test's own
    folder.mkdir()
    return factory.store_at(places[name], folder).create(tmp_path, 1, FIRST)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., VectorSearch]:
    """Open a store over these matrices, as a process that only has its keys in `config.json`."""

    def open_(store: VectorStore, *matrices: np.ndarray) -> VectorSearch:
        again, rest = factory.read_store(json.loads(json.dumps(factory.store_keys(store) | {"version": 1})))
        assert (again, rest) == (store, {"version": 1})
        search = again.open(tmp_path, RawVectors(matrices))
        if hasattr(search, "exact_up_to"):
            search.exact_up_to = 0  # else so few rows are never asked of the store itself
        return search

    return open_


def check(name: str, search: VectorSearch, matrix: np.ndarray, mask: np.ndarray | None = None) -> None:
    """The store finds what plain numpy finds."""
    allowed = None if mask is None else search.prepare_filter(mask)
    rows = np.arange(len(matrix)) if mask is None else np.flatnonzero(mask)
    same = []
    for query in QUERIES:
        cosines = matrix[rows] @ query
        true = rows[np.argsort(-cosines, kind="stable")[:K]]
        scores, found = search.search(query, K, allowed)
        assert list(scores) == sorted(scores, reverse=True)
        assert scores == pytest.approx(matrix[found] @ query, abs=1e-4)
        assert {*found.tolist()} <= {*rows.tolist()}
        same.append(len({*true.tolist()} & {*found.tolist()}) / max(len(true), 1) if len(true) else 1.0)
    assert np.mean(same) >= LEAST.get(name, 1.0)


def test_nearest_and_raw_vectors(name: str, made: VectorStore, opened) -> None:
    search = opened(made, FIRST)
    check(name, search, FIRST)
    rows = np.array([299, 0, 17])
    assert np.array_equal(search.raw.rows(rows), FIRST[rows])
    assert search.raw.scores(QUERIES[0], rows) == pytest.approx(FIRST[rows] @ QUERIES[0])


@pytest.mark.parametrize(
    "mask",
    [np.arange(N) % 2 == 0, np.arange(N) % 60 == 7, np.arange(N) != 5, (np.arange(N) // 50) % 2 == 1, np.ones(N, bool)],
    ids=["every second", "five", "all but one", "runs", "all"],
)
def test_allowed_rows(name: str, made: VectorStore, opened, mask: np.ndarray) -> None:
    check(name, opened(made, FIRST), FIRST, mask)


def test_no_row_is_allowed(made: VectorStore, opened) -> None:
    search = opened(made, FIRST)
    scores, rows = search.search(QUERIES[0], K, search.prepare_filter(np.zeros(N, bool)))
    assert (len(scores), len(rows)) == (0, 0)


def test_more_are_wanted_than_there_are(made: VectorStore, opened) -> None:
    search = opened(made, FIRST)
    mask = np.arange(N) < 4
    assert sorted(search.search(QUERIES[0], N, search.prepare_filter(mask))[1].tolist()) == [0, 1, 2, 3]


def test_added_and_replaced_rows(name: str, made: VectorStore, opened) -> None:
    before = opened(made, FIRST)
    made.append(ADDED, N, ())
    both = np.concatenate([FIRST, ADDED])
    check(name, opened(made, FIRST, ADDED), both)
    check(name, before, FIRST)  # who had it open before sees what there was
    live = np.arange(len(both)) >= 40  # the first 40 were replaced
    check(name, opened(made, FIRST, ADDED), both, live)


def test_deleted_rows_are_taken_out_by_the_next_change(name: str, made: VectorStore, opened) -> None:
    gone = [3, 4, 5, 120]
    live = np.ones(N, bool)
    live[gone] = False
    check(name, opened(made, FIRST), FIRST, live)
    made.append(np.empty((0, D), np.float32), N, gone)
    check(name, opened(made, FIRST), FIRST, live)


def test_what_a_killed_change_left_is_replaced(name: str, made: VectorStore, opened) -> None:
    made.append(ADDED, N, ())
    check(name, opened(made, FIRST), FIRST)
    made.append(OTHER, N, ())
    check(name, opened(made, FIRST, OTHER), np.concatenate([FIRST, OTHER]))


def test_a_new_version_stands_beside_the_old_until_that_is_dropped(
    name: str, made: VectorStore, opened, tmp_path: Path
) -> None:
    newer = made.renewed().create(tmp_path, 2, NEWER)
    check(name, opened(made, FIRST), FIRST)
    made.drop()
    check(name, opened(newer, NEWER), NEWER)
    if name in OTHERS and not made.files():  # what is outside the folder is gone
        with pytest.raises(IndexFolderError):
            opened(made, FIRST)


# --- a whole index


@pytest.mark.parametrize("name", OTHERS, indirect=True)
def test_an_index_answers_the_same_with_every_store(
    name: str, places: dict[str, str], tuned, toy_catalog, toy_table: Path, tmp_path: Path
) -> None:
    pl.read_parquet(toy_table)[[3]].with_columns(product_id=pl.lit("new")).write_parquet(tmp_path / "one.parquet")
    pl.read_parquet(toy_table)[:30].write_parquet(tmp_path / "half.parquet")
    plans = {"plain": Plan(), name: Plan(store=factory.store_at(places[name], tmp_path / "toy"))}
    for folder, plan in plans.items():
        build_index(tuned, toy_catalog, tmp_path / folder, plan=plan)
    for changed in (None, "one.parquet", "half.parquet"):  # the last one makes all files anew
        if changed is not None:
            for folder in plans:
                first = SearchIndex(tmp_path / folder, tuned).search("red dress", k=1).hits[0].product_id
                update_index(tuned, open_catalog(tmp_path / changed), tmp_path / folder, delete=[first])
        plain, other = (SearchIndex(tmp_path / folder, tuned) for folder in plans)
        assert other.state.store.model_fields_set == plans[name].store.model_fields_set
        for text, where in (("red dress", []), ("mug", ["colour!=Red"]), ("shoes", ["price<60"])):
            a, b = (index.search(text, where=conditions(where), k=8, by="dense") for index in (plain, other))
            assert [hit.score for hit in a] == pytest.approx([hit.score for hit in b], abs=1e-4)
            assert {hit.product_id for hit in a} == {hit.product_id for hit in b}


def test_the_keys_of_an_index_made_before() -> None:
    old = {"format": 3, "kind": "ivf-sq8", "effort": 64, "vectors": "vectors-00001.faiss", "milvus": None}
    store, rest = factory.read_store(old)
    assert (store, rest) == (FaissStore(kind="ivf-sq8", search_effort=64, vectors="vectors-00001.faiss"), {"format": 3})
    assert factory.store_keys(store) == {name: old[name] for name in ("kind", "effort", "vectors")}
    milvus = {"uri": "http://there", "collection": "shopvl_index_v3"}
    store, rest = factory.read_store({**old, "kind": "flat", "effort": 0, "vectors": None, "milvus": milvus})
    assert (store, rest) == (MilvusStore(**milvus), {"format": 3})


def test_a_store_that_there_is_not(tmp_path: Path) -> None:
    known = " or ".join(f"{name}=PLACE" for name in factory.STORES)
    assert known.startswith("faiss=PLACE or milvus=PLACE")
    with pytest.raises(ShopvlError, match=f"--store takes {known}, not 'redis=here'"):
        factory.store_at("redis=here", tmp_path)
    with pytest.raises(ShopvlError, match="not 'milvus'"):
        factory.store_at("milvus", tmp_path)


def test_the_command_takes_every_store_of_the_table(tuned_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    def index(store: str) -> None:
        words = ["index", toy_table, "--model", tuned_folder, "--out", tmp_path / "shelf", "--store", store]
        CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)

    index("memory=there")
    assert read_state(tmp_path / "shelf").store == MemoryStore(name="there/shelf@1")
    with pytest.raises(ShopvlError, match="not 'redis=here'"):
        index("redis=here")


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.arange(4 * LISTED) // 9000 == 1, "row >= 9000 and row < 18000"),
        (np.arange(4 * LISTED) % 5 == 1, "row in"),
        (np.arange(4 * LISTED) % 5 != 1, "row not in"),
        (np.zeros(4 * LISTED, bool), "row < 0"),
    ],
    ids=["run", "few", "most", "none"],
)
def test_a_filter_names_the_allowed_rows(mask: np.ndarray, words: str) -> None:
    told = filter_of(mask)
    assert told is not None
    assert words in told
    picked = range(0, len(mask) + 900, 397)
    assert [eval(told, {"row": row}) for row in picked] == [row < len(mask) and bool(mask[row]) for row in picked]


def test_a_long_filter_is_not_asked() -> None:
    assert filter_of(np.arange(4 * LISTED) % 2 == 0) is None


def test_places_that_only_the_index_names_are_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index may be a stranger's: its server is asked where the user allows it, and its file is never made."""
    asked = []

    def connect(uri: str) -> None:
        asked.append(uri)
        raise ShopvlError("nobody is there")

    monkeypatch.setattr(milvus, "connect", connect)
    server, raw = MilvusStore(uri="http://10.1.2.3:19530", collection="a"), RawVectors([FIRST])
    for use in (lambda: server.open(tmp_path, raw), lambda: server.append(ADDED, N, []), server.drop):
        with pytest.raises(IndexFolderError, match="if it is yours: --allow-hosts 10"):
            use()
    file = MilvusStore(uri=str(tmp_path / "vectors.db"), collection="a")
    with pytest.raises(IndexFolderError, match="which the index names, is not there"):
        file.open(tmp_path, raw)
    assert asked == []
    for allowed in ("10.1.2.3", "a.shop,10.0.0.0/8"):
        monkeypatch.setenv(ALLOW_HOSTS, allowed)
        with pytest.raises(ShopvlError, match="nobody is there"):
            server.open(tmp_path, raw)
    assert asked == [server.uri] * 2
