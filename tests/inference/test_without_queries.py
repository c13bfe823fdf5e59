"""Models that learned from titles and pictures alone read queries and names of values as titles (CLIP)."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from shopvl.batch import Batch
from shopvl.design.design import Design
from shopvl.inference.choose import SpaceAnswers
from shopvl.recipes import find
from shopvl.recipes.parts.objectives import Contrast


@pytest.fixture(scope="module")
def design(make_design) -> Design:
    recipe = find("tri-clip", "tiny")
    return make_design(replace(recipe, objectives=(Contrast(between="title-image"),)))


def test_only_contrast_of_titles_and_pictures_alone_reads_queries_as_titles() -> None:
    recipe = find("tri-clip", "tiny")
    assert recipe.query_segment == "query"
    assert replace(recipe, objectives=recipe.objectives[:1]).query_segment == "title"
    assert find("vilt", "tiny").query_segment == "query"


def test_queries_are_no_part_of_its_training_and_are_embedded_as_titles(design: Design, batch_of) -> None:
    assert batch_of(design).texts.keys() == {"title"}
    design.model.eval()
    with torch.inference_mode():
        words = design.loader.words(["red shirt"])
        assert torch.equal(design.embed_queries(["red shirt"]), design.model.embed_text(words, "title"))
        assert not torch.equal(design.embed_queries(["red shirt"]), design.model.embed_text(words, "query"))


def test_a_label_is_the_mean_of_the_titles_that_hold_it(design: Design, batch_of) -> None:
    design.model.eval()
    answers = SpaceAnswers(design)
    batch = batch_of(design, 3)
    with torch.inference_mode():
        found = answers.read(Batch(pictures=batch.pictures), [("image",)])["image"]
        output = design.model(Batch(pictures=batch.pictures))
    values = design.ontology.values()["Colour"]
    book, colour = design.loader.verbalizer.book, design.ontology.property("Colour")
    logits = torch.empty(3, len(values))
    for place, value in enumerate(values):
        with torch.inference_mode():
            titles = [design.embed_queries([text])[0] for text in book.titles(value.lower(), colour)]
        mean = F.normalize(sum(titles), dim=0)
        logits[:, place] = output.scales["title-image"] * (output.embeddings["image"] @ mean)
    torch.testing.assert_close(found["Colour"].exp(), logits.softmax(-1), atol=1e-5, rtol=1e-4)
