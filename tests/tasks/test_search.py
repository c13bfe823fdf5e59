from pathlib import Path

import faiss
import numpy as np
import polars as pl
import pytest

from shopvl.design import Design
from shopvl.errors import IndexFolderError, ShopvlError
from shopvl.tasks.search import SearchIndex, build_index, conditions


@pytest.fixture(scope="module")
def index_folder(tuned_folder: Path, toy_catalog, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "index"
    done = build_index(Design.from_pretrained(tuned_folder), toy_catalog, folder)
    assert (done.indexed, done.rejected) == (toy_catalog.count(), 0)
    return folder


@pytest.fixture
def index(index_folder: Path, tuned) -> SearchIndex:
    return SearchIndex(index_folder, tuned)


@pytest.mark.parametrize("asked", ["words", "picture", "both"])
def test_results_are_those_of_a_plain_loop(index: SearchIndex, toy_catalog, asked: str) -> None:
    picture = next(toy_catalog.batches(1))["image"][0]["bytes"] if asked != "words" else None
    words = "red dress" if asked != "picture" else None
    query = index.query_vector(words, picture)[0]
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    stored = [index.index.reconstruct(n) for n in range(index.index.ntotal)]
    scores = [float(np.dot(query, vector)) for vector in stored]
    best = sorted(range(len(scores)), key=lambda n: -scores[n])[:5]
    ids = index.products.collect()["product_id"].to_list()
    found = index.search(words, picture, k=5)
    assert [hit.product_id for hit in found] == [ids[n] for n in best]
    assert [hit.score for hit in found] == pytest.approx([scores[n] for n in best], abs=1e-5)


def test_filters_hold(index: SearchIndex, toy_catalog) -> None:
    frame = next(toy_catalog.batches(100))
    red = {
        row["product_id"]
        for row in frame.to_dicts()
        if {"property": "Colour", "value": "Red"} in (row["attributes"] or [])
    }
    assert red
    found = index.search("anything", where=conditions(["colour=red"]), k=50)
    assert {hit.product_id for hit in found} == red
    top = frame["category_path"][0][0]
    within = index.search("anything", where={"category": top.upper()}, k=60)
    assert {hit.product_id for hit in within} == {
        row["product_id"] for row in frame.to_dicts() if row["category_path"][0] == top
    }
    assert index.search("anything", where={"colour": "no such colour"}) == []


def test_nothing_to_search_for(index: SearchIndex) -> None:
    with pytest.raises(ShopvlError, match="give words, a picture, or both"):
        index.search()
    with pytest.raises(ShopvlError, match="write PROPERTY=VALUE"):
        conditions(["red"])


def test_an_index_of_another_model_is_refused(index_folder: Path, make_design) -> None:
    from shopvl.recipes import find

    other = make_design(find("tri-clip", "tiny"), seed=9)
    with pytest.raises(IndexFolderError, match=r"was made with the model tri-clip-\w+, but tri-clip-\w+ is to search"):
        SearchIndex(index_folder, other)


def test_a_folder_that_is_no_index(tuned, tmp_path: Path) -> None:
    with pytest.raises(IndexFolderError, match="is not an index folder"):
        SearchIndex(tmp_path, tuned)


def test_a_damaged_index_is_noticed(index_folder: Path, tuned, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(index_folder, copy)
    pl.read_parquet(copy / "products.parquet").head(3).write_parquet(copy / "products.parquet")
    with pytest.raises(IndexFolderError, match="is damaged: 60 vectors for 3 products"):
        SearchIndex(copy, tuned)


def test_a_graph_serves_large_catalogs_with_the_same_filters(monkeypatch) -> None:
    from shopvl.tasks import search

    monkeypatch.setattr(search, "FLAT_UP_TO", 100)
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(500, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    graph = search._faiss_index(vectors)
    assert isinstance(graph, faiss.IndexHNSW)
    exact = np.argsort(-(vectors[:20] @ vectors.T), axis=1)[:, :10]
    _, found = graph.search(vectors[:20], 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)])
    assert recall > 0.95
    allowed = np.arange(0, 500, 7)
    _, filtered = graph.search(vectors[:3], 5, params=search._among(graph, allowed))
    assert set(filtered.ravel()) <= set(allowed)


def test_a_single_stream_model_says_it_cannot(make_design, toy_catalog, tmp_path: Path) -> None:
    from shopvl.errors import DesignError
    from shopvl.recipes import find

    with pytest.raises(DesignError, match="no embeddings to search with"):
        build_index(make_design(find("vilt", "tiny")), toy_catalog, tmp_path / "index")
    assert not (tmp_path / "index").exists()
