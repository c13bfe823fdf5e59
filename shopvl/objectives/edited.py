"""Hard negatives that are made: a picture beside its title and the same title with a lie in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from shopvl.batch import EDITED, Batch, Output, require
from shopvl.objectives.contrastive import contrast_view
from shopvl.objectives.objective import Objective
from shopvl.objectives.views import Plain, View
from shopvl.recipes.parts.objectives import EditContrast
from shopvl.recipes.recipe import Recipe
from shopvl.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class EditContrastLoss(Objective):
    """-log of the true title's share of the softmax over it and its edit, by the picture; the mean over all edits.

    Reads: `edits`. Head: embeddings of picture, title and edited title. Paper: CLIP-Event (arXiv:2201.05078), whose
    negatives have another event or exchanged roles; also UNIMO (arXiv:2012.15409) and NegCLIP (arXiv:2210.01936).
    Nearest sibling: `ContrastLoss`, whose negatives are other products' titles; an edit is compared with no picture but
    that of the product about which it lies, for it may well fit another.
    """

    weight: float
    name: Literal["edits"] = "edits"
    view: View = field(default_factory=Plain)

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Scalar; 0 where no title could be edited."""
        lies_B = require(batch.edits, "edited titles", by="the objective edits").lies_B
        image_BD, title_BD, edited_BD = (output.embeddings[name] for name in ("image", "title", EDITED))
        ahead_B = output.scales["title-image"] * (image_BD * (title_BD - edited_BD)).sum(-1)
        return (F.softplus(-ahead_B) * lies_B).sum() / lies_B.sum().clamp(min=1)


def build(part: EditContrast, recipe: Recipe, tokenizer: Tokenizer) -> Objective:
    """In the pass of the recipe's contrast."""
    return EditContrastLoss(part.weight, view=contrast_view(recipe))
