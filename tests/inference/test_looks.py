"""A closer look at a picture only where the first leaves something open."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from shopvl.batch import INPUT_CHOICES, MODALITIES, Batch, OriginalPictures, Pictures
from shopvl.design.design import Design
from shopvl.evaluation.evaluate import second_looks
from shopvl.evaluation.outputs import run_model
from shopvl.inference import looks as module
from shopvl.inference.calibrate import HeldOut, calibrate, read_held_out
from shopvl.inference.encode import encode
from shopvl.inference.features import Labelled
from shopvl.inference.levels import CategoryLevels
from shopvl.inference.looks import Looks, Said, fit_margins, is_open, lead, settle
from shopvl.inference.predict import answers_of, geometric_mixture
from shopvl.inference.tag_rows import HeadAnswers, tags_of
from shopvl.models.two_crop import LookingTower
from shopvl.tagging.run import tag

ALL, NONE = torch.inf, 0.0  # margins: every product goes on, and none
ROWS = 12


@pytest.fixture(params=["tuned", "prompted"])
def design(request) -> Design:
    """One whose tower looks twice, and at nothing strange."""
    made = request.getfixturevalue(request.param)
    assert isinstance(made.model.image_tower, LookingTower)
    made.model.image_tower.crop_share = 0.6
    made.familiarity = {}
    return made


@pytest.fixture
def batch(design, batch_of) -> Batch:
    drawn = batch_of(design, ROWS)
    pictures = Pictures(pixels_B3YX=drawn.pictures.pixels_B3YX)
    return Batch(pictures=pictures, texts={"title": drawn.texts["title"]}, title_grams_BG=drawn.title_grams_BG)


def with_margins(design: Design, margin: float) -> Looks:
    inputs = ("image+title", "image")
    return Looks(
        answers_of(replace(design, first_look={name: dict.fromkeys(design.labels, margin) for name in inputs}))
    )


def read(looks: Looks, batch: Batch, **how) -> Said:
    with torch.inference_mode():
        return looks.read(batch, INPUT_CHOICES, **how)


def same(found: Mapping, wanted: Mapping) -> None:
    torch.testing.assert_close(dict(found), dict(wanted), atol=1e-4, rtol=1e-4)


def once_and_twice(design: Design, batch: Batch) -> tuple[dict, dict]:
    """What towers say that look once, and twice."""
    with torch.inference_mode():
        twice = answers_of(design).read(batch, INPUT_CHOICES)
        design.model.image_tower.crop_share = None
        once = answers_of(design).read(batch, INPUT_CHOICES)
    design.model.image_tower.crop_share = 0.6
    return once, twice


@pytest.mark.parametrize("each", [False, True])
def test_all_go_on_or_none(design, batch, each) -> None:
    once, twice = once_and_twice(design, batch)
    found = read(with_margins(design, ALL), batch, each=each)
    same(found.answers, twice)
    same(found.beside, twice["image"])
    assert found.looks["image"].tolist() == found.looks["image+title"].tolist() == [2] * ROWS
    found = read(with_margins(design, NONE), batch, each=each)
    same(found.answers, once)
    assert found.looks["image"].tolist() == [1] * ROWS
    same(read(Looks(answers_of(design)), batch, each=each).answers, twice)  # without margins as ever


def test_each_product_is_answered_by_the_looks_that_it_needs_in_its_place(design, batch) -> None:
    once, twice = once_and_twice(design, batch)
    looks = with_margins(design, NONE)
    name = max(design.labels, key=lambda name: len(design.labels[name]))
    leads_B = lead(once["image+title"][name])
    margin = float(leads_B.median()) + 1e-6
    looks.design.first_look["image+title"][name] = margin
    open_B = leads_B < margin
    assert 0 < int(open_B.sum()) < ROWS
    found = read(looks, batch)
    for inputs in ("image+title", "image"):  # which is evidence here, of the picture as the answer saw it
        for asked, logp_BK in found.answers[inputs].items():
            wanted = torch.where(open_B[:, None], twice[inputs][asked], once[inputs][asked])
            torch.testing.assert_close(logp_BK, wanted, atol=1e-4, rtol=1e-4)
    assert found.looks["image+title"].tolist() == [1 + going for going in open_B.tolist()]
    measured = read(looks, batch, each=True)
    same(measured.answers["image+title"], found.answers["image+title"])
    same(measured.answers["image"], once["image"])  # which would not go on by itself
    same(measured.beside, found.answers["image"])
    assert not all(torch.allclose(once["image"][n], found.answers["image"][n], atol=1e-4) for n in once["image"])


def test_to_measure_each_choice_of_inputs_sends_on_its_own_products(design, batch) -> None:
    once, twice = once_and_twice(design, batch)
    looks = with_margins(design, NONE)
    name = max(design.labels, key=lambda name: len(design.labels[name]))
    open_by = {}
    for inputs, share in (("image+title", 0.6), ("image", 0.3)):
        leads_B = lead(once[inputs][name])
        looks.design.first_look[inputs][name] = margin = float(leads_B.quantile(share)) + 1e-6
        open_by[inputs] = leads_B < margin
    found = read(looks, batch, each=True)
    assert not torch.equal(*open_by.values())
    for inputs, open_B in open_by.items():
        assert found.looks[inputs].tolist() == (1 + open_B.long()).tolist()
        for asked, logp_BK in found.answers[inputs].items():
            wanted = torch.where(open_B[:, None], twice[inputs][asked], once[inputs][asked])
            torch.testing.assert_close(logp_BK, wanted, atol=1e-4, rtol=1e-4)
    open_B1 = open_by["image+title"][:, None]
    for asked, logp_BK in found.beside.items():
        torch.testing.assert_close(
            logp_BK, torch.where(open_B1, twice["image"][asked], once["image"][asked]), atol=1e-4, rtol=1e-4
        )


def test_an_unfamiliar_title_does_not_decide_who_goes_on(design, batch, monkeypatch) -> None:
    looks = with_margins(design, NONE)
    looks.design.first_look["image"] = dict.fromkeys(design.labels, ALL)
    p_B = torch.ones(ROWS)
    p_B[3] = 0.0
    known = {"familiarity/image": torch.ones(ROWS), "familiarity/title": p_B}
    monkeypatch.setattr(
        module, "p_values", lambda familiarity, vectors, batch: {k: v[: len(batch)] for k, v in known.items()}
    )
    assert read(looks, batch).looks["image+title"].tolist() == [2 if number == 3 else 1 for number in range(ROWS)]


def test_a_picture_that_is_not_surely_familiar_goes_on_and_both_looks_say_whether_it_is(
    design, batch, monkeypatch
) -> None:
    asked = []

    def p_values(familiarity, vectors, batch):
        asked.append(len(batch))
        image_B = torch.full((len(batch),), 0.5)
        if len(batch) == ROWS:
            image_B[[2, 5]] = 0.04
        else:
            image_B[:] = torch.tensor([0.001, 0.9])
        return {"familiarity/image": image_B, "familiarity/title": torch.ones(len(batch))}

    monkeypatch.setattr(module, "p_values", p_values)
    found = read(with_margins(design, NONE), batch)
    assert asked == [ROWS, 2]
    assert [number for number, looks in enumerate(found.looks["image"].tolist()) if looks == 2] == [2, 5]
    assert found.familiarity["familiarity/image"][[2, 5, 6]].tolist() == pytest.approx([0.001, 0.9, 0.5])


def test_what_text_was_painted_out_of_is_read_in_full(design, batch) -> None:
    original_B3YX = batch.pictures.pixels_B3YX.clone()
    original_B3YX[[1, 4], :, 2:9] = 1.0
    original = OriginalPictures(original_pixels_B3YX=original_B3YX, center_crop_B3YX=original_B3YX.flip(3))
    painted = replace(batch, pictures=replace(batch.pictures, original=original))
    once, _ = once_and_twice(design, batch)
    with torch.inference_mode():
        in_full = answers_of(design).read(painted, INPUT_CHOICES)
    found = read(with_margins(design, NONE), painted)
    for inputs, by_name in found.answers.items():
        for name, logp_BK in by_name.items():
            wanted = once[inputs][name].clone()
            wanted[[1, 4]] = in_full[inputs][name][[1, 4]]
            torch.testing.assert_close(logp_BK, wanted, atol=1e-4, rtol=1e-4)
    assert [number for number, looks in enumerate(found.looks["image"].tolist()) if looks == 2] == [1, 4]


def test_one_input_alone(design, batch) -> None:
    looks = with_margins(design, NONE)
    with torch.inference_mode():
        found = looks.read(Batch(pictures=batch.pictures), [("image",)])
        titles = looks.read(replace(batch, pictures=None), [("title",)])
    once, twice = once_and_twice(design, batch)
    same(found.answers["image"], once["image"])
    same(titles.answers["title"], twice["title"])
    assert titles.looks == {}


def test_margins_leave_no_more_changes_than_allowed() -> None:
    rng = torch.Generator().manual_seed(0)
    first = torch.randn(4000, 5, generator=rng)
    both = first + 0.05 * torch.randn(4000, 5, generator=rng)
    margins = fit_margins({"colour": first}, {"colour": both}, changed=0.002)
    open_N = is_open({"colour": first}, torch.ones(4000), margins)
    changed = int(((first.argmax(1) != both.argmax(1)) & ~open_N).sum())
    assert (changed + 1) / 4001 <= 0.002 < (changed + 2) / 4001  # and no more go on than must
    assert 0 < open_N.float().mean() < 0.2
    new = torch.randn(40_000, 5, generator=rng)
    closer = new + 0.05 * torch.randn(40_000, 5, generator=rng)
    kept_N = ~is_open({"colour": new}, torch.ones(40_000), margins)
    assert ((new.argmax(1) != closer.argmax(1)) & kept_N).float().mean() < 0.003
    assert fit_margins({"colour": first[:400]}, {"colour": both[:400]}, 0.002) is None  # too few to say so
    assert fit_margins({"colour": first}, {"colour": first}, 0.002) == {"colour": 0.0}


def drawn(rows: int, seed: int) -> Labelled:
    """Products whose colour a closer look tells better, and whose title tells it too; all as log-probabilities."""
    rng = torch.Generator().manual_seed(seed)
    truth_N = torch.randint(6, (rows,), generator=rng)

    def said(sure: float, noise_NK: torch.Tensor) -> torch.Tensor:
        return (sure * F.one_hot(truth_N, 6) + noise_NK).log_softmax(-1)

    noise_3NK = torch.randn(3, rows, 6, generator=rng)
    shown, closer, title = 2.0 * noise_3NK[0], 0.3 * noise_3NK[1], 1.5 * noise_3NK[2]
    values = {
        "image/colour": said(4.5, shown + closer),
        "first/image/colour": said(4.0, shown),
        "image+title/colour": said(7.0, shown + closer + title),
        "first/image+title/colour": said(6.5, shown + title),
        "title/colour": said(3.0, title),
    }
    values |= {f"familiarity/{one}": torch.ones(rows) for one in ("image", "title")}
    values["beside/colour"] = values["image/colour"]
    titles = [f"product {seed} {number}" for number in range(rows)]
    return Labelled(values, titles, {"colour": truth_N}, torch.zeros(rows, dtype=torch.bool), [])


def held_out(known: Labelled, kept: Mapping = {}) -> HeldOut:
    labels = {"colour": list("abcdef")}
    return HeldOut(known, labels, CategoryLevels(()), [frozenset(labels)] * len(known.titles), 0, kept)


def test_thresholds_that_are_fitted_through_it_keep_their_promise() -> None:
    missed = dict.fromkeys(("image+title", "image"), 0)
    for seed in range(5):
        known, new = drawn(2000, seed), drawn(4000, 100 + seed)
        margins = settle(known.values, ["colour"])
        calibrations = held_out(known).calibrations((0.95,))
        for inputs, own in margins.items():
            early = {"colour": new.values[f"first/{inputs}/colour"]}
            open_N1 = is_open(early, torch.ones(4000), own)[:, None]
            assert 0 < open_N1.float().mean() < 0.5
            changed_N = early["colour"].argmax(1) != new.values[f"{inputs}/colour"].argmax(1)
            assert (changed_N & ~open_N1[:, 0]).float().mean() < 0.005 < changed_N.float().mean()
            new.values[f"{inputs}/colour"] = torch.where(open_N1, new.values[f"{inputs}/colour"], early["colour"])
        kept = {(inputs, "colour"): by_name["colour"] for inputs, by_name in calibrations.items()}
        weight = kept["image+title", "colour"].title_weight
        both, alone = new.values["image+title/colour"], new.values["title/colour"]
        new.values["image+title/colour"] = geometric_mixture(both, alone, weight)
        tried = held_out(new, kept)
        for inputs in margins:
            accepted, rows = tried.tried(inputs, "colour", calibrations[inputs], 0.95)
            assert len(accepted.correct_N) > 0.1 * rows
            missed[inputs] += accepted.correct_N.mean() < 0.95
    assert max(missed.values()) <= 1  # of 5; a quarter of one is expected at most


@pytest.mark.zoo
def test_resplits_read_with_the_margins_that_there_are(prompted, toy_catalog) -> None:
    prompted.model.image_tower.crop_share, prompted.familiarity = 0.6, {}
    scores = []
    for margin in (ALL, NONE):
        prompted.first_look = with_margins(prompted, margin).design.first_look
        found = read_held_out(replace(prompted, calibration={}), toy_catalog)
        scores.append(found.known.values["image/category"])
        assert prompted.first_look["image"]["category"] == margin
    assert not torch.allclose(*scores, atol=1e-3)
    prompted.first_look = {}  # a model without margins looks twice, and none are fitted to the rows that it is tried on
    closely = read_held_out(replace(prompted, calibration={}), toy_catalog).known.values["image/category"]
    torch.testing.assert_close(closely, scores[0], atol=1e-4, rtol=1e-4)


def test_what_is_settled_is_what_is_answered_later(design, batch, toy_catalog, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(module, "CHANGED", 0.2)  # the toy shop has 60 products
    settled = {}
    monkeypatch.setattr(
        "shopvl.inference.calibrate.settle",
        lambda values, names: settled.update(margins=settle(values, names), values=dict(values)) or settled["margins"],
    )
    calibrate(design, toy_catalog)
    assert design.first_look == settled["margins"]
    assert design.first_look.keys() == {"image+title", "image"}
    weightless = replace(design, calibration={})
    at, shares = 0, []
    looks = Looks(answers_of(weightless))

    def as_used(batch, inputs):
        said = looks.read(batch, [one for one in INPUT_CHOICES if set(one) <= set(inputs)], each=True)
        found = module.flat(said.answers | {module.BESIDE: said.beside})
        return found | {f"looks/{name}": looks_B for name, looks_B in said.looks.items()}

    for item in encode(weightless, toy_catalog.batches(), toy_catalog.root, MODALITIES, as_used):
        rows = slice(at, at + len(item.items))
        for key, values in item.values.items():
            if key.startswith("looks/"):
                shares.append((values == 2).mean())
            else:
                np.testing.assert_allclose(settled["values"][key][rows].numpy(), values, atol=1e-4, rtol=1e-4)
        at += len(item.items)
    assert at == len(settled["values"]["image/category"])
    assert 0 < np.mean(shares) < 1
    design.save(tmp_path)
    again = Design.from_pretrained(tmp_path)
    assert again.first_look == design.first_look
    assert again.calibration.keys() == design.calibration.keys()
    assert json.loads((tmp_path / "calibration.json").read_text())["first look"] == design.first_look


def test_the_precision_asked_for_does_not_change_who_goes_on(design, toy_catalog) -> None:
    looks = with_margins(design, 0.05)
    answers = HeadAnswers(looks.design)
    frame = next(toy_catalog.batches()).head(ROWS)
    said = [list(tags_of(looks.design, [frame], toy_catalog.root, precision=precision)) for precision in (0.5, 0.99)]
    strip = [[(row["property"], row["best_guess"], row["probability"]) for row in rows] for (rows,) in said]
    assert answers.labels.keys() == {name for name, _, _ in strip[0]}
    for (name, _, low), (other, _, high) in zip(*strip, strict=True):
        assert name == other
        assert name == "category" or low == pytest.approx(high)


def test_reports_say_how_many_pictures_took_a_second_look(prompted, toy_catalog, tmp_path) -> None:
    prompted.model.image_tower.crop_share, prompted.familiarity = 0.6, {}
    prompted.first_look = with_margins(prompted, 0.3).design.first_look
    done = tag(prompted, toy_catalog, tmp_path)
    outputs = run_model(prompted, toy_catalog)
    looks_N = outputs.looks["image+title"]
    assert done.looked_twice == (looks_N > 1).sum()
    assert done.pictured == len(looks_N)
    assert 0 < done.looked_twice < done.pictured
    assert done.looks_line().startswith(f"{done.looked_twice} of {done.pictured} pictures (")
    assert done.stages["second look"] > 0
    told = second_looks(outputs)
    assert told["share"]["image+title"] == pytest.approx(done.looked_twice / done.pictured)
    assert told["ms"] > 0
    again = tag(prompted, toy_catalog, tmp_path, precision=0.8)
    assert (again.computed, again.looked_twice) == (0, done.looked_twice)
    prompted.first_look = {}
    assert tag(prompted, toy_catalog, tmp_path).looks_line() == ""
