import json
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, f1_score

from shopvl.catalog.readers import open_catalog
from shopvl.errors import CatalogError
from shopvl.evaluation.evaluate import ask, category_levels, measure
from shopvl.evaluation.groups import trust
from shopvl.evaluation.outputs import Decided, PropertyAnswers, run_model
from shopvl.evaluation.page import evaluate
from shopvl.metrics.intervals import wilson
from shopvl.recipes import find


def test_figures_agree_with_sklearn_on_the_same_answers(tuned, toy_catalog) -> None:
    seen = run_model(tuned, toy_catalog)
    figures = measure(tuned, seen)
    assert figures["rows"] + figures["rejects"] == toy_catalog.count()
    for inputs, by_name in seen.answers.items():
        for name, answers in by_name.items():
            scores = figures["answers"][inputs][name]
            assert scores["accuracy"] == pytest.approx(accuracy_score(answers.truth, answers.best))
            assert scores["weighted_f1"] == pytest.approx(f1_score(answers.truth, answers.best, average="weighted"))
    levels = figures["answers"]["image+title"]["category"]["levels"]
    assert [level["classes"] for level in levels] == sorted(level["classes"] for level in levels)


def test_retrieval_agrees_with_a_plain_loop(tuned, toy_catalog) -> None:
    seen = run_model(tuned, toy_catalog)
    figures = measure(tuned, seen)["retrieval"]["full"]["text_to_image"]
    titles = [row["title"].casefold() for row in seen.rows]
    hits = 0
    for number, title in enumerate(titles):
        best = np.argsort(-(seen.embeddings["image"] @ seen.embeddings["title"][number]))[:10]
        hits += any(titles[place] == title for place in best)
    assert figures["R@10"] == pytest.approx(hits / len(titles))


def test_made_queries_and_their_truth(tuned, toy_catalog) -> None:
    seen = run_model(tuned, toy_catalog)
    asked = ask(tuned, seen, seed=1)
    assert asked
    for query in asked[:20]:
        assert len(query.fitting)
        named = {word for place in query.fitting for word in seen.rows[place]["category_path"]}
        assert named
    figures = measure(tuned, seen, seed=1)["queries"]
    hits = []
    for query in asked:
        best = np.argsort(-(seen.product_vectors() @ query.vector))[:10]
        hits.append(len(set(best.tolist()) & set(query.fitting.tolist())) / 10)
    assert figures["P@10"] == pytest.approx(np.mean(hits), abs=1e-6)


def test_levels_of_a_path() -> None:
    truth = ["A > B > C", "A > B", "D > E > F"]
    best = ["A > B > X", "A > B", "D > Y > F"]
    levels = category_levels(truth, best)
    assert [level["accuracy"] for level in levels] == pytest.approx([1.0, 2 / 3, 0.5])
    assert [level["rows"] for level in levels] == [3, 3, 2]


def answers_of(truth: list[str], best: list[str], *, accepted: list[bool] | None = None, value=None) -> PropertyAnswers:
    """Answers whose probability falls from 1 in the order given; a value is the best one, if it is not given."""
    count = len(truth)
    probability = np.linspace(1, 0.5, count)
    marks = np.array([True] * count if accepted is None else accepted)
    reasons = ["accepted" if mark else "below the threshold" for mark in marks.tolist()]
    decided = Decided(value or list(best), probability, marks, np.zeros(count, dtype=bool), reasons)
    return PropertyAnswers(truth, best, probability, list(range(count)), decided)


def test_correct_does_not_mind_case() -> None:
    assert answers_of(["Red", "blue"], ["red", "Green"]).correct.tolist() == [True, False]


def test_a_label_at_an_inner_node_is_met_by_what_is_below_it() -> None:
    answers = answers_of(
        ["A > B", "A > B > C", "unknown"], ["A > B > X", "A > B > X", "A > B > C"], value=["A", "A > B", "A"]
    )
    assert answers.correct.tolist() == [True, False, False]
    assert answers.judged == ["A > B", "A > B > X", "A > B > C"]
    assert answers.holding.tolist() == [True, True, False]  # less said is not wrong; of other goods all is


def test_the_least_certain_of_the_accepted_are_measured_by_themselves() -> None:
    truth = ["A > B"] * 10
    best = ["A > B"] * 6 + ["A > C"] * 4
    accepted = [True] * 8 + [False] * 2
    scores = trust(answers_of(truth, best, accepted=accepted, value=["A", *best[1:]]))
    assert scores["near_threshold"]["precision"] == 0.0
    assert scores["near_threshold"]["share"] == pytest.approx(0.2)
    assert scores["depth"]["1"] == {"share": 0.1, "precision": 1.0, "interval": [float(end) for end in wilson(1, 1)]}
    assert scores["depth"]["2"]["precision"] == pytest.approx(5 / 7)
    assert scores["reasons"] == {"accepted": 0.8, "below the threshold": pytest.approx(0.2)}


def test_rows_with_one_input_are_measured_from_it(tuned, toy_table: Path, tmp_path: Path) -> None:
    rows = pl.read_parquet(toy_table)
    number = pl.int_range(pl.len())
    some = rows.with_columns(
        title=pl.when(number < 20).then(None).otherwise(pl.col("title")),
        image=pl.when(number >= 40).then(None).otherwise(pl.col("image")),
        language=pl.when(number % 2 == 0).then(pl.lit("en")).otherwise(pl.lit("de")),
    )
    some.write_parquet(tmp_path / "some.parquet")
    figures = evaluate(tuned, open_catalog(tmp_path / "some.parquet"), tmp_path / "scores", by=["split"]).figures
    assert (figures["rows"], figures["complete"]) == (60, 20)
    counted = {inputs: by_name["category"]["rows"] for inputs, by_name in figures["answers"].items()}
    assert counted == {"image+title": 20, "image": 40, "title": 40}
    groups = [group for group in figures["groups"] if group["property"] == "category"]
    by_language = {(g["inputs"], g["group"]): g["rows"] for g in groups if g["by"] == "language"}
    assert by_language["title", "de"] == 20
    assert {g["group"] for g in groups if g["by"] == "title"} <= {"names a value", "names none"}
    assert not any(g["inputs"] == "image" for g in groups if g["by"] == "title")


@pytest.mark.parametrize("kept", ["image", "title"])
def test_a_catalog_of_one_input_has_its_page(tuned, toy_table: Path, tmp_path: Path, kept: str) -> None:
    rows = pl.read_parquet(toy_table).drop("image" if kept == "title" else "title")
    rows.write_parquet(tmp_path / "one.parquet")
    done = evaluate(tuned, open_catalog(tmp_path / "one.parquet", required=()), tmp_path / "scores")
    assert list(done.figures["answers"]) == [kept]
    assert "retrieval" not in done.figures
    assert "Where the promise holds" in done.page.read_text()
    languages = {group["group"] for group in done.figures["groups"] if group["by"] == "language"}
    assert languages >= ({"en"} if kept == "title" else set())  # told by the words of a title
    assert bool(languages) == (kept == "title")


def test_nothing_is_right_about_other_goods(tuned, toy_catalog, toy_table: Path, tmp_path: Path) -> None:
    others = pl.read_parquet(toy_table).head(20).with_columns(category_path=pl.lit(["Vegetables"]))
    others.write_parquet(tmp_path / "others.parquet")
    done = evaluate(tuned, toy_catalog, tmp_path / "scores", against=open_catalog(tmp_path / "others.parquet"))
    against = done.figures["against"]
    assert against["products"] == 20
    assert set(against["accepted"]) == set(tuned.labels)
    assert max(against["accepted"].values()) <= against["products_with_accepted"]
    itself = evaluate(tuned, open_catalog(tmp_path / "others.parquet"), tmp_path / "itself").figures
    assert itself["answers"]["image+title"]["category"]["accuracy"] == 0.0


def test_a_column_to_group_by_must_be_there(tuned, toy_catalog, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="has no column shelf to group by"):
        evaluate(tuned, toy_catalog, tmp_path, by=["shelf"])


def test_files_for_machines_and_for_people(tuned, toy_catalog, tmp_path: Path) -> None:
    done = evaluate(tuned, toy_catalog, tmp_path)
    figures = json.loads((tmp_path / "metrics.json").read_text())
    made = figures.pop("provenance")
    assert made["model"] == figures["model"] == tuned.name
    assert made["data"] == {toy_catalog.path.name: toy_catalog.digest()}
    assert figures == done.figures
    assert 0 <= figures["retrieval"]["full"]["text_to_image"]["R@10"] <= 1
    html = done.page.read_text()
    assert "Ten searches" in html
    assert "data:image/jpeg;base64" in html


def test_outcomes_add_up_to_the_figures(tuned, toy_catalog, tmp_path: Path) -> None:
    evaluate(tuned, toy_catalog, tmp_path)
    figures, outcomes = (json.loads((tmp_path / name).read_text()) for name in ("metrics.json", "outcomes.json"))
    assert len(outcomes["products"]) == figures["rows"]
    for way, ranks in outcomes["ranks"]["full"].items():
        assert figures["retrieval"]["full"][way]["R@10"] == pytest.approx(np.mean(np.array(ranks) <= 10))
    for inputs, by_property in outcomes["answers"].items():
        for name, marks in by_property.items():
            known = [mark for mark in marks if mark is not None]
            assert len(known) == figures["answers"][inputs][name]["rows"]
            assert figures["answers"][inputs][name]["accuracy"] == pytest.approx(np.mean(known))


def test_a_matching_head_is_measured_beside(make_design, toy_catalog, tmp_path: Path, monkeypatch) -> None:
    from shopvl.evaluation import page
    from shopvl.inference import pair_scorer

    itm_retrieval = pair_scorer.itm_retrieval
    shorter = partial(itm_retrieval, others=20)
    monkeypatch.setattr(page, "itm_retrieval", shorter)
    page = evaluate(make_design(find("vilt", "tiny")), toy_catalog, tmp_path).page
    scores = json.loads((tmp_path / "metrics.json").read_text())["retrieval"][pair_scorer.ITM_PROTOCOL]
    assert scores["text_to_image"]["gallery"] == 21
    ranks = json.loads((tmp_path / "outcomes.json").read_text())["ranks"][pair_scorer.ITM_PROTOCOL]["image_to_text"]
    assert scores["image_to_text"]["R@5"] == pytest.approx(np.mean(np.array(ranks) <= 5))
    assert pair_scorer.ITM_PROTOCOL in page.read_text()


@pytest.mark.zoo
def test_a_single_stream_model_is_measured_too(make_design, toy_catalog, tmp_path: Path) -> None:
    from shopvl.training.tuning import fit_heads

    design = make_design(find("vilt", "tiny"))
    fit_heads(design, toy_catalog)
    figures = measure(design, run_model(design, toy_catalog))
    assert "retrieval" not in figures
    assert figures["answers"]["title"]["category"]["accuracy"] > 0.2
