"""Kaleido cells against plain slicing, and the product's box."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from shopvl.data.product_cells import MIN_BOX_PRODUCT_SHARE
from shopvl.recipes import find
from shopvl.recipes.parts import Augment
from shopvl.vision.kaleido import kaleido_boxes, kaleido_cells, level_slices
from shopvl.vision.quick import subject_boxes, subject_shares


def test_there_are_55_cells_in_five_levels() -> None:
    assert [level.stop - level.start for level in level_slices(5)] == [1, 4, 9, 16, 25]
    assert level_slices(5)[-1].stop == 55


def test_cells_of_a_square_that_fits_are_slices_of_it() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (3, 60, 60), dtype=np.uint8)
    cells = kaleido_cells(picture, np.array([0, 0, 1, 1], np.float32), 5, 12)  # the fifth level is 60 px
    assert cells.shape == (55, 3, 12, 12)
    for row in range(5):
        for column in range(5):
            expected = picture[:, row * 12 : row * 12 + 12, column * 12 : column * 12 + 12]
            assert np.array_equal(cells[30 + 5 * row + column], expected)
    means = picture.reshape(3, 12, 5, 12, 5).mean((2, 4))
    assert np.abs(cells[0] - means).max() <= 1  # the first level is the whole, shrunk by area


def test_only_the_box_is_looked_at() -> None:
    picture = np.full((3, 40, 40), 255, np.uint8)
    picture[:, 10:30, 20:40] = 7
    cells = kaleido_cells(picture, np.array([0.5, 0.25, 1, 0.75], np.float32), 5, 8)
    assert (cells == 7).all()


def test_boxes_tile_the_products_box_on_every_level() -> None:
    box = np.array([0.25, 0.1, 0.75, 0.9], np.float32)
    boxes = kaleido_boxes(box, 5)
    assert boxes.shape == (55, 5)
    for number, level in enumerate(level_slices(5), 1):
        x0, x1, y0, y1, area = boxes[level].T
        assert np.isclose(area.sum(), 0.5 * 0.8, atol=1e-6)
        assert np.allclose([x0.min(), x1.max(), y0.min(), y1.max()], [0.25, 0.75, 0.1, 0.9])
        assert np.allclose(x1 - x0, 0.5 / number)
        assert np.allclose((x1 - x0) * (y1 - y0), area)


def test_the_box_is_around_the_product() -> None:
    pictures = np.full((3, 3, 40, 40), 250, np.uint8)
    pictures[0, :, 8:24, 12:36] = 30
    pictures[1, :, 4:8, 4:8] = 30
    boxes = subject_boxes(subject_shares(pictures, (10, 10)), 0.2)
    assert np.allclose(boxes[0], [0.3, 0.2, 0.9, 0.6])
    assert np.allclose(boxes[1], [0.1, 0.1, 0.2, 0.2])
    assert np.allclose(boxes[2], [0, 0, 1, 1])  # nothing to be seen: all of it


def test_regions_are_the_whole_picture_and_then_the_products_cells(make_design, batch_of) -> None:
    design = make_design(find("uniter", "tiny"))
    batch = batch_of(design, 4)
    image = design.recipe.image
    pixels = (batch.pictures.pixels_B3YX * 255).round().to(torch.uint8).numpy()
    boxes = subject_boxes(subject_shares(pixels, (8, 8)), MIN_BOX_PRODUCT_SHARE)
    for number in range(4):
        places, cells = (
            batch.pictures.cells.boxes_BP5[number].numpy(),
            (batch.pictures.cells.pixels_BP3YX[number] * 255).round().numpy(),
        )
        assert places[0].tolist() == [0, 1, 0, 1, 1]
        assert np.array_equal(places[1:], kaleido_boxes(boxes[number], image.levels))
        assert np.array_equal(cells[1:], kaleido_cells(pixels[number], boxes[number], image.levels, 8))
        shrunk = pixels[number].reshape(3, 8, 4, 8, 4).mean((2, 4))
        assert np.abs(cells[0] - shrunk).max() <= 1


def test_words_on_the_product_are_regions_the_largest_first(make_design, toy_rows) -> None:
    """OCR's boxes become cells of the picture as it is seen, as many as asked for, empty where it read fewer."""
    recipe = find("uniter", "tiny")
    recipe = replace(
        recipe, image=replace(recipe.image, words=3), augment=replace(recipe.augment, flip=False, crop_share=0.0)
    )
    assert recipe.reads
    design = make_design(recipe)
    design.model.eval()
    small, large = (0.5, 0.5, 0.75, 0.625), (0.125, 0.25, 0.875, 0.5)
    printed = [{"text": "AIR", "box": small}, {"text": "NIKE", "box": large}]
    rows = [{**toy_rows[0], "printed": printed}, {**toy_rows[1], "printed": None}]
    batch = design.loader.training_batch(rows, random.Random(0))
    regions = 1 + sum(level * level for level in range(1, recipe.image.levels + 1))
    assert batch.pictures.cells.pixels_BP3YX.shape[1] == batch.pictures.cells.boxes_BP5.shape[1] == regions + 3
    told = batch.pictures.cells.boxes_BP5[0, regions:]
    assert torch.allclose(told[0], torch.tensor([0.125, 0.875, 0.25, 0.5, 0.1875]), atol=0.05)
    assert torch.allclose(told[1], torch.tensor([0.5, 0.75, 0.5, 0.625, 0.03125]), atol=0.05)
    assert not told[2].any()
    assert not batch.pictures.cells.boxes_BP5[1, regions:].any()
    assert not batch.pictures.cells.pixels_BP3YX[1, regions:].any()
    places = told[0]
    window = np.array([places[0], places[2], places[1], places[3]])
    pixels = (batch.pictures.pixels_B3YX[0] * 255).round().to(torch.uint8).numpy()
    cells = (batch.pictures.cells.pixels_BP3YX[0, regions] * 255).round().numpy()
    assert np.array_equal(cells, kaleido_cells(pixels, window, 1, 8)[0])
    with torch.inference_mode():
        before = design.model.features(batch, [("image",)])["image"]
        cells = batch.pictures.cells
        cells = replace(cells, pixels_BP3YX=cells.pixels_BP3YX.clone())
        other = replace(batch, pictures=replace(batch.pictures, cells=cells))
        other.pictures.cells.pixels_BP3YX[0, regions] = 1 - other.pictures.cells.pixels_BP3YX[0, regions]
        after = design.model.features(other, [("image",)])["image"]
    assert not torch.allclose(before[0], after[0], atol=1e-4)
    torch.testing.assert_close(before[1], after[1])


def test_a_region_is_known_to_show_what_holds_where_product_is_and_what_its_word_names(make_design, toy_rows) -> None:
    recipe = find("uniter", "tiny")
    recipe = replace(recipe, image=replace(recipe.image, words=2), augment=Augment(flip=False, crop_share=0.0))
    design = make_design(recipe)
    row, facts = toy_rows[0], design.ontology.facts
    own = next(facts[n] for n in design.loader.facts_of(row) if facts[n].kind == "value")
    other = next(fact for fact in facts if fact.property == own.property and fact.value != own.value)
    printed = [
        {"text": f"{own.value} {other.value}", "box": (0.1, 0.4, 0.9, 0.6)},
        {"text": "xqz", "box": (0.4, 0.1, 0.6, 0.2)},
    ]
    batch = design.loader.training_batch([{**row, "printed": printed}], random.Random(0))
    cells, known = batch.pictures.cells, batch.facts.product_BK[0]
    shares = subject_shares((batch.pictures.pixels_B3YX.numpy() * 255).round().astype(np.uint8), (8, 8))[0]
    for place, (x0, x1, y0, y1, _) in enumerate(cells.boxes_BP5[0, :-2].tolist()):
        inside = [
            (max(0.0, min(x1, (c + 1) / 8) - max(x0, c / 8)) * max(0.0, min(y1, (r + 1) / 8) - max(y0, r / 8)), r, c)
            for r in range(8)
            for c in range(8)
        ]
        share = sum(area * float(shares[r, c]) for area, r, c in inside) / sum(area for area, _, _ in inside)
        assert float(cells.product_share_BP[0, place]) == pytest.approx(share, abs=1e-5)
        assert torch.equal(cells.facts_BPK[0, place], known if share >= 0.05 else torch.zeros_like(known))
    named = cells.facts_BPK[0, -2].nonzero()[:, 0].tolist()
    assert [design.ontology.facts[number].value for number in named] == [own.value]
    assert not cells.facts_BPK[0, -1].any()
