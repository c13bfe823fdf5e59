"""Kaleido-BERT's view of a product (arXiv:2103.16110): a task per level of its cells, beside masked words."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from shopvl.batch import Batch, Puzzles, require
from shopvl.objectives.views import MaskedTokens, View

ORDERS = torch.tensor(list(itertools.permutations(range(4))))  # (24, 4) of the four quarters
TASK_LEVEL = {"rotation": 0, "jigsaw": 1, "camouflage": 2, "grey": 3, "blank": 4}
CHANGED = {2: 1, 3: 2, 4: 3}  # level -> cells that a task changes; levels count from 0
GREY_3 = torch.tensor([0.299, 0.587, 0.114])  # luminance (ITU-R BT.601)


@dataclass(frozen=True)
class Kaleidoscope(View):
    """The product rotated, its quarters shuffled, a few cells camouflaged, greyed and blanked; words masked.

    Alignment-guided masking: a word and the cell with its strongest attention (`cross_attention_BTP`) are a pair, and
    the strongest pairs are masked first; of each either the word or the cell at random, both only if a title would
    have no masked word otherwise. Further cells are drawn at random.
    """

    reads_attention = True

    words: MaskedTokens
    levels: tuple[tuple[int, int], ...]  # first and last place of each level's cells

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with `puzzles`, masked patches and masked words; words alone where it has no pictures."""
        if batch.pictures is None:
            return self.words(batch, generator)
        pictures = require(batch.pictures, "pictures", by="the view of kaleido")
        cells = require(pictures.cells, "cells", by="the view of kaleido")
        clean_BP3YX, device, B = cells.pixels_BP3YX, cells.pixels_BP3YX.device, len(batch)
        priority_BT, priority_BP = self._priorities(batch, generator)
        changed_BP3YX, answers = clean_BP3YX.clone(), {}
        answers["rotation"] = torch.randint(4, (B,), generator=generator).to(device)
        whole = slice(*self.levels[0])
        for turns in range(1, 4):
            turned = answers["rotation"] == turns
            changed_BP3YX[turned, whole] = changed_BP3YX[turned, whole].rot90(turns, (-2, -1))
        answers["jigsaw"] = torch.randint(len(ORDERS), (B,), generator=generator).to(device)
        order_B4 = ORDERS.to(device)[answers["jigsaw"]] + self.levels[1][0]
        row_B1 = torch.arange(B, device=device)[:, None]
        changed_BP3YX[:, slice(*self.levels[1])] = clean_BP3YX[row_B1, order_B4]
        chosen = {level: self._top_cells(priority_BP, level, count) for level, count in CHANGED.items()}
        answers["camouflage"] = chosen[2][:, 0] - self.levels[2][0]
        other_B1 = _others(B, generator).to(device)[:, None]
        changed_BP3YX[row_B1, chosen[2]] = clean_BP3YX[other_B1, chosen[2]]
        changed_BP3YX[row_B1, chosen[3]] = _greyed(clean_BP3YX[row_B1, chosen[3]])
        changed_BP3YX[row_B1, chosen[4]] = 0.0
        masked_BP = torch.zeros(changed_BP3YX.shape[:2], dtype=torch.bool, device=device)
        masked_BP[row_B1, torch.cat([chosen[3], chosen[4]], dim=1)] = True
        masked_batch = self.words.hide(batch, self._words(batch, priority_BT), generator)
        cells = replace(cells, pixels_BP3YX=changed_BP3YX)
        pictures = replace(pictures, cells=cells, masked_BP=masked_BP)
        return replace(masked_batch, pictures=pictures, puzzles=Puzzles(answers=answers, clean_BP3YX=clean_BP3YX))

    def _priorities(self, batch: Batch, generator: Generator) -> tuple[Tensor, Tensor]:
        """Masking priority of each piece (B, T) and each cell (B, P).

        1 to 2: the chosen side of a pair; 0 to 1: random; below 0: the other side of a pair.
        """
        attention_BTP = require(batch.cross_attention_BTP, "cross attention", by="the view of kaleido")
        device, title = attention_BTP.device, batch.texts["title"]
        maskable_BT = self.words.maskable(title)
        first = self.levels[min(CHANGED)][0]
        strength_BT, cell_BT = attention_BTP[:, :, first:].max(-1)
        cell_BT = cell_BT + first
        (B, T), P = cell_BT.shape, attention_BTP.shape[2]
        word_BT = self.words.word_of(title.ids_BT)
        coin_BT = (torch.rand((B, T), generator=generator) < 0.5).to(device).gather(1, word_BT)
        chance_BT = torch.rand((B, T), generator=generator).to(device).gather(1, word_BT)
        priority_BT = torch.where(coin_BT, 1 + strength_BT.clamp(max=1), chance_BT - 1)
        priority_BP = torch.rand((B, P), generator=generator).to(device)
        # if several words attend most to one cell, the strongest attention decides
        paired_BTP = maskable_BT[..., None] & (torch.arange(P, device=device) == cell_BT[..., None])
        strength_BTP = torch.where(paired_BTP, strength_BT.clamp(max=1)[..., None], -1.0)
        best_BP, by_BP = strength_BTP.max(1)
        cell_hidden_BP = ~coin_BT.gather(1, by_BP)
        priority_BP = torch.where(best_BP < 0, priority_BP, torch.where(cell_hidden_BP, 1 + best_BP, -1.0))
        return priority_BT, priority_BP

    def _top_cells(self, priority_BP: Tensor, level: int, count: int) -> Tensor:
        """(B, count): the cells of that level with the highest priority."""
        first, last = self.levels[level]
        return priority_BP[:, first:last].topk(count, dim=1).indices + first

    def _words(self, batch: Batch, priority_BT: Tensor) -> Tensor:
        """(B, T) bool: at most a share of the words, whole ones, at least one per title, by priority."""
        title = batch.texts["title"]
        maskable_BT, word_BT = self.words.maskable(title), self.words.word_of(title.ids_BT)
        whole_BT = torch.full_like(priority_BT, -2.0).scatter_reduce(
            1, word_BT, priority_BT.masked_fill(~maskable_BT, -2.0), "amax"
        )  # by number of word
        wanted_B1 = (self.words.share * (whole_BT > -2).sum(1, keepdim=True)).round().clamp(min=1)
        rank_BT = whole_BT.argsort(1, descending=True).argsort(1)
        taken_BT = ((rank_BT == 0) | ((rank_BT < wanted_B1) & (whole_BT >= 0))) & (whole_BT > -2)
        return taken_BT.gather(1, word_BT) & maskable_BT


def _others(count: int, generator: Generator) -> Tensor:
    """(B,): another product for each, none twice."""
    order = torch.randperm(count, generator=generator)
    source = torch.empty_like(order)
    source[order] = order.roll(1)
    return source


def _greyed(cells_BN3YX: Tensor) -> Tensor:
    return (cells_BN3YX * GREY_3.to(cells_BN3YX)[:, None, None]).sum(2, keepdim=True).expand_as(cells_BN3YX)
