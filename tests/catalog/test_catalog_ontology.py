"""Mining, facts, names, taxonomies, and the JSON that people edit."""

import json
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from shopvl.catalog.cells import folded
from shopvl.catalog.mining import looks_many, mine_ontology
from shopvl.catalog.ontology import Category, Ontology, Property, Value, apply_names
from shopvl.catalog.schema import FRAME_SCHEMA
from shopvl.catalog.taxonomy import read_taxonomy
from shopvl.errors import CatalogError
from shopvl.paths import resource_dir

SHIRT, DRESS = ["Apparel", "Topwear", "Shirts"], ["Apparel", "Dresses"]


def frame(*rows: tuple) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"category_path": path, "attributes": [{"property": name, "value": value} for name, value in pairs]}
            for path, pairs in rows
        ],
        schema={name: FRAME_SCHEMA[name] for name in ("category_path", "attributes")},
    )


SHOP = frame(
    (SHIRT, [("colour", "Navy Blue"), ("gender", "Men")]),
    (SHIRT, [("colour", "navy  blue"), ("gender", "Men"), ("sleeve", "Long")]),
    (["apparel", "Topwear", "Shirts "], [("Colour", "Navy Blue"), ("size", "S"), ("size", "M")]),
    (DRESS, [("colour", "红色"), ("size", "S"), ("size", "L"), ("size", "s")]),
    (None, [("colour", "Red"), ("", "x"), ("y", "")]),
)


@pytest.fixture
def shop() -> Ontology:
    return mine_ontology([SHOP[:2], SHOP[2:]])


def test_what_is_mined(shop):
    assert {category.path: category.count for category in shop.categories} == {
        ("Apparel",): 4,
        ("Apparel", "Dresses"): 1,
        ("Apparel", "Topwear"): 3,
        ("Apparel", "Topwear", "Shirts"): 3,
    }
    assert shop.category(SHIRT).properties == {"colour": 3, "gender": 2, "size": 1, "sleeve": 1}
    assert shop.category(["Apparel"]).properties == {"colour": 4, "gender": 2, "size": 2, "sleeve": 1}
    assert shop.values() == {
        "colour": ("Navy Blue", "Red", "红色"),
        "gender": ("Men",),
        "size": ("L", "M", "S"),
        "sleeve": ("Long",),
    }
    colour, size = shop.property("Colour"), shop.property("size")
    assert {value.id: value.count for value in colour.values} == {"Navy Blue": 3, "Red": 1, "红色": 1}
    assert [value.names for value in colour.values if value.id == "红色"] == [{"zh": "红色"}]
    assert (colour.count, colour.many, colour.visual) == (5, False, "unknown")
    assert (size.count, size.many) == (2, True)
    assert shop.leaves() == [("Apparel", "Dresses"), ("Apparel", "Topwear", "Shirts")]
    assert shop.children(["apparel"]) == [("Apparel", "Dresses"), ("Apparel", "Topwear")]
    assert [prop.id for prop in shop.properties_of(SHIRT)] == ["colour", "gender", "size", "sleeve"]
    assert [prop.id for prop in shop.properties_of([*SHIRT, "Oxford"])] == ["colour", "gender", "size", "sleeve"]
    assert shop.properties_of(["Toys"]) == ()
    assert {"Shirts", "colour", "Navy Blue", "红色"} <= set(shop.names())


def test_facts(shop):
    assert [str(fact) for fact in shop.facts] == [
        "Apparel",
        "Apparel > Dresses",
        "Apparel > Topwear",
        "Apparel > Topwear > Shirts",
        "colour: Navy Blue",
        "colour: Red",
        "colour: 红色",
        "gender: Men",
        "size: L",
        "size: M",
        "size: S",
        "sleeve: Long",
    ]
    assert shop.fact_ids(SHIRT, [("colour", "Navy Blue")]) == [0, 2, 3, 4]
    assert shop.fact_ids(["apparel", "TOPWEAR"], [{"property": "COLOUR", "value": " navy blue "}]) == [0, 2, 4]
    assert shop.fact_ids(["Apparel", "Hats"], [("colour", "Octarine"), ("smell", "sweet"), (None, None)]) == [0]
    assert shop.fact_ids(["Shirts"], None) == []
    assert shop.fact_ids(None, ()) == []


names = st.sampled_from(["a", "B", "b ", "c", "红"])
rows = st.lists(
    st.tuples(st.lists(names, max_size=3), st.lists(st.tuples(names, names), max_size=4)), min_size=1, max_size=12
)


@settings(max_examples=80, deadline=None)
@given(rows=rows, cut=st.integers(0, 12), min_count=st.integers(1, 3))
def test_mining_agrees_with_plain_counting(rows, cut, min_count):
    whole = frame(*rows)
    mined = mine_ontology([whole[:cut], whole[cut:]] if cut < whole.height else [whole], min_count)
    nodes = Counter(
        tuple(folded(step) for step in path[:depth]) for path, _ in rows for depth in range(1, len(path) + 1)
    )
    pairs = Counter(pair for _, own in rows for pair in {(folded(name), folded(value)) for name, value in own})
    assert {tuple(map(folded, node.path)): node.count for node in mined.categories} == {
        path: count for path, count in nodes.items() if count >= min_count
    }
    assert {(folded(p.id), folded(v.id)): v.count for p in mined.properties for v in p.values} == {
        pair: count for pair, count in pairs.items() if count >= min_count
    }
    for path, own in rows:
        wanted = {
            tuple(map(folded, path[:d]))
            for d in range(1, len(path) + 1)
            if nodes[tuple(map(folded, path[:d]))] >= min_count
        }
        wanted |= {(folded(n), folded(v)) for n, v in own if pairs[folded(n), folded(v)] >= min_count}
        facts = [mined.facts[number] for number in mined.fact_ids(path, own)]
        keys = {
            tuple(map(folded, fact.path)) if fact.kind == "category" else (folded(fact.property), folded(fact.value))
            for fact in facts
        }
        assert keys == wanted


def test_facts_do_not_depend_on_the_order_of_the_file(shop):
    turned = Ontology(categories=shop.categories[::-1], properties=shop.properties[::-1])
    assert turned.facts == shop.facts
    assert turned.fact_ids(SHIRT, [("size", "M")]) == shop.fact_ids(SHIRT, [("size", "M")])


def test_identifiers_do_not_fill_it():
    table = frame(*((SHIRT, [("model number", f"X{n}"), ("colour", ("Red", "Blue")[n % 2])]) for n in range(5000)))
    mined = mine_ontology([table[start : start + 100] for start in range(0, 5000, 100)], max_values=20)
    assert len(mined.property("model number").values) == 20
    assert [(value.id, value.count) for value in mined.property("colour").values] == [("Blue", 2500), ("Red", 2500)]


def test_what_never_goes_together_is_mined_where_chance_would_have_brought_it():
    def rows(path: list[str], gender: str, count: int) -> pl.DataFrame:
        attributes = [[{"property": "gender", "value": gender}]] * count
        return pl.DataFrame({"category_path": [path] * count, "attributes": attributes})

    shirts, bras, briefs = ["Tops", "Shirts"], ["Innerwear", "Bra"], ["Innerwear", "Brief"]
    shop = [rows(shirts, "Men", 90), rows(bras, "Women", 45), rows(shirts, "Women", 30), rows(shirts, "Girls", 2)]
    mined = mine_ontology(shop)
    # 24 of the 45 bras would be men's by chance; of girls' things there are too few to say anything
    assert [(one.path, one.property, one.values) for one in mined.apart] == [(("Innerwear",), "gender", ("Men",))]
    told = mine_ontology([*shop, rows(briefs, "men", 1)]).apart
    assert [(one.path, one.values) for one in told] == [(("Innerwear", "Bra"), ("Men",))]
    assert mined.with_properties(mined.properties).apart == mined.named_like(mined).apart == mined.apart
    assert apply_names(mined, {"properties": {"gender": {"zh": "性别"}}}).apart == mined.apart


@pytest.mark.parametrize(
    ("several", "products", "many"), [(0, 10, False), (1, 20, False), (1, 2, True), (2, 100, False), (20, 100, True)]
)
def test_one_or_many(several, products, many):
    assert looks_many(several, products) is many


def test_the_json_round_trip_and_its_schema(shop, tmp_path):
    named = apply_names(shop, {"properties": {"colour": {"zh": "颜色", "values": {"Red": {"zh": "红"}}}}})
    named.save(tmp_path / "o.json")
    assert Ontology.load(tmp_path / "o.json") == named
    schema = json.loads((resource_dir("data_schemas") / "ontology.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    data = json.loads((tmp_path / "o.json").read_text("utf-8"))
    check.validate(data)
    for kind, model in (("category", Category), ("property", Property), ("value", Value)):
        assert set(schema["$defs"][kind]["properties"]) == set(model.model_fields)
    assert set(schema["properties"]) == set(Ontology.model_fields)
    for wrong in (
        {**data, "colour": 1},
        {**data, "version": 2},
        {**data, "properties": [{"id": "a", "visual": "perhaps"}]},
        {**data, "categories": [{"path": ["A"], "parent": "B"}]},
        {**data, "categories": [{"path": ["A"], "count": -1}]},
    ):
        assert not check.is_valid(wrong)
        with pytest.raises(ValidationError):
            Ontology.model_validate(wrong)


def test_a_file_with_faults_says_all_of_them(tmp_path):
    file = tmp_path / "o.json"
    file.write_text('{"version": 1, "categories": [{"path": ["A"], "nmae": "x"}], "properties": [{"id": 3}]}')
    with pytest.raises(
        CatalogError, match=r"categories.0.nmae: Extra inputs.*properties.0.id: .*string.*catalog ontology"
    ):
        Ontology.load(file)
    file.write_text(
        '{"version": 1, "categories": [{"path": ["A", "B"]}], '
        '"properties": [{"id": "colour"}, {"id": "Colour", "values": [{"id": "Red"}, {"id": "red "}]}]}'
    )
    with pytest.raises(CatalogError) as caught:
        Ontology.load(file)
    for part in ("'colour' comes twice", "'A > B' is there without its parent", "'red' of 'Colour' comes twice"):
        assert part in str(caught.value)
    with pytest.raises(CatalogError, match="cannot be read: No such file"):
        Ontology.load(tmp_path / "nothing.json")


def test_names_in_chinese_are_understood(shop, tmp_path):
    (tmp_path / "names.json").write_text(
        json.dumps(
            {
                "categories": {
                    "Shirts": {"zh": "衬衫", "synonyms": ["shirt"]},
                    "Apparel > Dresses": {"zh": "连衣裙"},
                    "Toys": {"zh": "玩具"},
                },
                "properties": {
                    "Colour": {"zh": "颜色", "values": {"navy blue": {"zh": "藏青色", "synonyms": ["marine"]}}}
                },
            }
        ),
        "utf-8",
    )
    named = apply_names(shop, tmp_path / "names.json")
    assert named.facts == shop.facts
    assert named.category(SHIRT).names == {"en": "Shirts", "zh": "衬衫"}
    assert named.category(DRESS).name("zh") == "连衣裙"
    number = shop.fact_ids(None, [("colour", "Navy Blue")])
    assert number
    for pair in (("颜色", "藏青色"), ("colour", "Marine"), ("颜色", "Navy Blue")):
        assert named.fact_ids(None, [pair]) == number
    assert "玩具" not in set(named.names())
    (tmp_path / "broken.json").write_text("{'colour': 1}")
    (tmp_path / "list.json").write_text("[]")
    for file, fault in (("none", "cannot be read: No such file"), ("broken", "are not JSON"), ("list", "hold list")):
        with pytest.raises(CatalogError, match=fault):
            apply_names(shop, tmp_path / f"{file}.json")
    with pytest.raises(CatalogError, match="the names hold values; only categories and properties were wanted"):
        apply_names(shop, {"values": {}})
    for short in (
        {"categories": ["Shirts"]},
        {"properties": {"colour": "颜色"}},
        {"properties": {"colour": {"values": {"Red": "红色"}}}},
    ):
        with pytest.raises(CatalogError, match="for each an object like"):
            apply_names(shop, short)
    with pytest.raises(CatalogError, match="are not all texts"):
        apply_names(shop, {"categories": {"Shirts": {"synonyms": "shirt"}}})


def test_names_are_taken_from_an_ontology_that_has_them(shop):
    other = mine_ontology(
        [
            pl.DataFrame(
                {
                    "category_path": [["Fashion", "shirts"], ["Fashion", "Dresses"], ["Sale", "Dresses"]],
                    "attributes": [[{"property": "Color", "value": "navy blue"}]] * 3,
                }
            )
        ]
    )
    named = {
        "categories": {"shirts": {"zh": "衬衫", "synonyms": ["shirt"]}, "Dresses": {"zh": "连衣裙"}},
        "properties": {"Color": {"zh": "颜色", "synonyms": ["colour"], "values": {"navy blue": {"zh": "藏青色"}}}},
    }
    found = shop.named_like(apply_names(other, named))
    assert found.facts == shop.facts
    assert found.category(SHIRT).names == {"en": "Shirts", "zh": "衬衫"}
    assert found.category(SHIRT).synonyms == ("shirt",)
    assert found.category(DRESS).name("zh") is None  # of two with that name, which is meant?
    assert found.fact_ids(None, [("颜色", "藏青色")]) == shop.fact_ids(None, [("colour", "Navy Blue")])
    assert shop.named_like(Ontology()) == shop


def test_names_from_elsewhere_never_take_a_parts_own_name():
    pairs = [("Color", "RED"), ("colour", "Red"), ("colour", "Navy"), ("colour", "Navy Blue")]
    attributes = [[{"property": name, "value": value}] for name, value in pairs]
    mined = mine_ontology([pl.DataFrame({"category_path": [["Tops"]] * 4, "attributes": attributes})])
    navy = Value(id="Navy Blue", synonyms=("navy", "dark blue"))
    found = mined.named_like(
        Ontology(properties=(Property(id="colour", names={"zh": "颜色"}, synonyms=("color",), values=(navy,)),))
    )
    assert [mined.fact_ids(None, [pair]) for pair in pairs] == [found.fact_ids(None, [pair]) for pair in pairs]
    assert found.value_of("Color", [("Color", "red")]) == "RED"
    assert found.property("colour").names["zh"] == "颜色"
    assert {value.id: value.synonyms for value in found.property("colour").values}["Navy Blue"] == ("dark blue",)


def test_a_synonym_never_takes_a_values_own_name():
    prop = Property(id="colour", values=(Value(id="Blue", synonyms=("Navy",)), Value(id="Navy")))
    ontology = Ontology(properties=(prop,))
    assert [ontology.facts[n].value for n in ontology.fact_ids(None, [("colour", "navy")])] == ["Navy"]


def test_a_value_is_known_by_any_of_its_names():
    white = Value(id="White", names={"zh": "白色"})
    ontology = Ontology(properties=(Property(id="colour", synonyms=("color",), values=(white, Value(id="Red"))),))
    for pair in (("colour", "White"), ("Colour", "white"), ("color", "白色"), ("COLOR", "White")):
        assert ontology.value_of("colour", [("fit", "Slim"), pair]) == "White"
    assert ontology.value_of("colour", [("color", "Mauve"), ("colour", "Red")]) == "Mauve"
    assert ontology.value_of("fit", [("fit", "Slim")]) == "Slim"
    assert ontology.value_of("colour", [("fit", "White")]) is None


GOOGLE = """# Google_Product_Taxonomy_Version: 2021-09-21
1 - Animals & Pet Supplies
3237 - Animals & Pet Supplies > Live Animals
2 - Animals & Pet Supplies > Pet Supplies
"""
SHOPIFY = """# Shopify Product Taxonomy - Categories: 2025-01
# Format: {GID} : {Ancestor name} > ... > {Category name}

gid://shopify/TaxonomyCategory/ap     : Animals & Pet Supplies
gid://shopify/TaxonomyCategory/ap-1   : Animals & Pet Supplies > Live Animals
gid://shopify/TaxonomyCategory/ap-2   : Animals & Pet Supplies > Pet Supplies
"""


@pytest.mark.parametrize(("text", "codes"), [(GOOGLE, ["1", "3237", "2"]), (SHOPIFY, ["ap", "ap-1", "ap-2"])])
def test_taxonomies(tmp_path, text, codes):
    (tmp_path / "t.txt").write_text(text)
    tree = read_taxonomy(tmp_path / "t.txt")
    assert [(node.path[-1], node.code) for node in tree.categories] == list(
        zip(["Animals & Pet Supplies", "Live Animals", "Pet Supplies"], codes, strict=True)
    )
    assert tree.leaves() == [("Animals & Pet Supplies", "Live Animals"), ("Animals & Pet Supplies", "Pet Supplies")]
    plain = [line.split(" - ")[-1].split(" : ")[-1] for line in text.splitlines() if not line.startswith("#")]
    (tmp_path / "t.txt").write_text("\n".join(plain))
    assert read_taxonomy(tmp_path / "t.txt").leaves() == tree.leaves()
    (tmp_path / "t.txt").write_text("no tree\n")
    with pytest.raises(CatalogError, match="holds no category tree; lines like"):
        read_taxonomy(tmp_path / "t.txt")


def test_one_rule_says_which_properties_a_category_has() -> None:
    """Seen with one product: it applies. Seen with a twentieth of them: it is expected. Nothing known: any may."""
    nodes = [
        Category(path=("Mugs",), count=100, properties={"Colour": 60, "Sleeve": 4}),
        Category(path=("Mugs", "Cups"), count=40, properties={"Colour": 2}),
        Category(path=("Vouchers",), count=30),
    ]
    properties = [Property(id=name, values=(Value(id="x"),)) for name in ("Colour", "Sleeve")]
    shop = Ontology(categories=nodes, properties=properties)
    table = {
        (name, path): (shop.applies(name, path), shop.expects(name, path))
        for name in ("Colour", "Sleeve")
        for path in [("Mugs",), ("Mugs", "Cups"), ("mugs", "cups", "Espresso"), ("Vouchers",), ("Toys",), ()]
    }
    assert table == {
        ("Colour", ("Mugs",)): (True, True),
        ("Colour", ("Mugs", "Cups")): (True, True),
        ("Colour", ("mugs", "cups", "Espresso")): (True, True),
        ("Colour", ("Vouchers",)): (False, False),
        ("Colour", ("Toys",)): (True, False),
        ("Colour", ()): (True, False),
        ("Sleeve", ("Mugs",)): (True, False),
        ("Sleeve", ("Mugs", "Cups")): (False, False),
        ("Sleeve", ("mugs", "cups", "Espresso")): (False, False),
        ("Sleeve", ("Vouchers",)): (False, False),
        ("Sleeve", ("Toys",)): (True, False),
        ("Sleeve", ()): (True, False),
    }
    bare = Ontology(categories=[Category(path=("Mugs",), count=1)], properties=properties)
    assert bare.applies("Sleeve", ("Mugs",))
