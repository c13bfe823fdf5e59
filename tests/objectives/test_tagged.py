"""Tags that a picture's net tells, three ways of matching, and questions in the title's place, against plain loops."""

import random
from dataclasses import replace

import pytest
import torch

from shopvl.batch import IGNORED, Batch, Groups, Pictures
from shopvl.catalog.queries import fact_name
from shopvl.data.rows import facts_of
from shopvl.objectives.tagged import FalsePicturesOrTags, FalseTags
from shopvl.objectives.views import HiddenTags
from shopvl.recipes import find
from shopvl.recipes.parts.grounding import TagMatching


def pairs(count: int, titles: list[int] | None = None) -> Batch:
    number_B = torch.arange(count)
    title_B = number_B if titles is None else torch.tensor(titles)
    pictures = Pictures(pixels_B3YX=number_B.float()[:, None, None, None].expand(-1, 3, 2, 2))
    return Batch(pictures=pictures, groups=Groups(title_B=title_B, query_B=number_B, category_B=number_B))


@pytest.mark.parametrize("name", ["oscar", "vinvl"])
def test_tags_follow_from_the_picture_alone(name: str, make_design, toy_rows) -> None:
    design = make_design(find(name, "tiny"))
    rows = [toy_rows[number] for number in range(6)]
    shuffled = [
        {**row, "attributes": other["attributes"]} for row, other in zip(rows, rows[1:] + rows[:1], strict=True)
    ]
    inputs = design.model.patches
    told = []
    for each in (rows, shuffled):
        pictures = design.loader.training_batch(each, random.Random(0)).pictures
        with torch.inference_mode():
            told.append(inputs.eval().tags(inputs(pictures)[1], None, design.tokenizer.mask_id))
    assert torch.equal(told[0].true_BG, told[1].true_BG)
    with torch.inference_mode():  # the names of the likeliest facts
        best = inputs.tell(inputs(pictures)[1][:, 1])[:, :-1].argsort(1, descending=True)[:, : inputs.count]
    width = inputs.names_KQ.shape[1]
    for row, facts in zip(told[1].words.ids_BT, best.tolist(), strict=True):
        for place, fact in enumerate(sorted(facts)):
            name = fact_name(design.ontology, fact, "en")
            (pieces,) = design.tokenizer.pieces([name])
            assert row[place * width : (place + 1) * width].tolist()[: len(pieces)] == pieces[:width]


def test_hidden_tags_are_guessed_with_the_words_and_nothing_knows_them(make_design, batch_of) -> None:
    design = make_design(find("oscar", "tiny"))
    design.model.eval()
    (view,) = {objective.view for objective in design.objectives if objective.name == "mlm"}
    batch = view(batch_of(design, 6), torch.Generator().manual_seed(0))
    hidden_BC = batch.tags.hidden_BC
    assert hidden_BC.any(1).all()
    with torch.inference_mode():
        predicted = design.model(batch).predictions["words"]
        features = design.model.patches(batch.pictures)[1]
        tags = design.model.patches.tags(features, batch.tags, design.tokenizer.mask_id)
    title = batch.texts["title"]
    expected = title.targets_BT[title.targets_BT != IGNORED].tolist() + tags.true_BG[tags.hidden_BG].tolist()
    assert predicted.true.tolist() == expected
    assert (tags.words.ids_BT[tags.hidden_BG] == design.tokenizer.mask_id).all()
    kept = ~tags.hidden_BG
    assert torch.equal(tags.words.ids_BT[kept], tags.true_BG[kept])
    # the tag's own piece is read nowhere: another name in its place changes no state
    design.model.patches.names_KQ = design.model.patches.names_KQ.clone()
    everything = replace(batch, tags=replace(batch.tags, hidden_BC=torch.ones_like(hidden_BC)))
    with torch.inference_mode():
        before = design.model(everything).states.words_BTD
        design.model.patches.names_KQ[:] = 9
        after = design.model(everything).states.words_BTD
    assert torch.equal(before, after)


def test_a_share_of_the_tags_is_hidden_and_one_at_least() -> None:
    hidden = HiddenTags(0.15, 4)(pairs(4000), torch.Generator().manual_seed(0)).tags.hidden_BC
    assert hidden.any(1).all()
    none = 0.85**4  # of four tags is drawn, and so the one of the lowest draw is hidden
    assert float(hidden.float().mean()) == pytest.approx(0.15 + none / 4, abs=0.01)


def test_false_tags_are_another_products_and_the_label_says_so() -> None:
    batch = FalseTags(0.5)(pairs(40, [n // 2 for n in range(40)]), torch.Generator().manual_seed(1))
    titles = batch.groups.title_B.tolist()
    for b, source in enumerate(batch.tags.of_B.tolist()):
        assert bool(batch.is_match_B[b]) == (titles[b] == titles[source])
    assert sum(source != b for b, source in enumerate(batch.tags.of_B.tolist())) == 20
    assert torch.equal(batch.pictures.pixels_B3YX[:, 0, 0, 0], torch.arange(40).float())


def test_of_three_ways_the_label_is_what_was_exchanged() -> None:
    counts = torch.zeros(3)
    for seed in range(20):
        batch = FalsePicturesOrTags(0.5)(pairs(40), torch.Generator().manual_seed(seed))
        for b, changed in enumerate(batch.tags.changed_B.tolist()):
            other_picture = int(batch.pictures.pixels_B3YX[b, 0, 0, 0]) != b
            other_tags = int(batch.tags.of_B[b]) != b
            assert changed == (1 if other_picture else 2 if other_tags else 0)
            assert not (other_picture and other_tags)
            if other_tags:  # the lender has its own picture, so that its tags are its own
                assert int(batch.pictures.pixels_B3YX[int(batch.tags.of_B[b]), 0, 0, 0]) == int(batch.tags.of_B[b])
        counts += torch.bincount(batch.tags.changed_B, minlength=3)
    assert (counts / counts.sum()).tolist() == pytest.approx([0.5, 0.25, 0.25])


def test_other_tags_change_what_is_said_of_three_ways(make_design, batch_of) -> None:
    design = make_design(find("vinvl", "tiny"))
    design.model.eval()
    (view,) = {objective.view for objective in design.objectives if objective.name == "itm-3"}
    batch = view(batch_of(design, 8), torch.Generator().manual_seed(0))
    own = replace(batch, tags=replace(batch.tags, of_B=torch.arange(8)))
    with torch.inference_mode():
        made, as_own = (design.model(each).predictions["match-ways"].made for each in (batch, own))
        head, seen = design.model.heads["match"], design.model(batch)
        loss = next(each for each in design.objectives if each.name == "itm-3")(seen, batch)
    assert made.shape == (8, 3)
    read = [b for b in range(8) if not torch.allclose(made[b], as_own[b])]
    assert read
    assert set(read) <= {b for b, changed in enumerate(batch.tags.changed_B.tolist()) if changed == 2}
    expected = (
        -sum(float(made[b].log_softmax(0)[changed]) for b, changed in enumerate(batch.tags.changed_B.tolist())) / 8
    )
    assert float(loss) == pytest.approx(expected, abs=1e-6)
    assert head.which.out_features == 2


def test_questions_are_answered_by_one_fact_of_the_product(make_design, toy_rows) -> None:
    design = make_design(find("lxmert", "tiny"))
    rows = [{**toy_rows[number]} for number in range(8)]
    rows[3] |= {"category_path": None, "attributes": []}
    batch = design.loader.training_batch(rows, random.Random(0))
    for row, fact in zip(rows, batch.asked.fact_B.tolist(), strict=True):
        known = facts_of(row, design.ontology)
        assert fact in known if known else fact == IGNORED
    assert batch.asked.fact_B[3] == IGNORED
    objective = next(each for each in design.objectives if each.name == "qa-cls")
    shown = objective.view(batch, torch.Generator())
    assert torch.equal(shown.texts["title"].ids_BT, batch.asked.words.ids_BT)
    with torch.inference_mode():
        output = design.model.eval()(shown)
    made = output.predictions["asked-fact"].made
    answers = [fact for fact in batch.asked.fact_B.tolist() if fact != IGNORED]
    expected = -sum(float(row.log_softmax(0)[fact]) for row, fact in zip(made, answers, strict=True)) / len(answers)
    assert float(objective(output, shown)) == pytest.approx(expected, abs=1e-6)


def test_tags_are_learned_and_read_by_what_needs_them() -> None:
    oscar, uniter = find("oscar", "tiny"), find("uniter", "tiny")
    without = oscar.without(["region-facts"]).problems()
    assert any("what stands in tags is never learned; add the objective region-facts" in told for told in without)
    problems = replace(uniter, objectives=(TagMatching(),)).problems()
    assert any("itm-tags reads the tags of a picture; give region some tags" in told for told in problems)
