"""Phrases, places, and the losses of finding them, against plain loops and pictures with a painted box."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from shopvl.batch import Phrases, Places, Prediction
from shopvl.data.places import drawn_places, fits, known_places, to_phrases
from shopvl.data.training_pictures import training_pictures
from shopvl.models.locating import PlacesHead
from shopvl.objectives.predicting import mean_loss
from shopvl.recipes import find
from shopvl.vision.transforms import Box


def test_focal_loss_is_its_definition_over_what_is_there() -> None:
    made, true = torch.randn(200, generator=torch.Generator().manual_seed(0)) * 3, torch.arange(200) % 7 == 0
    total = 0.0
    for x, yes in zip(made.tolist(), true.tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        total += 0.25 * (1 - p) ** 2 * -math.log(p) if yes else 0.75 * p**2 * -math.log(1 - p)
    assert float(mean_loss(Prediction(made=made, true=true), "focal")) == pytest.approx(
        total / int(true.sum()), rel=1e-4
    )
    assert float(mean_loss(Prediction(made=made[:0], true=true[:0]), "focal")) == 0


def test_box_loss_is_distance_and_generalized_overlap() -> None:
    generator = torch.Generator().manual_seed(1)
    low = torch.rand(2, 30, 2, generator=generator)
    made, true = torch.cat([low, low + 0.05 + torch.rand(2, 30, 2, generator=generator)], dim=2)
    total = 0.0
    for (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) in zip(made.tolist(), true.tolist(), strict=True):
        shared = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
        either = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared
        around = (max(ax1, bx1) - min(ax0, bx0)) * (max(ay1, by1) - min(ay0, by0))
        total += 1 - (shared / either - (around - either) / around)
        total += abs(ax0 - bx0) + abs(ay0 - by0) + abs(ax1 - bx1) + abs(ay1 - by1)
    assert float(mean_loss(Prediction(made=made, true=true), "overlap")) == pytest.approx(total / 30, rel=1e-4)


def some_places() -> Places:
    boxes = torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.3, 0.3, 0.6, 0.7], [0.81, 0.1, 0.83, 0.12], [0.0, 0.0, 0.0, 0.0]]])
    named = torch.tensor([[[True, False], [False, True], [True, True], [False, False]]])
    nothing = Phrases(ids_BNQ=torch.ones(1, 2, 1, dtype=torch.long), real_BNQ=torch.ones(1, 2, 1, dtype=torch.bool))
    return Places(phrases=nothing, boxes_BM4=boxes, named_BMN=named)


def test_cells_show_the_boxes_whose_middle_they_lie_in_and_the_nearest_always() -> None:
    head, places = PlacesHead(8, (6, 5)), some_places()
    shows, smallest, any_shown = head.assigned(places)
    for cell in range(30):
        x, y = (cell % 5 + 0.5) / 5, (cell // 5 + 0.5) / 6
        assert head.middles_P2[cell].tolist() == pytest.approx([x, y])
        shown = []
        for m, (x0, y0, x1, y1) in enumerate(places.boxes_BM4[0].tolist()[:3]):
            middle = (x0 + x1) / 2, (y0 + y1) / 2
            away = [
                (((n % 5 + 0.5) / 5 - middle[0]) ** 2 + ((n // 5 + 0.5) / 6 - middle[1]) ** 2, n) for n in range(30)
            ]
            inside = abs(x - middle[0]) <= (x1 - x0) / 4 and abs(y - middle[1]) <= (y1 - y0) / 4
            if inside or min(away)[1] == cell:
                shown.append(m)
        assert shows[0, cell].nonzero()[:, 0].tolist() == shown
        assert bool(any_shown[0, cell]) == bool(shown)
        if shown:
            sizes = {m: float((places.boxes_BM4[0, m, 2:] - places.boxes_BM4[0, m, :2]).prod()) for m in shown}
            assert int(smallest[0, cell]) == min(sizes, key=sizes.get)
    assert shows[0, :, 2].sum() == 1  # a button is smaller than any cell


def test_phrases_in_another_order_have_their_scores_in_that_order(make_design, batch_of) -> None:
    design = make_design(find("glip", "tiny"))
    (objective,) = design.objectives
    batch = objective.view(batch_of(design, 4), torch.Generator())
    assert not batch.texts
    batch = replace(batch, phrases=to_phrases(design.tokenizer, [["blue", "t-shirts", "solid", "long sleeves"]] * 4))
    order = torch.tensor([2, 0, 3, 1])
    other = Phrases(ids_BNQ=batch.phrases.ids_BNQ[:, order], real_BNQ=batch.phrases.real_BNQ[:, order])
    with torch.inference_mode():
        scores, boxes, there = design.model.eval().locate(batch)
        changed, same_boxes, moved = design.model.locate(replace(batch, phrases=other))
    torch.testing.assert_close(scores[:, :, order], changed, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(there[:, order], moved, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(boxes, same_boxes, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(scores, changed)


def test_padding_of_phrases_changes_nothing(make_design, batch_of) -> None:
    design = make_design(find("glip", "tiny"))
    texts = [["blue", "t-shirts", "solid"]] * 4
    batch = replace(batch_of(design, 4), texts={}, phrases=to_phrases(design.tokenizer, texts))
    longer = replace(batch, phrases=to_phrases(design.tokenizer, [[*row, "", ""] for row in texts]))
    with torch.inference_mode():
        scores, boxes, there = design.model.eval().locate(batch)
        more = design.model.locate(longer)
    torch.testing.assert_close(scores, more[0][:, :, :3], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(boxes, more[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(there, more[2][:, :3], atol=1e-5, rtol=1e-4)


def test_what_is_asked_for_fits_or_does_not_and_what_is_unclear_is_not_asked(make_design) -> None:
    design = make_design(find("glip", "tiny"))
    box = (0.1, 0.2, 0.5, 0.6)
    known = [[("long sleeve", box), ("long sleeve", (0.6, 0.2, 0.9, 0.6)), ("zip", box)], [("sleeve", box)], []]
    assert fits("sleeve", "long sleeve")
    assert not fits("long sleeve", "sleeve")
    asked: list[set[str]] = [set(), set(), set()]
    for seed in range(30):
        places = drawn_places(design.loader, known, [random.Random(seed + 100 * b) for b in range(3)])
        for b, boxed in enumerate(known):
            for n, real in enumerate(places.phrases.real_BNQ[b]):
                phrase = design.tokenizer.decode(places.phrases.ids_BNQ[b, n][real].tolist())
                if not phrase:
                    assert not places.named_BMN[b, :, n].any()
                    continue
                asked[b].add(phrase)
                named = [m for m, (name, _) in enumerate(boxed) if set(phrase.split()) <= set(name.split())]
                assert places.named_BMN[b, :, n].nonzero()[:, 0].tolist() == named
                for m in named:
                    assert places.boxes_BM4[b, m].tolist() == pytest.approx(boxed[m][1])
    assert asked[0] == {"long sleeve", "sleeve", "zip"}
    assert asked[1] == {"sleeve", "zip"}
    assert asked[2] == {"long sleeve", "sleeve", "zip"}


def test_half_of_what_is_absent_ends_as_something_that_is_there(make_design) -> None:
    design, box = make_design(find("glip", "tiny")), (0.1, 0.2, 0.5, 0.6)
    near, far = (
        ["short sleeve", "round sleeve"],
        [one + other for one in ("bag", "hat", "red", "toe") for other in "aceilnorst"],
    )
    known = [[("long sleeve", box)], [(name, box) for name in (*near, *far)]]
    alone: list[str] = []
    for seed in range(400):
        places = drawn_places(design.loader, known, [random.Random(seed), random.Random(seed)])
        real = places.phrases.real_BNQ[0].any(-1)
        absent = real & ~places.named_BMN[0].any(0)
        said = [
            design.tokenizer.decode(places.phrases.ids_BNQ[0, n][places.phrases.real_BNQ[0, n]].tolist())
            for n in absent.nonzero()[:, 0].tolist()
        ]
        assert len(said) == len(set(said))
        alone += said if int(real.sum()) == 1 else []
    share = sum(phrase.endswith("sleeve") for phrase in alone) / len(alone)
    assert 0.4 < share < 0.65  # by chance 2 of 42
    assert {phrase for phrase in alone if phrase.endswith("sleeve")} == set(near)


def painted(box: Box) -> Image.Image:
    """A grey picture, wider than high, with a red box."""
    pixels = np.full((60, 90, 3), 200, np.uint8)
    x0, y0, x1, y1 = box
    pixels[round(y0 * 60) : round(y1 * 60), round(x0 * 90) : round(x1 * 90)] = (255, 0, 0)
    return Image.fromarray(pixels)


def test_named_boxes_lie_where_the_augmented_picture_shows_them(make_design, toy_rows) -> None:
    design = make_design(find("glip", "tiny"))
    box = (0.2, 0.3, 0.5, 0.8)
    row = {**toy_rows[0], "part_boxes": [{"text": "zip", "box": list(box)}]}
    for seed in range(12):
        drawn = training_pictures(design.loader, [row], [painted(box)], [random.Random(seed)], random.Random(0))
        (((name, (x0, y0, x1, y1)),),) = known_places(drawn, [[]], design.ontology)
        assert name == "zip"
        pixels = drawn.pictures.pixels_B3YX[0]
        red = (pixels[0] - pixels[1] > 0.35).nonzero().float()
        height, width = pixels.shape[1:]
        seen = [
            float(red[:, 1].min()) / width,
            float(red[:, 0].min()) / height,
            float(red[:, 1].max() + 1) / width,
            float(red[:, 0].max() + 1) / height,
        ]
        assert [x0, y0, x1, y1] == pytest.approx(seen, abs=1.5 / width)


def test_without_named_parts_all_that_is_known_is_in_the_products_box(make_design, toy_rows) -> None:
    design = make_design(find("glip", "tiny"))
    rows = [toy_rows[number] for number in range(4)]
    decoded = [design.loader.training_picture(row) for row in rows]
    drawn = training_pictures(design.loader, rows, decoded, [random.Random(n) for n in range(4)], random.Random(0))
    facts = [design.loader.facts_of(row) for row in rows]
    for boxed, known in zip(known_places(drawn, facts, design.ontology), facts, strict=True):
        assert len(boxed) == len(known)
        assert len({place for _, place in boxed}) == 1
