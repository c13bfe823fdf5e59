"""What a model is shown for an objective. Equal views share one forward pass; each is a value, so equality is plain.

A view is called with a batch and a generator and returns the batch to show; randomness comes from that generator only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Generator, Tensor

from shopvl.batch import IGNORED, Batch


class View(Protocol):
    """Changes a batch before the model sees it. Hashable, compared by value."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch: ...


@dataclass(frozen=True)
class Plain:
    """The batch as it is."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The same batch."""
        return batch


@dataclass(frozen=True)
class HiddenWords:
    """BERT's corruption of the title (arXiv:1810.04805), whole words at a time, at least one word per title.

    Of the chosen pieces 80% become [MASK], 10% a random word, 10% stay; all of them are asked.
    """

    share: float
    mask_id: int
    vocabulary: int
    special_ids: tuple[int, ...]
    continuation_ids: tuple[int, ...]  # pieces that go on a word

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with corrupted title ids and `targets_BT`."""
        words = batch.texts["title"]
        ids_BT = words.ids_BT
        special = torch.tensor(self.special_ids, device=ids_BT.device)
        maskable_BT = words.real_BT & ~torch.isin(ids_BT, special)
        chosen_BT = self._chosen(ids_BT, maskable_BT, generator)
        kind_BT = torch.rand(ids_BT.shape, generator=generator).to(ids_BT.device)
        random_BT = torch.randint(self.vocabulary, ids_BT.shape, generator=generator).to(ids_BT.device)
        seen_BT = torch.where(chosen_BT & (kind_BT < 0.8), self.mask_id, ids_BT)
        seen_BT = torch.where(chosen_BT & (kind_BT >= 0.8) & (kind_BT < 0.9), random_BT, seen_BT)
        targets_BT = torch.where(chosen_BT, ids_BT, IGNORED)
        return replace(batch, texts={**batch.texts, "title": replace(words, ids_BT=seen_BT, targets_BT=targets_BT)})

    def _chosen(self, ids_BT: Tensor, maskable_BT: Tensor, generator: Generator) -> Tensor:
        """Which pieces are asked: one draw per word, shared by its pieces; the lowest draw of a title always counts."""
        continues = torch.isin(ids_BT, torch.tensor(self.continuation_ids, dtype=torch.long, device=ids_BT.device))
        word_BT = (~continues).long().cumsum(1) - 1  # number of the word that a piece belongs to
        draw_BT = torch.rand(ids_BT.shape, generator=generator).to(ids_BT.device).gather(1, word_BT.clamp(min=0))
        draw_BT = draw_BT.masked_fill(~maskable_BT, 2.0)
        lowest_B1 = draw_BT.min(1, keepdim=True).values
        return maskable_BT & ((draw_BT < self.share) | (draw_BT == lowest_B1))


@dataclass(frozen=True)
class HiddenPatches:
    """A `share` of the patches that show product is hidden, at least one per picture; others are never asked for.

    The draw is uniform noise less the patch's share of product (`bias-drop`), so a sleeve is hidden rather than
    its rim. A patch shows product from a share of `least` on.
    """

    share: float
    least: float

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with `hidden_BP` set."""
        shares_BP = batch.shares_BP
        assert shares_BP is not None
        noise_BP = torch.rand(shares_BP.shape, generator=generator).to(shares_BP.device)
        asked_BP = shares_BP >= self.least
        if batch.kept_BP is not None:
            asked_BP &= batch.kept_BP
        draw_BP = (noise_BP - shares_BP).masked_fill(~asked_BP, torch.inf)
        rank_BP = draw_BP.argsort(1).argsort(1)
        wanted_B1 = (self.share * asked_BP.sum(1, keepdim=True)).round().clamp(min=1)
        return replace(batch, hidden_BP=asked_BP & (rank_BP < wanted_B1))


@dataclass(frozen=True)
class Mismatched:
    """A `share` of the titles stand beside another product's picture; `paired_B` says which pairs are true.

    Pictures are dealt round among the chosen products. One that is dealt to a product of the same title stays a true
    pair.
    """

    share: float

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with pictures exchanged and `paired_B` set."""
        assert batch.pixels_B3YX is not None
        assert batch.title_group_B is not None
        B = len(batch)
        chosen = torch.randperm(B, generator=generator)[: max(2, round(B * self.share))]
        source = torch.arange(B)
        source[chosen] = chosen.roll(1)
        source = source.to(batch.pixels_B3YX.device)
        paired_B = batch.title_group_B[source] == batch.title_group_B
        return replace(
            batch,
            pixels_B3YX=batch.pixels_B3YX[source],
            shares_BP=None if batch.shares_BP is None else batch.shares_BP[source],
            kept_BP=None if batch.kept_BP is None else batch.kept_BP[source],
            paired_B=paired_B,
        )
