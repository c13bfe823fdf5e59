"""ALBEF's parts: the moving average, its memory, hard negatives and softened targets, against their definitions."""

from dataclasses import replace

import pytest
import torch

from shopvl.batch import Batch, Groups, Output, Pictures, Prediction, TeacherOutputs, Words
from shopvl.models.text_cross import drawn_pairs
from shopvl.objectives.contrastive import ContrastLoss, MomentumContrastLoss
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import HardNegatives, Plain
from shopvl.recipes import find
from shopvl.recipes.parts import Momentum, WordBag
from shopvl.recipes.recipe import Recipe
from shopvl.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from shopvl.training.loop import adamw


@pytest.fixture
def design(make_design):
    return make_design(find("albef", "tiny"))


def test_the_teacher_is_a_moving_average_and_its_memory_a_queue(design, batch_of) -> None:
    teacher, model = design.teacher, design.model
    before = {name: tensor.clone() for name, tensor in teacher.model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    batches = [batch_of(design, 12, seed) for seed in range(4)]
    taught = [teacher.teach(batch) for batch in batches[:1]]
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.model.state_dict().items())
    teacher.step(model)
    for name, parameter in model.named_parameters():
        expected = 0.9 * before[name] + 0.1 * parameter
        torch.testing.assert_close(teacher.model.get_parameter(name), expected.detach())
    for batch in batches[1:]:
        taught.append(teacher.teach(batch))
        teacher.step(model)
    assert [len(told.title_group_M) for told in taught] == [0, 12, 24, 32]  # the tiny memory holds 32
    last = taught[3]
    torch.testing.assert_close(last.queue["image"][:12], taught[2].embeddings["image"])
    torch.testing.assert_close(last.queue["title"][24:], taught[0].embeddings["title"][:8])
    assert torch.equal(last.title_group_M[:12], batches[2].groups.title_B)
    assert [round(told.share, 4) for told in taught] == [0.0, 0.02, 0.04, 0.06]  # 0.4 after 20 steps


def test_hidden_words_are_not_remembered(design, batch_of) -> None:
    """A batch whose words are hidden teaches words; what is kept are the embeddings of whole titles."""
    batch = batch_of(design)
    mlm = next(objective.view for objective in design.objectives if objective.name == "mlm")
    whole = design.teacher.teach(batch).embeddings["title"]
    told = design.teacher.teach(mlm(batch, torch.Generator().manual_seed(0)))
    assert list(told.made) == ["words"]
    design.teacher.step(design.model)
    torch.testing.assert_close(design.teacher.get_buffer("title_MD")[: len(batch)], whole)


def outputs(size: int, width: int = 6) -> tuple[Output, Batch]:
    torch.manual_seed(0)
    sides = {name: torch.nn.functional.normalize(torch.randn(size, width), dim=1) for name in ("title", "image")}
    output = Output(embeddings=sides, scales={"title-image": torch.tensor(8.0)})
    titles = torch.tensor([0, 1, 1, *range(3, size)])
    groups = Groups(title_B=titles, query_B=titles, category_B=titles)
    return output, Batch(pictures=Pictures(pixels_B3YX=torch.zeros(size, 3, 1, 1)), groups=groups)


def test_without_memory_it_is_the_plain_contrast() -> None:
    output, batch = outputs(7)
    nothing = {name: torch.zeros(0, 6) for name in ("title", "image")}
    empty = torch.zeros(0, dtype=torch.int64)
    taught = TeacherOutputs(embeddings=output.embeddings, queue=nothing, title_group_M=empty, share=0.0)
    plain = ContrastLoss("title-image", 1.0, "itc:title-image")(output, batch)
    torch.testing.assert_close(MomentumContrastLoss(1.0)(output, replace(batch, teacher=taught)), plain)


def test_softened_contrast_over_a_memory_in_plain_loops() -> None:
    output, batch = outputs(4)
    torch.manual_seed(1)
    teacher = {name: torch.nn.functional.normalize(torch.randn(4, 6), dim=1) for name in ("title", "image")}
    memory = {name: torch.nn.functional.normalize(torch.randn(3, 6), dim=1) for name in ("title", "image")}
    groups = torch.tensor([1, 9, 0])
    taught = TeacherOutputs(embeddings=teacher, queue=memory, title_group_M=groups, share=0.3)
    total = 0.0
    for left, right in (("title", "image"), ("image", "title")):
        gallery = [*teacher[right], *memory[right]]
        numbers = [*batch.groups.title_B.tolist(), *groups.tolist()]
        for i in range(4):
            logits = torch.stack([8 * output.embeddings[left][i] @ other for other in gallery])
            soft = torch.stack([8 * teacher[left][i] @ other for other in gallery]).softmax(0)
            right_ones = [number == numbers[i] for number in numbers]
            for j, logp in enumerate(logits.log_softmax(0)):
                target = 0.7 * right_ones[j] / sum(right_ones) + 0.3 * soft[j]
                total -= float(target * logp) / 8
    found = MomentumContrastLoss(1.0)(output, replace(batch, teacher=taught))
    assert float(found) == pytest.approx(total, rel=1e-5)


def test_the_teacher_stays_in_evaluation_mode(design) -> None:
    design.teacher.train()
    assert not any(module.training for module in design.teacher.modules())


def test_what_the_teacher_says_carries_no_gradient() -> None:
    """With the teacher's own guess as the whole target, the scale's gradient is that of a target that stands still."""
    output, batch = outputs(4)
    torch.manual_seed(1)
    teacher = {name: torch.nn.functional.normalize(torch.randn(4, 6), dim=1) for name in ("title", "image")}
    nothing = {name: torch.zeros(0, 6) for name in teacher}
    empty = torch.zeros(0, dtype=torch.int64)
    taught = TeacherOutputs(embeddings=teacher, queue=nothing, title_group_M=empty, share=1.0)
    scale = torch.tensor(8.0, requires_grad=True)
    scaled = replace(output, scales={"title-image": scale})
    (found,) = torch.autograd.grad(MomentumContrastLoss(1.0)(scaled, replace(batch, teacher=taught)), scale)
    loss = torch.zeros(())
    for left, right in (("title", "image"), ("image", "title")):
        target = (8 * teacher[left] @ teacher[right].T).softmax(1)
        logp = (scale * output.embeddings[left] @ teacher[right].T).log_softmax(1)
        loss = loss - (target * logp).sum(1).mean() / 2
    torch.testing.assert_close(found, torch.autograd.grad(loss, scale)[0])


def test_hidden_words_listen_to_the_teacher() -> None:
    logits, told = torch.randn(3, 9), torch.randn(3, 9)
    targets = torch.tensor([[4, -100, 7], [-100, 1, -100]])
    words = Words(ids_BT=torch.zeros(2, 3, dtype=torch.int64), real_BT=targets > -200, targets_BT=targets)
    taught = TeacherOutputs(embeddings={}, queue={}, title_group_M=targets[0], share=0.4, made={"words": told})
    output = Output(predictions={"words": Prediction(made=logits, true=torch.tensor([4, 7, 1]))})
    loss = PredictionLoss("mlm", 1.0, Plain(), (("words", "cross-entropy"),))
    found = loss(output, Batch(texts={"title": words}, teacher=taught))
    logp, hard = logits.log_softmax(1), -sum(logits.log_softmax(1)[i, t] for i, t in enumerate((4, 7, 1))) / 3
    soft = -(told.softmax(1) * logp).sum(1).mean()
    torch.testing.assert_close(found, 0.6 * hard + 0.4 * soft)


def test_hard_negatives_are_drawn_from_the_softmax_and_never_twins() -> None:
    output, batch = outputs(5)
    counts = torch.zeros(2, 5, 5)
    rounds = 3000
    for seed in range(rounds):
        seen = HardNegatives()(batch, torch.Generator().manual_seed(seed))
        title, image = drawn_pairs(output, seen)
        assert title.tolist()[:10] == image.tolist()[:5] + list(range(5)) == [*range(5), *range(5)]
        counts[0, torch.arange(5), image[5:10]] += 1
        counts[1, torch.arange(5), title[10:]] += 1
    logits = 8 * output.embeddings["title"] @ output.embeddings["image"].T
    twins = batch.groups.title_B[:, None] == batch.groups.title_B
    for way, sides in enumerate((logits, logits.T)):
        expected = sides.masked_fill(twins, -torch.inf).softmax(1)
        assert float((counts[way] / rounds - expected).abs().max()) < 0.04
        assert counts[way][twins].sum() == 0


def test_judged_pairs_are_the_ones_drawn(design, batch_of) -> None:
    design.model.eval()
    batch = HardNegatives()(batch_of(design, 6), torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = design.model(batch)
        title, image = drawn_pairs(output, batch)
        shown = (tensor[image] for tensor in design.model.picture(batch))
        found = design.model.match_score(batch.texts["title"].rows(title), *shown)
    cosine = (output.embeddings["title"][title] * output.embeddings["image"][image]).sum(1)
    by_towers = output.scales["title-image"] * cosine
    torch.testing.assert_close(output.predictions["match"].made + by_towers, found, atol=1e-5, rtol=1e-4)
    assert output.predictions["match"].true[:6].all()


def test_a_checkpoint_keeps_the_teacher(design, make_design, batch_of, tmp_path) -> None:
    design.teacher.teach(batch_of(design))
    design.teacher.step(design.model)
    optimizer = adamw(design.model, 1e-3, 0.0)
    save_checkpoint(tmp_path, design.model, optimizer, Progress(3, 1.0), {"teacher": design.teacher})
    other = make_design(find("albef", "tiny"), seed=5)
    assert load_checkpoint(tmp_path, other.model, adamw(other.model, 1e-3, 0.0), {"teacher": other.teacher}).step == 3
    for name, tensor in design.teacher.state_dict().items():
        assert torch.equal(other.teacher.state_dict()[name], tensor), name


def test_a_design_that_starts_from_another_has_its_teacher_start_there_too(design, make_design) -> None:
    other = make_design(find("albef", "tiny"), seed=5)
    assert design.start_from(other) == len(other.model.state_dict())
    for name, tensor in other.model.state_dict().items():
        assert torch.equal(design.teacher.model.state_dict()[name], tensor), name


def test_it_also_goes_on_from_towers_that_are_trained(make_design, batch_of) -> None:
    """Over a word bag: started from a dual encoder it embeds as that does, and judges pairs beside."""
    towers = replace(find("tri-clip", "tiny"), text=WordBag(width=16, max_tokens=16, vocabulary=400))
    albef = find("albef", "tiny")
    recipe = replace(albef, image=towers.image, text=towers.text, teacher=None, fusion=replace(albef.fusion, heads=4))
    start, design = make_design(towers), make_design(recipe)
    assert design.start_from(start) == len(start.model.state_dict())
    design.model.eval()
    start.model.eval()
    batch = batch_of(design, 6)
    with torch.inference_mode():
        for name, vector in start.embeddings(batch, ("image", "title")).items():
            assert torch.equal(vector, design.embeddings(batch, ("image", "title"))[name])
    losses = design.losses(batch, torch.Generator().manual_seed(0))
    design.total(losses).backward()
    assert {"mlm", "itm"} <= losses.keys()
    assert float(design.model.text_tower.word.weight.grad.abs().sum()) > 0
    assert float(design.model.heads["match"].map[0].weight.grad.abs().sum()) > 0


def with_momentum(name: str) -> Recipe:
    """A design with a shared space, and a teacher."""
    recipe = find(name, "tiny")
    return replace(recipe if name == "tri-clip" else recipe.with_contrast(), teacher=Momentum(memory=32, decay=0.9))


@pytest.mark.parametrize("name", ["tri-clip", "vilt", "vilbert"])
def test_any_model_with_a_shared_space_has_a_teacher(name: str, make_design, batch_of) -> None:
    """Two towers, one stream, two streams: whole pictures and titles are remembered, and both losses listen to it."""
    design = make_design(with_momentum(name))
    losses = design.losses(batch_of(design, 6), torch.Generator().manual_seed(0))
    plain = make_design(replace(with_momentum(name), teacher=None))
    assert losses.keys() == plain.losses(batch_of(plain, 6), torch.Generator().manual_seed(0)).keys()
    design.total(losses).backward()
    design.teacher.step(design.model)
    assert int(design.teacher.filled) == 6
    before = {key: tensor.clone() for key, tensor in design.model.state_dict().items()}
    with torch.no_grad():
        model = design.teacher.model.eval()
        batch = batch_of(design, 6)
        expected = model.embed_text(batch.texts["title"], "title"), model.embed_image(batch)
    views = {o.name: o.view for o in design.objectives}
    told = design.teacher.teach(views["itc:title-image"](batch, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(told.embeddings["title"], expected[0])
    torch.testing.assert_close(told.embeddings["image"], expected[1])
    assert told.queue["image"].shape == (6, expected[1].shape[1])
    if "mlm" in views:
        hidden = design.teacher.teach(views["mlm"](batch, torch.Generator().manual_seed(0)))
        assert list(hidden.made) == ["words"]
        design.teacher.step(design.model)
        assert int(design.teacher.filled) == 12
        torch.testing.assert_close(design.teacher.get_buffer("title_MD")[:6], expected[0])
    assert all(torch.equal(before[key], tensor) for key, tensor in design.model.state_dict().items())


def test_only_what_listens_is_taught(make_design, batch_of, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pass of the teacher for pairs that are judged, and it judges none itself."""
    design = make_design(with_momentum("vilt"))
    taught, teach = [], design.teacher.teach
    monkeypatch.setattr(design.teacher, "teach", lambda batch: taught.append(batch) or teach(batch))
    design.losses(batch_of(design, 6), torch.Generator().manual_seed(0))
    assert len(taught) == 2  # hidden words, and pictures and titles alone
    assert all(batch.is_match_B is None for batch in taught)
    albef = make_design(find("albef", "tiny"))
    outputs, forward = [], albef.teacher.model.forward
    monkeypatch.setattr(albef.teacher.model, "forward", lambda batch: outputs.append(forward(batch)) or outputs[-1])
    albef.losses(batch_of(albef, 6), torch.Generator().manual_seed(0))
    assert outputs
    assert all("match" not in output.predictions for output in outputs)


def test_without_a_space_there_is_nothing_to_remember() -> None:
    assert replace(find("vilt", "tiny"), teacher=Momentum()).problems() == [
        "momentum compares embeddings, which single-stream has only with a shared-space; give one as space"
    ]
