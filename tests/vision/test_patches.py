import random

import numpy as np
import pytest
from PIL import Image

from shopvl.errors import ShopvlError
from shopvl.vision.patches import BACKGROUND, OVERLAY, SUBJECT, KeepRule, patch_shares
from shopvl.vision.subject import SubjectMap
from shopvl.vision.transforms import random_crop, to_pixels


def a_map(rows: int = 40, columns: int = 30, size_px: tuple[int, int] | None = None, seed: int = 0) -> SubjectMap:
    rng = np.random.default_rng(seed)
    subject = rng.random((rows, columns), dtype=np.float32)
    overlay = (1 - subject) * rng.random((rows, columns), dtype=np.float32)
    return SubjectMap(subject, overlay, size_px or (columns, rows), "cut")


def by_loops(share: np.ndarray, grid: tuple[int, int], fine: int = 60) -> np.ndarray:
    """Shares by sampling each patch at fine x fine points."""
    rows, columns = grid
    out = np.zeros(grid)
    for r in range(rows):
        for c in range(columns):
            y = ((r + (np.arange(fine) + 0.5) / fine) / rows * share.shape[0]).astype(int)
            x = ((c + (np.arange(fine) + 0.5) / fine) / columns * share.shape[1]).astype(int)
            out[r, c] = share[np.ix_(y, x)].mean()
    return out


@pytest.mark.parametrize("grid", [(1, 1), (4, 3), (7, 7), (14, 14), (50, 45)])
def test_agrees_with_plain_loops_on_any_grid(grid):
    shown = a_map()
    shares = patch_shares(shown, grid)
    assert shares.shape == (*grid, 3)
    assert np.allclose(shares.sum(axis=-1), 1, atol=1e-5)
    assert np.abs(shares[..., SUBJECT] - by_loops(shown.subject, grid)).max() < 0.03
    assert np.abs(shares[..., OVERLAY] - by_loops(shown.overlay, grid)).max() < 0.03


def test_one_patch_is_the_mean():
    shown = a_map()
    assert patch_shares(shown, (1, 1))[0, 0] == pytest.approx(
        [shown.subject.mean(), shown.overlay.mean(), shown.background.mean()], abs=1e-5
    )


@pytest.mark.parametrize("size", [(60, 80), (80, 60), (64, 64)])
@pytest.mark.parametrize("target", [(80, 60), (64, 64)])
def test_follows_the_window_and_canvas_that_the_model_sees(size, target):
    """A picture that is white on its subject goes through `to_pixels`: patch means must be the subject shares."""
    truth = np.zeros((size[1], size[0]), dtype=np.float32)
    truth[size[1] // 4 : size[1] // 2, size[0] // 5 : size[0] // 2] = 1
    picture = Image.fromarray((truth * 255).astype(np.uint8)).convert("RGB")
    shown = SubjectMap(truth, np.zeros_like(truth), size, "cut")
    for seed in range(6):
        crop = random_crop(random.Random(seed), 0.3, flip=True)
        pixels = to_pixels(picture, target, crop)[0].astype(float) / 255
        rows, columns = target[0] // 8, target[1] // 8
        seen = pixels[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).mean(axis=(1, 3))
        whole_patches = target[1] % 8 == 0
        shares = patch_shares(shown, (rows, columns), target[1] / target[0], crop)[..., SUBJECT]
        if whole_patches:
            assert np.abs(seen - shares).max() < 0.09
        assert shares.sum() * 64 == pytest.approx(pixels.sum(), rel=0.12)


def test_what_the_canvas_adds_is_background():
    full = SubjectMap(np.ones((10, 10), np.float32), np.zeros((10, 10), np.float32), (100, 100), "whole")
    shares = patch_shares(full, (2, 4), aspect=2.0)
    assert np.allclose(shares[:, [0, 3], BACKGROUND], 1, atol=1e-6)
    assert np.allclose(shares[:, 1:3, SUBJECT], 1)


def test_a_map_smaller_than_the_picture_and_extreme_shapes():
    assert patch_shares(a_map(16, 16, (1000, 1000)), (8, 8)).shape == (8, 8, 3)
    thin = SubjectMap(np.ones((1, 160), np.float32), np.zeros((1, 160), np.float32), (10_000, 10), "whole")
    shares = patch_shares(thin, (14, 14), aspect=1.0)
    assert shares[..., SUBJECT].mean() == pytest.approx(0.001, rel=0.05)
    assert np.allclose(shares.sum(axis=-1), 1, atol=1e-6)
    with pytest.raises(ShopvlError, match="0 x 4 patches"):
        patch_shares(thin, (0, 4))


def shares_of(subject: list[list[float]], overlay: list[list[float]]) -> np.ndarray:
    front, text = np.array(subject), np.array(overlay)
    return np.stack([front, text, 1 - front - text], axis=-1)


def test_keeps_subject_and_drops_background_and_overlay():
    shares = shares_of([[0.9, 0.0, 0.3], [0.04, 0.2, 0.0]], [[0.0, 0.0, 0.7], [0.0, 0.1, 1.0]])
    kept = KeepRule(subject=0.05, overlay=0.5, at_least=1).keep_mask(shares)
    assert kept.tolist() == [[True, False, False], [False, True, False]]


def test_always_keeps_a_few_the_best_first():
    shares = shares_of([[0.0, 0.01, 0.0], [0.03, 0.0, 0.0]], [[0.0, 0.0, 0.9], [0.0, 0.2, 0.0]])
    assert KeepRule(at_least=1).keep_mask(shares).tolist() == [[False, False, False], [True, False, False]]
    assert KeepRule(at_least=2).keep_mask(shares).tolist() == [[False, True, False], [True, False, False]]
    assert not KeepRule(at_least=5).keep_mask(shares)[0, 2]  # overlay text comes last
    assert KeepRule(at_least=99).keep_mask(shares).all()


def test_kept_does_not_add_to_enough():
    shares = shares_of([[0.9, 0.8, 0.7, 0.0]], [[0.0] * 4])
    assert KeepRule(at_least=2).keep_mask(shares).tolist() == [[True, True, True, False]]


def test_works_on_batches():
    batch = np.stack([patch_shares(a_map(seed=seed), (5, 4)) for seed in range(3)])
    kept = KeepRule(subject=0.5).keep_mask(batch)
    assert kept.shape == (3, 5, 4)
    assert all(np.array_equal(kept[i], KeepRule(subject=0.5).keep_mask(batch[i])) for i in range(3))


def test_says_every_fault():
    with pytest.raises(ShopvlError, match=r"subject is 2.*overlay is -1.*at_least is 0"):
        KeepRule(subject=2, overlay=-1, at_least=0).keep_mask(np.zeros((1, 1, 3)))
