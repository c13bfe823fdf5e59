"""Retrieval by the matching head: the same logits as the model's own pass, and its protocol."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shopvl.batch import Groups
from shopvl.errors import DesignError
from shopvl.inference.encode import prepare
from shopvl.inference.pair_scorer import ITM_PROTOCOL, Matcher, itm_retrieval
from shopvl.recipes import find


@pytest.mark.parametrize("name", ["vilt", "pixel-bert", "kaleido-bert", "vilbert", "interbert", "albef"])
def test_a_pair_is_judged_as_in_training(name: str, make_design, toy_catalog) -> None:
    design = make_design(find(name, "tiny"))
    matcher = Matcher(design, toy_catalog)
    rows = matcher.rows[:6]
    (group,) = prepare(design.loader, rows, toy_catalog.root, ("image", "title")).groups
    with torch.inference_mode():
        if name == "albef":  # it judges pairs that it drew: the first are the true ones
            numbers = torch.arange(6)
            groups = Groups(title_B=numbers, query_B=numbers, category_B=numbers)
            twice = replace(group.batch, groups=groups, gumbel_noise_2BB=torch.zeros(2, 6, 6))
            output = design.model(twice)
            cosine_B = (output.embeddings["title"] * output.embeddings["image"]).sum(1)
            expected = output.predictions["match"].made[:6] + output.scales["title-image"] * cosine_B
        else:
            told = replace(group.batch, is_match_B=torch.ones(6, dtype=torch.bool))
            expected = design.model(told).predictions["match"].made
    found = matcher.scores(group.places, group.places)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    crossed = matcher.scores(group.places, np.roll(group.places, 1))
    assert not torch.allclose(crossed, expected)


def test_a_perfect_head_finds_every_match_and_a_blind_one_none(make_design, toy_catalog, monkeypatch) -> None:
    matcher = Matcher(make_design(find("vilt", "tiny")), toy_catalog)
    monkeypatch.setattr(matcher, "scores", lambda titles, pictures: torch.tensor(titles == pictures).float())
    found = itm_retrieval(matcher, queries=10, others=20)[ITM_PROTOCOL]
    assert found.text_to_image.queries == found.image_to_text.queries == 10
    assert found.sum_r == 600
    monkeypatch.setattr(matcher, "scores", lambda titles, pictures: torch.zeros(len(titles)))
    assert itm_retrieval(matcher, queries=10, others=20)[ITM_PROTOCOL].sum_r == 0  # ties count against the model
    assert itm_retrieval(matcher) == {}  # too few titles for lists of a hundred


def test_of_a_large_catalog_the_first_rows(make_design, toy_catalog) -> None:
    design = make_design(find("vilt", "tiny"))
    whole, some = Matcher(design, toy_catalog), Matcher(design, toy_catalog, most=5, batch_rows=10)
    assert 5 <= len(some.rows) < len(whole.rows)
    assert some.rows == whole.rows[: len(some.rows)]


def test_towers_are_told_where_to_go(make_design, toy_catalog) -> None:
    with pytest.raises(DesignError, match="tri-clip has no head that judges pairs"):
        Matcher(make_design(find("tri-clip", "tiny")), toy_catalog)
