"""Made queries fit the product they were made for, read like queries, and logs are checked as they are read."""

import json
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validate

from shopvl.catalog.cells import whole_number
from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import Ontology, apply_names
from shopvl.catalog.queries import Query, facts_meant, facts_named, make_query
from shopvl.catalog.query_log import QueryLog, read_log
from shopvl.catalog.schema import FRAME_SCHEMA
from shopvl.errors import CatalogError
from shopvl.paths import resource_dir

PRODUCTS = [
    ("Turtle Check Men Navy Blue Shirt", ["Apparel", "Topwear", "Casual Shirts"],
     [("colour", "Navy Blue"), ("usage", "Casual"), ("gender", "Men"), ("size", "M"), ("pockets", "2")]),
    ("Red summer dress", ["Apparel", "Dresses"],
     [("colour", "Red"), ("gender", "Women"), ("season", "Summer"), ("material", "Cotton")]),
    ("Blue unisex cap", ["Accessories", "Caps"], [("colour", "Blue"), ("gender", "Unisex")]),
    ("Flip flops", ["Footwear", "Flip Flops"], []),
    ("Sandals", ["Footwear", "Sandals", "Flip Flops"], []),
]  # fmt: skip


def product_frame(products=PRODUCTS) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"category_path": path, "attributes": [{"property": name, "value": value} for name, value in pairs]}
            for _, path, pairs in products
        ],
        schema={name: FRAME_SCHEMA[name] for name in ("category_path", "attributes")},
    )


@pytest.fixture(scope="module")
def shop() -> Ontology:
    return mine_ontology([product_frame()])


def made(shop: Ontology, number: int, times: int = 400, **options) -> list[Query]:
    rng = random.Random(number)
    return [make_query(*PRODUCTS[number], shop, rng, **options) for _ in range(times)]


def labels(shop: Ontology, numbers) -> list[str]:
    return [str(shop.facts[number]) for number in numbers]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**9), number=st.integers(0, len(PRODUCTS) - 1))
def test_a_product_fits_its_own_query(shop, seed, number):
    title, path, pairs = PRODUCTS[number]
    query = make_query(title, path, pairs, shop, random.Random(seed))
    assert query.made
    assert query.text == query.text.lower().strip() != ""
    assert "  " not in query.text
    assert list(query.wants) == sorted(set(query.wants))
    assert set(query.wants) <= set(shop.fact_ids(path, pairs))
    # nothing is wanted that is not said
    for fact in (shop.facts[number] for number in query.wants):
        said = fact.path[-1] if fact.kind == "category" else fact.value
        assert said.lower().removesuffix("es").removesuffix("s") in query.text
    assert query == make_query(title, path, [{"property": p, "value": v} for p, v in pairs], shop, random.Random(seed))


def test_words_come_in_natural_order(shop):
    texts = {query.text for query in made(shop, 1)}
    assert {"red dresses for women", "women red dresses", "red cotton dresses", "women's red cotton dresses"} <= texts
    assert {"summer red dresses", "red dresses for summer"} <= texts
    assert not any("cotton red" in text or "dresses red" in text for text in texts)
    texts = {query.text for query in made(shop, 0)}
    assert {"navy blue casual shirts for men", "casual shirts size m", "casual shirts pockets 2"} <= texts
    assert not any("casual casual" in text for text in texts)
    texts = {query.text for query in made(shop, 2)}
    assert "unisex blue caps" in texts
    assert not any("for unisex" in text or "unisex's" in text for text in texts)


def test_what_is_asked_for(shop):
    queries = made(shop, 1, 2000)
    leaf, above = (shop.fact_ids(path)[-1] for path in (["Apparel", "Dresses"], ["Apparel"]))
    from_facts = [query for query in queries if {leaf, above} & set(query.wants)]
    assert 0.75 < sum(leaf in query.wants for query in from_facts) / len(from_facts) < 0.95
    assert {len(query.wants) for query in from_facts} == {1, 2, 3, 4}
    fragments = [query for query in queries if query.text in ("red summer", "summer dress", "red summer dress")]
    assert 0.1 < len(fragments) / len(queries) < 0.3
    for query in fragments:
        wanted = {"colour: Red"} if "red" in query.text else set()
        wanted |= {"season: Summer"} | ({"Apparel > Dresses"} if "dress" in query.text else set())
        assert set(labels(shop, query.wants)) == wanted


def test_products_that_are_not_known(shop):
    rng = random.Random(0)
    assert make_query("Mystery thing", None, None, shop, rng) == Query("mystery thing")
    assert make_query(None, None, [("colour", "Red")], shop, rng).text == ""
    assert make_query(" ", (), (), Ontology(), rng) == Query("")
    assert make_query(None, ["Apparel", "Dresses"], None, shop, rng).wants
    assert 4 <= len(make_query("藏青色商务休闲长袖衬衫", None, None, shop, rng).text) <= 8


def test_queries_in_chinese(shop):
    values = {"gender": {"Men": "男士"}, "colour": {"Navy Blue": "藏青色"}, "usage": {"Casual": "休闲"}}
    named = apply_names(
        shop,
        {
            "categories": {"Casual Shirts": {"zh": "衬衫"}},
            "properties": {
                name: {"values": {value: {"zh": zh} for value, zh in known.items()}} for name, known in values.items()
            },
        },
    )
    _, path, pairs = PRODUCTS[0]
    rng = random.Random(0)
    queries = [make_query(None, path, pairs, named, rng, language="zh") for _ in range(300)]
    texts = {query.text for query in queries}
    assert {"衬衫", "男士衬衫", "男士藏青色休闲衬衫"} <= texts
    assert {text.split()[0] for text in texts if text.isascii()} & {"apparel", "topwear"}  # these have no such name
    full = next(query for query in queries if query.text == "男士藏青色休闲衬衫")
    assert facts_named(full.text, named) == full.wants
    assert make_query(None, ["Apparel", "Dresses"], None, named, rng, language="zh").text.isascii()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Navy-blue SHIRTS", []),
        ("navy blue casual shirt for men's", ["Apparel > Topwear > Casual Shirts", "colour: Navy Blue", "gender: Men"]),
        ("blue dress, size M!", ["Apparel > Dresses", "colour: Blue", "size: M"]),
        ("A dress. It is red.", ["Apparel > Dresses", "colour: Red"]),
        ("flip flops", []),  # two categories have that name
        ("reddish womenswear", []),
        ("", []),
    ],
)
def test_facts_that_words_name(shop, text, wanted):
    assert labels(shop, facts_named(text, shop)) == wanted


def test_hyphens_make_no_difference():
    ontology = mine_ontology([product_frame([("Tee", ["Tshirts"], [("neck", "V-Neck")])])])
    for asked in ("vneck t-shirt", "V-neck tshirts"):
        assert labels(ontology, facts_named(asked, ontology)) == ["Tshirts", "neck: V-Neck"]


def test_of_categories_within_each_other_the_outer_one_is_meant():
    products = [
        ("Watch", ["Accessories", "Watches", "Watches"], []),
        ("Strap", ["Accessories", "Watches", "Straps"], []),
    ]
    ontology = mine_ontology([product_frame(products)])
    for asked in ("watches", "a silver watch"):
        assert labels(ontology, facts_named(asked, ontology)) == ["Accessories > Watches"]
    elsewhere = mine_ontology([product_frame([*products, ("Toy", ["Toys", "Watches"], [])])])
    assert facts_named("watches", elsewhere) == ()


def test_a_name_in_several_branches_means_any_of_them():
    products = [
        ("Runner", ["Men", "Shoes", "Sneakers"], [("Cut", "Low")]),
        ("Runner", ["Women", "Shoes", "Sneakers"], [("Cut", "High")]),
        ("Lace", ["Women", "Shoes"], [("Part", "Laces")]),
        ("Low chair", ["Home", "Low"], []),
    ]
    ontology = mine_ontology([product_frame(products)])
    for asked in ("sneakers", "a sneaker", "sneakers, sneakers"):
        assert facts_named(asked, ontology) == ()
        (fact,) = facts_meant(asked, ontology)
        assert str(fact) == "Men > Shoes > Sneakers or Women > Shoes > Sneakers"
        assert [one.path[0] for one in fact.each()] == ["Men", "Women"]
    assert [str(fact) for fact in facts_meant("high laces", ontology)] == ["Cut: High", "Part: Laces"]
    assert facts_meant("low", ontology) == ()  # a category or a value: not either of two of a kind
    both = mine_ontology([product_frame([("Bag", ["Bags"], [("Strap", "Leather"), ("Material", "Leather")])])])
    (fact,) = facts_meant("leather", both)
    assert str(fact) == "Material: Leather or Strap: Leather"
    assert [(one.property, one.value) for one in fact.each()] == [("Material", "Leather"), ("Strap", "Leather")]
    many = mine_ontology([product_frame([("Bag", [place, "Bags"], []) for place in "ABCDE"])])
    assert [str(fact) for fact in facts_meant("bags", many)] == ["A > Bags or B > Bags or 3 more"]


def test_a_products_own_facts_settle_what_a_word_means(shop):
    own = shop.fact_ids(["Footwear", "Flip Flops"])
    assert labels(shop, facts_named("flip flops", shop, within=own)) == ["Footwear > Flip Flops"]
    assert facts_named("red flip flops", shop, within=()) == ()


# --- logs

LOG = [("red dress", "2", 3), ("dress", "2", 10), ("shirt", "1", 1), ("red dress", "2", 2)]


@pytest.mark.parametrize("end", ["csv", "tsv", "jsonl", "parquet"])
def test_a_log_of_any_format(tmp_path, end, shop):
    frame = pl.DataFrame(LOG, schema=["query", "product_id", "count"], orient="row")
    file = tmp_path / f"log.{end}"
    match end:
        case "csv":
            frame.write_csv(file)
        case "tsv":
            frame.write_csv(file, separator="\t")
        case "jsonl":
            frame.write_ndjson(file)
        case _:
            frame.with_columns(pl.col("product_id").cast(pl.Int64)).write_parquet(file)
    log = QueryLog.read(file)
    assert len(log) == 3
    assert log.of("2") == (("dress", 10), ("red dress", 5))
    assert log.of("1") == (("shirt", 1),)
    assert log.of("3") == log.of("") == ()
    assert list(log) == [("shirt", "1", 1), ("dress", "2", 10), ("red dress", "2", 5)]
    first, second = log.queries("2", shop)
    assert (first.text, first.made, labels(shop, second.wants)) == (
        "dress",
        False,
        ["Apparel > Dresses", "colour: Red"],
    )
    assert log.queries("2")[1].wants == ()
    schema = (resource_dir("data_schemas") / "query_log.schema.json").read_text()
    for row in log.table.iter_rows(named=True):
        validate(row, json.loads(schema), Draft202012Validator)


def test_a_log_without_counts_and_with_other_names(tmp_path):
    (tmp_path / "log.csv").write_text("Search Term,SKU\na,1\na,1\nb,1\n")
    assert QueryLog.read(tmp_path / "log.csv").of("1") == (("a", 2), ("b", 1))


def test_rows_of_what_was_only_shown_are_no_clicks(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("query,product_id,impressions,clicks\na,1,40,2\na,2,40,0\n,3,5,0\n")
    read = read_log(file)
    assert (read.rows.select("query", "product_id", "count").rows(), read.left_out) == ([("a", "1", 2)], 2)
    events = [
        {"action_name": "impression", "user_query": "red shirt", "object_id": "1", "ordinal": 1},
        {"action_name": "search", "user_query": "red shirt", "object_id": None, "ordinal": None},
        {"action_name": "product_click", "user_query": "red shirt", "object_id": "2", "ordinal": 2},
        {"action_name": "add_to_cart", "user_query": "red shirt", "object_id": "2", "ordinal": 2},
        {"action_name": "remove_from_cart", "user_query": "red shirt", "object_id": "2", "ordinal": 2},
    ]
    lines = tmp_path / "events.jsonl"
    lines.write_text("\n".join(map(json.dumps, events)))
    read = read_log(lines)
    assert (read.rows.rows(), read.left_out) == ([("red shirt", "2", 1, 2.0)] * 2, 3)
    lines.write_text("\n".join(map(json.dumps, events[:2])))
    with pytest.raises(CatalogError, match="no click and no purchase: only impression, search in action_name"):
        read_log(lines)
    file.write_text("query,product_id,clicks\na,1,0\n")
    with pytest.raises(CatalogError, match="no click and no purchase: all counts are 0"):
        read_log(file)
    file.write_text("query,product_id,esci_label\na,1,I\n")
    with pytest.raises(CatalogError, match=r"has grades \(column esci_label\), not clicks; `shopvl search-judge"):
        read_log(file)


def test_faults_of_a_log_are_said_together(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("query,product_id,count\n,1,1\na,,1\na,1,-1\na,1,many\na,1,1.5\na,1\nb,1,2\n")
    with pytest.raises(CatalogError) as caught:
        QueryLog.read(file)
    for part in (
        "row 1: the query is empty",
        "row 2: the product_id is empty",
        "row 3: the count is '-1', a whole number from 0 on was wanted",
        "row 4: the count is 'many'",
        "row 5: the count is '1.5'",
        " and more",
    ):
        assert part in str(caught.value)
    file.write_text("text,id\na,1\n")
    with pytest.raises(CatalogError, match="no column for query; its columns are: text, id; wanted: query"):
        QueryLog.read(file)
    file.write_text("query,product_id\n")
    with pytest.raises(CatalogError, match="has no rows"):
        QueryLog.read(file)
    with pytest.raises(CatalogError, match="does not exist"):
        QueryLog.read(tmp_path / "nothing.csv")


def test_a_name_as_it_is_written_comes_before_one_that_is_only_its_singular():
    ontology = Ontology.model_validate(
        {
            "categories": [{"path": ["Shorts"], "count": 3}],
            "properties": [{"id": "Length", "values": [{"id": "Short"}, {"id": "Long"}]}],
        }
    )
    named = [tuple(str(ontology.facts[n]) for n in facts_named(text, ontology)) for text in ("summer shorts", "short")]
    assert named == [("Shorts",), ("Length: Short",)]


def test_counts_as_people_and_data_frames_write_them():
    cells = (7, "7", 12.0, "1,234", "1 234 567", "1,23", "1.5", "many", None, float("inf"))
    assert [whole_number(cell) for cell in cells] == [7, 7, 12, 1234, 1_234_567, None, None, None, None, None]
