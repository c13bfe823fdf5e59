import polars as pl
import pytest

from shopvl.catalog.mining import mine_ontology
from shopvl.data.judging import holds, is_within, known_part, true_value

PRODUCTS = pl.DataFrame(
    {
        "category_path": [["Apparel", "Topwear", "Shirts"], ["Apparel", "Topwear", "Tops"], ["Footwear", "Shoes"]],
        "attributes": [[{"property": "colour", "value": "Red"}], None, None],
    }
)


@pytest.fixture(scope="module")
def ontology():
    return mine_ontology([PRODUCTS])


def row(*path: str, colour: str | None = None) -> dict:
    return {"category_path": list(path), "attributes": [{"property": "colour", "value": colour}] if colour else None}


def test_a_label_is_judged_at_the_deepest_node_that_is_known(ontology) -> None:
    assert known_part(["apparel", "Topwear", "Ponchos"], ontology) == ("apparel", "Topwear")
    assert true_value(row("Apparel", "Topwear", "Ponchos"), "category", ontology) == "Apparel > Topwear"
    assert true_value(row("Apparel", "Topwear", "Tops"), "category", ontology) == "Apparel > Topwear > Tops"


@pytest.mark.parametrize("path", [("Electronics", "Audio"), ("unknown",)])
def test_other_goods_have_no_right_answer(ontology, path) -> None:
    for name in ("category", "colour"):
        truth = true_value(row(*path), name, ontology)
        assert truth == "unknown"
        assert not holds("Apparel > Topwear > Tops", truth)
        assert not holds("unknown", truth)


def test_what_is_not_said_is_not_judged(ontology) -> None:
    assert true_value(row(), "category", ontology) is None
    assert true_value(row("Footwear"), "colour", ontology) is None
    assert true_value(row("Electronics", colour="red"), "colour", ontology) == "Red"


def test_less_than_the_truth_holds_but_is_not_the_answer() -> None:
    truth = "Apparel > Topwear"
    assert is_within("apparel > topwear > Shirts", truth)
    assert holds("Apparel > Topwear > Shirts", truth)
    assert holds("Apparel", truth)
    assert not is_within("Apparel", truth)
    assert not holds("Apparel > Bottomwear", truth)
    assert not holds("Apparel > Top", truth)
