"""What a matching head reads: the state of the whole, without what is the same for all pairs."""

import torch
from torch import nn

from shopvl.batch import Batch
from shopvl.models.prediction_heads import Fused, MatchHead
from shopvl.recipes import find


def nearly_constant(pairs: int = 32, width: int = 8) -> torch.Tensor:
    """States of which a hundredth of the energy differs from pair to pair."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(width, generator=generator) + 0.1 * torch.randn(pairs, width, generator=generator)


def test_what_is_the_same_for_all_pairs_is_taken_away_in_training() -> None:
    torch.manual_seed(0)
    head, states = MatchHead(8), nearly_constant()
    centred = (states - states.mean(0)) / (states.var(0, unbiased=False) + head.norm.eps).sqrt()
    torch.testing.assert_close(head.logit(states), head.map(centred).squeeze(-1))
    assert head.logit(states).std() > 5 * head.map(states).std()


def test_in_use_a_pair_is_judged_alone_and_before_training_as_it_is() -> None:
    torch.manual_seed(0)
    head, states = MatchHead(8), nearly_constant()
    head.eval()
    torch.testing.assert_close(head.logit(states), head.map(states).squeeze(-1), atol=1e-5, rtol=1e-4)
    head.train()
    for _ in range(100):
        head.logit(states)
    head.eval()
    torch.testing.assert_close(head.logit(states)[:1], head.logit(states[:1]))
    torch.testing.assert_close(head.norm.running_mean, states.mean(0), atol=1e-3, rtol=1e-3)


def test_only_judged_pairs_enter_its_statistics(make_design, batch_of) -> None:
    """Neither the pass of hidden words nor a batch without pairs moves them."""
    design = make_design(find("vilt", "tiny"))
    design.model.train()
    head = design.model.heads["match"]
    judged: list[int] = []
    head.norm.register_forward_hook(lambda norm, states, out: judged.append(len(out)))
    design.losses(batch_of(design, 8), torch.Generator().manual_seed(0))
    assert judged == [8]
    assert not head(
        Fused(
            batch=Batch(),
            words_BTD=torch.zeros(2, 1, 16),
            patches_BPD=torch.zeros(2, 0, 16),
            whole_BD=torch.zeros(2, 16),
        )
    )
    assert isinstance(head.norm, nn.BatchNorm1d)
    assert not list(head.norm.parameters())
