"""The last step of tuning a cloze head: its linear terms per answer, fitted on frozen features."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from scipy.sparse import csr_matrix, vstack
from torch import Tensor

from shopvl.batch import MODALITIES, Batch, Modality, inputs_name, require
from shopvl.catalog.readers import Catalog, spread
from shopvl.data.training_rows import TrainingCache
from shopvl.design.design import Design
from shopvl.errors import CatalogError
from shopvl.inference.encode import Encoded, encode
from shopvl.models.answering_encoder import AnsweringDualEncoder
from shopvl.models.heads import LinearHead
from shopvl.models.prompt_heads import PromptMaskHead
from shopvl.recipes.parts.fields import STRICT, Count, Share
from shopvl.text.grams import gram_rows, padded
from shopvl.text.prompts import Question, questions_of
from shopvl.training.support_vectors import SupportVectorFit, fit_grams

TITLED: tuple[tuple[Modality, ...], ...] = (("image", "title"), ("title",))
PICTURED: tuple[Modality, ...] = ("image",)


@pydantic_dataclass(frozen=True, kw_only=True, config=STRICT)
class PromptHeadFit:
    """How a prompt-mask head's answer terms are fitted on the frozen rest: AdamW on a cosine, words as in `words`.

    A network is more confident on its training pictures than on new ones, so the terms for pictures alone are
    regularised more: a smaller rate, more decay and dropout.
    """

    batch_size: Count = 512
    min_steps: Count = 300  # a small catalog gets more epochs
    max_rows: Count = 100_000  # of a larger catalog, evenly from all of it
    title_epochs: Count = 15
    picture_epochs: Count = 6
    peak_lr: Annotated[float, Field(gt=0)] = 1e-3
    image_peak_lr: Annotated[float, Field(gt=0)] = 3e-3  # of the linear maps of the picture's pooled vector
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    dropout: Share = 0.5  # of the slots' states: with less, the n-gram weights of the title learn nothing
    image_dropout: Share = 0.2  # of the picture's pooled vector, where there is a title
    picture_lr_scale: Annotated[float, Field(gt=0)] = 0.5
    picture_weight_decay: Annotated[float, Field(ge=0)] = 2.0
    picture_dropout: Share = 0.5
    name_scale: Annotated[float, Field(gt=0)] = 0.15  # hinge margins are 1, where cross-entropy's logits go to tens
    words: SupportVectorFit = Field(default_factory=SupportVectorFit)


@dataclass(frozen=True)
class _FrozenOutputs:
    """Outputs of the frozen model for N rows, in half precision, and their right answers.

    A row with one input counts where that alone is shown.
    """

    states: dict[str, Tensor]  # by choice of inputs, (rows that have them, Q, D)
    place_N: dict[str, Tensor]  # where a row's are; -1 if it has not these inputs
    pooled_NW: Tensor  # 0 without a picture
    name_vectors_KD: Tensor
    grams_NG: csr_matrix  # none without a title
    right_NF: csr_matrix  # bool, F = Q * K: one in thousands is true
    possible_NF: csr_matrix  # of these one is right, it is not known which (`Collator.possible_answers`)

    def rows(self, choice: tuple[Modality, ...]) -> Tensor:
        """Numbers of the rows that have these inputs."""
        return (self.place_N[inputs_name(choice)] >= 0).nonzero().flatten()

    def chosen_states(self, choice: tuple[Modality, ...], chosen: Tensor) -> Tensor:
        """(B, Q, D) of rows that have these inputs."""
        name = inputs_name(choice)
        return self.states[name][self.place_N[name][chosen]]

    def asked(self, legal_QK: Tensor) -> list[_Asked]:
        """The questions that some row has an answer to, each with its legal answers alone: these are one in many."""
        K, found = legal_QK.shape[1], []
        for place, legal_K in enumerate(legal_QK.cpu()):
            numbers_L = legal_K.nonzero().flatten()
            own = [table_NF[:, place * K + numbers_L.numpy()] for table_NF in (self.right_NF, self.possible_NF)]
            if any(table_NL.nnz for table_NL in own):
                found.append(_Asked(place, numbers_L, self.name_vectors_KD[numbers_L], *own))
        return found


@dataclass(frozen=True)
class _Asked:
    """A question at its `place` among the Q, with its L legal answers and what is true of N rows."""

    place: int
    numbers_L: Tensor
    name_vectors_LD: Tensor
    right_NL: csr_matrix
    possible_NL: csr_matrix

    def targets(self, chosen: Tensor, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 1, L) bool: the right answers of these rows, the possible ones where no right one is known, and the legal
        ones, which all are."""
        right_B1L, possible_B1L = (
            torch.from_numpy(table_NL[chosen.numpy()].toarray()).to(device)[:, None]
            for table_NL in (self.right_NL, self.possible_NL)
        )
        return right_B1L, possible_B1L, torch.ones_like(right_B1L[:1])

    def by_name(self, head: PromptMaskHead, states_B1D: Tensor) -> Tensor:
        """Logits (B, 1, L) by the answers' names."""
        with torch.no_grad():
            return (states_B1D @ self.name_vectors_LD.to(states_B1D.device).T) * head.log_scale.exp()


def fit_answer_heads(
    design: Design,
    rows: Catalog | TrainingCache,
    report: Callable[[float], None] = lambda share: None,
    seed: int = 0,
    fit: PromptHeadFit | None = None,
) -> None:
    """Fit a cloze head's linear terms per answer with everything else frozen, without augmentation.

    With a title, by the squared hinge loss of each answer against the others: first `ngram_linear` alone, as support
    vector machines, then `title_answer_bias`, `image_linear_with_title` and the scale of the names. A row on the right
    side of its margin has no gradient, so noisy labels do less harm than under cross-entropy. With a picture alone:
    `image_only_answer_bias`, `image_linear` and the scale, by cross-entropy, which is better there, with more decay.
    Terms for an input that no row has stay as they are. Raises CatalogError where no row has any.
    """
    model = design.model
    assert isinstance(model, AnsweringDualEncoder)
    assert isinstance(model.head, PromptMaskHead)
    questions = questions_of(design.ontology)
    fit = fit or PromptHeadFit()
    outputs = _read(design, rows, questions, fit.max_rows, lambda share: report(share / 2))
    legal_QK = design.loader.questions(questions).legal_QK
    if len(outputs.rows(("title",))):
        _fit_words(model.head, outputs, legal_QK, fit.words, lambda share: report(0.5 + share / 8))
        _fit_titles(design, model.head, outputs, legal_QK, seed, fit, lambda share: report(0.625 + share / 8))
    if len(outputs.rows(PICTURED)):
        _fit_pictures(design, model.head, outputs, legal_QK, seed, fit, lambda share: report(0.75 + share / 4))
    model.eval()


def _fit_words(
    head: PromptMaskHead,
    outputs: _FrozenOutputs,
    legal_QK: Tensor,
    fit: SupportVectorFit,
    report: Callable[[float], None],
) -> None:
    """Fit `ngram_linear` for answers that belong to one question; not for `unknown`, which belongs to all."""
    Q, K = legal_QK.shape
    own_K, question_K = (legal_QK.sum(0) == 1).numpy(), legal_QK.int().argmax(0).numpy()
    titled = outputs.rows(("title",)).numpy()
    own_columns_K = question_K * K + np.arange(K)
    right_NF, possible_NF = outputs.right_NF[titled], outputs.possible_NF[titled]
    right_NK = right_NF[:, own_columns_K].toarray() & own_K
    answered_NQ = ((right_NF + possible_NF).reshape(-1, K).getnnz(1) > 0).reshape(-1, Q)
    has_answer_NK = answered_NQ[:, question_K] & own_K & ~possible_NF[:, own_columns_K].toarray()
    weights_GK, bias_K = fit_grams(outputs.grams_NG[titled], right_NK, has_answer_NK, fit, report)
    with torch.no_grad():
        head.ngram_linear.weights.weight.copy_(torch.from_numpy(weights_GK))
        head.ngram_linear.bias.copy_(torch.from_numpy(bias_K))


def _fit_titles(
    design: Design,
    head: PromptMaskHead,
    outputs: _FrozenOutputs,
    legal_QK: Tensor,
    seed: int,
    fit: PromptHeadFit,
    report: Callable[[float], None],
) -> None:
    choices = [choice for choice in TITLED if len(outputs.rows(choice))]
    with torch.no_grad():
        head.log_title_scale.fill_(math.log(fit.name_scale))
        head.title_answer_bias.zero_()
        if MODALITIES in choices:
            _reset(head.image_linear_with_title, outputs)
    groups = [
        {"params": [head.title_answer_bias, head.log_title_scale], "lr": fit.peak_lr},
        {"params": list(head.image_linear_with_title.linear.parameters()), "lr": fit.image_peak_lr},
    ]

    asked = outputs.asked(legal_QK)

    def loss(number: int, chosen: Tensor) -> Tensor:
        choice = choices[number % len(choices)]
        chosen = chosen[outputs.place_N[inputs_name(choice)][chosen] >= 0]
        states = F.dropout(outputs.chosen_states(choice, chosen).to(design.device).float(), fit.dropout)
        grams_BG = torch.from_numpy(padded(outputs.grams_NG[chosen.numpy()])).to(design.device)
        linear_BK = head.ngram_linear(grams_BG)
        if "image" in choice:
            pooled_BW = F.dropout(outputs.pooled_NW[chosen].to(design.device).float(), fit.image_dropout)
            linear_BK = linear_BK + head.image_linear_with_title(pooled_BW, None)
        total = linear_BK.sum() * 0.0
        for one in asked:
            own = states[:, one.place, None]
            logits = head.with_title(own, one.by_name(head, own), linear_BK, one.numbers_L)
            total = total + squared_hinge_of_legal(logits, *one.targets(chosen, design.device))
        return total / max(len(chosen), 1)

    _fit(groups, fit.title_epochs, fit.weight_decay, fit, loss, outputs.rows(("title",)), seed, report)


def _fit_pictures(
    design: Design,
    head: PromptMaskHead,
    outputs: _FrozenOutputs,
    legal_QK: Tensor,
    seed: int,
    fit: PromptHeadFit,
    report: Callable[[float], None],
) -> None:
    with torch.no_grad():
        head.log_picture_scale.fill_(math.log(fit.name_scale))
        head.image_only_answer_bias.zero_()
        _reset(head.image_linear, outputs)
    groups = [
        {"params": [head.image_only_answer_bias, head.log_picture_scale], "lr": fit.picture_lr_scale * fit.peak_lr},
        {"params": list(head.image_linear.linear.parameters()), "lr": fit.picture_lr_scale * fit.image_peak_lr},
    ]

    asked = outputs.asked(legal_QK)

    def loss(number: int, chosen: Tensor) -> Tensor:
        states = F.dropout(outputs.chosen_states(PICTURED, chosen).to(design.device).float(), fit.dropout)
        pooled_BW = F.dropout(outputs.pooled_NW[chosen].to(design.device).float(), fit.picture_dropout)
        linear_BK = head.image_linear(pooled_BW, None)
        total = linear_BK.sum() * 0.0
        for one in asked:
            own = states[:, one.place, None]
            logits = head.with_picture(own, one.by_name(head, own), linear_BK, one.numbers_L)
            total = total + cross_entropy_of_legal(logits, *one.targets(chosen, design.device))
        return total / len(chosen)

    _fit(groups, fit.picture_epochs, fit.picture_weight_decay, fit, loss, outputs.rows(PICTURED), seed, report)


def _reset(head: LinearHead, outputs: _FrozenOutputs) -> None:
    """Zero weights, and features standardised by the rows with a picture."""
    pooled_NW = outputs.pooled_NW[outputs.rows(PICTURED)].float()
    head.mean_F.copy_(pooled_NW.mean(0))
    head.spread_F.copy_(pooled_NW.std(0, correction=0) + 1e-5)
    head.linear.weight.zero_()
    head.linear.bias.zero_()


def _fit(
    groups: list[dict[str, object]],
    epochs: int,
    weight_decay: float,
    fit: PromptHeadFit,
    loss: Callable[[int, Tensor], Tensor],
    rows_N: Tensor,
    seed: int,
    report: Callable[[float], None],
) -> None:
    """AdamW on a cosine; `loss` takes the number of the step and of its rows."""
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay)
    size = min(fit.batch_size, len(rows_N))
    epochs = max(epochs, math.ceil(fit.min_steps / math.ceil(len(rows_N) / size)))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * math.ceil(len(rows_N) / size))
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # of the dropout
    fitted = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    steps = itertools.count()
    for epoch in range(epochs):
        for chosen in torch.randperm(len(rows_N), generator=generator).split(size):
            optimizer.zero_grad(set_to_none=True)
            loss(next(steps), rows_N[chosen]).backward(inputs=fitted)
            optimizer.step()
            schedule.step()
        report((epoch + 1) / epochs)


def squared_hinge_of_legal(logits_BQK: Tensor, right_BQK: Tensor, possible_BQK: Tensor, legal_QK: Tensor) -> Tensor:
    """Sum over the questions that have a right answer, and over their legal answers, of max(0, 1 - sign * logit)^2.

    Where only possible answers are known the others are wrong, and nothing is said of these.
    """
    has_answer_BQ1 = (right_BQK | possible_BQK).any(-1, keepdim=True)
    sign_BQK = 2.0 * right_BQK - 1.0
    return (F.relu(1 - sign_BQK * logits_BQK).square() * (legal_QK & has_answer_BQ1 & ~possible_BQK)).sum()


def cross_entropy_of_legal(logits_BQK: Tensor, right_BQK: Tensor, possible_BQK: Tensor, legal_QK: Tensor) -> Tensor:
    """Sum over the questions that have a right answer of -log p of it; several right ones share the target.

    Where only possible answers are known: -log of the probability that it is any of them (partial labels; Cour et al.,
    JMLR 2011).
    """
    logp_BQK = logits_BQK.masked_fill(~legal_QK, -torch.inf).log_softmax(-1)
    right_BQ = logp_BQK.masked_fill(~right_BQK, 0.0).sum(-1) / right_BQK.sum(-1).clamp(min=1)
    any_BQ = possible_BQK.any(-1)
    possible_BQ = logp_BQK.masked_fill(~(possible_BQK | ~any_BQ[..., None]), -torch.inf).logsumexp(-1)
    return -(right_BQ.sum() + possible_BQ.masked_fill(~any_BQ, 0.0).sum())


def _read(
    design: Design,
    rows: Catalog | TrainingCache,
    questions: tuple[Question, ...],
    max_rows: int,
    report: Callable[[float], None],
) -> _FrozenOutputs:
    """Outputs for all rows from every choice of their inputs; each batch gets its questions in the next language."""
    model, loader = design.model, design.loader
    assert isinstance(model, AnsweringDualEncoder)
    model.eval()
    with torch.inference_mode():
        prepared = [
            model.prepare(loader.questions(questions, language=language).to(design.device))
            for language in loader.languages
        ]
    turns = itertools.cycle(prepared)
    states: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    places: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    pooled: list[np.ndarray] = []
    titles: list[str] = []
    right: list[csr_matrix] = []
    possible: list[csr_matrix] = []
    total = rows.count()

    def read(batch: Batch, inputs: tuple[Modality, ...]) -> dict[str, Tensor]:
        choices = [choice for choice in (*TITLED, PICTURED) if set(choice) <= set(inputs)]
        read_states, pooled_BW = model.slot_states(batch, next(turns), choices)
        if pooled_BW is None:
            pooled_BW = torch.zeros(len(batch), model.image_tower.width)
        return {**read_states, "pooled": pooled_BW}

    for item in encode(design, spread(rows.batches(), total, max_rows), rows.root, MODALITIES, read):
        if not isinstance(item, Encoded):
            continue
        for choice in map(inputs_name, (*TITLED, PICTURED)):
            has_it = choice in item.values
            start = sum(map(len, states[choice]))
            places[choice].append(np.arange(start, start + len(item.rows)) if has_it else np.full(len(item.rows), -1))
            if has_it:
                states[choice].append(item.values[choice].astype(np.float16))
        pooled.append(item.values["pooled"].astype(np.float16))
        titles += [row["title"] if "title" in item.inputs else "" for row in item.rows]
        right.append(csr_matrix(loader.right_answers(item.rows, questions).flatten(1).numpy()))
        possible.append(csr_matrix(loader.possible_answers(item.rows, questions).flatten(1).numpy()))
        report(len(titles) / min(total, max_rows))
    if not titles:
        raise CatalogError(f"no row of {rows.path} has a picture or a title, so there is nothing to fit on")
    return _FrozenOutputs(
        {choice: torch.from_numpy(np.concatenate(parts)) for choice, parts in states.items() if parts},
        {choice: torch.from_numpy(np.concatenate(parts)) for choice, parts in places.items()},
        torch.from_numpy(np.concatenate(pooled)),
        require(prepared[0].answers_KD, "answer vectors", by="the fit of answer heads").clone(),
        gram_rows(titles),
        vstack(right, "csr"),
        vstack(possible, "csr"),
    )
