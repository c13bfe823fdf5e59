"""A picture and the clauses of its product, some of which fit it."""

import math
import random

import pytest
import torch
import torch.nn.functional as F

from shopvl.batch import CLAUSES, Batch, Clauses, Output
from shopvl.data.further_texts import known_clauses
from shopvl.objectives.bags import BagContrastLoss
from shopvl.recipes import find

LOSS = BagContrastLoss(weight=1.0)


def told(numbers: list[list[int]], seed: int = 0) -> tuple[Output, Batch]:
    generator = torch.Generator().manual_seed(seed)
    number_BC = torch.tensor(numbers)
    clauses = F.normalize(torch.randn(*number_BC.shape, 6, generator=generator), dim=-1)
    image = F.normalize(torch.randn(len(numbers), 6, generator=generator), dim=-1)
    output = Output(embeddings={"image": image, CLAUSES: clauses}, scales={"title-image": torch.tensor(5.0)})
    ids = torch.ones(*number_BC.shape, 2, dtype=torch.int64)
    return output, Batch(clauses=Clauses(ids_BCT=ids, real_BCT=ids.bool(), number_BC=number_BC))


def test_equals_plain_loops_where_clauses_are_shared_and_missing() -> None:
    numbers = [[0, 1, 2], [1, 3, -1], [-1, -1, -1], [4, -1, -1]]
    output, batch = told(numbers)
    losses = []
    for i, own in enumerate(numbers):
        mine = everyone = 0.0
        for j, others in enumerate(numbers):
            for c, number in enumerate(others):
                if number < 0:
                    continue
                each = math.exp(5.0 * float(output.embeddings["image"][i] @ output.embeddings[CLAUSES][j, c]))
                everyone += each
                mine += each if number in own else 0.0
        losses += [-math.log(mine / everyone)] if max(own) >= 0 else []
    assert len(losses) == 3
    assert float(LOSS(output, batch)) == pytest.approx(sum(losses) / 3, abs=1e-5)


def test_a_bag_of_one_is_contrast_one_way() -> None:
    output, batch = told([[0], [1], [2], [3]])
    logits = 5.0 * output.embeddings["image"] @ output.embeddings[CLAUSES][:, 0].T
    torch.testing.assert_close(LOSS(output, batch), F.cross_entropy(logits, torch.arange(4)))


def test_nothing_is_lost_where_nothing_is_known() -> None:
    assert float(LOSS(*told([[-1, -1], [-1, -1]]))) == 0.0


def test_clauses_are_what_is_known_equal_ones_of_one_number(make_design, toy_rows) -> None:
    design = make_design(find("vatt", "tiny"))
    rows = [toy_rows[n] for n in range(6)]
    clauses = design.loader.training_batch(rows, random.Random(0)).clauses
    assert clauses.number_BC.shape == (6, 4)
    again = {}
    for row, ids, numbers in zip(rows, clauses.ids_BCT, clauses.number_BC.tolist(), strict=True):
        said = [known[known != 0].tolist() for known in design.loader.words(known_clauses(row)).ids_BT]
        for one, number in zip(ids, numbers, strict=True):
            assert one[one != 0].tolist() in said
            assert again.setdefault(number, one.tolist()) == one.tolist()
    bare = [{**row, "category_path": None, "attributes": None} for row in rows[:2]]
    assert (design.loader.training_batch([*bare, rows[2]], random.Random(0)).clauses.number_BC[:2] == -1).all()
    assert (design.loader.training_batch(bare, random.Random(0)).clauses.number_BC == -1).all()
