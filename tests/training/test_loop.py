"""A run that breaks and goes on gives the losses of one that did not; chunks give a whole batch's gradients."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from shopvl.errors import RecipeError
from shopvl.recipes import find
from shopvl.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from shopvl.training.experiment import Experiment
from shopvl.training.gradient_cache import cached_backward
from shopvl.training.loop import LOG, adamw, train
from shopvl.training.pretraining import EXPERIMENT, _same_run, pretrain
from shopvl.training.schedule import Budget, rate

RUN = """
import math, os, signal, sys
from pathlib import Path
import torch
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain
from shopvl.training import loop

torch.set_num_threads(1)
table, folder, killed_at = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
plain = loop.Budget.share_done

def share_done(self, progress):  # asked after every step: checkpoints of the first four, then an end without warning
    loop.SAVE_EVERY_SECONDS = -1.0 if progress.step < 5 else math.inf
    if progress.step == killed_at:
        os.killpg(0, signal.SIGKILL)
    return plain(self, progress)

loop.Budget.share_done = share_done
pretrain(Experiment(name="kill", recipe="tri-clip", size="tiny", catalog=table, split=None, epochs=4), folder)
"""


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def run(table: Path, folder: Path, killed_at: int) -> int:
    """The code that a run with its processes ends with; -1: never killed."""
    command = [sys.executable, "-c", RUN, str(table), str(folder), str(killed_at)]
    return subprocess.run(command, capture_output=True, start_new_session=True, check=False).returncode


@pytest.mark.zoo
@pytest.mark.timeout(1200)  # three starts of an interpreter, on a machine that has much else to do
def test_killed_and_started_again_gives_the_same_losses(toy_table: Path, tmp_path: Path) -> None:
    """The steps between the last checkpoint and the end are done again."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(toy_table, whole, -1) == 0
    assert run(toy_table, broken, 9) == -signal.SIGKILL
    kept = sorted(folder.name for folder in broken.glob("checkpoint-*"))
    assert kept == ["checkpoint-00000003", "checkpoint-00000004"]  # the one before, should the last be damaged
    assert not (broken / "design").exists()
    assert run(toy_table, broken, -1) == 0
    assert losses(broken) == losses(whole)
    assert len(losses(whole)) > 20
    assert (broken / "design" / "model.safetensors").read_bytes() == (
        whole / "design" / "model.safetensors"
    ).read_bytes()


def test_a_folder_of_another_run_is_refused(toy_table: Path, tmp_path: Path) -> None:
    told = Experiment(name="one", recipe="tri-clip", size="tiny", catalog=str(toy_table), epochs=1)
    pretrain(told, tmp_path)
    with pytest.raises(RecipeError, match="holds a run with another recipe and seed; give another --out"):
        pretrain(replace(told, recipe="vilt", seed=1), tmp_path)


def test_a_run_goes_on_where_its_parts_have_got_a_field_since(tmp_path: Path) -> None:
    told = Experiment(name="one", recipe="tri-clip", size="tiny", catalog="shop.parquet", epochs=1)
    _same_run(tmp_path, told, "digest")
    note = tmp_path / EXPERIMENT
    recorded = json.loads(note.read_text())
    del recorded["checksum"]  # records of that time had none
    del recorded["recipe"]["fusion"]["temperature"]  # as if it had come later, with the value that was meant before
    note.write_text(json.dumps(recorded))
    _same_run(tmp_path, told, "digest")
    recorded["recipe"]["fusion"]["temperature"] = 0.5
    note.write_text(json.dumps(recorded))
    with pytest.raises(RecipeError, match="holds a run with another recipe"):
        _same_run(tmp_path, told, "digest")


def test_training_lowers_the_loss(make_design, toy_rows, tmp_path: Path) -> None:
    train(make_design(find("tri-clip", "tiny")), toy_rows, tmp_path, budget=Budget(steps=40))
    found = [line["itc:title-image"] for line in losses(tmp_path)]
    assert len(found) == 40
    assert sum(found[-5:]) < 0.8 * sum(found[:5])


def test_a_loss_that_is_no_number_ends_the_run(make_design, toy_rows, tmp_path: Path) -> None:
    design = make_design(find("tri-clip", "tiny"))
    with torch.no_grad():
        design.model.image_projection.weight.fill_(torch.nan)
    with pytest.raises(RecipeError, match=r"training broke at step 1: itc\S+ is nan"):
        train(design, toy_rows, tmp_path, budget=Budget(steps=3))


def test_a_spent_budget_trains_no_further(make_design, toy_rows, tmp_path: Path) -> None:
    first = train(make_design(find("tri-clip", "tiny")), toy_rows, tmp_path, budget=Budget(steps=3))
    second = train(make_design(find("tri-clip", "tiny")), toy_rows, tmp_path, budget=Budget(steps=3))
    assert first.step == second.step == 3


def test_the_mean_of_the_weights_is_kept(make_design, toy_rows, tmp_path: Path) -> None:
    recipe = find("tri-clip", "tiny")
    recipe = replace(recipe, schedule=replace(recipe.schedule, average=0.3))
    design = make_design(recipe)
    mean = {name: tensor.clone() for name, tensor in design.model.state_dict().items()}

    def by_hand(progress: Progress, share: float, found: dict[str, float]) -> None:
        decay = min(0.3, progress.step / (9 + progress.step))
        for name, tensor in design.model.state_dict().items():
            mean[name] = decay * mean[name] + (1 - decay) * tensor if tensor.is_floating_point() else tensor.clone()

    train(design, toy_rows, tmp_path, budget=Budget(steps=6), on_step=by_hand)
    last = load_file(max(tmp_path.glob("checkpoint-*/model.safetensors")))
    for name, tensor in design.model.state_dict().items():
        torch.testing.assert_close(tensor, mean[name], atol=1e-6, rtol=1e-5)
    assert not torch.equal(last["text_projection.weight"], design.model.text_projection.weight)
    again = make_design(recipe, seed=9)
    train(again, toy_rows, tmp_path, budget=Budget(steps=6))
    for name, tensor in design.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name


def test_chunks_give_the_gradients_of_the_whole_batch(make_design, batch_of) -> None:
    recipe = find("tri-clip", "tiny")
    recipe = replace(recipe, text=replace(recipe.text, dropout=0.0))
    design = make_design(recipe)
    design.model.eval()  # batch norms would see chunks
    batch, generator = batch_of(design, 12), torch.Generator()
    whole = design.losses(batch, generator)
    design.total(whole).backward()
    expected = {name: p.grad.clone() for name, p in design.model.named_parameters()}
    design.model.zero_grad()
    chunked = cached_backward(design, design.model, batch, generator, chunk_size=4)
    for name, loss in whole.items():
        torch.testing.assert_close(chunked[name], loss.detach(), atol=1e-5, rtol=1e-5)
    for name, parameter in design.model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-5, rtol=1e-3, msg=name)


def test_dropout_is_the_same_in_both_passes_of_a_chunk(make_design, batch_of) -> None:
    recipe = find("tri-clip", "tiny")
    design = make_design(replace(recipe, text=replace(recipe.text, dropout=0.5)))
    seen: list[torch.Tensor] = []
    design.model.text_projection.register_forward_hook(lambda m, i, o: seen.append(o.detach()))
    design.model.train()
    cached_backward(design, design.model, batch_of(design, 4), torch.Generator(), chunk_size=4)
    half = len(seen) // 2
    for first, second in zip(seen[:half], seen[half:], strict=True):
        assert torch.equal(first, second)


def test_checkpoint_brings_model_and_optimizer_back(tmp_path: Path) -> None:
    def step(net, optimizer) -> None:
        optimizer.zero_grad()
        net(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()

    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    optimizer = adamw(net, 1e-2, 0.1)
    step(net, optimizer)
    save_checkpoint(tmp_path, net, optimizer, Progress(1, 2.5))
    save_checkpoint(tmp_path, net, optimizer, Progress(2, 3.5))
    save_checkpoint(tmp_path, net, optimizer, Progress(3, 4.5))
    step(net, optimizer)
    other = torch.nn.Linear(3, 2)
    other_optimizer = adamw(other, 1e-2, 0.1)
    assert load_checkpoint(tmp_path, other, other_optimizer) == Progress(3, 4.5)
    step(other, other_optimizer)
    assert torch.equal(net.weight, other.weight)
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {"checkpoint-00000002", "checkpoint-00000003"}


def test_nothing_saved_is_step_zero(tmp_path: Path) -> None:
    net = torch.nn.Linear(1, 1)
    assert load_checkpoint(tmp_path, net, adamw(net, 1e-2, 0.1)) == Progress(0, 0.0)


def test_rate_climbs_then_falls_to_zero() -> None:
    rates = [rate(share / 100, 0.1) for share in range(101)]
    assert 0 < rates[0] < 0.05
    assert rates[10] == pytest.approx(1.0)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)


def test_budget_by_minutes_counts_training_time() -> None:
    assert Budget(minutes=2).share_done(Progress(5, 60.0)) == pytest.approx(0.5)
    assert Budget(steps=10).share_done(Progress(20, 1.0)) == 1.0


def test_budget_by_processor_time_does_not_count_waiting() -> None:
    assert Budget(cpu_minutes=2).share_done(Progress(5, 6000.0, cpu_seconds=30.0)) == pytest.approx(0.25)


def test_run_on_processor_time_ends_by_it_and_goes_on_counting(make_design, toy_rows, tmp_path: Path) -> None:
    recipe = find("flip", "tiny")
    half, whole = Budget(cpu_minutes=0.4 / 60), Budget(cpu_minutes=0.8 / 60)

    def idle(*_: object) -> None:  # another process has the core
        time.sleep(0.02)

    first = train(make_design(recipe), toy_rows, tmp_path, budget=half, on_step=idle)
    assert 0.4 <= first.cpu_seconds < 0.7 < first.seconds
    again = train(make_design(recipe), toy_rows, tmp_path, budget=whole, on_step=idle)
    assert 0.8 <= again.cpu_seconds < 1.2
    assert again.step > first.step
    told = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text("utf-8").splitlines()]
    assert {line["stage"] for line in told} == {1, 2}  # stages end by it as well


def test_no_epochs_leave_a_design_as_it_began(make_design, toy_rows, tmp_path: Path) -> None:
    design = make_design(find("vit", "tiny"))
    before = {name: tensor.clone() for name, tensor in design.model.state_dict().items()}
    assert train(design, toy_rows, tmp_path, budget=Budget(steps=0)).step == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in design.model.state_dict().items())
