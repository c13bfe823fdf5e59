"""What is found for words and pictures, and in which order."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageOps

from shopvl.catalog.cells import folded
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import apply_names
from shopvl.catalog.readers import open_catalog
from shopvl.errors import DesignError
from shopvl.recipes import find
from shopvl.search import SearchIndex, build_index
from shopvl.search.photo_query import PhotoFacts


def stored(index: SearchIndex) -> np.ndarray:
    return index.vectors.raw.rows(np.arange(len(index.vectors.raw)))


@pytest.mark.parametrize("asked", ["words", "picture"])
def test_dense_results_are_those_of_a_plain_loop(index: SearchIndex, toy_catalog, asked: str) -> None:
    picture = next(toy_catalog.batches(1))["image"][0]["bytes"] if asked == "picture" else None
    words = "red dress" if asked == "words" else None
    read = index.in_catalog_words(words, index.understood(words)) if words else None
    query = index.query_vector(read, index.photo_query(picture) if picture else None)
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
    scores = [float(np.dot(query, vector)) for vector in stored(index)]
    best = sorted(range(len(scores)), key=lambda n: -scores[n])[:5]
    ids = index.products["product_id"].to_list()
    found = index.search(words, picture, k=5, by="dense")
    assert [hit.product_id for hit in found] == [ids[n] for n in best]
    assert [hit.score for hit in found] == pytest.approx([scores[n] for n in best], abs=1e-5)


def test_hybrid_adds_up_what_its_parts_say(index: SearchIndex) -> None:
    text = "red dress"
    facts = index.understood(text)
    vector = index.query_vector(index.in_catalog_words(text, facts), None)
    candidates, nearest = index.candidates(text, facts, vector, 60, None)
    assert set(nearest[1].tolist()) <= set(candidates.rows.tolist())
    weights = index.state.settings.weights
    ids = index.products["product_id"].to_list()
    total = {
        ids[row]: weights.dense * cosine
        + (weights.lexical + weights.unnamed * candidates.unnamed + weights.titled * candidates.titled) * bm25
        + weights.facts * held
        for row, cosine, bm25, held in zip(
            candidates.rows, candidates.cosine, candidates.lexical, candidates.facts, strict=True
        )
    }
    found = index.search(text, k=8)
    assert [hit.product_id for hit in found] == sorted(total, key=lambda name: -total[name])[:8]
    assert [hit.score for hit in found] == pytest.approx(sorted(total.values(), reverse=True)[:8], abs=1e-5)


def test_part_of_a_title_is_known_as_one(index: SearchIndex) -> None:
    title = index.products["title"][3]
    words = title.split()

    def titled(text: str) -> bool:
        return index.candidates(text, (), index.query_vector(text, None), 60, None)[0].titled

    assert titled(title)
    assert titled(f"{words[0]} {words[-1]}")
    assert not titled(" ".join(reversed(words)))


def test_words_of_a_title_find_it(index: SearchIndex) -> None:
    for row in (3, 17, 42):
        title = index.products["title"][row]
        found = index.search(title, k=5, by="lexical")
        assert title in [hit.title for hit in found]
    assert index.search("zzzz qqqq", by="lexical").hits == []


def test_chinese_words_mean_what_english_words_mean(tuned, toy_catalog, toy_table: Path, tmp_path: Path) -> None:
    ontology = apply_names(tuned.ontology, toy_table.with_name("ontology_names.json"))
    build_index(tuned, toy_catalog, tmp_path / "zh", ontology=ontology)
    index = SearchIndex(tmp_path / "zh", tuned)
    assert index.understood("红色 连衣裙") == index.understood("red dress") != ()
    assert index.in_catalog_words("红色连衣裙", index.understood("红色连衣裙")).startswith("red dress")
    chinese, english = (index.search(text, k=10, by="lexical").hits for text in ("红色连衣裙", "red dress"))
    assert len({hit.product_id for hit in chinese} & {hit.product_id for hit in english}) >= 7


def test_a_category_in_two_branches_is_found_in_both(tuned, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table)[:40]
    paths = [["Women" if n % 2 else "Men", "Sneakers"] if n < 10 else ["Home", "Lamps"] for n in range(len(frame))]
    frame = frame.with_columns(pl.Series("category_path", paths), title=pl.lit("thing"))
    frame.write_parquet(tmp_path / "branches.parquet")
    catalog = open_catalog(tmp_path / "branches.parquet")
    ontology = mine_ontology(catalog.batches())
    build_index(tuned, catalog, tmp_path / "branches", ontology=ontology)
    found = SearchIndex(tmp_path / "branches", tuned).search("sneaker", k=10, cut_off=False)
    assert [str(fact) for fact in found.understood] == ["Men > Sneakers or Women > Sneakers"]
    assert {hit.category_path for hit in found} == {("Men", "Sneakers"), ("Women", "Sneakers")}
    assert len(found) == 10


def test_words_and_a_picture_are_like_this_but(index: SearchIndex, toy_catalog) -> None:
    rows = [row for row in next(toy_catalog.batches(100)).to_dicts() if row["attributes"]]
    colours = {row["product_id"]: {p["property"]: p["value"] for p in row["attributes"]}.get("Colour") for row in rows}
    shown = next(row for row in rows if colours[row["product_id"]] not in ("Red", None))
    found = index.search("red", shown["image"]["bytes"], k=5)
    reds = sum(colour == "Red" for colour in colours.values())
    right = [dict(hit.attributes).get("Colour") == "Red" for hit in found]
    assert sum(right) >= min(reds, 3)
    same_kind = [hit.category_path[0] == shown["category_path"][0] for hit in found]
    assert any(same_kind)


def test_a_picture_from_elsewhere_is_asked_of_the_model(index: SearchIndex, toy_catalog) -> None:
    """A photo that the index has not: what it shows is the model's own answer, and words replace that too."""
    row = next(row for row in next(toy_catalog.batches(100)).to_dicts() if row["attributes"])
    turned = ImageOps.mirror(Image.open(BytesIO(row["image"]["bytes"])).convert("RGB"))
    photo = BytesIO()
    turned.crop((3, 3, turned.width, turned.height)).save(photo, "PNG")
    query = index.photo_query(photo.getvalue())
    assert not len(index.rows_of_photo(query))
    seen = PhotoFacts(index, query)
    assert folded("Colour") in map(folded, seen.answers)
    assert seen.value("Colour") is not None
    alike = index.search(None, photo.getvalue(), k=10)
    found = index.search("red", photo.getvalue(), k=10)
    reds = [sum(dict(hit.attributes).get("Colour") == "Red" for hit in one) for one in (alike, found)]
    assert reds[1] > reds[0]


def test_a_matching_head_has_a_say_in_the_order(index: SearchIndex, make_design, tuned) -> None:
    plain = index.search("red dress", k=20)
    again = index.search("red dress", k=20, matcher=make_design(find("vilt", "tiny")))
    assert len(again) == 20
    assert [hit.product_id for hit in plain] != [hit.product_id for hit in again]
    with pytest.raises(
        DesignError, match=r"no head that judges pairs and does not write; .*use a design that can: vilt, "
    ):
        index.search("red dress", matcher=tuned)


def test_results_are_fit_for_json(index: SearchIndex) -> None:
    told = json.loads(json.dumps(index.search("red dress", k=2, facets=["colour"]).as_dict()))
    assert told.keys() == {"hits", "understood", "confidence", "refused", "facets", "query", "close"}
    assert "Colour: Red" in told["understood"]
