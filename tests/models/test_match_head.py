"""What a matching head reads: the state of the whole and how far two means fit, without what all pairs share."""

import torch
from torch import Tensor, nn

from shopvl.batch import Batch
from shopvl.models.prediction_heads import Fused, MatchHead
from shopvl.recipes import find


def nearly_constant(pairs: int = 32, width: int = 8, seed: int = 0) -> torch.Tensor:
    """States of which a hundredth of the energy differs from pair to pair."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(width, generator=generator) + 0.1 * torch.randn(pairs, width, generator=generator)


def line(states: Tensor) -> tuple[Tensor, Tensor]:
    """Each state twice in a line of three, of which the last is padding."""
    line_BND = torch.stack([states, states, torch.full_like(states, 9.0)], dim=1)
    return line_BND, torch.tensor([[True, True, False]]).expand(len(states), -1)


def centred(states: Tensor, head: MatchHead) -> Tensor:
    return (states - states.mean(0)) / (states.var(0, unbiased=False) + head.norm.eps).sqrt()


def test_what_is_the_same_for_all_pairs_is_taken_away_in_training() -> None:
    torch.manual_seed(0)
    head, states = MatchHead(8), nearly_constant()
    found = head.logit(states, line(states), line(states))
    torch.testing.assert_close(found, head.map(centred(states, head)).squeeze(-1))  # means count for nothing at first
    assert found.std() > 5 * head.map(states).std()


def test_mean_words_are_compared_with_mean_patches() -> None:
    torch.manual_seed(0)
    head, whole, words, patches = MatchHead(8), *(nearly_constant(seed=seed) for seed in range(3))
    nn.init.normal_(head.picture_map.weight)
    form = head.title_map.weight.T @ head.picture_map.weight
    left, right = centred(words, head), centred(patches, head)
    fit = torch.stack([one @ form @ other for one, other in zip(left, right, strict=True)]) / 8**0.5
    expected = head.map(centred(whole, head)).squeeze(-1) + fit
    torch.testing.assert_close(head.logit(whole, line(words), line(patches)), expected, atol=1e-5, rtol=1e-4)


def test_what_fits_what_is_learned_where_one_state_tells_nothing() -> None:
    """True pairs are equal directions: no linear map of either side tells them from false ones."""
    torch.manual_seed(0)
    head = MatchHead(8)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        words = 3 + 0.1 * torch.randn(64, 8, generator=generator)
        true = torch.rand(64, generator=generator) < 0.5
        patches = torch.where(true[:, None], words, words.roll(1, 0))
        logit = head.logit(torch.zeros(64, 8), line(words), line(patches))
        loss = nn.functional.binary_cross_entropy_with_logits(logit, true.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3
    assert ((logit > 0) == true).float().mean() > 0.85


def test_in_use_a_pair_is_judged_alone_and_before_training_as_it_is() -> None:
    torch.manual_seed(0)
    head, states = MatchHead(8), nearly_constant()
    head.eval()
    found = head.logit(states, line(states), line(states))
    torch.testing.assert_close(found, head.map(states).squeeze(-1), atol=1e-5, rtol=1e-4)
    head.train()
    for _ in range(100):
        head.logit(states, line(states), line(states))
    head.eval()
    nn.init.normal_(head.picture_map.weight)
    first = states[:1]
    torch.testing.assert_close(
        head.logit(states, line(states), line(states))[:1], head.logit(first, line(first), line(first))
    )
    for norm in (head.norm, head.title_norm, head.picture_norm):
        torch.testing.assert_close(norm.running_mean, states.mean(0), atol=1e-3, rtol=1e-3)


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
    assert all(isinstance(norm, nn.BatchNorm1d) for norm in (head.norm, head.title_norm, head.picture_norm))
    assert not [*head.norm.parameters(), *head.title_norm.parameters(), *head.picture_norm.parameters()]
