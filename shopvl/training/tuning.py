"""Linear heads on the frozen backbone: category and every property, for each choice of inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.sparse import csr_matrix
from torch import Tensor

from shopvl.batch import Batch, Modality, inputs_in, inputs_name
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import Catalog
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN
from shopvl.data.rows import RejectedRow
from shopvl.design.design import Design
from shopvl.errors import DesignError
from shopvl.inference.features import Labelled, Report, labelled
from shopvl.models.heads import LinearHeads
from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.text.grams import gram_rows, padded
from shopvl.training.support_vectors import SupportVectorFit, fit_grams

MIN_STEPS = 600  # a small catalog gets more epochs


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LinearHeadFit:
    """How linear heads are fitted on frozen features: AdamW on a cosine, words by support vector machines.

    With a title, features have more dropout and a smaller rate, or the weights of its words learn nothing.
    """

    batch_size: Count = 512
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    epochs: Count = 20
    peak_lr: Annotated[float, Field(gt=0)] = 2e-3
    dropout: Share = 0.1  # of features
    title_epochs: Count = 12
    title_peak_lr: Annotated[float, Field(gt=0)] = 1e-3
    title_dropout: Share = 0.5
    words: SupportVectorFit = Field(default_factory=SupportVectorFit)


def fit_heads(
    design: Design,
    catalog: Catalog,
    report: Report = lambda stage, share: None,
    seed: int = 0,
    min_steps: int = MIN_STEPS,
    fit: LinearHeadFit | None = None,
) -> list[RejectedRow]:
    """Give `design` heads for each choice of inputs, fitted on the rows that have them. Multi-valued: the first value.

    Rows that could not be read are returned; heads for inputs that no row has know nothing. Raises DesignError if the
    design's ontology has no two categories and no property of two values, or if the design answers prompts.
    """
    if (answering := design.recipe.answering) is not None:
        raise DesignError(
            f"the design {design.name} answers prompts, and linear heads have no place beside them; "
            f"tune it with --recipe {answering.kind}"
        )
    fit, labels = fit or LinearHeadFit(), answerable(design.ontology)
    if not labels:
        raise DesignError(
            f"the design {design.name} knows no two categories and no property of two values, so there is nothing to "
            "choose between; pretrain on a catalog that has them"
        )

    def read(batch: Batch) -> Mapping[str, Tensor]:
        return design.model.features(batch, [one for one in design.input_choices if set(one) <= set(inputs_in(batch))])

    known = labelled(design, catalog, labels, read, report=report)
    torch.manual_seed(seed)  # of the heads as they begin: a run that was stopped ends as it would have
    heads = design.add_heads(labels)
    grams_NG = gram_rows(known.titles)
    choices = [inputs for inputs in design.input_choices if inputs_name(inputs) in known.values]
    if any("title" in inputs for inputs in choices):
        _fit_words(heads, known, choices, grams_NG, fit.words)
    for number, inputs in enumerate(choices):
        has_them = known.has(inputs_name(inputs))
        features = known.values[inputs_name(inputs)][has_them]
        for name in labels:
            head = heads.head(inputs, name)
            head.mean_F.copy_(features.mean(0))
            head.spread_F.copy_(features.std(0, correction=0).clamp(min=1e-4))  # one row has none

        def progress(share: float, number: int = number) -> None:
            report("fit", (number + share) / len(choices))

        _fit(heads, inputs, known.where(has_them), grams_NG[has_them.numpy()], seed, min_steps, fit, progress)
    return known.rejects


@torch.no_grad()
def _fit_words(
    heads: LinearHeads,
    known: Labelled,
    choices: Sequence[tuple[Modality, ...]],
    grams_NG: csr_matrix,
    fit: SupportVectorFit,
) -> None:
    """Fit the weights of a title's words for each property; all choices of inputs with a title share them."""
    titled_N = torch.tensor([bool(title) for title in known.titles])
    for name, label_N in known.labels.items():
        has_label_N1 = (titled_N & (label_N >= 0)).numpy()[:, None]
        right_NK = F.one_hot(label_N.clamp(min=0), heads.labels[name]).bool().numpy() & has_label_N1
        weights_GK, bias_K = fit_grams(grams_NG, right_NK, np.broadcast_to(has_label_N1, right_NK.shape), fit)
        for inputs in choices:
            words = heads.head(inputs, name).words
            if words is not None:
                words.weights.weight.copy_(torch.from_numpy(weights_GK))
                words.bias.copy_(torch.from_numpy(bias_K))


def answerable(ontology: Ontology) -> dict[str, list[str]]:
    """What heads can answer: the category, as ` > `-joined leaf paths, and each property, with at least two values."""
    labels = {CATEGORY: [CATEGORY_JOIN.join(path) for path in ontology.leaves()]}
    labels |= {name: list(values) for name, values in ontology.values().items()}
    return {name: values for name, values in labels.items() if len(values) > 1}


def _fit(
    linear_heads: LinearHeads,
    inputs: tuple[Modality, ...],
    known: Labelled,
    grams_NG: csr_matrix,
    seed: int,
    min_steps: int,
    fit: LinearHeadFit,
    progress: Callable[[float], None],
) -> None:
    """All properties of one choice of inputs together, with the words' weights fixed, by AdamW on a cosine."""
    features, labels = known.values[inputs_name(inputs)], known.labels
    heads = {name: linear_heads.head(inputs, name) for name in labels}
    titled = "title" in inputs
    epochs, peak_lr = (fit.title_epochs, fit.title_peak_lr) if titled else (fit.epochs, fit.peak_lr)
    dropout, loss_of = (fit.title_dropout, squared_hinge) if titled else (fit.dropout, cross_entropy)
    fitted = [p for head in heads.values() for p in head.linear.parameters()]
    optimizer = torch.optim.AdamW(fitted, lr=peak_lr, weight_decay=fit.weight_decay)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # of the dropout
    center = features.mean(0)  # dropout replaces a feature by its mean
    size = min(fit.batch_size, len(features))
    epochs = max(epochs, math.ceil(min_steps / math.ceil(len(features) / size)))
    steps = epochs * math.ceil(len(features) / size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(epochs):
        order = torch.randperm(len(features), generator=generator)
        for chosen in order.split(size):
            grams_BG = torch.from_numpy(padded(grams_NG[chosen.numpy()])) if titled else None
            dropped = F.dropout(features[chosen] - center, dropout) + center
            losses = [loss_of(head(dropped, grams_BG), labels[name][chosen]) for name, head in heads.items()]
            optimizer.zero_grad(set_to_none=True)
            (torch.stack(losses).sum() / len(chosen)).backward(inputs=fitted)
            optimizer.step()
            schedule.step()
        progress((epoch + 1) / epochs)


def cross_entropy(logits_BK: Tensor, label_B: Tensor) -> Tensor:
    """Sum over known labels of the softmax cross-entropy; rows with a negative label are left out."""
    known_B = label_B >= 0
    return F.cross_entropy(logits_BK[known_B], label_B[known_B], reduction="sum")


def squared_hinge(logits_BK: Tensor, label_B: Tensor) -> Tensor:
    """Sum over known labels of the one-against-rest squared hinge loss, as in a linear support vector machine.

    With a title's words it beats cross-entropy (colour on real products: 0.909 to 0.899): a row on the right side of
    its margin has no gradient, so noisy labels do less harm. From pictures alone it loses (type: 0.805 to 0.854). Rows
    with a negative label are left out. A sum, so that every labelled row has the same weight, however rare a property.
    """
    known_B = label_B >= 0
    sign_BK = 2 * F.one_hot(label_B[known_B], logits_BK.shape[1]) - 1
    return F.relu(1 - sign_BK * logits_BK[known_B]).square().sum()
