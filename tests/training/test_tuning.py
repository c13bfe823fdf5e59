"""Heads against a second opinion, and what they must be able to learn."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.svm import LinearSVC

from shopvl.catalog.corrections import CORRECTIONS, Correction, corrected, with_corrections
from shopvl.catalog.ontology import Category, Ontology, Property, Value
from shopvl.catalog.readers import open_catalog
from shopvl.data.collate import title_grams
from shopvl.data.rows import label_of
from shopvl.errors import DesignError
from shopvl.models.heads import TitleWords
from shopvl.recipes import find
from shopvl.text.grams import gram_rows
from shopvl.training.tuning import answerable, fit_heads, squared_hinge


def test_squared_hinge_is_the_loss_of_scikit_learns_svm() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 5)), generator.integers(0, 3, 60)
    strength = 0.7
    svm = LinearSVC(C=strength, loss="squared_hinge", intercept_scaling=1e4, tol=1e-8, max_iter=100_000).fit(x, y)
    weights = torch.tensor(svm.coef_, requires_grad=True)
    bias = torch.tensor(svm.intercept_, requires_grad=True)
    loss = 0.5 * weights.square().sum() + strength * squared_hinge(torch.tensor(x) @ weights.T + bias, torch.tensor(y))
    loss.backward()
    assert weights.grad.abs().max() < 1e-2  # the machine's optimum is ours
    assert bias.grad.abs().max() < 1e-2


def test_unknown_labels_carry_no_loss() -> None:
    logits = torch.randn(4, 3)
    labels = torch.tensor([0, -1, 2, -1])
    assert squared_hinge(logits, labels) == squared_hinge(logits[[0, 2]], labels[[0, 2]])
    assert squared_hinge(logits, torch.full((4,), -1)) == 0


def test_title_words_are_a_dot_product_with_the_rows_that_machines_are_fitted_on() -> None:
    torch.manual_seed(0)
    layer = TitleWords(3)
    torch.nn.init.normal_(layer.weights.weight)
    torch.nn.init.normal_(layer.bias)
    titles = ["Red Tee", "", "Puma Men Navy Blue Running Shoes 红色"]
    expected = gram_rows(titles) @ layer.weights.weight.detach().numpy() + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(title_grams(titles)).detach().numpy(), expected, atol=1e-5)
    wordless = layer(title_grams(["!!!", "-"]))
    torch.testing.assert_close(wordless, layer.bias.expand(2, 3))


def test_what_is_asked_is_what_the_ontology_can_answer(toy_ontology) -> None:
    asked = answerable(toy_ontology)
    assert set(asked["category"]) == {" > ".join(path) for path in toy_ontology.leaves()}
    assert all(len(values) > 1 for values in asked.values())


def test_heads_learn_the_rows_they_were_fitted_on(tuned, toy_catalog) -> None:
    from shopvl.evaluation.evaluate import measure
    from shopvl.evaluation.outputs import run_model

    answers = measure(tuned, run_model(tuned, toy_catalog))["answers"]
    assert answers["image+title"]["category"]["accuracy"] == pytest.approx(1.0, abs=0.1)
    assert answers["title"]["Colour"]["accuracy"] > 0.7


def test_heads_learn_from_corrections(make_design, toy_catalog, toy_ontology, tmp_path) -> None:
    """A shop has every colour wrong; reviewers set them right in a file, and the next tuning knows colours."""
    from shopvl.evaluation.evaluate import measure
    from shopvl.evaluation.outputs import run_model

    colour = toy_ontology.property("Colour")
    ids = [value.id for value in colour.values]
    rows = [row for frame in toy_catalog.batches() for row in frame.iter_rows(named=True)]
    truth = {row["product_id"]: value for row in rows if (value := label_of(row, "Colour", toy_ontology)) is not None}
    wrong = {product_id: ids[(ids.index(value) + 1) % len(ids)] for product_id, value in truth.items()}
    now = datetime(2026, 5, 1, tzinfo=UTC)

    def said(values: dict[str, str]) -> list[Correction]:
        return [Correction(product_id, "Colour", value, None, now) for product_id, value in values.items()]

    pl.concat(corrected(toy_catalog.batches(), said(wrong))).write_parquet(tmp_path / "spoilt.parquet")
    decided = [{name: getattr(one, name) for name in CORRECTIONS.names} for one in said(truth)]
    pq.write_table(pa.Table.from_pylist(decided, schema=CORRECTIONS), tmp_path / "corrections.parquet")
    design = make_design(find("tri-clip", "tiny"))
    design.ontology = Ontology(properties=(colour,))  # one head is enough to see it

    fit_heads(design, with_corrections(open_catalog(tmp_path / "spoilt.parquet"), tmp_path / "corrections.parquet"))
    right = measure(design, run_model(design, toy_catalog))["answers"]["title"]["Colour"]["accuracy"]
    as_stored = measure(design, run_model(design, open_catalog(tmp_path / "spoilt.parquet")))["answers"]["title"][
        "Colour"
    ]
    assert right > 0.7
    assert as_stored["accuracy"] < 0.2


def test_heads_of_a_single_row_are_numbers(make_design, toy_table, tmp_path) -> None:
    pl.read_parquet(toy_table).head(1).write_parquet(tmp_path / "one.parquet")
    design = make_design(find("tri-clip", "tiny"))
    fit_heads(design, open_catalog(tmp_path / "one.parquet"), min_steps=1)
    assert all(bool(tensor.isfinite().all()) for tensor in design.heads.state_dict().values())


def test_where_there_is_nothing_to_choose_between_it_is_said(make_design, toy_catalog) -> None:
    design = make_design(find("tri-clip", "tiny"))
    design.ontology = Ontology(
        categories=(Category(path=("Shirts",)),), properties=(Property(id="Colour", values=(Value(id="Red"),)),)
    )
    with pytest.raises(DesignError, match="knows no two categories and no property of two values"):
        fit_heads(design, toy_catalog)


def test_a_design_that_answers_prompts_gets_no_linear_heads(prompted, toy_catalog) -> None:
    with pytest.raises(DesignError, match=r"answers prompts.* tune it with --recipe prompt-mask"):
        fit_heads(prompted, toy_catalog)


def test_rows_with_one_input_fit_its_heads_as_if_they_stood_alone(make_design, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table).with_row_index("number")
    of_picture = pl.col("number") % 2 == 0
    mixed = frame.with_columns(title=pl.when(~of_picture).then("title"), image=pl.when(of_picture).then("image")).drop(
        "number"
    )
    pictures = mixed.filter(pl.col("image").is_not_null())
    mixed.write_parquet(tmp_path / "mixed.parquet")
    pictures.write_parquet(tmp_path / "pictures.parquet")
    whole, alone = make_design(find("tri-clip", "tiny")), make_design(find("tri-clip", "tiny"))
    for design, name in ((whole, "mixed"), (alone, "pictures")):
        torch.manual_seed(0)  # of the weights that heads begin with
        assert fit_heads(design, open_catalog(tmp_path / f"{name}.parquet"), min_steps=5) == []
    for name in whole.labels:
        ours, theirs = (design.heads.head(("image",), name).state_dict() for design in (whole, alone))
        for part, values in ours.items():
            torch.testing.assert_close(values, theirs[part], atol=1e-4, rtol=1e-3)
    words = [design.heads.head(("title",), "category").words.weights.weight for design in (whole, alone)]
    assert [bool(weights.any()) for weights in words] == [True, False]
