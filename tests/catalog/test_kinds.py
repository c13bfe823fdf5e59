"""Kinds of property whose values texts state: how each reads cells and texts, and how a catalog shows it has one."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from shopvl.catalog.descriptions import sentences_of
from shopvl.catalog.kinds.base import ProductText, ValuePart
from shopvl.catalog.kinds.gtin import is_gtin
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.properties import Property, Value
from shopvl.catalog.property_kinds import cell_of, kind_of, parts_of, property_kinds
from shopvl.errors import CatalogError

HEEL = Property(id="Heel height", names={"de": "Absatzhöhe"}, kind="number", unit="cm", span={"": (1, 20)})
WAIST = Property(id="Waist", kind="range", unit="cm")
MADE_OF = Property(
    id="Material", kind="composition", values=(Value(id="Cotton", names={"de": "Baumwolle"}), Value(id="Linen"))
)
BRAND = Property(id="Brand", kind="text", values=(Value(id="Nord & Tal"), Value(id="Nord")))
GTIN = Property(id="EAN", kind="gtin")
COLOUR = Property(
    id="Colour",
    kind="values",
    values=(Value(id="Navy Blue", synonyms=("navy",)), Value(id="Blue", names={"zh": "蓝色"}), Value(id="White")),
)


def values(prop: Property, text: str, source: Any = "description") -> list[list[tuple[str, float | None]]]:
    kind = kind_of(prop)
    assert kind is not None
    told = kind.statements(prop, [ProductText(source, text)], {})
    return [[(part.value, part.low) for part in one.parts] for one in told]


def test_every_kind_says_what_it_is() -> None:
    for name, kind in property_kinds().items():
        assert (name, type(kind).__module__.rsplit(".", 1)[1]) == (name, name)
        assert kind.help
        assert kind.prior or name == "gtin"


@pytest.mark.parametrize(
    ("prop", "cell"),
    [
        (HEEL, "8 cm"),
        (WAIST, "70-80 cm"),
        (WAIST, "up to 90 cm"),
        (MADE_OF, "60% Cotton, 40% Linen"),
        (BRAND, "Nord & Tal"),
        (GTIN, "4006381333931"),
        (COLOUR, "Navy Blue, White"),
    ],
)
def test_a_cell_is_read_as_it_was_written(prop: Property, cell: str) -> None:
    parts = parts_of(prop, [cell])
    assert parts is not None
    assert cell_of(prop, parts) == cell


def test_cells_of_other_kinds_are_refused() -> None:
    assert parts_of(COLOUR, ["navy / WHITE"]) == (ValuePart("Navy Blue"), ValuePart("White"))
    for prop, cell in (
        (COLOUR, "White, Mauve"),
        (HEEL, "Ankle"),
        (HEEL, "8 kg"),
        (MADE_OF, "50% off"),
        (GTIN, "4006381333932"),
        (BRAND, " "),
    ):
        assert parts_of(prop, [cell]) is None


def test_numbers_come_in_the_unit_of_the_property() -> None:
    assert values(HEEL, "Absatzhöhe 80 mm, box 2 kg") == [[("8 cm", 8.0)]]
    assert values(HEEL, '3.15" heel') == [[("8.001 cm", 8.001)]]
    assert values(WAIST, "Fits 70 to 80 cm") == [[("70-80 cm", 70.0)]]


def test_the_name_of_a_property_speaks_for_a_number_and_another_label_against_it() -> None:
    kind = kind_of(HEEL)
    assert kind is not None
    own, other = kind.statements(HEEL, [ProductText("title", "Heel height: 8 cm; model height: 17 cm")], {})
    assert own.clues["labelled"] == 1
    assert other.clues["other label"] == 1
    assert "labelled" not in other.clues


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("60% cotton, 40% linen", [[("Cotton", 60), ("Linen", 40)]]),
        ("60 % Baumwolle / 40 % Linen", [[("Cotton", 60), ("Linen", 40)]]),
        ("Cotton 60%, Linen 40%", [[("Cotton", 60), ("Linen", 40)]]),
        ("Made of cotton 60% linen 40%", [[("Cotton", 60), ("Linen", 40)]]),
        ("Outer: 95% cotton, 5% elastane; lining: 100% linen", [[("Cotton", 95), ("Elastane", 5)], [("Linen", 100)]]),
        ("Cotton 98%, Elastane 2%; lining: 100% linen", [[("Cotton", 98), ("Elastane", 2)], [("Linen", 100)]]),
        ("97,5% cotton 2,5% elastane", [[("Cotton", 97.5), ("Elastane", 2.5)]]),
        ("50% off, 30% more", []),
    ],
)
def test_shares_that_sum_to_a_hundred_are_a_composition(text: str, told: list[list[tuple[str, float]]]) -> None:
    assert values(MADE_OF, text) == told


def test_a_known_value_is_found_anywhere_and_a_new_one_in_the_title() -> None:
    assert [("Nord & Tal", None)] in values(BRAND, "Made by NORD & TAL in 1984")
    assert [("Velmora", None)] in values(BRAND, "Velmora Women Shirt", "title")
    assert values(BRAND, "Soft and warm all day") == []
    assert [("Velmora", None)] in values(BRAND, "A classic by Velmora")


def test_every_value_of_a_list_is_found_by_its_longest_name() -> None:
    assert values(COLOUR, "In navy blue and White. 蓝色款") == [
        [("Navy Blue", None)],
        [("White", None)],
        [("Blue", None)],
    ]
    assert values(COLOUR, "bluebell whiteboard") == []


def test_a_gtin_is_checked_by_its_last_digit() -> None:
    assert values(GTIN, "EAN 4006381333931, order 4006381333932") == [[("4006381333931", None)]]
    assert is_gtin("036000291452")  # the example of Wikipedia's article on UPC
    wrong = [f"03600029145{digit}" for digit in "013456789"]
    assert not any(map(is_gtin, wrong))


def mined(name: str, cells: Sequence[str]) -> Property:
    rows = [{"category_path": ["Shoes"], "attributes": [{"property": name, "value": cell}]} for cell in cells]
    (prop,) = mine_ontology([pl.DataFrame(rows)]).properties
    return prop


def test_a_catalog_shows_of_what_kind_its_properties_are() -> None:
    heel = mined("Heel height", [f"{number} cm" for number in range(2, 12)])
    assert (heel.kind, heel.unit, heel.values) == ("number", "cm", ())
    assert heel.span_at(("Shoes", "Boots")) == (pytest.approx(2 / 1.5, abs=0.01), pytest.approx(16.5))
    assert mined("Age", [f"{number}-{number + 2} years" for number in range(10)]).kind == "range"
    blend = mined("Material", ["60% Cotton, 40% Linen", "100% Wool"])
    assert (blend.kind, [value.id for value in blend.values]) == ("composition", ["Cotton", "Linen", "Wool"])
    assert mined("Brand", [f"Maker {number}" for number in range(40)]).kind == "text"
    # what a list holds stays a choice: few measures, few brands, words, bare sizes
    for name, cells in (
        ("Size", ["8 cm", "9 cm"]),
        ("Brand", ["Puma", "Nike"] * 20),
        ("Colour", ["Red", "Blue"]),
        ("Size", [str(number) for number in range(36, 48)]),
    ):
        assert mined(name, cells).kind == "choice"


def test_an_ontology_says_what_is_wrong_with_a_kind() -> None:
    for prop, fault in (
        (Property(id="a", kind="numbre"), "is of the kind 'numbre'"),
        (Property(id="a", kind="number", unit="furlong"), "which is no unit"),
        (Property(id="a", unit="cm"), "which a choice has not"),
        (Property(id="a", kind="values"), "lists no values"),
        (Property(id="a", kind="number", unit="cm", span={"": (9, 1)}), "ends before it begins"),
    ):
        with pytest.raises(ValueError, match=fault):
            Ontology(properties=(prop,))


def test_an_ontology_of_choices_is_written_as_it_always_was(tmp_path: Any) -> None:
    ontology = Ontology(properties=(Property(id="colour", values=(Value(id="Red"),)), HEEL))
    ontology.save(tmp_path / "ontology.json")
    assert Ontology.load(tmp_path / "ontology.json") == ontology
    colour, heel = ontology.model_dump(mode="json")["properties"]
    assert not {"kind", "unit", "span"} & colour.keys()
    assert (heel["kind"], heel["unit"]) == ("number", "cm")
    assert ontology.values() == {"colour": ("Red",)}
    (tmp_path / "ontology.json").write_text(
        '{"version": 1, "categories": [], "properties": [{"id": "a", "kind": "b"}]}'
    )
    with pytest.raises(CatalogError, match="known are choice, composition"):
        Ontology.load(tmp_path / "ontology.json")


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("<p>Soft &amp; warm.</p><ul><li>60% wool</li></ul>", ("Soft & warm.", "60% wool")),
        (
            "<table><tr><th>Heel height</th><td>8 cm</td></tr><tr><td>Weight:</td><td>1 kg</td></tr></table>",
            ("Heel height: 8 cm:", "Weight: 1 kg:"),
        ),
        ("One. Two! three is no sentence. 80 mm heel", ("One.", "Two! three is no sentence.", "80 mm heel")),
        ("Heel approx. 8 cm. Art. no. 4711", ("Heel approx. 8 cm.", "Art. no. 4711")),
        ("&lt;p&gt;twice&lt;/p&gt;<br>", ("twice",)),
        ("<script>var x = '8 cm'</script><style>p{}</style>Real", ("Real",)),
        ('["A bullet", "Another"]', ("A bullet", "Another")),
        ("面料柔软。跟高8厘米。", ("面料柔软。", "跟高8厘米。")),
        ("a < b and c > d", ("a < b and c > d",)),
        ("", ()),
    ],
)
def test_descriptions_are_read_without_their_html(text: str, sentences: tuple[str, ...]) -> None:
    assert sentences_of(text) == sentences


def test_parts_are_values() -> None:
    assert ValuePart("8 cm", 8.0, 8.0, "cm") == ValuePart("8 cm", 8.0, 8.0, "cm")


@pytest.mark.parametrize("text", ["< &" + "amp;" * 9000 + "lt;p>", "<a" * 20_000, "[" * 40_000, " " * 40_000])
@pytest.mark.timeout(20)
def test_markup_without_an_end_is_read_in_a_moment(text: str) -> None:
    assert len("".join(sentences_of(text))) <= len(text)
