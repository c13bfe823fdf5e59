"""What a model is shown for an objective. Equal views share one forward pass; each is a value, so equality is plain.

A view is called with a batch and a generator and returns the batch to show; randomness comes from that generator only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from shopvl.batch import IGNORED, Batch, Pictures, TagChanges, Words, require


class View:
    """Changes a batch before the model sees it. Each is a frozen dataclass: hashable, compared by value."""

    reads_attention: ClassVar[bool] = False  # wants `cross_attention_BTP` in the batch

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch to show."""
        raise NotImplementedError


@dataclass(frozen=True)
class Plain(View):
    """The batch as it is."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The same batch."""
        return batch


@dataclass(frozen=True)
class EmbedOnly(View):
    """The batch as it is, each picture and each text to be embedded by itself."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with `embed_only` set."""
        return replace(batch, embed_only=True)


@dataclass(frozen=True)
class PicturesAlone(View):
    """What another view makes of the pictures, without their titles."""

    pictures: View = Plain()

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch without any text."""
        return replace(self.pictures(batch, generator), texts={})


@dataclass(frozen=True)
class TitlesAlone(View):
    """What another view makes of the titles, without the pictures."""

    words: View

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with its titles alone."""
        title = self.words(batch, generator).texts["title"]
        return Batch(texts={"title": title})


@dataclass(frozen=True)
class Mixup(View):
    """Each picture mixed with another of the batch (mixup, arXiv:1710.09412), and the titles; without any targets.

    The other's weight is uniform between 0 and a half, per picture. Only the first `share` of the batch is used, mixed
    with pictures of all of it.
    """

    share: float = 1.0

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with blended pictures, marked as such."""
        pixels = require(batch.pictures, "pictures", by="the view of distil").pixels_B3YX
        count = math.ceil(self.share * len(batch))
        other_B = torch.randperm(len(batch), generator=generator)[:count].to(pixels.device)
        share_B111 = torch.rand(count, 1, 1, 1, generator=generator).to(pixels.device) / 2
        return Batch(
            pictures=Pictures(pixels_B3YX=pixels[:count].lerp(pixels[other_B], share_B111)),
            texts={"title": batch.texts["title"].rows(slice(count))},
            mixup=True,
        )


@dataclass(frozen=True)
class MaskedTokens(View):
    """BERT's corruption of the title (arXiv:1810.04805), whole words at a time, at least one word per title.

    Of the chosen pieces 80% become [MASK], 10% a random word, 10% stay; all of them are targets.
    """

    share: float
    mask_id: int
    vocabulary: int
    special_ids: tuple[int, ...]
    continuation_ids: tuple[int, ...]  # pieces that go on a word

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with corrupted title ids and `targets_BT`; as it is where it has no titles."""
        if "title" not in batch.texts:
            return batch
        ids_BT = batch.texts["title"].ids_BT
        maskable_BT = self.maskable(batch.texts["title"])
        chosen_BT = self._chosen(ids_BT, maskable_BT, generator)
        return self.hide(batch, chosen_BT, generator)

    def maskable(self, words: Words) -> Tensor:
        """(B, T) bool: pieces that may be masked."""
        special = torch.tensor(self.special_ids, device=words.ids_BT.device)
        return words.real_BT & ~torch.isin(words.ids_BT, special)

    def hide(self, batch: Batch, chosen_BT: Tensor, generator: Generator) -> Batch:
        """The batch with those pieces corrupted, and their ids as targets."""
        words = batch.texts["title"]
        ids_BT = words.ids_BT
        kind_BT = torch.rand(ids_BT.shape, generator=generator).to(ids_BT.device)
        random_BT = torch.randint(self.vocabulary, ids_BT.shape, generator=generator).to(ids_BT.device)
        corrupted_BT = torch.where(chosen_BT & (kind_BT < 0.8), self.mask_id, ids_BT)
        corrupted_BT = torch.where(chosen_BT & (kind_BT >= 0.8) & (kind_BT < 0.9), random_BT, corrupted_BT)
        targets_BT = torch.where(chosen_BT, ids_BT, IGNORED)
        return replace(
            batch, texts={**batch.texts, "title": replace(words, ids_BT=corrupted_BT, targets_BT=targets_BT)}
        )

    def _chosen(self, ids_BT: Tensor, maskable_BT: Tensor, generator: Generator) -> Tensor:
        """Which pieces are masked: one draw per word, shared by its pieces; a title's lowest draw is always masked."""
        draw_BT = torch.rand(ids_BT.shape, generator=generator).to(ids_BT.device).gather(1, self.word_of(ids_BT))
        draw_BT = draw_BT.masked_fill(~maskable_BT, 2.0)
        lowest_B1 = draw_BT.min(1, keepdim=True).values
        return maskable_BT & ((draw_BT < self.share) | (draw_BT == lowest_B1))

    def word_of(self, ids_BT: Tensor) -> Tensor:
        """(B, T): the number of the word that each piece belongs to."""
        continues = torch.isin(ids_BT, torch.tensor(self.continuation_ids, dtype=torch.long, device=ids_BT.device))
        return ((~continues).long().cumsum(1) - 1).clamp(min=0)


@dataclass(frozen=True)
class MaskedSegmentsView(MaskedTokens):
    """Runs of words are hidden: a `share` of the words begins one, at least one of a title does (InterBERT).

    A run is of one to `longest` words, all lengths alike; arXiv:2003.13198.
    """

    longest: int

    def _chosen(self, ids_BT: Tensor, maskable_BT: Tensor, generator: Generator) -> Tensor:
        starts_BT = super()._chosen(ids_BT, maskable_BT, generator)
        word_BT = self.word_of(ids_BT)
        length_BT = torch.randint(1, self.longest + 1, ids_BT.shape, generator=generator).to(ids_BT.device)
        # by number of word: how many words from this one on a run that began here still hides
        left_BT = torch.zeros_like(word_BT).scatter_reduce(1, word_BT, starts_BT.long(), "amax") * length_BT
        hidden_BT = left_BT > 0
        for step in range(1, self.longest):
            hidden_BT[:, step:] |= left_BT[:, :-step] > step
        return hidden_BT.gather(1, word_BT) & maskable_BT


@dataclass(frozen=True)
class MaskedToWriteView(MaskedTokens):
    """Masked words that see none after them, nor does any other word (Unified VLP, arXiv:1909.11059)."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with corrupted title ids, `targets_BT`, and no words that see each other."""
        hidden = super().__call__(batch, generator)
        title = hidden.texts["title"]
        given_B = torch.zeros(len(title.ids_BT), dtype=torch.long, device=title.ids_BT.device)
        return replace(hidden, texts={**hidden.texts, "title": replace(title, given_B=given_B)})


@dataclass(frozen=True)
class NextWordsView(View):
    """Every word of the title is to be predicted from those before it; the words themselves stay as they are.

    With a `prefix` the first words, from one to all but the last, all alike, are given, and are not asked for. `alone`
    leaves out the pictures. `bridged`: by a query bridge itself.
    """

    prefix: bool = False
    alone: bool = False
    bridged: bool = False

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with `next_BT`, and with `given_B` where there is a prefix."""
        title = require(batch.texts.get("title"), "a title", by="the view of lm")
        last_real_BT = F.pad(title.real_BT[:, 1:], (0, 1))
        next_BT = F.pad(title.ids_BT[:, 1:], (0, 1)).masked_fill(~last_real_BT, IGNORED)
        given_B = None
        if self.prefix:
            draw_B = torch.rand(len(batch), generator=generator).to(next_BT.device)
            given_B = 1 + (draw_B * (title.real_BT.sum(1) - 1)).long()
            place_T = torch.arange(next_BT.shape[1], device=next_BT.device)
            next_BT = next_BT.masked_fill(place_T < given_B[:, None] - 1, IGNORED)
        texts = {**batch.texts, "title": replace(title, next_BT=next_BT, given_B=given_B)}
        return replace(batch, texts=texts, pictures=None if self.alone else batch.pictures, bridged=self.bridged)


@dataclass(frozen=True)
class InstructedView(View):
    """What products are told in the place of their titles, and what is to be written after it."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with its instructions as titles."""
        told = require(batch.told, "instructions", by="the view of instruct")
        return replace(batch, texts={"title": told})


@dataclass(frozen=True)
class MaskedPatchesView(View):
    """A `share` of the patches that show product is hidden, at least one per picture; others are never asked for.

    Those with the lowest uniform noise minus share of product (`bias-drop`) are masked, so the product's inside rather
    than its border. A patch shows product from a share of `least` on.
    """

    share: float
    least: float

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with `masked_BP` set."""
        pictures = require(batch.pictures, "pictures", by="the view of masked patches")
        shares_BP = require(pictures.product_share_BP, "product shares", by="the view of masked patches")
        noise_BP = torch.rand(shares_BP.shape, generator=generator).to(shares_BP.device)
        eligible_BP = shares_BP >= self.least
        if pictures.kept_BP is not None:
            eligible_BP &= pictures.kept_BP
        draw_BP = (noise_BP - shares_BP).masked_fill(~eligible_BP, torch.inf)
        rank_BP = draw_BP.argsort(1).argsort(1)
        wanted_B1 = (self.share * eligible_BP.sum(1, keepdim=True)).round().clamp(min=1)
        masked_BP = eligible_BP & (rank_BP < wanted_B1)
        return replace(batch, pictures=replace(pictures, masked_BP=masked_BP))


@dataclass(frozen=True)
class MaskedByTurns(View):
    """Of each product one pair of `rates`, drawn among all alike: the share of its words and that of its cells that are
    masked, each by itself (MLIM, arXiv:2109.12178). Titles alone are masked as `words` does it."""

    words: MaskedTokens
    rates: tuple[tuple[float, float], ...]
    cells: int

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with corrupted title ids, `targets_BT` and `masked_BP`."""
        if batch.pictures is None or "title" not in batch.texts:
            return self.words(batch, generator)
        device, title = batch.pictures.pixels_B3YX.device, batch.texts["title"]
        turn_B = torch.randint(len(self.rates), (len(batch),), generator=generator)
        words_B1, cells_B1 = torch.tensor(self.rates)[turn_B].split(1, dim=1)
        draw_BT = torch.rand(title.ids_BT.shape, generator=generator).to(device)
        draw_BT = draw_BT.gather(1, self.words.word_of(title.ids_BT))
        chosen_BT = self.words.maskable(title) & (draw_BT < words_B1.to(device))
        masked_BP = (torch.rand((len(batch), self.cells), generator=generator) < cells_B1).to(device)
        shown = replace(batch, pictures=replace(batch.pictures, masked_BP=masked_BP))
        return self.words.hide(shown, chosen_BT, generator)


@dataclass(frozen=True)
class HiddenEntries(View):
    """In a `share` of the pictures all cells are hidden that look like one of them, which is drawn; at least in one."""

    share: float
    cells: int

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with `entry_draw_BP` set."""
        pictures = require(batch.pictures, "pictures", by="the view of mvm")
        draw_BP = torch.rand((len(pictures), self.cells), generator=generator) + 1e-6
        chosen_B = torch.randperm(len(pictures), generator=generator) < max(1, round(self.share * len(pictures)))
        draw_BP = draw_BP.masked_fill(~chosen_B[:, None], 0.0).to(pictures.pixels_B3YX.device)
        return replace(batch, pictures=replace(pictures, entry_draw_BP=draw_BP))


@dataclass(frozen=True)
class Compose(View):
    """Words and patches hidden in the same pass, as FashionBERT does; either where a batch has only that."""

    words: View
    patches: View

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch as the second makes it of what the first makes of it."""
        hidden = self.words(batch, generator)
        return hidden if hidden.pictures is None else self.patches(hidden, generator)


@dataclass(frozen=True)
class HiddenTags(View):
    """A `share` of `count` tags hidden in the same pass as words are, at least one of each product's (OSCAR)."""

    share: float
    count: int

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with tags to be guessed."""
        draw_BC = torch.rand((len(batch), self.count), generator=generator)
        hidden_BC = (draw_BC < self.share) | (draw_BC == draw_BC.min(1, keepdim=True).values)
        pictures = require(batch.pictures, "pictures", by="the view of hidden tags")
        return replace(batch, tags=TagChanges(hidden_BC=hidden_BC.to(pictures.pixels_B3YX.device)))


@dataclass(frozen=True)
class ShuffledPairs(View):
    """A `share` of the titles get another product's picture; `is_match_B` says which pairs are true.

    Pictures are dealt round among the chosen products: in any order, or (`subcat`) sub-category by sub-category, so
    that most are taken for another of their kind. One that is dealt to a product of the same title stays a true pair.
    """

    share: float
    negatives: Literal["rand", "subcat"] = "rand"

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with pictures exchanged and `is_match_B` set."""
        groups = require(batch.groups, "groups", by="the view of itm")
        B = len(batch)
        chosen = torch.randperm(B, generator=generator)[: max(2, round(B * self.share))]
        if self.negatives == "subcat":
            chosen = chosen[groups.category_B.cpu()[chosen].argsort(stable=True)]
        source = torch.arange(B)
        source[chosen] = chosen.roll(1)
        source = source.to(groups.title_B.device)
        is_match_B = groups.title_B[source] == groups.title_B
        return replace(batch.with_pictures_of(source), is_match_B=is_match_B)


@dataclass(frozen=True)
class TfidfNegatives(View):
    """A `share` of the titles get the picture of the product with the most similar title (InterBERT).

    Titles are compared by TF-IDF of their pieces, with the batch as the collection. A similarity of `copy` or more may
    be the same product listed twice: it is used only if there is no other, the least similar first. One of the same
    title stays a true pair.
    """

    share: float
    special_ids: tuple[int, ...]
    copy: float = 0.5

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with pictures exchanged and `is_match_B` set; a picture may belong to several titles."""
        title_B = require(batch.groups, "groups", by="the view of itm").title_B
        B = len(batch)
        likeness_BB = title_likeness(batch.texts["title"], self.special_ids)
        worth_BB = torch.where(likeness_BB < self.copy, likeness_BB, -likeness_BB)
        worth_BB += 1e-3 * torch.rand((B, B), generator=generator).to(
            worth_BB.device
        )  # any of those that share nothing
        worth_BB.fill_diagonal_(-torch.inf)
        own_B = torch.arange(B, device=worth_BB.device)
        chosen_B = torch.zeros(B, dtype=torch.bool)
        chosen_B[torch.randperm(B, generator=generator)[: max(2, round(B * self.share))]] = True
        source_B = torch.where(chosen_B.to(own_B.device), worth_BB.argmax(1), own_B)
        return replace(batch.with_pictures_of(source_B), is_match_B=title_B[source_B] == title_B)


def title_likeness(title: Words, special_ids: tuple[int, ...]) -> Tensor:
    """(B, B): cosine of the titles' TF-IDF vectors, smoothed as in scikit-learn; 0 for a title without any piece."""
    counted_BT = title.real_BT & ~torch.isin(title.ids_BT, torch.tensor(special_ids, device=title.ids_BT.device))
    counts_BV = torch.zeros((len(title.ids_BT), int(title.ids_BT.max()) + 1), device=title.ids_BT.device)
    counts_BV.scatter_add_(1, title.ids_BT, counted_BT.float())
    rarity_V = ((1 + len(counts_BV)) / (1 + (counts_BV > 0).sum(0))).log() + 1
    vectors_BV = F.normalize(counts_BV * rarity_V, dim=1)
    return vectors_BV @ vectors_BV.T


@dataclass(frozen=True)
class HardNegatives(View):
    """The batch as it is; the model draws a false picture for each title and a false title for each picture.

    Which are drawn follows from the model's own embeddings, the likelier the more alike (ALBEF, arXiv:2107.07651), and
    from noise that is given here.
    """

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with `gumbel_noise_2BB`: the largest logit + noise is a draw from the softmax."""
        uniform = torch.rand((2, len(batch), len(batch)), generator=generator).clamp(1e-6, 1 - 1e-6)
        groups = require(batch.groups, "groups", by="the view of itm")
        return replace(batch, gumbel_noise_2BB=-(-uniform.log()).log().to(groups.title_B.device))
