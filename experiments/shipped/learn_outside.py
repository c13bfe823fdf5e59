"""The towers stay, what reads them learns the world outside one shop as well.

    python experiments/shipped/learn_outside.py runs/model/resistant --rows runs/model/outside.parquet \
        --ontology runs/model/answers.json --out runs/model/outside

The head's linear terms per answer are fitted anew on the rows of `prepare_outside.py`; those for titles are averaged
with the former ones. How familiar an input is is measured on the same rows, and answers are calibrated on their split
`val`. The names of the ontology, which may be in more
languages than before, are those of `--ontology`.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from torch import Tensor

from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design, build
from shopvl.models.heads import LinearHead
from shopvl.models.prompt_heads import PromptMaskHead
from shopvl.training.answer_heads import PromptHeadFit
from shopvl.training.stages import finish, fit_prompt_head

# photos of several kinds need more than the catalog photos of one shop
PICTURES_LONGER = PromptHeadFit(picture_epochs=10, picture_weight_decay=1.0)
FORMER = 0.3  # chosen on the validation rows: English titles gain 0.1 points of type, translated ones lose 0.7


def main() -> None:
    """Read one, write one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--ontology", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    start = Design.from_pretrained(args.model)
    ontology = Ontology.load(args.ontology)
    design = build(start.recipe, start.tokenizer, ontology, towers=start.towers, random_weights=True)
    design.start_from(start)
    former = copy.deepcopy(design.model.head)
    learned = open_catalog(args.rows, split="train")
    fit_prompt_head(design, learned, fit=PICTURES_LONGER)
    average_title_terms(design.model.head, former)
    finish(design, args.out, learned=learned, held_out=open_catalog(args.rows, split="val"))


@torch.no_grad()
def average_title_terms(head: PromptMaskHead, former: PromptMaskHead) -> None:
    """What is added to an answer's score where there is a title becomes the mean of both, FORMER of it the former's."""
    for own, before in (
        (head.ngram_linear.weights.weight, former.ngram_linear.weights.weight),
        (head.ngram_linear.bias, former.ngram_linear.bias),
        (head.title_answer_bias, former.title_answer_bias),
    ):
        own.lerp_(before, FORMER)
    head.log_title_scale.copy_(head.log_title_scale.exp().lerp(former.log_title_scale.exp(), FORMER).log())
    own, before = head.image_linear_with_title, former.image_linear_with_title
    (weight_KF, bias_K), (former_KF, former_K) = (_of_raw_features(linear) for linear in (own, before))
    weight_KF = weight_KF.lerp(former_KF, FORMER)
    own.linear.weight.copy_(weight_KF * own.spread_F)
    own.linear.bias.copy_(bias_K.lerp(former_K, FORMER) + weight_KF @ own.mean_F)


def _of_raw_features(linear: LinearHead) -> tuple[Tensor, Tensor]:
    """Weights (K, F) and biases (K,) for features that are not standardised."""
    weight_KF = linear.linear.weight / linear.spread_F
    return weight_KF, linear.linear.bias - weight_KF @ linear.mean_F


if __name__ == "__main__":
    main()
