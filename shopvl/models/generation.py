"""Words written one after the other: greedily, by beams, by drawing; and how likely given texts are.

A model that writes has read a line (`Begun`) and says how it goes on (`GoOn`). A word that it must never write has the
logit -inf. Letters as in `batch.py`, and R rows of texts being written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from shopvl.batch import require
from shopvl.errors import DesignError
from shopvl.models.attention import Encoder
from shopvl.models.inputs import WordEmbedding
from shopvl.models.sight import KeyValueCache, Sight
from shopvl.text.trie import Trie, build_trie

AT_ONCE = 2048  # positions whose logits are held at once, each as long as the vocabulary


@dataclass(frozen=True)
class Begun:
    """What was read: the logits (R, V) of the word that follows, and what to keep."""

    logits_RV: Tensor
    cache: KeyValueCache

    def rows(self, row_R: Tensor) -> Begun:
        """These rows, in this order."""
        return Begun(self.logits_RV[row_R], self.cache.rows(row_R))

    def among(self, allowed_RV: Tensor) -> Begun:
        """The same, where each row writes none but these words, its end among them."""
        logits_RV = self.logits_RV.masked_fill(~allowed_RV, -torch.inf)
        return Begun(logits_RV, replace(self.cache, allowed_BV=allowed_RV))


@dataclass(frozen=True)
class Branches:
    """Words that are several goings-on of a line at once: a tree.

    Each comes `depth_T` words after the line, and sees the line and the words `sees_TT`, itself among them.
    """

    depth_T: Tensor
    sees_TT: Tensor


class GoOn(Protocol):
    """How a line that was read goes on."""

    def __call__(
        self, ids_RT: Tensor, cache: KeyValueCache, branches: Branches | None = None
    ) -> tuple[Tensor, KeyValueCache]:
        """Logits (R, T, V) of what follows each of T more words, and the cache with them.

        The words follow one another, or are `branches`: then the cache that is returned has no meaning.
        """
        ...


class LineReader(Protocol):
    """What reads a line piece by piece, as `Encoder.read` does."""

    def read(
        self,
        x_BND: Tensor,
        sight: Sight | None = None,
        image: Tensor | None = None,
        other: tuple[Tensor, Tensor] | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Tensor, KeyValueCache]:
        """States of x (B, N, D) after what is in the cache, and what to keep."""
        ...


@dataclass(frozen=True)
class WritingMode:
    """An encoder whose blocks write by an attention of their own (BLIP, arXiv:2201.12086)."""

    encoder: Encoder

    def read(
        self,
        x_BND: Tensor,
        sight: Sight | None = None,
        image: Tensor | None = None,
        other: tuple[Tensor, Tensor] | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Tensor, KeyValueCache]:
        """As a `LineReader`."""
        return self.encoder.read(x_BND, sight, image, other, cache, writing=True)


@dataclass(frozen=True)
class Chained:
    """Two encoders, one over the other; only the upper one attends to another line (CoCa, arXiv:2205.01917)."""

    lower: Encoder
    upper: Encoder

    def read(
        self,
        x_BND: Tensor,
        sight: Sight | None = None,
        image: Tensor | None = None,
        other: tuple[Tensor, Tensor] | None = None,
        cache: KeyValueCache | None = None,
    ) -> tuple[Tensor, KeyValueCache]:
        """As a `LineReader`; the cache holds the blocks of both."""
        count = len(self.lower.blocks)
        below = above = cache
        if cache is not None:
            below = replace(cache, layers=cache.layers[:count], contexts=())
            above = replace(cache, layers=cache.layers[count:])
        x_BND, lower = self.lower.read(x_BND, sight, image, cache=below)
        x_BND, upper = self.upper.read(x_BND, sight, image, other, above)
        return x_BND, replace(upper, layers=lower.layers + upper.layers)


@dataclass(frozen=True)
class LineWriter:
    """An encoder and the words it reads, as what goes on; `to_logits` tells words from states, (..., D) -> (..., V)."""

    words: WordEmbedding
    encoder: LineReader
    to_logits: Callable[[Tensor], Tensor]
    segment: str = "title"

    def begin(
        self,
        line_BND: Tensor,
        sight: Sight,
        word_BN: Tensor,
        image_BN: Tensor | None = None,
        other: tuple[Tensor, Tensor] | None = None,
    ) -> Begun:
        """The line read; `word_BN` says which positions are real words, of which the last is written on from."""
        states_BND, cache = self.encoder.read(line_BND, sight, image_BN, other)
        place_BN = torch.arange(word_BN.shape[1], device=word_BN.device) * word_BN
        last_BD = states_BND[torch.arange(len(word_BN), device=word_BN.device), place_BN.amax(1)]
        cache = replace(cache, words_B=word_BN.sum(1))
        return Begun(self.to_logits(self._telling(last_BD, cache)), cache)

    def _telling(self, last_BD: Tensor, cache: KeyValueCache) -> Tensor:
        """(B, D): the state that tells what follows a line that was read: its last word's."""
        return last_BD

    def __call__(
        self, ids_RT: Tensor, cache: KeyValueCache, branches: Branches | None = None
    ) -> tuple[Tensor, KeyValueCache]:
        """Raises DesignError beyond the last place."""
        words_R = require(cache.words_B, "the number of words", by="a writer")
        depth_T = torch.arange(ids_RT.shape[1], device=ids_RT.device) if branches is None else branches.depth_T
        place_RT = words_R[:, None] + depth_T
        states_RTD, longer = self._read(ids_RT, place_RT, None if branches is None else branches.sees_TT, cache)
        kept = replace(longer, words_B=words_R + ids_RT.shape[1], allowed_BV=cache.allowed_BV)
        return self._logits(states_RTD, cache), kept

    def _read(
        self, ids_RN: Tensor, place_RN: Tensor, sees_NN: Tensor | None, cache: KeyValueCache
    ) -> tuple[Tensor, KeyValueCache]:
        """Words in their places after what was read; they follow one another, or see of each other what is said."""
        if int(place_RN.max()) >= len(self.words.position):
            raise DesignError(f"this model has places for {len(self.words.position)} words; write fewer")
        sight = None if sees_NN is None else cache.sight_of(sees_NN)
        no_image_RN = torch.zeros_like(ids_RN, dtype=torch.bool)
        return self.encoder.read(self.words.at(ids_RN, place_RN, self.segment), sight, no_image_RN, cache=cache)

    def _logits(self, states_RTD: Tensor, cache: KeyValueCache) -> Tensor:
        """(R, T, V), -inf where a row may not write a word."""
        logits_RTV, allowed_RV = self.to_logits(states_RTD), cache.allowed_BV
        return logits_RTV if allowed_RV is None else logits_RTV.masked_fill(~allowed_RV[:, None], -torch.inf)


@dataclass(frozen=True)
class MaskWriter(LineWriter):
    """Tells the word that follows at a [MASK] put there, as hidden words are told (Unified VLP, arXiv:1909.11059).

    A [MASK] sees what its word will see, and is forgotten once it is told.
    """

    mask_id: int = field(kw_only=True)

    def _telling(self, last_BD: Tensor, cache: KeyValueCache) -> Tensor:
        """(B, D): that of a [MASK] behind it."""
        place_B1 = require(cache.words_B, "the number of words", by="a writer")[:, None]
        return self._read(torch.full_like(place_B1, self.mask_id), place_B1, None, cache)[0][:, 0]

    def __call__(
        self, ids_RT: Tensor, cache: KeyValueCache, branches: Branches | None = None
    ) -> tuple[Tensor, KeyValueCache]:
        """Raises DesignError beyond the last place."""
        words_R, T = require(cache.words_B, "the number of words", by="a writer"), ids_RT.shape[1]
        depth_T = torch.arange(T, device=ids_RT.device)
        sees_TT = depth_T <= depth_T[:, None]
        if branches is not None:
            depth_T, sees_TT = branches.depth_T, branches.sees_TT
        # words, then a [MASK] after each of them, which sees what that word sees, and itself
        place_RT = words_R[:, None] + depth_T
        line_RN = torch.cat([ids_RT, torch.full_like(ids_RT, self.mask_id)], dim=1)
        alone_TT = torch.eye(T, dtype=torch.bool, device=ids_RT.device)
        words_TN = torch.cat([sees_TT, torch.zeros_like(alone_TT)], dim=1)
        sees_NN = torch.cat([words_TN, torch.cat([sees_TT, alone_TT], dim=1)])
        # a text that fills all places is followed by its end alone, told in the last of them
        mask_place_RT = (place_RT + 1).clamp(max=len(self.words.position) - 1)
        states_RND, longer = self._read(line_RN, torch.cat([place_RT, mask_place_RT], dim=1), sees_NN, cache)
        layers = tuple((k[:, :, :-T], v[:, :, :-T]) for k, v in longer.layers)
        kept = replace(
            longer, layers=layers, sight=cache.sight_after(T), words_B=words_R + T, allowed_BV=cache.allowed_BV
        )
        return self._logits(states_RND[:, T:], cache), kept


@dataclass(frozen=True)
class Text:
    """Words as written, without the end, and the log-probability of them all, with the end if it was reached."""

    ids: tuple[int, ...]
    logp: float
    ended: bool

    def score(self, length_penalty: float) -> float:
        """The log-probability, divided by that power of the number of words, the end among them."""
        return self.logp / (len(self.ids) + self.ended) ** length_penalty


def greedy(begun: Begun, go_on: GoOn, *, end: int, limit: int) -> list[Text]:
    """For each row the likeliest word, again and again, `limit` words at most."""
    return _one_by_one(begun, go_on, lambda logits_RV: logits_RV.argmax(-1), end, limit)


def sample(
    begun: Begun,
    go_on: GoOn,
    *,
    end: int,
    limit: int,
    generator: Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> list[Text]:
    """For each row words drawn from their probabilities, `limit` at most; the same for the same generator's state.

    Logits are divided by the temperature; then only the `top_k` likeliest are left (arXiv:1805.04833), and of these the
    fewest that have `top_p` of the probability together (arXiv:1904.09751).
    """

    def draw(logits_RV: Tensor) -> Tensor:
        kept_RV = likeliest(logits_RV / temperature, top_k, top_p)
        return torch.multinomial(kept_RV.softmax(-1), 1, generator=generator)[:, 0]

    return _one_by_one(begun, go_on, draw, end, limit)


def likeliest(logits_RV: Tensor, top_k: int | None, top_p: float) -> Tensor:
    """The logits (R, V), -inf where not among the `top_k`, or not among the fewest that have `top_p` together."""
    if top_k is not None and top_k < logits_RV.shape[1]:
        least_R1 = logits_RV.topk(top_k).values[:, -1:]
        logits_RV = logits_RV.masked_fill(logits_RV < least_R1, -torch.inf)
    if top_p < 1:
        ordered_RV, place_RV = logits_RV.sort(descending=True)
        share_RV = ordered_RV.softmax(-1)
        left_out_RV = share_RV.cumsum(-1) - share_RV >= top_p  # what is likelier has enough
        logits_RV = logits_RV.masked_fill(left_out_RV.gather(1, place_RV.argsort()), -torch.inf)
    return logits_RV


def _one_by_one(begun: Begun, go_on: GoOn, choose: Callable[[Tensor], Tensor], end: int, limit: int) -> list[Text]:
    count = len(begun.logits_RV)
    written: list[list[int]] = [[] for _ in range(count)]
    logp, ended = [0.0] * count, [False] * count
    rows, logits_RV, cache = list(range(count)), begun.logits_RV, begun.cache
    for step in range(limit):
        chosen_R = choose(logits_RV.float())
        logp_R = logits_RV.float().log_softmax(-1).gather(1, chosen_R[:, None])[:, 0]
        for row, word, gain in zip(rows, chosen_R.tolist(), logp_R.tolist(), strict=True):
            logp[row] += gain
            ended[row] = word == end
            if not ended[row]:
                written[row].append(word)
        open_R = (chosen_R != end).nonzero()[:, 0]
        if not len(open_R) or step + 1 == limit:
            break
        rows = [rows[number] for number in open_R.tolist()]
        cache = cache if len(open_R) == len(chosen_R) else cache.rows(open_R)
        logits_RTV, cache = go_on(chosen_R[open_R, None], cache)
        logits_RV = logits_RTV[:, -1]
    return [Text(tuple(ids), total, done) for ids, total, done in zip(written, logp, ended, strict=True)]


def beams(
    begun: Begun, go_on: GoOn, *, end: int, limit: int, width: int, length_penalty: float = 0.0
) -> list[list[Text]]:
    """For each row the `width` texts of the best `Text.score` that beam search finds, the best first.

    The `width` likeliest beginnings go on together. A text is finished by its end, or by its `limit`-th word; a row is
    done once no beginning can become better than its `width` finished texts, if the penalty is not negative.
    """
    finished: list[list[Text]] = [[] for _ in begun.logits_RV]
    open_rows = {row: [Text((), 0.0, ended=False)] for row in range(len(finished))}
    logits_RV, cache = begun.logits_RV, begun.cache
    for step in range(1, limit + 1):
        logp_RV, before, taken = logits_RV.float().log_softmax(-1), 0, []
        for row, texts in list(open_rows.items()):
            going: list[tuple[Text, int]] = []
            candidates = _longer(texts, logp_RV[before : before + len(texts)], 2 * width, end)
            for rank, (text, parent) in enumerate(candidates):
                if text.ended or step == limit:
                    finished[row] += [text] if rank < width else []
                elif len(going) < width:
                    going.append((text, before + parent))
            before += len(texts)
            finished[row] = sorted(finished[row], key=lambda text: -text.score(length_penalty))[:width]
            longest = limit if length_penalty > 0 else step
            if going and (
                len(finished[row]) < width
                or going[0][0].logp / longest**length_penalty > finished[row][-1].score(length_penalty)
            ):
                open_rows[row] = [text for text, _ in going]
                taken += [place for _, place in going]
            else:
                del open_rows[row]
        if not open_rows:
            break
        words = [[text.ids[-1]] for texts in open_rows.values() for text in texts]
        device = logits_RV.device
        logits_RTV, cache = go_on(torch.tensor(words, device=device), cache.rows(torch.tensor(taken, device=device)))
        logits_RV = logits_RTV[:, -1]
    return finished


def _longer(texts: Sequence[Text], logp_RV: Tensor, count: int, end: int) -> list[tuple[Text, int]]:
    """The `count` likeliest texts that are one word longer than these, the likeliest first, and which each goes on."""
    before_R1 = logp_RV.new_tensor([[text.logp] for text in texts])
    best = (before_R1 + logp_RV).flatten().topk(min(count, logp_RV.numel()))
    longer = []
    for logp, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        parent, word = divmod(place, logp_RV.shape[1])
        ids = texts[parent].ids if word == end else (*texts[parent].ids, word)
        if logp > -math.inf:
            longer.append((Text(ids, logp, word == end), parent))
    return longer


def likelihoods(begun: Begun, go_on: GoOn, texts: Sequence[Sequence[int]], *, end: int) -> Tensor:
    """The log-probability (R, K) of each of K texts, its end among its words; every text is read at once."""
    device = begun.logits_RV.device
    words_KT, counted_KT = _closed(texts, end, device)
    pairs_N2 = torch.cartesian_prod(*(torch.arange(n, device=device) for n in (len(begun.logits_RV), len(texts))))
    found = [
        _told(begun.rows(row_N), go_on, words_KT[text_N], counted_KT[text_N])
        for row_N, text_N in (part_N2.unbind(1) for part_N2 in pairs_N2.split(max(1, AT_ONCE // words_KT.shape[1])))
    ]
    return torch.cat(found).view(-1, len(texts))


def own_likelihoods(begun: Begun, go_on: GoOn, texts: Sequence[Sequence[int]], *, end: int) -> Tensor:
    """The log-probability (R,) of each row's own text, its end among its words."""
    return _told(begun, go_on, *_closed(texts, end, begun.logits_RV.device))


def _closed(texts: Sequence[Sequence[int]], end: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Texts with their ends (K, T), and which of these words are theirs (K, T)."""
    longest = max(map(len, texts)) + 1
    words_KT = torch.tensor([[*ids, *[end] * (longest - len(ids))] for ids in texts], device=device)
    return words_KT, torch.arange(longest, device=device) <= torch.tensor([[len(ids)] for ids in texts], device=device)


def _told(begun: Begun, go_on: GoOn, words_RT: Tensor, counted_RT: Tensor) -> Tensor:
    """The log-probability (R,) of those of each row's words that count."""
    logits_RTV = begun.logits_RV[:, None]
    if words_RT.shape[1] > 1:
        logits_RTV = torch.cat([logits_RTV, go_on(words_RT[:, :-1], begun.cache)[0]], dim=1)
    logp_RT = logits_RTV.float().log_softmax(-1).gather(2, words_RT[..., None])[..., 0]
    return logp_RT.masked_fill(~counted_RT, 0.0).sum(-1)


def choices(begun: Begun, go_on: GoOn, texts: Sequence[Sequence[int]], *, end: int) -> Tensor:
    """Log-probabilities (R, K) of K different texts, were they all that can be written; they sum to 1.

    At every word only those that lead to one of the texts count. Common beginnings are read once, all texts at once.
    """
    return Choices(texts, end).read(begun, go_on)


class Choices:
    """`choices` among the same texts again and again: their trie is built once."""

    def __init__(self, texts: Sequence[Sequence[int]], end: int) -> None:
        self.count = len(texts)
        self.trie = build_trie(texts, np.ones((1, len(texts)), dtype=bool), end)

    @property
    def depth(self) -> int:
        """How many words are read behind a line at most."""
        return int(self.trie.depth_M.max())

    def read(self, begun: Begun, go_on: GoOn) -> Tensor:
        """Log-probabilities (R, K)."""
        trie, device = self.trie, begun.logits_RV.device
        # the root, the first node, is what was read
        depth_T, token_T = torch.from_numpy(trie.depth_M[1:] - 1), torch.from_numpy(trie.token_M[1:])
        branches = Branches(depth_T.to(device), torch.from_numpy(trie.sees_MM[1:, 1:]).to(device))
        tokens_C = torch.from_numpy(trie.tokens_C).to(device)
        ids_T, found = tokens_C[token_T.to(device)], []
        for row_N in torch.arange(len(begun.logits_RV), device=device).split(max(1, AT_ONCE // len(trie.depth_M))):
            part = begun.rows(row_N)
            logits_NMC = part.logits_RV[:, None, tokens_C]
            if len(ids_T):
                logits_NTV, _ = go_on(ids_T.expand(len(row_N), -1), part.cache, branches)
                logits_NMC = torch.cat([logits_NMC, logits_NTV[..., tokens_C]], dim=1)
            found.append(trie_scores(trie, logits_NMC.float(), (1, self.count))[:, 0])
        return torch.cat(found)


def trie_scores(trie: Trie, logits_BMC: Tensor, shape: tuple[int, int]) -> Tensor:
    """Log-probabilities (B, Q, K) of answers, of that shape, from the logits of the trie's words at its nodes.

    -inf for what is no answer of a question.
    """
    device = logits_BMC.device
    following_MC, path_RL2 = (torch.from_numpy(part).to(device) for part in (trie.next_MC, trie.path_RL2))
    logp_BMC = logits_BMC.masked_fill(~following_MC, -torch.inf).log_softmax(-1)
    step_RL = path_RL2[..., 0] * logits_BMC.shape[-1] + path_RL2[..., 1]
    steps_BRL = logp_BMC.flatten(1)[:, step_RL.clamp(min=0)].masked_fill(path_RL2[..., 0] < 0, 0.0)
    logp_BQK = logp_BMC.new_full((len(logp_BMC), *shape), -torch.inf)
    question_R, k_R = torch.from_numpy(trie.answer_R2).to(device).unbind(1)
    logp_BQK[:, question_R, k_R] = steps_BRL.sum(-1)
    return logp_BQK
