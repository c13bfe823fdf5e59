"""Losses of answers against plain loops."""

import math
from dataclasses import replace

import pytest
import torch

from shopvl.batch import INPUT_CHOICES, Batch, Output, Prediction
from shopvl.objectives.predicting import PredictionLoss
from shopvl.objectives.views import Plain
from shopvl.recipes import find

LOSS = PredictionLoss("prompt-vqa", 1.0, Plain(), (("answers", "cross-entropy"),))


def test_written_tokens_count_alike_however_many_there_are() -> None:
    logits_NV = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0], [1.0, 1.0, 1.0]])
    targets_N = torch.tensor([0, 2, 1])
    expected = 0.0
    for logits, target in zip(logits_NV.tolist(), targets_N.tolist(), strict=True):
        expected += math.log(sum(math.exp(value) for value in logits)) - logits[target]
    for times in (1, 4):
        written = Prediction(made=logits_NV.repeat(times, 1), true=targets_N.repeat(times))
        assert float(LOSS(Output(predictions={"answers": written}), Batch())) == pytest.approx(expected / 3, abs=1e-6)
    nothing = Prediction(made=logits_NV[:0], true=targets_N[:0])
    assert float(LOSS(Output(predictions={"answers": nothing}), Batch())) == 0


def test_chosen_answers_count_by_question_asked(make_design, batch_of) -> None:
    """Half of the questions are not asked, some have several right answers; illegal answers carry nothing."""
    design = make_design(find("prompt-mask", "tiny"))
    design.model.eval()
    batch = batch_of(design, 6)
    questions = batch.questions
    generator = torch.Generator().manual_seed(0)
    right_BQK = questions.legal_QK & (torch.rand(6, *questions.legal_QK.shape, generator=generator) < 0.3)
    right_BQK[:, ::2] = False
    chosen_BQK = right_BQK / right_BQK.sum(-1, keepdim=True).clamp(min=1)
    assert (right_BQK.sum(-1) > 1).any()
    targets = replace(questions.targets, chosen_BQK=chosen_BQK)
    batch = replace(batch, questions=replace(questions, targets=targets), input_mask_BI=None)
    with torch.inference_mode():
        logp_BQK = design.model.answer(batch, design.model.prepare(questions), INPUT_CHOICES)["image+title"]
        told = design.losses(batch, torch.Generator())["prompt-vqa"]
    total, count = 0.0, 0
    for logp_QK, right_QK in zip(logp_BQK.tolist(), right_BQK.tolist(), strict=True):
        for logp, right in zip(logp_QK, right_QK, strict=True):
            said = [value for value, is_right in zip(logp, right, strict=True) if is_right]
            if said:
                total, count = total - sum(said) / len(said), count + 1
    assert float(told) == pytest.approx(total / count, abs=1e-5)
