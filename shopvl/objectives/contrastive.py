"""Contrastive losses (InfoNCE) between two of query, title and image, with every true match as a positive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import SHARED_VIEWS, TEXT_PAIR, Batch, Output, require
from shopvl.objectives.masking import next_words_view
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import EmbedOnly, HardNegatives, Plain, View
from shopvl.recipes.parts import Momentum, SplitDecoder
from shopvl.recipes.parts.objectives import Contrast, Matching, NextWords, TextContrast
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class ContrastLoss(Objective):
    """InfoNCE both ways (arXiv:2103.00020) with targets uniform over all matches of the batch.

    Reads: `groups`; with queries also `facts`. Head: embeddings of both
    sides. Paper: CLIP; several positives as in supervised contrast (arXiv:2004.11362), the mean outside the log; label
    smoothing as in ALIGN (arXiv:2102.05918). Nearest sibling: CLIP's own loss, to which it is equal without smoothing
    when every product matches only itself. Of a picture that several vectors stand for the best counts (BLIP-2,
    arXiv:2301.12597).
    """

    compares_rows = True

    between: Literal["title-image", "query-image", "query-title"]
    weight: float
    name: str
    smoothing: float = 0.0
    view: View = field(default_factory=Plain)
    of_views: bool = False

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean of both directions, and of both strong views where these are compared."""
        left, right = self.between.split("-")
        matches_BB = query_matches(batch) if left == "query" else title_matches(batch)
        scaled_BD = output.scales[self.between] * output.embeddings[left]
        rights = SHARED_VIEWS if self.of_views else (right,)
        losses = [_both_ways(output.products(scaled_BD, name), matches_BB, self.smoothing) for name in rights]
        return torch.stack(losses).mean()


@dataclass(frozen=True)
class TextContrastLoss(Objective):
    """InfoNCE both ways between titles and lines of facts, with targets uniform over all matches of the batch.

    Reads: `fact_lines`, `groups`. Head: embeddings of both texts. Paper: MURAL (arXiv:2109.05125), whose pairs are
    translations. Nearest sibling: `ContrastLoss`, in which a picture is one of the sides.
    """

    compares_rows = True

    weight: float
    name: Literal["t2t"] = "t2t"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean of both directions."""
        titles_BD, lines_BD = (output.embeddings[name] for name in TEXT_PAIR)
        return _both_ways(output.scales[self.name] * titles_BD @ lines_BD.T, title_matches(batch), 0.0)


@dataclass(frozen=True)
class MomentumContrastLoss(Objective):
    """InfoNCE of title and image against a momentum teacher's embeddings, of this batch and of a queue (ALBEF).

    Reads: `teacher`, `groups`. Head: embeddings of both sides. Paper: ALBEF (arXiv:2107.07651), after MoCo
    (arXiv:1911.05722); equal titles in the queue are positives too, as in FashionSAP (arXiv:2304.05051). A part of each
    target is the teacher's own softmax. Nearest sibling: `ContrastLoss`, to which it is equal with an empty queue, a
    share of 0 and a teacher that is the student.
    """

    reads_teacher = True

    weight: float
    name: str = "itc:title-image"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar, mean of both directions."""
        teacher = require(batch.teacher, "teacher outputs", by=f"the objective {self.name}")
        group_B = require(batch.groups, "groups", by=f"the objective {self.name}").title_B
        scale = output.scales["title-image"]
        matches = (group_B[:, None] == torch.cat([group_B, teacher.title_group_M])).to(scale.dtype)
        hard = matches / matches.sum(1, keepdim=True)
        losses = []
        for left, right in (("title", "image"), ("image", "title")):
            gallery = torch.cat([teacher.embeddings[right], teacher.queue[right]]).T
            soft = (scale.detach() * teacher.embeddings[left] @ gallery).softmax(1)
            target = (1 - teacher.share) * hard + teacher.share * soft
            losses.append(F.cross_entropy(scale * output.embeddings[left] @ gallery, target))
        return torch.stack(losses).mean()


def title_matches(batch: Batch) -> Tensor:
    """(B, B) bool: products of the same title."""
    title_B = require(batch.groups, "groups", by="the objective itc").title_B
    return title_B[:, None] == title_B


def query_matches(batch: Batch) -> Tensor:
    """(B, B) bool: row i's query is met by column j's product.

    A query that asks for facts is met by every product that has all of them; one that asks for none (free words) by the
    products with the same query. A query always matches its own product and products of the same title.
    """
    facts = require(batch.facts, "facts", by="the objective itc")
    query_B = require(batch.groups, "groups", by="the objective itc").query_B
    lacking_BB = facts.query_BK.float() @ (~facts.product_BK).float().T
    asks_B1 = facts.query_BK.any(1, keepdim=True)
    same_query_BB = query_B[:, None] == query_B
    met_BB = (asks_B1 & (lacking_BB == 0)) | (~asks_B1 & same_query_BB)
    return met_BB | title_matches(batch)


def _both_ways(logits_BB: Tensor, matches_BB: Tensor, smoothing: float) -> Tensor:
    targets = matches_BB.to(logits_BB.dtype)
    losses = [
        F.cross_entropy(logits, target / target.sum(1, keepdim=True), label_smoothing=smoothing)
        for logits, target in ((logits_BB, targets), (logits_BB.T, targets.T))
    ]
    return torch.stack(losses).mean()


def contrast_view(recipe: Recipe) -> View:
    """What pictures and titles are embedded from."""
    writing = [other for other in recipe.objectives if isinstance(other, NextWords)]
    if isinstance(recipe.fusion, SplitDecoder) and writing:
        return next_words_view(writing[0], recipe)  # CoCa embeds and writes in one pass
    # with hard negatives, matching and contrast share one forward pass
    hard = any(isinstance(other, Matching) and other.negatives == "hard" for other in recipe.objectives)
    return HardNegatives() if hard else EmbedOnly() if recipe.space is not None else Plain()


def build(part: Contrast | TextContrast, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """With a teacher, titles and pictures are compared with its embeddings too."""
    if isinstance(part, TextContrast):
        return TextContrastLoss(part.weight)
    view = contrast_view(recipe)
    if isinstance(recipe.teacher, Momentum) and part.between == "title-image":
        return MomentumContrastLoss(part.weight, view=view)
    return ContrastLoss(part.between, part.weight, part.name, part.smoothing, view, part.of_views)
