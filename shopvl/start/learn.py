"""Linear terms for answers, learned from few decisions beside what their names say.

A frozen model scores every answer by its name. A multinomial logistic regression over the n-grams of titles and the
pictures' pooled vectors is added to these scores: it begins at nothing, and its penalty holds it near (as few-shot
adapters of CLIP do: Tip-Adapter, arXiv:2111.03930; LP++, arXiv:2404.02285). With T decisions it is solved in their T
dimensions (the kernel trick), in well under a second. How strong the penalty must be is asked of decisions held out:
for values that the model knows by heart almost nothing is to be learned, for others nearly everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

from shopvl.models.prompt_heads import PromptMaskHead
from shopvl.runtime.cores import usable_cores
from shopvl.start.outputs import CatalogOutputs, NameReader
from shopvl.text.grams import gram_rows

PENALTIES = (np.inf, 3.0, 0.5, 0.08)  # the first learns nothing
FOLDS = 5
CONSTANT = 0.1  # of the kernel: how freely an answer may become likelier for all products alike
MOST_STEPS = 60
LEAST_DECISIONS = 8  # about a question
BOTH, IMAGE, TITLE = "image+title", "image", "title"


@dataclass(frozen=True)
class Features:
    """What is learned from, of N products: rows of length about 1."""

    grams_NG: csr_matrix
    picture_NW: np.ndarray  # standardised as the head does it; 0 where there is none

    @classmethod
    def of(cls, head: PromptMaskHead, outputs: CatalogOutputs) -> Features:
        """Those of the products."""
        mean_W, spread_W = head.image_linear.mean_F.numpy(), head.image_linear.spread_F.numpy()
        picture_NW = (outputs.pooled_NW - mean_W) / spread_W / np.sqrt(len(mean_W))
        return cls(gram_rows(outputs.titles).astype(np.float32), np.nan_to_num(picture_NW).astype(np.float32))

    def kernel(self, kind: str, one_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
        """(N, M): how alike products are, by their titles or by their pictures."""
        if kind == TITLE:
            alike = np.asarray((self.grams_NG[one_N] @ self.grams_NG[other_N].T).todense())
        else:
            alike = self.picture_NW[one_N] @ self.picture_NW[other_N].T
        return alike.astype(np.float64) + CONSTANT


@dataclass(frozen=True)
class Term:
    """What was learned of one question from one kind of input: A (T, L) over the T decisions it was learned from."""

    rows_T: np.ndarray
    weight_TL: np.ndarray

    def scores(self, features: Features, kind: str, rows_N: np.ndarray) -> np.ndarray:
        """(N, L) to be added to what names say."""
        scores: np.ndarray = features.kernel(kind, rows_N, self.rows_T) @ self.weight_TL
        return scores


@dataclass
class Learned:
    """Of one question: what titles and pictures teach, and the scores of held-out decisions from each inputs."""

    terms: dict[str, Term] = field(default_factory=dict)  # inputs -> what it adds; BOTH: of the picture beside a title
    held_out: dict[str, np.ndarray] = field(default_factory=dict)  # inputs -> (T, L) scores, as of decisions never seen


def fit_path(
    base_TL: np.ndarray, label_T: np.ndarray, kernel_TT: np.ndarray, free_L: np.ndarray
) -> Iterator[np.ndarray]:
    """A (T, L) for each penalty but the first: the least of -log p of the right answers + penalty / 2 * tr(A' K A),
    with the scores base + K A. Each begins where the one before has ended. Only answers that are `free_L` change."""
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
        logp_TL = log_softmax(base_TL + seen_TR @ weight, axis=1)
        slope = (seen_TR.T @ (np.exp(logp_TL) - right_TL) + penalty * weight) * free_L
        return -logp_TL[np.arange(T), label_T].sum() + penalty / 2 * (weight**2).sum(), slope.ravel()

    for penalty in PENALTIES[1:]:
        steps = {"maxiter": MOST_STEPS}
        found = minimize(loss, weight_RL.ravel(), (penalty,), jac=True, method="L-BFGS-B", options=steps)
        weight_RL = found.x.reshape(weight_RL.shape)
        yield (axes_TT[:, real_T] / root_R) @ weight_RL


def folds_of(count: int, at_random_T: np.ndarray) -> list[np.ndarray]:
    """Which of T decisions are held out together: those about products drawn at random, dealt out in their order. The
    others were chosen because they are hard, and are always learned from."""
    drawn = np.flatnonzero(at_random_T)
    return [drawn[first::FOLDS] for first in range(min(FOLDS, len(drawn)))]


def learn_question(
    lines: Mapping[str, np.ndarray],
    features: Features,
    rows_T: np.ndarray,
    label_T: np.ndarray,
    at_random_T: np.ndarray,
    free_L: np.ndarray,
) -> Learned:
    """Learn one question's terms from T decisions, for the answers that are `free_L`.

    `lines`: inputs -> (N, L) scores by name, NaN where a product lacks inputs; `rows_T` are the decisions' products.
    The title's part is learned first, and the picture's beside a title on top of it.
    """
    learned = Learned()
    folds = folds_of(len(rows_T), at_random_T)
    title_held: dict[int, np.ndarray] = {}  # fold -> what the title's part of the other folds adds to all T
    for inputs in (TITLE, BOTH, IMAGE):
        base_TL = lines[inputs][rows_T].astype(np.float64)
        has_T = ~np.isnan(base_TL[:, 0])
        kind = TITLE if inputs == TITLE else IMAGE
        if inputs == BOTH and TITLE in learned.terms:
            added_TL = learned.terms[TITLE].scores(features, TITLE, rows_T)
        else:
            added_TL = np.zeros_like(base_TL)
        held = {penalty: base_TL.copy() for penalty in PENALTIES}
        kept: dict[int, list[np.ndarray]] = {}
        enough = has_T.sum() >= LEAST_DECISIONS
        for number, fold in enumerate(folds if enough else ()):
            taught = has_T.copy()
            taught[fold] = False
            own_TL = title_held.get(number, np.zeros_like(base_TL)) if inputs == BOTH else np.zeros_like(base_TL)
            if not taught.any():
                continue
            base = base_TL + own_TL
            kernel_TT = features.kernel(kind, rows_T[taught], rows_T[taught])
            across = features.kernel(kind, rows_T, rows_T[taught])
            held[PENALTIES[0]][fold] = base[fold]
            kept[number] = [np.zeros_like(base_TL)]
            for penalty, weight in zip(PENALTIES[1:], fit_path(base[taught], label_T[taught], kernel_TT, free_L), strict=True):
                kept[number].append(across @ weight)
                held[penalty][fold] = base[fold] + kept[number][-1][fold]
        penalty = _best(held, label_T, has_T & at_random_T)
        learned.held_out[inputs] = held[penalty]
        place = PENALTIES.index(penalty)
        if inputs == TITLE:
            title_held = {number: added[place] for number, added in kept.items()}
        if place and enough:
            rows = rows_T[has_T]
            kernel_TT = features.kernel(kind, rows, rows)
            path = list(fit_path((base_TL + added_TL)[has_T], label_T[has_T], kernel_TT, free_L))
            learned.terms[inputs] = Term(rows, path[place - 1])
    return learned


def _best(held: Mapping[float, np.ndarray], label_T: np.ndarray, asked_T: np.ndarray) -> float:
    """The penalty with which held-out decisions are likeliest; the strongest where none are held out."""
    if not asked_T.any():
        return PENALTIES[0]

    def surprise(scores_TL: np.ndarray) -> float:
        logp_TL = log_softmax(scores_TL[asked_T], axis=1)
        return float(-logp_TL[np.arange(len(logp_TL)), label_T[asked_T]].mean())

    return min(PENALTIES, key=lambda penalty: surprise(held[penalty]))


@dataclass(frozen=True)
class Taught:
    """What decisions taught about every question that they answer, by its number."""

    reader: NameReader
    features: Features
    learned: dict[int, Learned]

    def lines(self, outputs: CatalogOutputs) -> dict[str, np.ndarray]:
        """Inputs -> (N, F) scores of the products, by names and by what was learned."""
        lines = {inputs: line_NF.copy() for inputs, line_NF in outputs.lines.items()}
        all_N = np.arange(len(outputs.ids))
        for number, own in self.learned.items():
            span = self.reader.asked[number].span
            for inputs, term in own.terms.items():
                kind = TITLE if inputs == TITLE else IMAGE
                scores_NL = term.scores(self.features, kind, all_N).astype(np.float32)
                for into in (TITLE, BOTH) if inputs == TITLE else (inputs,):
                    lines[into][:, span] += scores_NL
        return lines

    def write_into(self, head: PromptMaskHead) -> None:
        """Add what was learned to a head's linear terms, so that it answers new products in the same way."""
        scale = np.sqrt(head.image_linear.mean_F.numel())
        parts = {IMAGE: head.image_linear, BOTH: head.image_linear_with_title}
        with torch.no_grad():
            for number, own in self.learned.items():
                free_L = self.reader.free(number)
                columns = torch.from_numpy(self.reader.asked[number].answers_L[free_L])
                for inputs, term in own.terms.items():
                    weight_TL = term.weight_TL[:, free_L]
                    bias_L = torch.from_numpy(CONSTANT * weight_TL.sum(0)).float()
                    if inputs == TITLE:
                        weight_GL = self.features.grams_NG[term.rows_T].T @ weight_TL
                        head.ngram_linear.weights.weight[:, columns] += torch.from_numpy(weight_GL).float()
                        head.ngram_linear.bias[columns] += bias_L
                    else:
                        weight_LW = weight_TL.T @ self.features.picture_NW[term.rows_T] / scale
                        parts[inputs].linear.weight[columns] += torch.from_numpy(weight_LW).float()
                        parts[inputs].linear.bias[columns] += bias_L


def learn(
    reader: NameReader,
    outputs: CatalogOutputs,
    rows_T: np.ndarray,
    labels_TQ: np.ndarray,
    at_random_T: np.ndarray,
) -> Taught:
    """Learn every question that is answered by some of T reviewed products.

    `labels_TQ`: the place of the right answer among the legal ones of each question, -1 where none is known or it is
    `unknown`, which is no value to learn.
    """
    features = Features.of(reader.head, outputs)

    def one(number: int) -> Learned:
        known_T = labels_TQ[:, number] >= 0
        span = reader.asked[number].span
        lines = {inputs: line_NF[:, span] for inputs, line_NF in outputs.lines.items()}
        own = rows_T[known_T], labels_TQ[known_T, number], at_random_T[known_T]
        return learn_question(lines, features, *own, reader.free(number))

    asked = [number for number in range(len(reader.asked)) if (labels_TQ[:, number] >= 0).any()]
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(usable_cores()) as pool:
        return Taught(reader, features, dict(zip(asked, pool.map(one, asked), strict=True)))
