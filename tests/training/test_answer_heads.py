"""The last step of a cloze head: its two losses against plain loops, and that it fits what it is shown."""

import copy
import math
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from shopvl.catalog.readers import open_catalog
from shopvl.data.rows import ValidRow
from shopvl.design.design import Design
from shopvl.inference.features import labelled
from shopvl.inference.predict import PromptedAnswers
from shopvl.training.answer_heads import (
    PromptHeadFit,
    _fit,
    cross_entropy_of_legal,
    fit_answer_heads,
    squared_hinge_of_legal,
)
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain

SHORT = PromptHeadFit(min_steps=60)


@pytest.fixture
def scored() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, 7, generator=generator)
    legal = torch.rand(3, 7, generator=generator) < 0.6
    legal[:, :2] = True
    right = (torch.rand(5, 3, 7, generator=generator) < 0.3) & legal
    right[0, 0] = False  # a question without a known answer
    possible = torch.zeros_like(right)
    possible[1, 1] = legal[1] & (torch.arange(7) % 2 == 0)
    right[1, 1] = False
    return logits, right, possible, legal


def test_squared_hinge_is_what_plain_loops_give(scored) -> None:
    logits, right, possible, legal = scored
    total = 0.0
    for b in range(5):
        for q in range(3):
            if not (right | possible)[b, q].any():
                continue
            for k in range(7):
                if legal[q, k] and not possible[b, q, k]:
                    margin = logits[b, q, k] if right[b, q, k] else -logits[b, q, k]
                    total += max(0.0, 1 - float(margin)) ** 2
    assert float(squared_hinge_of_legal(*scored)) == pytest.approx(total, rel=1e-5)


def test_cross_entropy_is_what_plain_loops_give(scored) -> None:
    logits, right, possible, legal = scored
    total = 0.0
    for b in range(5):
        for q in range(3):
            logp = torch.log_softmax(logits[b, q][legal[q]], 0)
            answers = right[b, q][legal[q]]
            if answers.any():
                total -= float(logp[answers].mean())
            elif possible[b, q].any():
                total -= math.log(sum(math.exp(value) for value in logp[possible[b, q][legal[q]]]))
    assert float(cross_entropy_of_legal(*scored)) == pytest.approx(total, rel=1e-5)


def test_losses_are_sums_over_questions_and_their_legal_answers(scored) -> None:
    logits, right, possible, legal = scored
    for loss in (squared_hinge_of_legal, cross_entropy_of_legal):
        parts = []
        for q in range(3):
            own = [table[:, q, None][..., legal[q]] for table in (logits, right, possible)]
            parts.append(loss(*own, torch.ones_like(own[1][:1])))
        assert float(sum(parts)) == pytest.approx(float(loss(*scored)), rel=1e-5)


def accuracy(design, catalog, inputs: str) -> float:
    """Share of known properties answered rightly, over all of them."""
    answers = PromptedAnswers(design)
    choice = tuple(inputs.split("+"))
    found = labelled(design, catalog, design.labels, lambda batch: answers.read(batch, [choice])[inputs])
    hits = [
        (found.values[name].argmax(-1) == truth)[truth >= 0]
        for name, truth in found.labels.items()
        if (truth >= 0).any()
    ]
    return float(torch.cat(hits).float().mean())


def test_fit_uses_its_own_rows_and_leaves_the_rest_of_the_model(prompted, toy_catalog) -> None:
    """With what it fits wiped out before, it brings answers with a title and from the picture alone to a good fit."""
    head = prompted.model.head
    with torch.no_grad():
        fitted = [
            head.title_answer_bias,
            head.image_only_answer_bias,
            *head.image_linear.linear.parameters(),
            *head.image_linear_with_title.linear.parameters(),
        ]
        for tensor in (*fitted, head.ngram_linear.weights.weight):
            tensor.zero_()
        head.log_title_scale.fill_(-3.0)
        head.log_picture_scale.fill_(-3.0)
    before = {inputs: accuracy(prompted, toy_catalog, inputs) for inputs in ("image", "title", "image+title")}
    frozen = copy.deepcopy(prompted.model.image_tower.state_dict())
    fit_answer_heads(prompted, toy_catalog, fit=SHORT)
    after = {inputs: accuracy(prompted, toy_catalog, inputs) for inputs in before}
    assert after["image"] > before["image"]
    assert min(after["title"], after["image+title"]) > 0.95
    assert all(torch.equal(frozen[name], tensor) for name, tensor in prompted.model.image_tower.state_dict().items())


@pytest.mark.parametrize("rows", [40, 1300])
def test_every_choice_of_inputs_has_its_turn_however_few_rows_there_are(rows: int) -> None:
    weight, turns = torch.zeros(1, requires_grad=True), []

    def loss(number: int, chosen: torch.Tensor) -> torch.Tensor:
        turns.append(number)
        return weight.sum()

    _fit([{"params": [weight]}], 1, 0.0, SHORT, loss, torch.arange(rows), 0, lambda share: None)
    assert turns == list(range(len(turns)))
    assert len(turns) > 1


@pytest.mark.zoo
def test_rows_with_one_input_teach_what_they_have(prompted, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table)
    drills = frame.head(20).with_columns(
        product_id=pl.lit("drill-") + pl.col("product_id"),
        title=pl.lit("Cordless impact drill 18 V"),
        category_path=pl.lit(["unknown"]),
        attributes=pl.lit(None, dtype=frame.schema["attributes"]),
        image=pl.lit(None, dtype=frame.schema["image"]),
    )
    untitled = frame.tail(20).with_columns(title=pl.lit(None, dtype=pl.String))
    pl.concat([frame.head(len(frame) - 20), untitled, drills]).write_parquet(tmp_path / "mixed.parquet")
    batch = prompted.loader.inference_batch([ValidRow({"title": "Cordless impact drill 18 V"}, ("title",))])

    def answer() -> str:
        with torch.inference_mode():
            logp_K = PromptedAnswers(prompted).read(batch, [("title",)])["title"]["category"][0]
        return prompted.labels["category"][int(logp_K.argmax())]

    fit_answer_heads(prompted, open_catalog(toy_table), fit=SHORT)
    assert answer() != "unknown"
    fit_answer_heads(prompted, open_catalog(tmp_path / "mixed.parquet"), fit=SHORT)
    assert answer() == "unknown"
    assert accuracy(prompted, open_catalog(toy_table), "title") > 0.7
    assert accuracy(prompted, open_catalog(toy_table), "image") > 0.3


def test_the_rows_of_a_run_are_as_good_as_the_catalog(prompted, toy_catalog, toy_rows) -> None:
    names = []
    for rows in (toy_catalog, toy_rows):
        fit_answer_heads(prompted, rows, fit=SHORT)
        names.append(prompted.name)
    assert len(set(names)) == 1


@pytest.mark.zoo
def test_a_run_needs_no_original_picture_after_its_rows_are_read(toy_table: Path, tmp_path: Path) -> None:
    frame, pictures = pl.read_parquet(toy_table), tmp_path / "pictures"
    pictures.mkdir()
    paths = [f"pictures/{number}.jpg" for number in range(len(frame))]
    for path, image in zip(paths, frame["image"], strict=True):
        (tmp_path / path).write_bytes(image["bytes"])
    image = pl.Series("image", [{"bytes": None, "path": path} for path in paths], dtype=frame.schema["image"])
    frame.with_columns(image).write_parquet(tmp_path / "shop.parquet")
    told = {"recipe": "prompt-mask", "size": "tiny", "catalog": str(tmp_path / "shop.parquet"), "split": None}
    experiment = Experiment(name="away", epochs=1, **told)

    def take_away(stage: str, share: float, line: str) -> None:
        if stage == "train":
            shutil.rmtree(pictures, ignore_errors=True)

    design = pretrain(experiment, tmp_path / "run", take_away)
    assert not pictures.exists()
    assert Design.from_pretrained(tmp_path / "run" / "design").name == design.name


def test_of_many_rows_all_parts_of_a_sorted_table_are_fitted(prompted, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table).sort(pl.col("category_path").list.join(" "))
    frame.write_parquet(tmp_path / "sorted.parquet")
    fit = replace(SHORT, max_rows=len(frame) // 3)
    fit_answer_heads(prompted, open_catalog(tmp_path / "sorted.parquet"), fit=fit)
    numbers = {fact.path: number for number, fact in enumerate(prompted.ontology.facts)}
    fitted_K = prompted.model.head.ngram_linear.weights.weight.any(0)
    for start in range(0, len(frame), 10):
        departments = {path[0] for path in frame[start : start + 10]["category_path"]}
        assert any(fitted_K[numbers[department,]] for department in departments)
