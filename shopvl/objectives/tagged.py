"""Objectives of tags that a picture's net tells, and of questions in the title's place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from shopvl.batch import Batch, TagChanges, require
from shopvl.objectives.objective import Objective
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import View
from shopvl.recipes.parts.grounding import QuestionClasses, TagMatching, ThreeWayMatching
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class FalseTags(View):
    """A `share` of the products, drawn in any order, has the tags of the next; `is_match_B` says which have their own
    (OSCAR, arXiv:2004.06165). Those of a product of the same title count as its own."""

    share: float

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with other tags."""
        title_B = require(batch.groups, "groups", by="the view of itm-tags").title_B
        chosen = torch.randperm(len(batch), generator=generator)[: max(2, round(len(batch) * self.share))]
        of_B = _dealt(len(batch), chosen).to(title_B.device)
        return replace(batch, tags=TagChanges(of_B=of_B), is_match_B=title_B[of_B] == title_B)


@dataclass(frozen=True)
class FalsePicturesOrTags(View):
    """Half of a `share` of the products has another's picture, half another's tags; `changed_B` says which (VinVL,
    arXiv:2101.00529). What is of a product of the same title counts as its own."""

    share: float

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with other pictures, and other tags."""
        title_B = require(batch.groups, "groups", by="the view of itm-3").title_B
        count = max(2, round(len(batch) * self.share / 2))
        order = torch.randperm(len(batch), generator=generator)
        pictures_B, tags_B = (
            _dealt(len(batch), part).to(title_B.device) for part in (order[:count], order[count : 2 * count])
        )
        false_picture_B, false_tags_B = (title_B[of_B] != title_B for of_B in (pictures_B, tags_B))
        changed_B = false_picture_B.long() + 2 * false_tags_B.long()
        shown = batch.with_pictures_of(pictures_B)
        return replace(shown, tags=TagChanges(of_B=tags_B, changed_B=changed_B))


def _dealt(count: int, chosen: Tensor) -> Tensor:
    """(count,): for each of the chosen another of them, for the rest itself."""
    source = torch.arange(count)
    source[chosen] = chosen.roll(1)
    return source


@dataclass(frozen=True)
class AskedView(View):
    """A question in the place of each title."""

    def __call__(self, batch: Batch, generator: Generator) -> Batch:
        """The batch with the questions as titles, and what answers them."""
        asked = require(batch.asked, "asked facts", by="the view of qa-cls")
        return replace(batch, texts={"title": asked.words}, answer_B=asked.fact_B)


def build(part: QuestionClasses | TagMatching | ThreeWayMatching, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """The loss of any of these parts: of what a head predicts."""
    match part:
        # LXMERT (arXiv:1908.07490): a closed list of answers; the sibling prompt-vqa reads them by name
        case QuestionClasses():
            return PredictionLoss(part.name, part.weight, AskedView(), (("asked-fact", "cross-entropy"),))
        # the sibling itm exchanges pictures, and the tags with them
        case TagMatching():
            return PredictionLoss(part.name, part.weight, FalseTags(part.share), (("match", "binary"),))
        case ThreeWayMatching():
            view = FalsePicturesOrTags(part.share)
            return PredictionLoss(part.name, part.weight, view, (("match-ways", "cross-entropy"),))
