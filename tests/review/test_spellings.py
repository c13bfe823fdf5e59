"""What people type into a review sheet, and what spreadsheets make of what stood there."""

import pytest

from shopvl.catalog.ontology import Ontology
from shopvl.review.decisions import IllegalError, LegalNames, _same

ONTOLOGY = Ontology.model_validate(
    {
        "categories": [
            {"path": ["Apparel"]},
            *[{"path": ["Apparel", name]} for name in ("Tshirts", "Dresses", "Tops & Tees", "Jeans")],
        ],
        "properties": [
            {"id": "colour", "values": [{"id": name} for name in ("Navy Blue", "Red", "Off White", "Café")]},
            {"id": "gender", "values": [{"id": name} for name in ("Women", "Men", "Boys", "Unisex")]},
            {"id": "size", "values": [{"id": name} for name in ("42", "3-4", "5-6", "XL", "XXL", "M", "38.5")]},
            {"id": "neck", "values": [{"id": name} for name in ("V-Neck", "Round Neck", "None")]},
        ],
    }
)


@pytest.mark.parametrize(
    ("about", "typed", "value"),
    [
        *[("gender", typed, "Women") for typed in ("Women's", "WOMENS", "women’s ", "women")],
        *[("gender", "men's", "Men"), ("gender", "Boy", "Boys"), ("gender", "n/a", None), ("gender", "-", None)],
        *[("colour", typed, "Navy Blue") for typed in ("NAVY-BLUE", "navy_blue", "NavyBlue", "navy  blue.")],
        *[("colour", "offwhite", "Off White"), ("colour", "CAFE", "Café"), ("colour", "Not applicable", None)],
        *[
            ("category", typed, "Apparel > Tshirts")
            for typed in ("t shirts", "T-Shirt", "apparel / t-shirts", "Apparel » Tshirt")
        ],
        *[("category", "tops and tees", "Apparel > Tops & Tees"), ("category", "dress", "Apparel > Dresses")],
        *[
            ("size", "42.0", "42"),
            ("size", "2026-04-03 00:00:00", "3-4"),
            ("size", "6-May", "5-6"),
            ("size", "xl", "XL"),
            *[("size", typed, "XL") for typed in ("Extra Large", "x-large", "X Large", "Size XL")],
            *[("size", typed, "XXL") for typed in ("2XL", "2 xl", "xx-large")],
            *[("size", typed, "38.5") for typed in ("38½", "38 1/2", "38,5", "38 ½")],
            *[("gender", typed, "Women") for typed in ("Ladies", "FEMALE")],
            *[("gender", "Male", "Men"), ("size", "medium", "M")],
        ],
        *[("gender", "Woman", "Women"), ("colour", "blue navy", "Navy Blue"), ("size", "42,0", "42")],
        *[("colour", typed, None) for typed in ("—", "k.A.", "n.a", "Keine Angabe", "なし", "not known")],
        *[("category", typed, "Apparel > Tops & Tees") for typed in ("tops/tees", "Tops + Tees", "tees & tops")],
        *[("neck", "v neck", "V-Neck"), ("neck", "none", "None"), ("neck", "n/a", None)],
    ],
)
def test_other_spellings_are_understood(about, typed, value):
    assert LegalNames(ONTOLOGY).value(about, typed) == value


@pytest.mark.parametrize(
    ("about", "typed", "nearest"),
    [("colour", "nvy blue", "Navy Blue"), ("category", "t-shrt", "Tshirts"), ("gender", "womn", "Women")],
)
def test_others_are_answered_with_the_nearest(about, typed, nearest):
    with pytest.raises(IllegalError, match=rf"is not a known {about}; did you mean '[^']*{nearest}"):
        LegalNames(ONTOLOGY).value(about, typed)


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        *[
            ("00123", "123", True),
            ("8901234567890", "8.90123E+12", True),
            ("42", "42.0", True),
            ("1E5", "100000", True),
        ],
        *[("8901234567890123456", "8901234567890120000", True), ("1200", "1,200", True), ("Red ", "red", True)],
        *[
            ("3-4", "2026-03-04T00:00:00", True),
            ("3-4", "4-Mar", True),
            ("12/5", "Dec-05", True),
            ("3-4", "2026-05-06", False),
        ],
        *[("00123", "124", False), ("A1", "A2", False), ("8901234567890", "8901234567891", False)],
    ],
)
def test_what_spreadsheets_make_of_a_cell_is_no_change(before, now, same):
    assert _same(before, now) == same
