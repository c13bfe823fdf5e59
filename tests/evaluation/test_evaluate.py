import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from shopvl.evaluation.evaluate import PropertyAnswers, ask, category_levels, measure, run_model
from shopvl.evaluation.page import evaluate
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


def test_correct_does_not_mind_case() -> None:
    answers = PropertyAnswers(
        truth=["Red", "blue"],
        best=["red", "Green"],
        probability=np.array([0.5, 0.5]),
        conflict=np.zeros(2, bool),
        rows=[0, 1],
    )
    assert answers.correct.tolist() == [True, False]


def test_files_for_machines_and_for_people(tuned, toy_catalog, tmp_path: Path) -> None:
    done = evaluate(tuned, toy_catalog, tmp_path)
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures == done.figures
    assert figures["model"] == tuned.name
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
    monkeypatch.setattr(page, "itm_retrieval", lambda matcher, seed: itm_retrieval(matcher, others=20, seed=seed))
    page = evaluate(make_design(find("vilt", "tiny")), toy_catalog, tmp_path).page
    scores = json.loads((tmp_path / "metrics.json").read_text())["retrieval"][pair_scorer.ITM_PROTOCOL]
    assert scores["text_to_image"]["gallery"] == 21
    ranks = json.loads((tmp_path / "outcomes.json").read_text())["ranks"][pair_scorer.ITM_PROTOCOL]["image_to_text"]
    assert scores["image_to_text"]["R@5"] == pytest.approx(np.mean(np.array(ranks) <= 5))
    assert pair_scorer.ITM_PROTOCOL in page.read_text()


def test_a_single_stream_model_is_measured_too(make_design, toy_catalog, tmp_path: Path) -> None:
    from shopvl.training.tuning import fit_heads

    design = make_design(find("vilt", "tiny"))
    fit_heads(design, toy_catalog)
    figures = measure(design, run_model(design, toy_catalog))
    assert "retrieval" not in figures
    assert figures["answers"]["title"]["category"]["accuracy"] > 0.2
