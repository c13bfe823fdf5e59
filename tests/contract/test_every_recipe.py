"""What every design must do, on the drawn shop at size tiny."""

import random
from dataclasses import replace

import pytest
import torch
from by_heart import different_products, one_step, unlearned

from shopvl.batch import inputs_name
from shopvl.design.design import Design
from shopvl.recipes import RECIPES, Recipe, find


@pytest.fixture(params=RECIPES)
def design(request, make_design) -> Design:
    return make_design(find(request.param, "tiny"))


def test_losses_are_named_and_finite(design: Design, batch_of) -> None:
    losses = one_step(design, batch_of(design))
    assert losses.keys() == {objective.name for objective in design.recipe.objectives}
    assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values())


def test_rows_of_one_input_teach_what_they_can(design: Design, toy_rows) -> None:
    """Products without a picture, or without a title, come in batches of their own."""
    rows = [toy_rows[number] for number in range(4)]
    for inputs in design.recipe.row_inputs:
        lacking = {"title": ""} if "title" not in inputs else {"image": None} if "image" not in inputs else {}
        batch = design.loader.training_batch([{**row, **lacking} for row in rows], random.Random(0))
        losses = one_step(design, batch)
        able = {part.name for part in design.recipe.objectives if set(part.inputs) <= set(inputs)}
        assert losses.keys() == able
        assert all(loss.isfinite() for loss in losses.values())


def test_no_parameter_is_left_out(design: Design, batch_of) -> None:
    design.total(one_step(design, batch_of(design))).backward()
    unused = {"nothing"}  # stands for a title that is absent, which training batches never lack
    for name, parameter in design.model.named_parameters():
        if name.split(".")[-1] in unused:
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert sum(float(p.grad.abs().sum()) for p in design.model.parameters() if p.grad is not None) > 0


def test_same_seed_same_losses_and_forward_changes_nothing(design: Design, batch_of) -> None:
    design.model.eval()
    before = {name: tensor.clone() for name, tensor in design.model.state_dict().items()}
    first, second = (one_step(design, batch_of(design)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(before[name], tensor) for name, tensor in design.model.state_dict().items())


def test_padding_changes_nothing(design: Design, batch_of) -> None:
    design.model.eval()
    batch = batch_of(design, 4)
    padded = replace(batch, texts={name: _longer(words, design) for name, words in batch.texts.items()})
    with torch.inference_mode():
        short = design.model.features(batch, design.input_choices)
        long = design.model.features(padded, design.input_choices)
    for inputs in short:
        torch.testing.assert_close(short[inputs], long[inputs], atol=1e-5, rtol=1e-4)


def _longer(words, design: Design):
    extra = max(0, design.recipe.text.max_tokens - words.ids_BT.shape[1])
    ids = torch.nn.functional.pad(words.ids_BT, (0, extra), value=design.tokenizer.pad_id)
    return replace(words, ids_BT=ids, real_BT=torch.nn.functional.pad(words.real_BT, (0, extra)))


def test_products_do_not_see_each_other(design: Design, batch_of) -> None:
    design.model.eval()
    batch = batch_of(design, 6)
    with torch.inference_mode():
        together = design.model.features(batch, design.input_choices)
        alone = design.model.features(batch.rows(slice(2, 3)), design.input_choices)
    for inputs in together:
        torch.testing.assert_close(together[inputs][2:3], alone[inputs], atol=1e-5, rtol=1e-4)


def test_features_have_the_width_that_heads_are_told(design: Design, batch_of) -> None:
    design.model.eval()
    with torch.inference_mode():
        features = design.model.features(batch_of(design, 3), design.input_choices)
    for inputs in design.input_choices:
        assert features[inputs_name(inputs)].shape == (3, design.model.feature_width(inputs))


def test_saved_and_loaded_is_the_same(design: Design, batch_of, tmp_path) -> None:
    design.model.eval()
    design.save(tmp_path / "saved")
    again = Design.from_pretrained(tmp_path / "saved")
    assert again.recipe == design.recipe
    assert again.name == design.name
    assert again.ontology == design.ontology
    batch = batch_of(design, 4)
    with torch.inference_mode():
        for inputs, values in design.model.features(batch, design.input_choices).items():
            assert torch.equal(values, again.model.features(batch, design.input_choices)[inputs])


# which of a recipe's objectives says most about it
HEADLINES = ("prompt-vqa", "kaleido:rotation", "itm", "itc:title-image")


def headline(recipe: Recipe) -> str:
    """The objective that a recipe is known for."""
    own = [objective.name for objective in recipe.objectives]
    return next((name for name in HEADLINES if name in own), own[0])


def representatives() -> list[str]:
    """One recipe of each way to meet and headline objective; `make test-zoo` teaches all of them everything."""
    chosen: dict[tuple[str, ...], str] = {}
    for name in RECIPES:
        recipe = find(name, "tiny")
        answers = recipe.answering.kind if recipe.answering else ""
        chosen.setdefault((recipe.fusion.kind, answers, *recipe.inputs, headline(recipe)), name)
    return list(chosen.values())


@pytest.mark.parametrize("name", representatives())
def test_eight_products_are_learned_by_heart(name: str, make_design, toy_rows) -> None:
    recipe = find(name, "tiny")
    assert unlearned(make_design(recipe), different_products(toy_rows), [headline(recipe)])[0] == {}
