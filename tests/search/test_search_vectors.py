"""Every kind of index against a plain loop."""

import numpy as np
import pytest

from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.search.stores.faiss import FaissSearch, Kind, build, choose_kind, kind_named, read, write
from shopvl.search.stores.raw_vectors import RawVectors


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    made = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def plainly(query: np.ndarray, matrix: np.ndarray, k: int, allowed: np.ndarray | None = None) -> list[int]:
    scored = [(-float(query @ vector), row) for row, vector in enumerate(matrix) if allowed is None or allowed[row]]
    return [row for _, row in sorted(scored)[:k]]


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf-sq8", "pq"])
def test_each_kind_finds_what_a_plain_loop_finds(kind: Kind, matrix: np.ndarray, tmp_path) -> None:
    index, effort = None, 0
    if kind != "flat":
        index, effort = build(kind, matrix[:2800])
        write(index, tmp_path / "a.faiss")
        index = read(tmp_path / "a.faiss")
    raw = RawVectors([matrix[:2800], matrix[2800:2900], matrix[2900:]])
    own = FaissSearch(raw, kind, index, effort, exact_up_to=20)  # else so few rows would all be compared one by one
    allowed = np.arange(3000) % 3 == 0
    few = np.arange(3000) % 300 == 7
    recall, filtered = [], []
    for query in matrix[:2900:100]:
        scores, rows = own.search(query, 10)
        assert list(scores) == sorted(scores, reverse=True)
        recall.append(len({*rows.tolist()} & {*plainly(query, matrix, 10)}) / 10)
        _, some = own.search(query, 10, own.prepare_filter(allowed))
        assert allowed[some].all()
        filtered.append(len({*some.tolist()} & {*plainly(query, matrix, 10, allowed)}) / 10)
        assert own.search(query, 5, own.prepare_filter(few))[1].tolist() == plainly(query, matrix, 5, few)
    assert np.mean(recall) >= 0.95
    assert np.mean(filtered) >= 0.9
    assert np.array_equal(raw.rows(np.array([2950, 1, 2801])), matrix[[2950, 1, 2801]])


def test_the_kind_is_chosen_by_size_and_memory() -> None:
    assert choose_kind(100_000, 256, 1) == "flat"
    assert choose_kind(1_000_000, 256, 500) == "ivf-sq8"
    assert choose_kind(1_000_000, 256, 100) == "pq"


def test_mistakes(tmp_path) -> None:
    with pytest.raises(ShopvlError, match="there is no index of kind 'tree'; choose from flat, hnsw"):
        kind_named("tree")
    (tmp_path / "a.faiss").write_bytes(b"nothing")
    with pytest.raises(IndexFolderError, match="is not a FAISS index"):
        read(tmp_path / "a.faiss")
    with pytest.raises(ShopvlError, match="pq needs at least 256 vectors, there are 8"):
        build("pq", np.eye(8, dtype=np.float32))
