"""Two views of a picture: what they are, and that each is to be found among all others."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from shopvl.batch import STRONG_VIEWS, Batch, Output
from shopvl.data.augment import strong_views
from shopvl.objectives.self_contrast import SelfContrastLoss
from shopvl.recipes import find


def views(count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: F.normalize(torch.randn(count, 5, generator=generator), dim=-1) for name in STRONG_VIEWS}


def test_equals_plain_loops_that_pass_over_a_view_itself() -> None:
    embeddings = views(4)
    rows = [*embeddings[STRONG_VIEWS[0]], *embeddings[STRONG_VIEWS[1]]]
    total = 0.0
    for i, row in enumerate(rows):
        others = {j: math.exp(float(row @ other) / 0.2) for j, other in enumerate(rows) if j != i}
        total -= math.log(others[(i + 4) % 8] / sum(others.values()))
    loss = SelfContrastLoss(weight=1.0, temperature=0.2)
    assert float(loss(Output(embeddings=embeddings), Batch())) == pytest.approx(total / 8, abs=1e-5)


def test_nothing_is_left_to_learn_where_views_are_one_and_products_are_apart() -> None:
    alike = {name: torch.eye(5) for name in STRONG_VIEWS}
    assert float(SelfContrastLoss(1.0, 0.05)(Output(embeddings=alike), Batch())) < 1e-6


def seen(picture: Image.Image, size_px: tuple[int, int], seed: int) -> list[np.ndarray]:
    return [pixels for pixels, _ in strong_views(picture, size_px, random.Random(seed))]


def test_strong_views_are_parts_in_their_own_colours_and_one_of_them_may_be_under_promotions() -> None:
    picture = Image.new("RGB", (90, 120), (200, 30, 40))
    plain = [seen(picture, (40, 30), seed) for seed in range(120)]
    own = np.array([200, 30, 40]).reshape(3, 1, 1)
    assert all(view.shape == (3, 40, 30) and view.dtype == np.uint8 for pair in plain for view in pair)
    same = [[bool((view == own).all()) for view in pair] for pair in plain]
    assert all(any(pair) for pair in same)
    assert 0.8 < np.mean([all(pair) for pair in same]) < 1.0  # of the others one is under promotions
    assert {pair.index(False) for pair in same if not all(pair)} == {0, 1}
    shades = Image.fromarray(np.tile(np.arange(120, dtype=np.uint8)[None, :, None], (120, 1, 3)))
    parts = [view for seed in range(40) for view in seen(shades, (40, 40), seed)]
    widths = [int(view.max()) - int(view.min()) for view in parts if view.max() < 120]
    assert min(widths) < 75 < max(widths)
    assert len({view.tobytes() for seed in range(10) for view in seen(shades, (40, 40), seed)}) == 20


def test_views_go_through_the_tower_and_a_projector_of_their_own(make_design, toy_rows) -> None:
    design = make_design(find("slip", "tiny"))
    batch = design.loader.training_batch([toy_rows[n] for n in range(6)], random.Random(0))
    first, second = (batch.views[name].pixels_B3YX for name in STRONG_VIEWS)
    assert first.shape == second.shape == batch.pictures.pixels_B3YX.shape
    assert not torch.equal(first, second)
    design.model.train()
    loss = design.losses(batch, torch.Generator().manual_seed(0))["simclr"]
    loss.backward()
    grads = {name: part.grad is not None for name, part in design.model.named_parameters()}
    assert all(seen for name, seen in grads.items() if name.startswith("view_projector"))
    assert any(seen for name, seen in grads.items() if name.startswith("image_tower"))
    assert not any(seen for name, seen in grads.items() if name.startswith(("text_", "image_projection", "log_scale")))
