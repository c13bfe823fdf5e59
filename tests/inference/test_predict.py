"""How answers are put together, whichever head gives them."""

from dataclasses import replace

import pytest
import torch

from shopvl.batch import Batch, OriginalPictures, Pictures
from shopvl.catalog.vocabulary import CATEGORY, CATEGORY_JOIN, UNKNOWN
from shopvl.inference import predict
from shopvl.inference.predict import answers_of, prompted_labels
from shopvl.recipes import find
from shopvl.text.prompts import Question, questions_of

CHOICES = [("image",), ("image", "title"), ("title",)]


@pytest.fixture(params=["tuned", "prompted"])
def design(request):
    return request.getfixturevalue(request.param)


def pictures_and_titles(design, batch_of, count: int) -> Batch:
    drawn = batch_of(design, count)
    texts = {"title": drawn.texts["title"]}
    return Batch(
        pictures=Pictures(pixels_B3YX=drawn.pictures.pixels_B3YX), texts=texts, title_grams_BG=drawn.title_grams_BG
    )


def with_original(bare: Batch, pixels_B3YX: torch.Tensor, crop_B3YX: torch.Tensor) -> Batch:
    original = OriginalPictures(original_pixels_B3YX=pixels_B3YX, center_crop_B3YX=crop_B3YX)
    return replace(bare, pictures=replace(bare.pictures, original=original))


def test_where_text_was_painted_out_a_value_is_as_likely_as_its_surest_look_says(design, batch_of) -> None:
    answers, bare = answers_of(design), pictures_and_titles(design, batch_of, 6)
    original_B3YX = bare.pictures.pixels_B3YX.clone()
    original_B3YX[[1, 4], :, 2:9] = 1.0
    with torch.inference_mode():
        found = answers.read(with_original(bare, original_B3YX, original_B3YX.flip(3)), CHOICES)
        looks = [bare.pictures.pixels_B3YX, original_B3YX, original_B3YX.flip(3)]
        each = [
            answers.read(replace(bare, pictures=replace(bare.pictures, pixels_B3YX=look)), CHOICES) for look in looks
        ]
    for inputs, by_name in found.items():
        for name, logp_BK in by_name.items():
            for row in range(6):
                alone = torch.stack([one[inputs][name][row] for one in each[: len(each) if row in (1, 4) else 1]])
                torch.testing.assert_close(logp_BK[row], alone.amax(0).log_softmax(-1), atol=1e-5, rtol=1e-5)
    image = next(iter(found["image"]))
    assert not torch.allclose(found["image"][image][1], each[0]["image"][image][1], atol=1e-4)


def test_vectors_are_of_the_picture_as_it_came(design, batch_of) -> None:
    answers, bare = answers_of(design), pictures_and_titles(design, batch_of, 6)
    original_B3YX = bare.pictures.pixels_B3YX.clone()
    original_B3YX[[1, 4], :, 2:9] = 1.0
    came = replace(bare, pictures=replace(bare.pictures, pixels_B3YX=original_B3YX))
    with torch.inference_mode():
        _, found = answers.read_with_vectors(with_original(bare, original_B3YX, original_B3YX.flip(3)), CHOICES)
        _, plain = answers.read_with_vectors(came, CHOICES)
        features = design.model.features(came, [("image",), ("title",)])
    assert found.keys() == plain.keys() == {"image", "title"}
    for name, vectors_BF in features.items():
        torch.testing.assert_close(found[name], vectors_BF, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(plain[name], vectors_BF, atol=1e-5, rtol=1e-5)


def test_pictures_without_text_laid_over_them_are_looked_at_once(design, batch_of) -> None:
    answers, bare = answers_of(design), pictures_and_titles(design, batch_of, 3)
    with torch.inference_mode():
        once = answers.read(bare, CHOICES)
        pixels = bare.pictures.pixels_B3YX
        found = answers.read(with_original(bare, pixels.clone(), pixels.flip(3)), CHOICES)
    for inputs, by_name in once.items():
        for name, logp_BK in by_name.items():
            assert torch.equal(found[inputs][name], logp_BK)


def test_unknown_is_no_answer_about_a_property_that_the_likeliest_category_has(prompted, batch_of) -> None:
    answers, bare = answers_of(prompted), pictures_and_titles(prompted, batch_of, 12)
    with torch.inference_mode():
        found = answers.read(bare, CHOICES)
        asked, seen = questions_of(prompted.ontology), set()
        raw = prompted.model.answer(bare, prompted.model.prepare(prompted.loader.questions(asked)), CHOICES)
    for inputs, by_name in found.items():
        for row, best in enumerate(by_name[CATEGORY].argmax(-1).tolist()):
            path = prompted.labels[CATEGORY][best].split(CATEGORY_JOIN)
            for name in by_name.keys() - {CATEGORY}:
                p_K = by_name[name][row].exp()
                own_K = raw[inputs][row, asked.index(Question("property", about=name))].exp()
                own_K = own_K[own_K > 0]  # the legal ones, `unknown` last
                expected = prompted.ontology.expects(name, path)
                if expected:
                    own_K = torch.cat([own_K[:-1], torch.zeros(1)]) / own_K[:-1].sum()
                torch.testing.assert_close(p_K, own_K, atol=1e-6, rtol=1e-4)
                seen.add(expected)
    assert seen == {True, False}


@pytest.mark.parametrize("head", ["prompt-mask", "prompt-decode"])
def test_questions_in_groups_are_answered_as_all_at_once(head, make_design, batch_of, monkeypatch) -> None:
    design = make_design(find(head, "tiny"))
    design.labels = prompted_labels(design.ontology)
    with torch.no_grad():
        for part in design.model.head.parameters():
            part.add_(torch.randn(part.shape, generator=torch.Generator().manual_seed(0)), alpha=0.05)
    design.model.eval()
    shown = pictures_and_titles(design, batch_of, 4)
    found = {}
    for size in (100, 2):
        monkeypatch.setattr(predict, "GROUP", size)
        answers = answers_of(design)
        with torch.inference_mode():
            found[len(answers.groups)] = answers.read(shown, CHOICES), answers.read_picture(shown)
    (one, alone), (several, grouped) = found[1], found[max(found)]
    assert max(found) > 2
    for first, second in ((one, several), ({"": alone[1]}, {"": grouped[1]})):
        for inputs, by_name in first.items():
            assert by_name.keys() == second[inputs].keys()
            for name, logp_BK in by_name.items():
                torch.testing.assert_close(second[inputs][name], logp_BK, atol=1e-5, rtol=1e-5)


def test_where_nothing_is_shown_the_head_says_how_unknown_a_property_is(prompted, batch_of) -> None:
    with torch.inference_mode():
        found = answers_of(prompted).read(pictures_and_titles(prompted, batch_of, 2), [()])[""]
    assert all(prompted.labels[name][best] == UNKNOWN for name, logp in found.items() for best in logp.argmax(-1))
