"""Linear terms for answers, learned from few decisions beside what their names say.

A frozen model scores every answer by its name. A multinomial logistic regression over the n-grams of titles and the
pictures' pooled vectors is added to these scores: it begins at nothing, and its penalty holds it near (as few-shot
adapters of CLIP do: Tip-Adapter, arXiv:2111.03930; LP++, arXiv:2404.02285). With T decisions it is solved in their T
dimensions (the kernel trick), in well under a second. How strong the penalty must be is asked of decisions held out:
for values that the model knows by heart almost nothing is to be learned, for others nearly everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from shopvl.inference.features import title_ids
from shopvl.metrics.retrieval import group_ids
from shopvl.models.prompt_heads import PromptMaskHead
from shopvl.runtime.cores import usable_cores
from shopvl.start.outputs import CatalogOutputs, NameReader
from shopvl.text.grams import gram_rows

PENALTIES = (np.inf, 3.0, 0.5, 0.08)  # the first learns nothing
WEAKEST = 0.015  # of many decisions
FOLDS = 5
NOISE = 0.05  # of what people decide, that may be any answer by a slip
CONSTANT = 0.1  # of the kernel: how freely an answer may become likelier for all products alike
MOST_STEPS, TOLERANCE = 60, 1e-6  # the latter of the loss, relative
LEAST_DECISIONS, MANY_DECISIONS = 8, 400  # about a question
ERRORS = 2.0  # standard errors by which learning must be better than leaving names as they are
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
TINY = 1e-300
BOTH, IMAGE, TITLE = "image+title", "image", "title"


@dataclass(frozen=True)
class CatalogFeatures:
    """What is learned from, of all N products: rows of length about 1."""

    grams_NG: csr_matrix
    picture_NW: np.ndarray  # standardised as the head does it; 0 where there is none

    @classmethod
    def of(cls, head: PromptMaskHead, outputs: CatalogOutputs) -> CatalogFeatures:
        """The n-grams of titles, and pooled vectors of pictures."""
        mean_W, spread_W = head.image_linear.mean_F.numpy(), head.image_linear.spread_F.numpy()
        picture_NW = np.nan_to_num((outputs.pooled_NW - mean_W) / spread_W / np.sqrt(len(mean_W)))
        return cls(gram_rows(outputs.titles).astype(np.float32), picture_NW)


@dataclass(frozen=True)
class Features:
    """What is learned from: of the T reviewed products, rows of length about 1; and how alike all N are to them."""

    grams_TG: csr_matrix
    picture_TW: np.ndarray  # standardised as the head does it; 0 where there is none
    alike: dict[str, np.ndarray]  # TITLE and IMAGE -> (N, T): the kernel

    @classmethod
    def of(cls, every: CatalogFeatures, rows_T: np.ndarray) -> Features:
        """Those of the products with these numbers, beside all others."""
        grams_TG, picture_TW = every.grams_NG[rows_T], every.picture_NW[rows_T]
        alike = {TITLE: (every.grams_NG @ grams_TG.T).toarray(), IMAGE: every.picture_NW @ picture_TW.T}
        return cls(grams_TG, picture_TW, {kind: own_NT + np.float32(CONSTANT) for kind, own_NT in alike.items()})


@dataclass(frozen=True)
class Term:
    """What was learned of one question from one kind of input: A (D, L) over D of the T reviewed products."""

    place_D: np.ndarray
    weight_DL: np.ndarray

    def scores(self, alike_NT: np.ndarray) -> np.ndarray:
        """(N, L) to be added to what names say."""
        scores: np.ndarray = alike_NT[:, self.place_D] @ self.weight_DL.astype(np.float32)
        return scores


@dataclass
class QuestionTerms:
    """Of one question: what titles and pictures teach, and the scores of held-out decisions from each inputs."""

    terms: dict[str, Term] = field(default_factory=dict)  # inputs -> what it adds; BOTH: of the picture beside a title
    held_out: dict[str, np.ndarray] = field(default_factory=dict)  # inputs -> (D, L) scores, as of decisions never seen


def fit_path(
    base_TL: np.ndarray,
    label_T: np.ndarray,
    kernel_TT: np.ndarray,
    free_L: np.ndarray,
    noise: float = NOISE,
    penalties: Sequence[float] = PENALTIES,
) -> Iterator[np.ndarray]:
    """A (T, L) for each penalty but the first: the least of -log q of the decisions + penalty / 2 * tr(A' K A).

    Scores are base + K A. Each begins where the one before has ended. Only answers that are `free_L` change.

    q = (1 - noise) p + noise / L: a decision that is a slip has a bounded price (as in Natarajan et al., NeurIPS 2013).
    """
    T, L = base_TL.shape
    size_T, axes_TT = np.linalg.eigh(kernel_TT)
    real_T = size_T > 1e-8 * size_T.max()
    root_R = np.sqrt(size_T[real_T])
    seen_TR = axes_TT[:, real_T] * root_R
    right_TL = np.zeros((T, L))
    right_TL[np.arange(T), label_T] = 1
    weight_RL = np.zeros((seen_TR.shape[1], L))

    def loss(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        weight = flat.reshape(weight_RL.shape)
        p_TL = softmax(base_TL + seen_TR @ weight, axis=1)
        own_T = (1 - noise) * p_TL[np.arange(T), label_T]
        likely_T = own_T + max(noise / L, TINY)
        meant_T = own_T / likely_T  # how surely the decision is no slip
        slope = (seen_TR.T @ (meant_T[:, None] * (p_TL - right_TL)) + penalty * weight) * free_L
        return -np.log(likely_T).sum() + penalty / 2 * (weight**2).sum(), slope.ravel()

    for penalty in penalties[1:]:
        steps = {"maxiter": MOST_STEPS, "ftol": TOLERANCE}
        found = minimize(loss, weight_RL.ravel(), (penalty,), jac=True, method="L-BFGS-B", options=steps)
        weight_RL = found.x.reshape(weight_RL.shape)
        yield (axes_TT[:, real_T] / root_R) @ weight_RL


def folds_of(at_random_D: np.ndarray, group_D: np.ndarray) -> list[np.ndarray]:
    """Which of D decisions are held out together: those about products drawn at random, dealt out in their order, those
    of one group together. The others were chosen because they are hard, and are always learned from."""
    drawn = np.flatnonzero(at_random_D)
    fold = group_ids(group_D[drawn].tolist()) % FOLDS
    return [drawn[fold == number] for number in range(min(FOLDS, fold.max(initial=-1) + 1))]


def penalties_for(decisions: int) -> Sequence[float]:
    """Those that so many decisions about a question are worth a try of."""
    if decisions < LEAST_DECISIONS:
        return PENALTIES[:1]
    return (*PENALTIES, WEAKEST) if decisions >= MANY_DECISIONS else PENALTIES


@dataclass(frozen=True)
class PenaltyPath:
    """What decisions teach, those of a fold left out, for each penalty: the scores that it adds to all D decisions, and
    for each but the first (which teaches nothing) the weights of those that were learned from."""

    added: list[np.ndarray]
    weights: list[np.ndarray]


def learn_question(
    lines: Mapping[str, np.ndarray],
    alike: Mapping[str, np.ndarray],
    label_D: np.ndarray,
    at_random_D: np.ndarray,
    group_D: np.ndarray,
    free_L: np.ndarray,
    each: Callable[..., Iterable[PenaltyPath]] = map,
) -> QuestionTerms:
    """Learn one question's terms from D decisions, for the answers that are `free_L`.

    `lines`: inputs -> (D, L) scores by name, NaN where a product lacks inputs; `alike`: TITLE and IMAGE -> (D, D). The
    title's part is learned first, and the picture's beside a title on top of it. Products of one `group_D` are held out
    together. `each` maps: folds may be learned side by side.
    """
    learned = QuestionTerms()
    folds = [np.arange(0), *folds_of(at_random_D, group_D)]  # the first leaves nothing out
    titles = [np.zeros_like(lines[TITLE])] * len(folds)  # what the title's part adds
    for inputs in (TITLE, BOTH, IMAGE):
        has_D = ~np.isnan(lines[inputs][:, 0])
        if not has_D.any():
            continue
        bases = [lines[inputs] + title_DL if inputs == BOTH else lines[inputs] for title_DL in titles]
        penalties = penalties_for(int(has_D.sum()))
        scale = scale_of(bases[0][has_D], label_D[has_D])
        alike_DD = alike[TITLE if inputs == TITLE else IMAGE]
        without = partial(_without, has_D, label_D, alike_DD, free_L, scale, penalties)
        paths = list(each(without, bases, folds))
        held = {penalty: lines[inputs].copy() for penalty in penalties}
        for path, base_DL, fold in list(zip(paths, bases, folds, strict=True))[1:]:
            for penalty, added_DL in zip(penalties, path.added, strict=True):
                held[penalty][fold] = base_DL[fold] + added_DL[fold]
        best = _best({penalty: scale * own for penalty, own in held.items()}, label_D, has_D & at_random_D)
        learned.held_out[inputs], place = held[best], penalties.index(best)
        if inputs == TITLE:
            titles = [path.added[place] for path in paths]
        if place:
            learned.terms[inputs] = Term(np.flatnonzero(has_D), paths[0].weights[place - 1])
    return learned


def _without(
    has_D: np.ndarray,
    label_D: np.ndarray,
    alike_DD: np.ndarray,
    free_L: np.ndarray,
    scale: float,
    penalties: Sequence[float],
    base_DL: np.ndarray,
    fold: np.ndarray,
) -> PenaltyPath:
    """What the decisions teach without those of a fold."""
    taught = has_D.copy()
    taught[fold] = False
    nothing = np.zeros_like(base_DL)
    if len(penalties) == 1:
        return PenaltyPath([nothing], [])
    kernel_TT = alike_DD[np.ix_(taught, taught)]
    found = fit_path(scale * base_DL[taught], label_D[taught], kernel_TT, free_L, penalties=penalties)
    weights = [own / scale for own in found]
    return PenaltyPath([nothing, *(alike_DD[:, taught] @ own for own in weights)], weights)


def scale_of(base_DL: np.ndarray, label_D: np.ndarray) -> float:
    """By what scores are multiplied so that the decisions are likeliest: what names say may be right, and not sure
    enough, as margins of support vectors are not."""
    all_D = np.arange(len(label_D))

    def surprise(scale: float) -> float:
        own_D = softmax(scale * base_DL, axis=1)[all_D, label_D]
        return float(-np.log((1 - NOISE) * own_D + NOISE / base_DL.shape[1]).mean())

    return min(SCALES, key=surprise)


def _best(held: Mapping[float, np.ndarray], label_D: np.ndarray, asked_D: np.ndarray) -> float:
    """The penalty with which held-out decisions are the most probable; the strongest, which learns nothing, unless the
    other is better by more than ERRORS standard errors, and where too few are held out."""
    if asked_D.sum() < LEAST_DECISIONS:
        return PENALTIES[0]

    all_D = np.arange(asked_D.sum())
    met = {penalty: softmax(own[asked_D], axis=1)[all_D, label_D[asked_D]] for penalty, own in held.items()}
    best = max(met, key=lambda penalty: met[penalty].mean())
    gain_D = met[best] - met[PENALTIES[0]]
    return best if gain_D.mean() > ERRORS * gain_D.std() / np.sqrt(len(gain_D)) else PENALTIES[0]


@dataclass(frozen=True)
class HeadTerms:
    """The linear terms of a head, kept to be put back: what decisions teach is written over them round by round."""

    weights: list[torch.Tensor]

    @classmethod
    def of(cls, head: PromptMaskHead) -> HeadTerms:
        """Copies of them."""
        return cls([weight.detach().clone() for weight in _terms(head)])

    def put_into(self, head: PromptMaskHead) -> None:
        """As they were."""
        with torch.no_grad():
            for weight, kept in zip(_terms(head), self.weights, strict=True):
                weight.copy_(kept)


def _terms(head: PromptMaskHead) -> Iterator[torch.Tensor]:
    for part in (head.ngram_linear, head.image_linear.linear, head.image_linear_with_title.linear):
        yield from part.parameters()


@dataclass(frozen=True)
class Taught:
    """What decisions taught about every question that they answer, by its number."""

    reader: NameReader
    features: Features
    learned: dict[int, QuestionTerms]

    def lines(self, outputs: CatalogOutputs) -> dict[str, np.ndarray]:
        """Inputs -> (N, F) scores of the products, by names and by what was learned."""
        lines = {inputs: line_NF.copy() for inputs, line_NF in outputs.lines.items()}
        for number, own in self.learned.items():
            span = self.reader.asked[number].span
            for inputs, term in own.terms.items():
                scores_NL = term.scores(self.features.alike[TITLE if inputs == TITLE else IMAGE])
                for into in (TITLE, BOTH) if inputs == TITLE else (inputs,):
                    lines[into][:, span] += scores_NL
        return lines

    def write_into(self, head: PromptMaskHead) -> None:
        """Add what was learned to a head's linear terms, so that it answers new products in the same way."""
        mean_W, spread_W = head.image_linear.mean_F, head.image_linear.spread_F  # by which features are standardised
        scale = np.sqrt(mean_W.numel())
        parts = {IMAGE: head.image_linear, BOTH: head.image_linear_with_title}
        with torch.no_grad():
            for number, own in self.learned.items():
                free_L = self.reader.free(number)
                columns = torch.from_numpy(self.reader.asked[number].answers_L[free_L])
                for inputs, term in own.terms.items():
                    weight_DL = term.weight_DL[:, free_L]
                    bias_L = torch.from_numpy(CONSTANT * weight_DL.sum(0)).float()
                    if inputs == TITLE:
                        weight_GL = self.features.grams_TG[term.place_D].T @ weight_DL
                        head.ngram_linear.weights.weight[:, columns] += torch.from_numpy(weight_GL).float()
                        head.ngram_linear.bias[columns] += bias_L
                    else:
                        part = parts[inputs]
                        weight_LW = torch.from_numpy(
                            weight_DL.T @ self.features.picture_TW[term.place_D] / scale
                        ).float()
                        part.linear.weight[columns] += weight_LW * (part.spread_F / spread_W)
                        part.linear.bias[columns] += bias_L + weight_LW @ ((part.mean_F - mean_W) / spread_W)


def learn(
    reader: NameReader,
    outputs: CatalogOutputs,
    every: CatalogFeatures,
    rows_T: np.ndarray,
    labels_TQ: np.ndarray,
    at_random_T: np.ndarray,
) -> Taught:
    """Learn every question that is answered by some of T reviewed products.

    `labels_TQ`: the place of the right answer among the legal ones of each question, -1 where none is known or it is
    `unknown`, which is no value to learn.
    """
    features = Features.of(every, rows_T)
    title_T = title_ids([outputs.titles[row] for row in rows_T])  # as in splits: variants are no news to each other

    def one(number: int, each: Callable[..., Iterable[PenaltyPath]]) -> QuestionTerms:
        known = np.flatnonzero(labels_TQ[:, number] >= 0)
        rows_D, span = rows_T[known], reader.asked[number].span
        lines = {inputs: line_NF[rows_D, span].astype(np.float64) for inputs, line_NF in outputs.lines.items()}
        alike = {kind: own_NT[np.ix_(rows_D, known)].astype(np.float64) for kind, own_NT in features.alike.items()}
        asked = labels_TQ[known, number], at_random_T[known], title_T[known]
        own = learn_question(lines, alike, *asked, reader.free(number), each)
        terms = {inputs: Term(known[term.place_D], term.weight_DL) for inputs, term in own.terms.items()}
        return QuestionTerms(terms, own.held_out)

    answered = [number for number in range(len(reader.asked)) if (labels_TQ[:, number] >= 0).any()]
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(usable_cores()) as pool:
        return Taught(reader, features, {number: one(number, pool.map) for number in answered})
