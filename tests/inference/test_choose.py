"""A writer chooses among values by how likely it is to write them: as a plain loop does, one candidate at a time."""

from dataclasses import replace

import pytest
import torch

from shopvl.batch import MODALITIES, Batch, inputs_name
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.inference.ask import ask
from shopvl.inference.choose import WrittenAnswers
from shopvl.inference.pair_scorer import Matcher
from shopvl.inference.tag_rows import tags_of
from shopvl.inference.write import beginning
from shopvl.recipes import RECIPES, find
from shopvl.recipes.capabilities import capabilities

WRITERS = [name for name, family in RECIPES.items() if "write" in capabilities(family.base)]


def one_after_the_other(answers: WrittenAnswers, batch: Batch, before: list[str], texts: list[str]) -> torch.Tensor:
    """(B, K): every product and every candidate by itself, a word at a time, among what may follow."""
    closed = [[*ids, answers.end] for ids in answers.tokenizer.pieces(texts)]
    logp_BK = torch.zeros(len(batch), len(texts))
    for row, text in enumerate(before):
        given = answers.given([text])
        shown = None if batch.pictures is None else batch.pictures.rows(slice(row, row + 1))
        for k, ids in enumerate(closed):
            begun, go_on = answers.model.begin(Batch(pictures=shown, texts={"title": given}))
            logits_V, cache = begun.logits_RV[0], begun.cache
            for place, word in enumerate(ids):
                left = [other for other in closed if other[:place] == ids[:place]]
                if len(left) == 1:
                    break  # what follows is certain
                if place:
                    logits_1TV, cache = go_on(torch.tensor([[ids[place - 1]]]), cache)
                    logits_V = logits_1TV[0, -1]
                may = sorted({other[place] for other in left})
                logp_BK[row, k] += logits_V[may].float().log_softmax(-1)[may.index(word)]
    return logp_BK


@pytest.mark.parametrize("name", WRITERS)
def test_a_trie_scores_as_one_candidate_after_the_other(name: str, make_design, batch_of) -> None:
    design = make_design(find(name, "tiny"))
    answers = WrittenAnswers(design)
    labels = {CATEGORY: answers.design.labels[CATEGORY][:5], "Colour": answers.design.labels["Colour"][:5]}
    answers.design = replace(answers.design, labels=labels)
    batch = batch_of(design, 2)
    choice = tuple(one for one in MODALITIES if one in design.recipe.inputs)
    shown = Batch(pictures=batch.pictures if "image" in choice else None, texts=batch.texts)
    with torch.inference_mode():
        found = answers.read(shown, [choice])[inputs_name(choice)]
        words = batch.texts["title"]
        titles = [design.tokenizer.decode(ids[real]) for ids, real in zip(words.ids_BT, words.real_BT, strict=True)]
        for about, values in labels.items():
            before = answers._before(about, titles, found)
            joint = "" if answers.asks else "; " if answers.lists else " "
            texts = [joint + answers._written(about, value) for value in values]
            torch.testing.assert_close(
                found[about], one_after_the_other(answers, shown, before, texts), atol=1e-4, rtol=1e-4
            )
            torch.testing.assert_close(found[about].exp().sum(-1), torch.ones(2), atol=1e-4, rtol=1e-4)


def test_values_of_one_name_share_its_probability(make_design, batch_of) -> None:
    design = make_design(find("git", "tiny"))
    answers = WrittenAnswers(design)
    answers.design = replace(
        answers.design, labels={CATEGORY: ["Apparel > Shirts", "Kids > Shirts", "Apparel > Shoes"]}
    )
    with torch.inference_mode():
        shares = answers.read(batch_of(design, 3), [("image",)])["image"][CATEGORY].exp()
    assert torch.equal(shares[:, 0], shares[:, 1])
    torch.testing.assert_close(shares.sum(-1), torch.ones(3))


@pytest.mark.parametrize("name", ["git", "vl-t5", "coca", "unified-vlp"])
def test_a_pair_fits_as_its_title_is_likely(name: str, make_design, toy_catalog) -> None:
    design = make_design(find(name, "tiny"))
    matcher = Matcher(design, toy_catalog, most=3)
    (found,) = matcher.scores([1], [2]).tolist()
    shown = design.loader.pictures([design.loader.training_picture(matcher.rows[2])]).pictures
    told = 0.0
    with torch.inference_mode():
        begun, go_on = matcher.model.begin(Batch(pictures=shown, texts={"title": beginning(design, 1)}))
        logits_V, cache = begun.logits_RV[0], begun.cache
        given = beginning(design, 1).ids_BT.shape[1]
        for word in [*matcher.pieces[1][: design.loader.max_tokens - given], design.tokenizer.end_id]:
            told += float(logits_V.float().log_softmax(-1)[word])
            if word != design.tokenizer.end_id:
                logits_1TV, cache = go_on(torch.tensor([[word]]), cache)
                logits_V = logits_1TV[0, -1]
    assert found == pytest.approx(told, abs=1e-3)


def test_it_tags_and_answers_without_having_been_tuned_and_nothing_is_accepted(make_design, toy_catalog) -> None:
    design = make_design(find("git", "tiny"))
    rows = next(toy_catalog.batches()).head(4)
    tagged = list(tags_of(design, [rows], toy_catalog.root))
    asked = {tag["property"] for product in tagged for tag in product}
    assert asked >= {"category", *design.ontology.values()}
    assert {tag["decision"] for product in tagged for tag in product} <= {"review", "unknown"}
    (reply,) = ask(design, "what colour is it?", None, "red shirt")
    assert reply.property == "Colour"
    assert reply.decision != "accept"
