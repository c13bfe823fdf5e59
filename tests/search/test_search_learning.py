"""Weights learned for kinds of queries: from made queries, from clicks; and what people graded."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shopvl.checksums import OF_ITSELF
from shopvl.errors import CatalogError, ShopvlError
from shopvl.metrics.retrieval import ranking_at
from shopvl.search import SearchIndex, learning
from shopvl.search.clicks import Clicks
from shopvl.search.folder import Settings, Weights
from shopvl.search.found import By
from shopvl.search.judging import judge, read_grades, write_sheet
from shopvl.search.learning import JudgedQuery, candidates_of, chosen, learn_weights, ndcg
from shopvl.search.own_queries import brand_queries, title_queries, titles_and_paths, word_queries
from shopvl.search.ranking import Candidates, all_hold
from shopvl.search.tune import learn_from_clicks


def test_ndcg_is_that_of_the_metrics() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, gains = rng.permutation(40).astype(float), rng.integers(0, 4, 40).astype(float)
        expected = ranking_at(np.ones((1, 1)), scores[:, None], lambda start, stop, g=gains: g[None], (10,)).ndcg[10]
        order = np.argsort(-scores)
        assert ndcg(gains[order], gains) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unnamed", "named", "titled", "words", "kind"),
    [
        (0.5, True, True, 3, "title"),
        (0.0, True, False, 3, "facts"),
        (0.5, True, True, 2, "mixed"),
        (1.0, False, True, 1, "words"),
    ],
)
def test_the_kind_of_a_query(unnamed: float, named: bool, titled: bool, words: int, kind: str) -> None:
    one = np.ones(1)
    candidates = Candidates(np.zeros(1, np.int64), one, one / 2, one / 4, unnamed, named, titled, words)
    assert candidates.kind == kind
    own = Settings(by_kind={kind: Weights(dense=0, lexical=8, unnamed=0, titled=0, facts=4)})
    assert candidates.hybrid_score(own).tolist() == [5.0]


def test_made_queries_are_right_for_these_rows() -> None:
    titles = [
        "Norvik Red Wool Shirt",
        "Norvik Blue Shirt",
        "norvik red wool shirt",
        "Two Words",
        None,
        "Alba Red Wool Hat",
    ]
    paths = [["Apparel", "Shirts"]] * 3 + [None, None, ["Apparel", "Hats"]]
    table = titles_and_paths(pl.DataFrame({"title": titles, "category_path": paths}))
    assert table["row"].to_list() == [0, 1, 2, 5]

    words = {row: set((titles[row] or "").lower().split()) for row in (0, 1, 2, 5)}
    for query in title_queries(table, 3, random.Random(0)):
        assert set(query.rows.tolist()) <= {row for row in words if set(query.text.split()) <= words[row]}
        assert query.kind == "title"
    for query in word_queries(table, 4, random.Random(0)):
        assert set(query.rows.tolist()) == {row for row in words if set(query.text.split()) <= words[row]}
    brands = {query.text: query.rows.tolist() for query in brand_queries(table, 4, random.Random(0))}
    assert brands == {"norvik shirts": [0, 1, 2], "alba hats": [5]}


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the settings in an index's config, as a version of long ago wrote them: without a checksum."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    change(config["settings"])
    config.pop(OF_ITSELF)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


@pytest.fixture
def misweighted(own: Path, tuned, monkeypatch: pytest.MonkeyPatch) -> SearchIndex:
    """An index whose weights listen to nothing, and are learned from few queries."""
    monkeypatch.setattr(learning, "FEWEST", 10)
    nothing = {"dense": 0.0, "lexical": 0.0, "unnamed": 0.0, "titled": 0.0, "facts": 0.0}
    edited(own, lambda settings: settings.update(weights=nothing))
    return SearchIndex(own, tuned)


def test_learned_weights_are_no_worse_than_any_way_alone(misweighted: SearchIndex) -> None:
    titles = misweighted.products["title"].to_list()
    texts = [f"{title} new" for title in sorted(set(titles))]  # of which not all words name facts
    rows = {text: [row for row, title in enumerate(titles) if f"{title} new" == text] for text in texts}
    judged = [JudgedQuery.of(text, rows[text]) for text in texts]
    learned = learn_weights(misweighted, judged, misweighted.state.settings)
    assert any(one.weights is not None for one in learned)
    assert all(one.before < 0.5 < one.after for one in learned)
    settings = misweighted.state.settings.model_copy(update={"by_kind": chosen(learned)})
    misweighted.state = misweighted.state.model_copy(update={"settings": settings})

    kinds = dict(zip(texts, [one.kind for one in candidates_of(misweighted, texts)], strict=True))
    texts = [text for text in texts if kinds[text] in chosen(learned)]
    assert len(texts) >= 10

    def mean(by: By) -> float:
        found = [[hit.row for hit in misweighted.search(text, k=10, by=by, cut_off=False)] for text in texts]
        pairs = zip(texts, found, strict=True)
        return float(
            np.mean([ndcg([row in rows[text] for row in own], np.ones(len(rows[text]))) for text, own in pairs])
        )

    assert mean("hybrid") >= max(mean("dense"), mean("lexical")) - 1e-9


def test_clicks_further_down_count_more_and_teach_the_ranking(
    misweighted: SearchIndex, own: Path, tuned, tmp_path
) -> None:
    products = misweighted.products
    rows = [f"{products['title'][row]},{products['product_id'][row]},1,{row % 3 + 1}" for row in range(60)]
    log = tmp_path / "clicks.csv"
    log.write_text("query,product_id,clicks,position\n" + "\n".join([*rows, "red,nobody,4,1"]), "utf-8")
    clicks = Clicks.read(log, misweighted)
    assert (clicks.clicks, clicks.unknown, clicks.positions) == (64, 4, 64)
    assert "a click at position p counts p times" in str(clicks)
    gain = {query.text: query.gains.max() for query in clicks.judged}
    plain = products["title"].str.to_lowercase()
    once = [row for row in range(60) if (plain == plain[row]).sum() == 1]
    assert len(once) > 5
    for row in once:
        assert gain[plain[row]] == pytest.approx(np.log1p(row % 3 + 1))
    said, learned = learn_from_clicks(tuned, own, log)
    assert str(said) == str(clicks)
    opened = SearchIndex(own, tuned)
    assert {one.kind for one in learned if one.weights} == set(opened.state.settings.by_kind) != set()
    log.write_text("query,product_id\nred,nobody\n", "utf-8")
    with pytest.raises(ShopvlError, match="none of the 1 products clicked"):
        Clicks.read(log, opened)
    log.write_text(f"query,product_id,position\nred,{products['product_id'][0]},first\n", "utf-8")
    with pytest.raises(CatalogError, match="the position is 'first', a number from 1 on was wanted"):
        Clicks.read(log, opened)


def test_judgement_sheets_go_out_and_come_back(index: SearchIndex, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    count = write_sheet(index, ["red dress", "=1+1", "red dress"], sheet, k=5)
    with sheet.open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count > 10
    pooled = {row["product_id"] for row in rows if row["query"] == "red dress"}
    for by in ("hybrid", "dense", "lexical"):
        assert {hit.product_id for hit in index.search("red dress", k=5, by=by)} <= pooled
    with pytest.raises(CatalogError, match=r"nothing in .* is graded"):
        read_grades(sheet)
    first = [hit.product_id for hit in index.search("red dress", k=5)]
    graded = {product_id: 3 - n for n, product_id in enumerate(first[:3])}
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row in rows:
            grade = graded.get(row["product_id"], 0) if row["query"] == "red dress" else ""
            writer.writerow(row | {"grade": grade})
    grades = read_grades(sheet)
    assert {name: grade for name, grade in grades["red dress"].items() if grade} == graded
    judged = {one.by: one for one in judge(index, grades)}
    assert judged["hybrid"].ndcg.mean == pytest.approx(1)
    assert judged["lexical"].ndcg.mean <= 1
    sheet.write_text("query,product_id,grade\nred dress,1,perhaps\n", "utf-8")
    with pytest.raises(CatalogError, match=r"the grade 'perhaps'; 0 .* was wanted"):
        read_grades(sheet)


@pytest.mark.parametrize(
    ("table", "grade"),
    [
        ("example_id,query,product_id,product_locale,esci_label\n0,red dress,B07,us,S\n", 2.0),
        ("search_term,product_id,relevance\nred dress,B07,2.33\n", 2.33),
        ("query,docid,rating\nred dress,B07,3\n", 3.0),
        ("query,product_id,label\nred dress,B07,Partial\n", 2.0),
    ],
    ids=["ESCI", "Home Depot", "Quepid", "WANDS"],
)
def test_graded_pairs_are_read_as_they_are_published(table: str, grade: float, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text(table, "utf-8")
    assert read_grades(tmp_path / "pairs.csv") == {"red dress": {"B07": grade}}
    (tmp_path / "pairs.csv").write_text("query,product_id,rating\nred dress,B07,9\n", "utf-8")
    with pytest.raises(CatalogError, match=r"the grade '9'; 0 .* was wanted"):
        read_grades(tmp_path / "pairs.csv")


def test_old_indexes_have_one_set_of_weights(own: Path, tuned) -> None:
    edited(own, lambda settings: settings.pop("by_kind"))
    assert SearchIndex(own, tuned).state.settings.weights_of("title") == Weights()


def test_all_facts_hold_as_often_as_the_least_likely_one() -> None:
    one, other = np.array([1.0, 1.0, 0.6, 0.0]), np.array([1.0, 0.0, 0.6, 0.0])
    held = all_hold([one, other], 4)
    assert held.argsort().tolist() == [3, 1, 2, 0]
    assert held[0] == 1
    assert all_hold([], 2).tolist() == [0, 0]
    assert all_hold([one], 4).tolist() == pytest.approx(one.tolist())
