"""FashionBERT's adaptive weights against their formulas."""

from dataclasses import replace

import pytest
import torch

from shopvl.objectives.combining import by_gradients, by_losses
from shopvl.recipes import find


def test_the_releases_weights_and_their_range() -> None:
    losses = torch.tensor([2.0, 0.5, 1.0], requires_grad=True)
    weights = by_losses(losses)
    shares = losses.detach().exp() / losses.detach().exp().sum()
    raw = [1 / (3 - float(share) ** 2) for share in shares]
    assert weights.tolist() == pytest.approx([value / sum(raw) for value in raw])
    assert weights.requires_grad  # as in the public code
    extreme = by_losses(torch.tensor([50.0, 0.0, 0.0]))
    assert extreme.tolist() == pytest.approx([0.4286, 0.2857, 0.2857], abs=1e-4)


def test_the_papers_weights_follow_the_gradients() -> None:
    shared = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    other = torch.nn.Parameter(torch.tensor(3.0))
    losses = torch.stack([(3 * shared).sum(), (shared * torch.tensor([1.0, 2.0])).sum(), other * 7])
    weights = by_gradients(losses, [shared])
    squared = [18.0, 5.0, 0.0]
    raw = [1 / (3 - value / 23) for value in squared]
    assert weights.tolist() == pytest.approx([value / sum(raw) for value in raw])
    assert not weights.requires_grad
    assert float(weights.sum()) == pytest.approx(1)
    (weights * losses).sum().backward()  # the graph is still there
    torch.testing.assert_close(shared.grad, weights[0] * 3 + weights[1] * torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("loss", [0.0, 3.0])
def test_a_loss_alone_has_all_the_weight(loss: float) -> None:
    shared = torch.nn.Parameter(torch.tensor([loss]))
    losses = torch.stack([shared.sum()])
    assert by_losses(losses).tolist() == by_gradients(losses, [shared]).tolist() == [1.0]


def test_no_gradient_at_all_weighs_all_the_same() -> None:
    shared = torch.nn.Parameter(torch.zeros(2))
    losses = torch.stack([shared.sum() * 0, shared.sum() * 0])
    assert by_gradients(losses, [shared]).tolist() == [0.5, 0.5]


def test_a_recipe_says_how_its_losses_are_put_together(make_design, batch_of) -> None:
    design = make_design(find("fashionbert", "tiny"))
    losses = design.losses(batch_of(design, 4), torch.Generator().manual_seed(0))
    stacked = torch.stack([losses[name] for name in ("mlm", "mpm-kl", "itm")])
    assert losses.keys() == {"mlm", "mpm-kl", "itm"}
    weights = {
        "sum": torch.ones(3),
        "adaptive-losses": by_losses(stacked),
        "adaptive-gradients": by_gradients(stacked, list(design.model.encoder.blocks[-1].parameters())),
    }
    for way, expected in weights.items():
        design.recipe = replace(design.recipe, combine=way)
        torch.testing.assert_close(design.total(losses), (expected * stacked).sum())
    assert float(weights["adaptive-gradients"].std()) > 0
