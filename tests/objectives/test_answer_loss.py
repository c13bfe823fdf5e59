"""Losses of answers against plain loops."""

import math

import pytest
import torch

from shopvl.batch import AnswerTargets, Batch, Output, Questions, Words, WrittenTokens
from shopvl.objectives.answer_loss import ChosenAnswerLoss, WrittenAnswerLoss

NO_WORDS = Words(ids_BT=torch.zeros(1, 1, dtype=torch.long), real_BT=torch.ones(1, 1, dtype=torch.bool))


def test_written_tokens_count_alike_however_many_there_are() -> None:
    logits_NV = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0], [1.0, 1.0, 1.0]])
    targets_N = torch.tensor([0, 2, 1])
    expected = 0.0
    for logits, target in zip(logits_NV.tolist(), targets_N.tolist(), strict=True):
        expected += math.log(sum(math.exp(value) for value in logits)) - logits[target]
    loss = WrittenAnswerLoss(weight=1.0)
    for times in (1, 4):
        written = WrittenTokens(logits_NV=logits_NV.repeat(times, 1), targets_N=targets_N.repeat(times))
        assert float(loss(Output(written=written), Batch())) == pytest.approx(expected / 3, abs=1e-6)
    nothing = WrittenTokens(logits_NV=logits_NV[:0], targets_N=targets_N[:0])
    assert float(loss(Output(written=nothing), Batch())) == 0


def test_chosen_answers_count_by_question_asked() -> None:
    logp_BQK = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.9, 0.0]], [[0.2, 0.2, 0.6], [1.0, 0.0, 0.0]]]).log()
    chosen_BQK = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])
    targets = AnswerTargets(chosen_BQK=chosen_BQK, written_BQ=torch.zeros(2, 2, dtype=torch.long))
    questions = Questions(
        prompts=NO_WORDS,
        slot_Q=torch.zeros(2, dtype=torch.long),
        answers=NO_WORDS,
        legal_QK=torch.ones(2, 3, dtype=torch.bool),
        targets=targets,
    )
    expected = -(0.5 * math.log(0.5) + 0.5 * math.log(0.25) + math.log(0.9) + math.log(0.6)) / 3
    loss = ChosenAnswerLoss(weight=1.0)
    told = loss(Output(answer_logp_BQK=logp_BQK), Batch(questions=questions))
    assert float(told) == pytest.approx(expected, abs=1e-6)
