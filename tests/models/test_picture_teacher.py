"""A teacher that sees whole pictures: what of views it keeps, and what is told of what it saw."""

import random

import pytest
import torch
import torch.nn.functional as F

from shopvl.batch import MASKED, STRONG_VIEWS, TOLD_VIEWS, Batch, Output, WholePictures
from shopvl.models.picture_teacher import looked_at
from shopvl.objectives.self_distilled import LeftOut, MaskedDistillationLoss, ViewDistillationLoss
from shopvl.recipes import find
from shopvl.vision.transforms import WHOLE, Crop, within


def by_loops(looks: list[list[float]], window: tuple[float, ...], share: float) -> list[list[bool]]:
    """Which patches stay of a window whose patches lie on those of the picture, or between two of them."""
    rows, columns = len(looks), len(looks[0])
    x0, y0, x1, y1, mirrored = window

    def read(row: float, column: float) -> float:
        row, column = (min(max(place, 0), count - 1) for place, count in ((row, rows), (column, columns)))
        top, left = int(row), int(column)
        down, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
        above = looks[top][left] + (column - left) * (looks[top][right] - looks[top][left])
        below = looks[down][left] + (column - left) * (looks[down][right] - looks[down][left])
        return above + (row - top) * (below - above)

    squares = {}
    for r in range(rows):
        for c in range(columns):
            across, down = (c + 0.5) / columns, (r + 0.5) / rows
            across = 1 - across if mirrored else across
            value = read((y0 + (y1 - y0) * down) * rows - 0.5, (x0 + (x1 - x0) * across) * columns - 0.5)
            squares.setdefault((r // 2, c // 2), []).append(value)
    means = {place: sum(values) / len(values) for place, values in squares.items()}
    kept = sorted(means, key=means.get, reverse=True)[: max(1, round((1 - share) * len(means)))]
    return [[(r // 2, c // 2) in kept for c in range(columns)] for r in range(rows)]


@pytest.mark.parametrize("grid", [(4, 4), (6, 5)])
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_what_is_looked_at_most_stays_wherever_a_view_shows_it(grid: tuple[int, int], share: float) -> None:
    looks = torch.rand(5, *grid, generator=torch.Generator().manual_seed(0))
    windows = [(0, 0, 1, 1, 0), (0, 0, 1, 1, 1), (0.5, 0, 1, 0.5, 0), (0.1, 0.2, 0.7, 0.9, 1), (-0.2, 0, 0.6, 1.1, 0)]
    kept = looked_at(looks, torch.tensor(windows, dtype=torch.float32), share).unflatten(1, grid)
    assert kept.tolist() == [by_loops(one.tolist(), window, share) for one, window in zip(looks, windows, strict=True)]


def test_where_a_window_is_within_another() -> None:
    half = Crop(0.5, 0.0, 1.0, 1.0, False)
    assert within(half, WHOLE) == (0.5, 0.0, 1.0, 1.0, 0.0)
    assert within(WHOLE, half) == (-1.0, 0.0, 1.0, 1.0, 0.0)
    assert within(half, Crop(0, 0, 1, 1, True)) == (0.0, 0.0, 0.5, 1.0, 1.0)
    assert within(half, half) == (0.0, 0.0, 1.0, 1.0, 0.0)


def test_a_tower_that_attends_sees_what_it_always_sees(make_design, batch_of) -> None:
    for name in ("a-clip", "flip"):
        tower = make_design(find(name, "tiny")).model.image_tower.eval()
        pixels = torch.rand(3, 3, 32, 32)
        with torch.inference_mode():
            read, (patches,) = tower.encode(pixels)
            again, same, looks = tower.encode_attending(pixels)
        torch.testing.assert_close(again, read)
        torch.testing.assert_close(same, patches)
        total = looks.sum(1)
        assert (total < 1).all() if name == "a-clip" else torch.allclose(total, torch.ones(3), atol=1e-5)


def test_views_tell_the_teacher_s_vector_of_the_whole_as_plain_loops_say() -> None:
    generator = torch.Generator().manual_seed(0)
    told, other, whole = (F.normalize(torch.randn(4, 5, generator=generator), dim=-1) for _ in range(3))
    expected = sum(2 - 2 * float(view[i] @ whole[i]) for view in (told, other) for i in range(4)) / 8
    output = Output(embeddings=dict(zip(TOLD_VIEWS, (told, other), strict=True)))
    batch = Batch(whole=WholePictures(patches_BPW=torch.zeros(4, 1, 1), projected_BP=whole))
    assert float(ViewDistillationLoss(1.0)(output, batch)) == pytest.approx(expected, abs=1e-5)


def test_only_patches_that_were_left_out_count_and_the_teacher_gets_no_gradient(make_design, toy_rows) -> None:
    design = make_design(find("maskclip", "tiny"))
    batch = design.loader.training_batch([toy_rows[n] for n in range(6)], random.Random(0))
    loss = next(objective for objective in design.objectives if isinstance(objective, MaskedDistillationLoss))
    shown = design.teacher.shown(loss.view(batch, torch.Generator().manual_seed(0)))
    kept_BP = shown.views[MASKED].kept_BP
    assert (kept_BP.sum(1) == 4).all()  # a quarter of 16
    told = design.model.eval()(shown).predictions["whole-patches"]
    theirs = shown.whole.patches_BPW[~kept_BP]
    torch.testing.assert_close(
        told.true, (theirs - theirs.mean(1, keepdim=True)) / (theirs.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    )
    total = 0.0
    for made, true in zip(told.made.detach().softmax(1), told.true.softmax(1), strict=True):
        total += sum(float(q * (q / p).log()) for p, q in zip(made, true, strict=True))
    value = loss(design.model(shown), shown)
    assert value.item() == pytest.approx(total / len(told.made), rel=1e-4)
    changed = shown.whole.patches_BPW.clone()
    changed[kept_BP] += torch.randn(changed[kept_BP].shape)
    again = Batch(views=shown.views, whole=WholePictures(patches_BPW=changed))
    assert torch.equal(loss(design.model(again), again), value)
    assert torch.equal(LeftOut(0.75, 16)(batch, torch.Generator().manual_seed(0)).views[MASKED].kept_BP, kept_BP)


def test_views_are_kept_where_the_teacher_looks_and_nothing_is_left_out_in_use(make_design, toy_rows) -> None:
    design = make_design(find("a-clip", "tiny"))
    batch = design.loader.training_batch([toy_rows[n] for n in range(6)], random.Random(0))
    assert batch.pictures.kept_BP is None
    shown = design.teacher.shown(batch)
    looks = design.teacher.model["image_tower"].encode_attending(batch.pictures.pixels_B3YX)[2]
    for name in STRONG_VIEWS:
        kept_BP = shown.views[name].kept_BP
        assert (kept_BP.sum(1) == 8).all()  # half of the squares of 2 x 2
        assert torch.equal(kept_BP, looked_at(looks.unflatten(1, (4, 4)), batch.views[name].within_B5, 0.5))
    losses = design.losses(batch, torch.Generator().manual_seed(0))
    assert losses.keys() == {"itc:title-image", "simclr", "byol"}


def test_a_recipe_that_listens_to_a_teacher_has_one() -> None:
    recipe = find("a-clip", "tiny")
    problems = type(recipe).from_dict({**recipe.to_dict(), "teacher": None}).problems()
    told = "listens to a teacher that sees whole pictures; give momentum-image as teacher"
    assert problems == [f"attention-drop {told}", f"byol {told}"]
