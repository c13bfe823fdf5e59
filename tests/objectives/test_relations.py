"""Statements about products, what pictures say to them, and the head that judges, against plain loops."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from shopvl.batch import COVERED, DENIED, IGNORED, NOT_SEEN, SHOWN, Relations
from shopvl.catalog.queries import fact_name
from shopvl.data.covering import cover
from shopvl.data.relations import LONGEST, Triple, covered_share, drawn_relations, is_seen, statement_of, triples_of
from shopvl.data.training_pictures import training_pictures
from shopvl.models.relating import RelationsHead
from shopvl.objectives.predicting import mean_loss
from shopvl.recipes import find

PRODUCT = (0.1, 0.1, 0.9, 0.9)


@pytest.fixture
def design(make_design):
    return make_design(find("relations", "tiny"))


def texts_of(design, relations: Relations, b: int) -> list[str]:
    phrases = relations.places.phrases
    each = zip(phrases.ids_BNQ[b], phrases.real_BNQ[b], strict=True)
    return [design.tokenizer.decode(ids[real].tolist()) for ids, real in each]


def values_of(ontology, name: str) -> dict[str, int]:
    return {fact.value: n for n, fact in enumerate(ontology.facts) if fact.property == name}


def test_an_edit_is_denied_only_where_its_property_is_seen(design) -> None:
    ontology = design.ontology
    red, long = values_of(ontology, "Colour"), values_of(ontology, "Sleeve")
    red, long = red[min(red)], long["Long Sleeves"]
    sleeves = ((0.0, 0.2, 0.2, 0.6), (0.8, 0.2, 1.0, 0.6))
    shown = [("colour", PRODUCT), *(("SLEEVE", box) for box in sleeves)]
    material = min(values_of(ontology, "Material").values())
    triples = triples_of([red, long, material, 0], shown, PRODUCT, ontology)
    assert triples == [Triple(red, (PRODUCT,)), Triple(long, sleeves), Triple(material, ())]
    names = {number: fact_name(ontology, number, "en") for number in (red, long, material)}
    said = {(number, verdict): 0 for number in names for verdict in (SHOWN, DENIED, NOT_SEEN)}
    for seed in range(60):
        covers = [[], [(0.0, 0.1, 0.25, 0.7), (0.75, 0.1, 1.0, 0.7)]]
        holding = [red, long, material]
        own = [random.Random(seed), random.Random(seed + 1000)]
        drawn = drawn_relations(design.loader, [triples] * 2, [holding] * 2, covers, 0.5, ontology, own)
        for b in range(2):
            for n, text in enumerate(texts_of(design, drawn, b)):
                verdict = int(drawn.verdict_BN[b, n])
                boxes = drawn.places.boxes_BM4[b][drawn.places.named_BMN[b, :, n]].tolist()
                if verdict == IGNORED:
                    assert not text
                    assert not boxes
                    continue
                (triple,) = [one for one in triples if text.startswith(statement_of(one.fact, ontology).split(":")[0])]
                true = "".join(text.split()) == "".join(statement_of(triple.fact, ontology).split())
                seen = triple.fact == red or (triple.fact == long and b == 0)
                assert verdict == (NOT_SEEN if not seen else SHOWN if true else DENIED)
                assert boxes == [pytest.approx(box) for box in triple.boxes if seen]
                said[triple.fact, verdict] += 1
    assert all(said[red, verdict] > 5 for verdict in (SHOWN, DENIED))
    assert all(said[long, verdict] > 5 for verdict in (SHOWN, DENIED, NOT_SEEN))
    assert said[material, NOT_SEEN] > 5


def test_what_no_picture_shows_is_not_seen_where_a_catalog_has_no_boxes(design) -> None:
    ontology = design.ontology
    season = next(prop for prop in ontology.properties if prop.id == "Season").model_copy(update={"visual": "no"})
    blind = ontology.with_properties([season if prop.id == "Season" else prop for prop in ontology.properties])
    facts = [min(values_of(blind, name).values()) for name in ("Season", "Colour")]
    assert triples_of(facts, None, PRODUCT, blind) == [Triple(facts[0], ()), Triple(facts[1], (PRODUCT,))]
    assert not is_seen(Triple(facts[0], ()), [])


def test_the_share_under_covers_is_counted_square_by_square() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        corners = rng.integers(0, 100, (4, 2)), rng.integers(4, 28, (4, 2))
        boxes = [(*(low / 128).tolist(), *((low + size) / 128).tolist()) for low, size in zip(*corners, strict=True)]
        own, covers = boxes[:2], boxes[2:]
        inside = [
            any(x0 <= (x + 0.5) / 128 < x1 and y0 <= (y + 0.5) / 128 < y1 for x0, y0, x1, y1 in covers)
            for y in range(128)
            for x in range(128)
            if any(x0 <= (x + 0.5) / 128 < x1 and y0 <= (y + 0.5) / 128 < y1 for x0, y0, x1, y1 in own)
        ]
        assert covered_share(own, covers) == pytest.approx(np.mean(inside))
    assert covered_share([(0.5, 0.5, 0.5001, 0.5001)], [(0.4, 0.4, 0.6, 0.6)]) == 1
    triple = Triple(0, ((0.0, 0.0, 0.5, 0.5),))
    assert [is_seen(triple, [(0.0, 0.0, 0.5, y)]) for y in (0.02, 0.25, 0.5)] == [True, None, False]


def test_a_cover_hides_all_that_shows_a_property_and_nothing_far_from_it() -> None:
    pixels = np.arange(3 * 64 * 48, dtype=np.uint32).reshape(3, 64, 48).astype(np.uint8)
    shown = [("sleeve", (0.1, 0.2, 0.3, 0.5)), ("sleeve", (0.7, 0.2, 0.9, 0.5)), ("colour", PRODUCT)]
    covered, covers = cover(pixels, shown, random.Random(3))
    assert len(covers) == 2
    for (x0, y0, x1, y1), (_, box) in zip(covers, shown, strict=False):
        assert x0 <= box[0] < box[2] <= x1
        assert y0 <= box[1] < box[3] <= y1
        window = covered[:, int(y0 * 64) : int(y1 * 64), int(x0 * 48) : int(x1 * 48)]
        assert (window == window[:, :1, :1]).all()
    changed = (covered != pixels).any(0)
    assert changed.mean() <= sum((x1 - x0 + 2 / 48) * (y1 - y0 + 2 / 64) for x0, y0, x1, y1 in covers)
    for unseen in ([], shown[2:]):
        same, none = cover(pixels, unseen, random.Random(3))
        assert none == []
        assert same is pixels


def test_the_view_shows_covered_pictures_and_statements(design, toy_rows) -> None:
    boxes = [{"text": "zip", "property": "Closure", "box": [0.3, 0.3, 0.5, 0.6]}]
    boxes += [{"text": None, "property": "Colour", "box": [0.1, 0.1, 0.9, 0.9]}]
    rows = [{**toy_rows[number], "part_boxes": boxes if number else None} for number in range(8)]
    batch = design.loader.training_batch(rows, random.Random(0))
    relate = design.objectives[0]
    shown = relate.view(batch, torch.Generator())
    assert not shown.texts
    assert shown.places is None
    covered = (shown.pictures.pixels_B3YX != batch.pictures.pixels_B3YX).flatten(1).any(1)
    assert 0 < int(covered.sum()) < 8
    assert torch.equal(shown.pictures.pixels_B3YX, batch.views[COVERED].pixels_B3YX)
    decoded = [design.loader.training_picture(row) for row in rows]
    drawn = training_pictures(design.loader, rows, decoded, [random.Random(n) for n in range(8)], random.Random(0))
    assert drawn.shown[0] is None
    assert all({name for name, _ in told} <= {"Closure", "Colour"} for told in drawn.shown[1:])
    ground = design.objectives[1].view(batch, torch.Generator())
    assert "verdicts" not in design.model(ground).predictions
    assert "word-regions" not in design.model(shown).predictions


def test_verdicts_rest_on_what_is_where_a_statement_points(design, batch_of) -> None:
    batch = design.objectives[0].view(batch_of(design, 4), torch.Generator())
    model = design.model.eval()
    with torch.inference_mode():
        scores, _, made = model.relate(batch)
        seen, _ = model._seen(batch)
        head = model.heads["relations"]
        assert isinstance(head, RelationsHead)
        for b in range(4):
            for n in range(scores.shape[2]):
                weights = scores[b, :, n].exp() / scores[b, :, n].exp().sum()
                there = sum(weight * state for weight, state in zip(weights, seen.patches_BPD[b], strict=True))
                told = head.judge(torch.cat([seen.words_BTD[b, n], there]))
                torch.testing.assert_close(made[b, n], told, atol=1e-4, rtol=1e-4)
        output = model(batch)
    verdicts = output.predictions["verdicts"]
    relations = batch.relations
    asked = [(b, n) for b in range(4) for n in range(scores.shape[2]) if int(relations.verdict_BN[b, n]) != IGNORED]
    logs = [made[b, n].log_softmax(0)[int(relations.verdict_BN[b, n])] for b, n in asked]
    assert float(mean_loss(verdicts, "cross-entropy")) == pytest.approx(-float(sum(logs)) / len(logs), rel=1e-4)
    assert relations.places.phrases.ids_BNQ.shape[2] <= LONGEST


def test_statements_in_another_order_have_their_verdicts_in_that_order(design, batch_of) -> None:
    batch = design.objectives[0].view(batch_of(design, 4), torch.Generator())
    phrases = batch.phrases
    order = torch.arange(phrases.ids_BNQ.shape[1] - 1, -1, -1)
    turned = replace(phrases, ids_BNQ=phrases.ids_BNQ[:, order], real_BNQ=phrases.real_BNQ[:, order])
    with torch.inference_mode():
        made = design.model.eval().relate(batch)[2]
        other = design.model.relate(replace(batch, phrases=turned))[2]
    real = phrases.real_BNQ.any(-1)
    torch.testing.assert_close(made[:, order][real[:, order]], other[real[:, order]], atol=1e-5, rtol=1e-4)
