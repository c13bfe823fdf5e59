"""Questions in free words, and answers that name what they rest on."""

import io

import numpy as np
import polars as pl
import pytest
from PIL import Image

from shopvl.catalog.images import image_bytes
from shopvl.errors import CatalogError
from shopvl.tasks.asking import Product, ask, sentence, understand
from shopvl.tasks.tagging import tag


@pytest.fixture
def first(toy_catalog):
    return next(toy_catalog.batches()).row(0, named=True)


@pytest.mark.parametrize(
    ("question", "about"),
    [
        ("what colour is it?", ("Colour",)),
        ("What COLOR is this, please?", ("Colour",)),
        ("这是什么颜色？", ("Colour",)),
        ("what is it?", ("category",)),
        ("这是什么商品", ("category",)),
        ("colour and pattern?", ("Colour", "Pattern")),
    ],
)
def test_free_words_name_a_property(prompted, question: str, about: tuple[str, ...]) -> None:
    assert understand(question, prompted.ontology).properties == about


def test_a_value_in_the_question_asks_yes_or_no(prompted) -> None:
    assert understand("is it red?", prompted.ontology).values == (("Colour", "Red"),)
    assert understand("是红色的吗？", prompted.ontology).values == (("Colour", "Red"),)
    assert len(understand("what does it have?", prompted.ontology).properties) == len(prompted.ontology.properties)


def test_a_question_about_nothing_known_lists_what_can_be_asked(prompted) -> None:
    with pytest.raises(CatalogError, match=r"names nothing this model knows; it can be asked for category, .*Colour"):
        understand("how far is the moon", prompted.ontology)


def test_answers_are_those_of_a_tagging_run(prompted, toy_catalog, first, tmp_path) -> None:
    tag(prompted, toy_catalog, tmp_path, limit=1)
    tags = {row["property"]: row for row in pl.read_parquet(tmp_path / "tags.parquet").iter_rows(named=True)}
    replies = Product(prompted, image_bytes(first["image"], toy_catalog.root), first["title"]).replies()
    assert replies.keys() == tags.keys()
    for name, reply in replies.items():
        assert (reply.value, reply.decision) == (tags[name]["value"], tags[name]["decision"])
        assert reply.probability == pytest.approx(tags[name]["probability"], abs=1e-5)
        assert list(reply.evidence) == tags[name]["evidence"]


def test_yes_or_no_comes_with_the_probability_of_the_value(prompted, toy_catalog, first) -> None:
    picture = image_bytes(first["image"], toy_catalog.root)
    truth = next(item["value"] for item in first["attributes"] if item["property"] == "Colour")
    (reply,) = ask(prompted, f"is it {truth.lower()}?", picture, first["title"])
    assert reply.named is not None
    assert reply.named[0] == truth
    assert sentence(reply).startswith("yes" if reply.named[1] >= 0.5 else "no")


def test_the_heat_map_lies_on_what_matters(prompted) -> None:
    """A picture that is empty but for its left half: only there can a cell matter."""
    pixels = np.full((48, 48, 3), 255, np.uint8)
    pixels[:, :16] = (200, 30, 30)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    heat = Product(prompted, data.getvalue(), None).heat("Colour", "Red", grid=(4, 4))
    assert heat.shape == (4, 4)
    assert np.allclose(heat[:, 3], 0, atol=1e-6)
    assert np.abs(heat[:, 0]).max() > 0


def test_nothing_to_look_at_is_said(prompted) -> None:
    with pytest.raises(CatalogError, match=r"nothing can be asked of this product: .*HTML"):
        ask(prompted, "what is it?", b"<html>no</html>", None)
    with pytest.raises(CatalogError, match="there is no picture"):
        Product(prompted, None, "a red shirt").heat("Colour", "Red")
