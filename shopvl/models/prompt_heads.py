"""Questions answered from picture and title: a prompt with a slot, read or written by a few transformer blocks.

Three kinds of positions go through the same blocks. The *product* (picture, title) attends to itself. A *prompt*
attends to itself only, so it is encoded once for all products. A *slot* attends to the product, its own prompt, and the
tokens written so far. No question attends to another: six questions at once give the same answers as one by one, and
the picture is encoded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.batch import IGNORED, Questions, Words, require
from shopvl.models.attention import NORM_EPS, Block, BlockSettings
from shopvl.models.crossing import CrossingName
from shopvl.models.generation import trie_scores
from shopvl.models.heads import LinearHead, TitleWords
from shopvl.models.sight import KeysValues, Sight
from shopvl.recipes.parts import MAX_PLACES
from shopvl.text.trie import Trie, build_trie


@dataclass(frozen=True)
class PreparedQuestions:
    """What of the questions needs no product: the prompts' keys and values per block, and the answers."""

    questions: Questions
    prompts: list[KeysValues]  # each (1, H, W, d), the W words of all prompts in one line
    start_QD: Tensor  # what a slot begins with
    answers_KD: Tensor | None = None  # vectors to compare a slot with
    trie: Trie | None = None  # tokens to write
    numbers_K: Tensor | None = None  # which of the head's answers these are; None: all


@dataclass(frozen=True)
class LinearTerms:
    """What linear maps of the inputs add to the logits of all of a head's answers, (B, K) each, where there are any."""

    picture_BK: Tensor | None = None  # if there is only a picture
    picture_with_title_BK: Tensor | None = None  # of the picture, if there is a title as well
    title_BK: Tensor | None = None


class PromptHead(nn.Module):
    """What both heads share: how words, cells and prompts enter the blocks, and how slots attend to them."""

    def __init__(
        self,
        image_tower: nn.Module,
        text_tower: nn.Module,
        cells: Sequence[int],
        *,
        layers: int,
        width: int,
        heads: int,
        dropout: float,
        cross: bool,
        ocr: bool,
        crossing: CrossingName = "none",
    ) -> None:
        super().__init__()
        self.width, self.cross, self.dropout = width, cross, dropout
        if ocr:
            self.box = nn.Linear(4, width)  # where a printed word stands; its bias says that it is one
        self.cells = nn.ModuleList(nn.Linear(channels, width) for channels in image_tower.token_widths)
        self.cell_places = nn.ParameterList(nn.Parameter(torch.randn(count, width) * 0.02) for count in cells)
        self.word = nn.Linear(text_tower.width, width)
        self.place = nn.Parameter(torch.randn(MAX_PLACES, width) * 0.02)
        self.kind = nn.Parameter(torch.randn(2, width) * 0.02)  # of title words and prompt words
        self.bos = nn.Parameter(
            torch.randn(2, width) * 0.02
        )  # a first position that is never hidden; that of a context
        self.in_norm = nn.LayerNorm(width)
        settings = BlockSettings(width, heads, dropout, crossing, attention_dropout=0.0)
        self.blocks = nn.ModuleList(Block(settings, context=cross) for _ in range(layers))
        self.out_norm = nn.LayerNorm(width, eps=NORM_EPS)

    def picture(self, tokens: Sequence[Tensor]) -> Tensor:
        """The tower's cells as positions (B, P, D)."""
        groups = [
            linear(cells_BPC) + position
            for linear, position, cells_BPC in zip(self.cells, self.cell_places, tokens, strict=True)
        ]
        return self._embedded(torch.cat(groups, dim=1))

    def printed(self, words_BTC: Tensor, boxes_BT4: Tensor) -> Tensor:
        """Words on the product, as the text tower's words and their boxes, as positions (B, T, D)."""
        return self._embedded(self.word(words_BTC) + self.box(boxes_BT4))

    def title(self, words_BTC: Tensor) -> Tensor:
        """The text tower's words as positions (B, T, D)."""
        return self._embedded(self.word(words_BTC) + self.place[: words_BTC.shape[1]] + self.kind[0])

    def _embedded(self, x_BND: Tensor) -> Tensor:
        return F.dropout(self.in_norm(x_BND), self.dropout, self.training)

    def _with_bos(self, x_BND: Tensor, real_BN: Tensor, which: int) -> tuple[Tensor, Tensor]:
        B = x_BND.shape[0]
        x_BND = torch.cat([self.bos[which].to(x_BND.dtype).expand(B, 1, -1), x_BND], dim=1)
        return x_BND, F.pad(real_BN, (1, 0), value=True)

    def read_prompts(self, questions: Questions, words_QTC: Tensor) -> tuple[list[KeysValues], Tensor]:
        """Keys and values of all prompts' words in one line, per block; and what the slots begin with (Q, D).

        The slot's position is not part of the prompt: the slot itself takes it.
        """
        Q, T = questions.prompts.ids_BT.shape
        x_QTD = self._embedded(self.word(words_QTC) + self.place[:T] + self.kind[1])
        start_QD = x_QTD[torch.arange(Q, device=x_QTD.device), questions.slot_Q]
        words_QT = self._prompt_words(questions)
        image_QT = torch.zeros_like(words_QT)
        keys_values = []
        for block in self.blocks:
            if block is self.blocks[-1]:
                k, v = block.keys_values(x_QTD, image_QT)
            else:
                x_QTD, (k, v) = block.read(x_QTD, Sight(words_QT), image_QT)
            keys_values.append((_one_line(k, words_QT), _one_line(v, words_QT)))
        return keys_values, start_QD

    @staticmethod
    def _prompt_words(questions: Questions) -> Tensor:
        """(Q, T) bool: words of the prompt, without the slot."""
        real_QT = questions.prompts.real_BT.clone()
        real_QT[torch.arange(len(real_QT), device=real_QT.device), questions.slot_Q] = False
        return real_QT

    def run(
        self,
        picture: tuple[Tensor, Tensor],
        title: tuple[Tensor, Tensor],
        prepared: PreparedQuestions,
        slots_BMD: Tensor,
        owner_M: Tensor,
        sees_MM: Tensor,
    ) -> Tensor:
        """States of the slots (B, M, D) after all blocks.

        `picture` and `title` are positions with masks of what may be seen; slot m belongs to question `owner_M[m]` and
        sees the slots `sees_MM[m]`.
        """
        if self.cross:
            x_BND, real_BN = self._with_bos(*title, 0)
            other = self._with_bos(*picture, 1)
            image_BN = torch.zeros_like(real_BN)
        else:
            both = torch.cat([picture[0], title[0]], dim=1), torch.cat([picture[1], title[1]], dim=1)
            x_BND, real_BN = self._with_bos(*both, 0)
            position_N = torch.arange(x_BND.shape[1], device=x_BND.device)
            image_BN = ((position_N > 0) & (position_N <= picture[0].shape[1])).expand(len(x_BND), -1)
        B, N, M = x_BND.shape[0], x_BND.shape[1], slots_BMD.shape[1]
        word_BM = torch.zeros(B, M, dtype=torch.bool, device=x_BND.device)
        words_QT = self._prompt_words(prepared.questions)
        prompt_MW = owner_M[:, None] == words_QT.nonzero()[:, 0]
        fixed = torch.cat([prompt_MW, sees_MM], dim=1)
        slot_sight = Sight(table=torch.cat([real_BN[:, None, :].expand(B, M, N), fixed.expand(B, -1, -1)], dim=2))
        product_sight = Sight(real_BN)
        for block, prompt in zip(self.blocks, prepared.prompts, strict=True):
            context = block.cross.context(*other) if self.cross else None
            if block is self.blocks[-1]:  # nothing attends to the product's states after it
                own = block.keys_values(x_BND, image_BN)
            else:
                x_BND, own = block.read(x_BND, product_sight, image_BN, context)
            slots_BMD, _ = block.read(slots_BMD, slot_sight, word_BM, context, past=(own, prompt))
        return self.out_norm(slots_BMD)


def _one_line(x: Tensor, words_QT: Tensor) -> Tensor:
    """(Q, H, T, d) -> (1, H, W, d): the words alone, without padding."""
    return x.transpose(0, 1)[:, words_QT][None]


class PromptMaskHead(PromptHead):
    """The answer is read at the slot and compared with the text vector of every answer, seen in training or not.

    Single-stream fusion as in ViLT (arXiv:2102.03334) with cloze questions as in PET (arXiv:2001.07676). Linear terms
    are added, as in wide & deep models (arXiv:1606.07792): a weight per n-gram of the title and answer, which learns
    that a brand makes sports shoes, and one linear map of the picture's pooled vector. An answer that was never trained
    has neither and is chosen by its name alone.
    """

    def __init__(
        self,
        image_tower: nn.Module,
        text_tower: nn.Module,
        cells: Sequence[int],
        answers: int,
        crossing: CrossingName = "none",
        **sizes: float,
    ) -> None:
        super().__init__(image_tower, text_tower, cells, cross=False, crossing=crossing, **sizes)  # type: ignore[arg-type]
        self.ngram_linear = TitleWords(answers)
        # from the picture's pooled vector: if there is only a picture, and if there is a title as well
        self.image_linear = LinearHead(image_tower.width, answers, words=False)
        self.image_linear_with_title = LinearHead(image_tower.width, answers, words=False)
        for part in (*self.image_linear.linear.parameters(), *self.image_linear_with_title.linear.parameters()):
            nn.init.zeros_(part)
        # the weight of an answer's name, and a learned bias per answer: if there is only a picture, and with a title
        self.log_picture_scale = nn.Parameter(torch.zeros(()))
        self.image_only_answer_bias = nn.Parameter(torch.zeros(answers, self.width))
        self.log_title_scale = nn.Parameter(torch.zeros(()))
        self.title_answer_bias = nn.Parameter(torch.zeros(answers, self.width))
        self.slot = nn.Sequential(nn.Linear(self.width, self.width), nn.GELU(), nn.Linear(self.width, self.width))
        self.answer = nn.Linear(text_tower.width, self.width)
        self.log_scale = nn.Parameter(torch.tensor(-0.5 * math.log(self.width)))

    def prepare(
        self, questions: Questions, prompts_QTC: Tensor, answers_KC: Tensor, numbers_K: Tensor | None = None
    ) -> PreparedQuestions:
        """Prompts read and answers as vectors; `numbers_K` says which of the head's answers they are, if not all."""
        keys_values, start_QD = self.read_prompts(questions, prompts_QTC)
        answers_KD = self.answer(answers_KC)
        return PreparedQuestions(questions, keys_values, start_QD, answers_KD=answers_KD, numbers_K=numbers_K)

    def linear_terms(self, grams_BG: Tensor | None, pooled_BW: Tensor | None) -> LinearTerms:
        """`grams_BG`: the title's, where shown; `pooled_BW`: the tower's one vector of the picture, where shown."""
        alone = beside = None
        if pooled_BW is not None and grams_BG is not None:
            beside = self.image_linear_with_title(pooled_BW, None).float()
        if pooled_BW is not None:
            alone = self.image_linear(pooled_BW, None).float()
        return LinearTerms(alone, beside, None if grams_BG is None else self.ngram_linear(grams_BG))

    def score(
        self,
        picture: tuple[Tensor, Tensor],
        title: tuple[Tensor, Tensor],
        prepared: PreparedQuestions,
        terms: LinearTerms,
    ) -> Tensor:
        """Log-probabilities (B, Q, K) of the legal answers; -inf for the others. `terms`: those of what is shown."""
        states_BQD = self.states(picture, title, prepared)
        by_name_BQK = logits_BQK = self.by_name(states_BQD, prepared)
        numbers_K = prepared.numbers_K
        has_picture_B11 = picture[1].any(1)[:, None, None]
        if terms.picture_BK is not None:
            with_picture_BQK = self.with_picture(states_BQD, by_name_BQK, terms.picture_BK, numbers_K)
            logits_BQK = torch.where(has_picture_B11, with_picture_BQK, logits_BQK)
        if terms.title_BK is not None:
            with_title_BQK = self.with_title(states_BQD, by_name_BQK, terms.title_BK, numbers_K)
            if terms.picture_with_title_BK is not None:
                added_BK = _picked(terms.picture_with_title_BK, numbers_K)
                with_title_BQK = with_title_BQK + added_BK[:, None] * has_picture_B11
            logits_BQK = torch.where(title[1].any(1)[:, None, None], with_title_BQK, logits_BQK)
        return logits_BQK.masked_fill(~prepared.questions.legal_QK, -torch.inf).log_softmax(-1)

    def states(
        self, picture: tuple[Tensor, Tensor], title: tuple[Tensor, Tensor], prepared: PreparedQuestions
    ) -> Tensor:
        """States of the slots (B, Q, D)."""
        B, Q = len(title[0]), len(prepared.start_QD)
        device = prepared.start_QD.device
        slots = prepared.start_QD.expand(B, -1, -1)
        owner, alone = torch.arange(Q, device=device), torch.eye(Q, dtype=torch.bool, device=device)
        return self.slot(self.run(picture, title, prepared, slots, owner, alone))

    def by_name(self, states_BQD: Tensor, prepared: PreparedQuestions) -> Tensor:
        """Logits (B, Q, K) from the text vectors of the answers' names."""
        answers_KD = require(prepared.answers_KD, "answer vectors", by="a head that compares")
        return (states_BQD @ answers_KD.T).float() * self.log_scale.exp()

    def with_picture(
        self, states_BQD: Tensor, by_name_BQK: Tensor, linear_BK: Tensor, numbers_K: Tensor | None = None
    ) -> Tensor:
        """Logits (B, Q, K) where there is a picture and no title; `linear_BK`: of all answers."""
        bias_BQK = (states_BQD @ _picked(self.image_only_answer_bias.T, numbers_K)).float()
        return by_name_BQK * self.log_picture_scale.exp() + bias_BQK + _picked(linear_BK, numbers_K)[:, None]

    def with_title(
        self, states_BQD: Tensor, by_name_BQK: Tensor, linear_BK: Tensor, numbers_K: Tensor | None = None
    ) -> Tensor:
        """Logits (B, Q, K) where there is a title; `linear_BK`: of all answers."""
        bias_BQK = (states_BQD @ _picked(self.title_answer_bias.T, numbers_K)).float()
        return by_name_BQK * self.log_title_scale.exp() + bias_BQK + _picked(linear_BK, numbers_K)[:, None]


def _picked(x_XK: Tensor, numbers_K: Tensor | None) -> Tensor:
    """Some of the answers."""
    return x_XK if numbers_K is None else x_XK[:, numbers_K]


class PromptDecodeHead(PromptHead):
    """The answer is written token by token by a BERT in the place of a masked autoencoder's decoder.

    Title, question and answer are its text, the picture's cells its context (arXiv:2111.06377 for the place,
    arXiv:2201.12086 for a text decoder there).
    """

    def __init__(
        self,
        image_tower: nn.Module,
        text_tower: nn.Module,
        cells: Sequence[int],
        vocabulary: int,
        end_id: int,
        **sizes: float,
    ) -> None:
        super().__init__(image_tower, text_tower, cells, cross=True, **sizes)  # type: ignore[arg-type]
        self.token = nn.Embedding(vocabulary, self.width)  # written with and read from
        self.token_bias = nn.Parameter(torch.zeros(vocabulary))
        nn.init.normal_(self.token.weight, std=0.02)
        self.end_id = end_id

    def prepare(
        self, questions: Questions, prompts_QTC: Tensor, answers_KC: Tensor, numbers_K: Tensor | None = None
    ) -> PreparedQuestions:
        """Prompts read and the trie of the answers."""
        keys_values, start_QD = self.read_prompts(questions, prompts_QTC)
        answers = self.tokens_of(questions.answers)
        trie = build_trie(answers, questions.legal_QK.cpu().numpy(), self.end_id)
        return PreparedQuestions(questions, keys_values, start_QD, trie=trie, numbers_K=numbers_K)

    def linear_terms(self, grams_BG: Tensor | None, pooled_BW: Tensor | None) -> LinearTerms:
        """None: what is written is all that counts."""
        return LinearTerms()

    def tokens_of(self, words: Words) -> list[list[int]]:
        """The answers' tokens without the two that frame every text."""
        ids = words.ids_BT.tolist()
        counts = words.real_BT.sum(1).tolist()
        return [row[1 : count - 1] for row, count in zip(ids, counts, strict=True)]

    def score(
        self,
        picture: tuple[Tensor, Tensor],
        title: tuple[Tensor, Tensor],
        prepared: PreparedQuestions,
        terms: LinearTerms,
    ) -> Tensor:
        """Log-probabilities (B, Q, K), each the sum over its tokens, among tokens that lead to a legal answer."""
        trie = require(prepared.trie, "answer tokens", by="a head that writes")
        device, B = prepared.start_QD.device, len(title[0])
        owner_M, tokens_C = torch.from_numpy(trie.owner_M).to(device), torch.from_numpy(trie.tokens_C).to(device)
        written_M = tokens_C[torch.from_numpy(trie.token_M).to(device)]
        slots_MD = self._slots(prepared, owner_M, torch.from_numpy(trie.depth_M).to(device), written_M)
        sees_MM = torch.from_numpy(trie.sees_MM).to(device)
        states_BMD = self.run(picture, title, prepared, slots_MD.expand(B, -1, -1), owner_M, sees_MM)
        logits_BMC = self._logits(states_BMD, tokens_C)
        return trie_scores(trie, logits_BMC, prepared.questions.legal_QK.shape)

    def write(
        self, picture: tuple[Tensor, Tensor], title: tuple[Tensor, Tensor], prepared: PreparedQuestions
    ) -> tuple[Tensor, Tensor]:
        """Logits (N, V) and targets (N,) of every token of the right answers, with teacher forcing."""
        questions = prepared.questions
        written_BQ = require(questions.targets, "answer targets", by="a head that writes").written_BQ
        device = prepared.start_QD.device
        closed = [[*tokens, self.end_id] for tokens in self.tokens_of(questions.answers)]
        longest = max(map(len, closed))
        table = np.full((len(closed) + 1, longest), IGNORED)  # the last row: nothing is to be written
        for row, tokens in zip(table, closed, strict=False):
            row[: len(tokens)] = tokens
        table_KL = torch.from_numpy(table).to(device)
        lengths_K = torch.tensor([len(tokens) for tokens in closed], device=device)
        lengths_Q = (lengths_K * questions.legal_QK).amax(1)  # no more slots than a question's longest answer
        owner_M = torch.arange(len(lengths_Q), device=device).repeat_interleave(lengths_Q)
        depth_M = torch.cat([torch.arange(int(length), device=device) for length in lengths_Q])
        targets_BM = table_KL[written_BQ.clamp(min=-1)][:, owner_M, depth_M]
        before_BM = targets_BM.roll(1, dims=1).clamp(min=0)  # a question's first slot is shown none
        slots_BMD = self._slots(prepared, owner_M, depth_M, before_BM)
        sees_MM = (owner_M[:, None] == owner_M) & (depth_M[:, None] >= depth_M)
        states_BMD = self.run(picture, title, prepared, slots_BMD, owner_M, sees_MM)
        vocabulary = torch.tensor(sorted({token for tokens in closed for token in tokens}), device=device)
        has_target_BM = targets_BM != IGNORED
        targets_N = torch.searchsorted(vocabulary, targets_BM[has_target_BM])
        return self._logits(states_BMD[has_target_BM], vocabulary), targets_N

    def _slots(self, prepared: PreparedQuestions, owner_M: Tensor, depth_M: Tensor, before: Tensor) -> Tensor:
        """Inputs of the slots: the prompt's slot at depth 0, else the token before, at the next position."""
        position_M = (prepared.questions.slot_Q[owner_M] + depth_M).clamp(max=MAX_PLACES - 1)
        later = self.in_norm(self.token(before) + self.place[position_M] + self.kind[1])
        return torch.where((depth_M == 0)[:, None], prepared.start_QD[owner_M], later)

    def _logits(self, states: Tensor, tokens_V: Tensor) -> Tensor:
        return (states @ self.token.weight[tokens_V].T).float() + self.token_bias[tokens_V]
