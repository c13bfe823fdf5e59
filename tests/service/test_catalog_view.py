"""A whole catalog to look at: what stands of each product, filters, edits, coverage and export, against plain loops."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from shopvl.catalog.corrections import Correction
from shopvl.catalog.ontology import Ontology
from shopvl.catalog.readers import open_catalog
from shopvl.catalog.vocabulary import CATEGORY
from shopvl.design.design import Design
from shopvl.errors import ReviewError, ShopvlError
from shopvl.search import Condition
from shopvl.service.app_service import AppService
from shopvl.service.catalog_view import CatalogView, Choice
from shopvl.service.catalog_views import CatalogViews
from shopvl.tagging.run import TAGS, tag

# what a person, the catalog and the tags say of six products; of the last nobody knows anything
OWN = {"a": "Red", "b": "Blue", "e": "Green | Red"}
TAGGED = {"a": ("Navy", "accept"), "b": ("Blue", "accept"), "c": ("Red", "accept"), "d": ("Black", "review")}
PATHS = {"a": ["Wear", "Shirts"], "b": ["Wear", "Shoes"], "c": ["Wear", "Shirts"], "d": ["Wear", "Shoes"]}


def decided(product_id: str, value: str | None, name: str = "Colour") -> Correction:
    return Correction(product_id, name, value, None, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def small(tmp_path: Path, toy_ontology: Ontology) -> CatalogView:
    ids = "abcdef"
    pl.DataFrame(
        {
            "product_id": list(ids),
            "title": [f"{letter.upper()} thing" for letter in ids],
            "image": [None] * len(ids),
            "price": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0],
            "category_path": [PATHS.get(one) for one in ids],
            "attributes": [
                [{"property": "Colour", "value": value} for value in OWN[one].split(" | ")] if one in OWN else None
                for one in ids
            ],
        },
        schema_overrides={"image": pl.String},
    ).write_parquet(tmp_path / "shop.parquet")
    rows = [
        {
            **{"product_id": one, "property": "Colour", "best_guess": value, "probability": 0.9 if sure else 0.6},
            **{"value": value, "decision": decision, "reason": "accepted" if sure else "below the threshold"},
            **{"evidence": ["title"], "conflict": one == "d", "alternatives": [], "model": "m"},
        }
        for one, (value, decision) in TAGGED.items()
        for sure in (decision == "accept",)
    ]
    pq.write_table(TAGS.empty_table().from_pylist(rows, TAGS), tmp_path / "tags.parquet")
    return CatalogView(open_catalog(tmp_path / "shop.parquet"), tmp_path / "tags.parquet", toy_ontology)


def ids(view: CatalogView, choice: Choice) -> str:
    return "".join(view.ids[row] for row in view.rows(choice).tolist())


def test_a_person_stands_above_the_catalog_and_the_catalog_above_tags(small: CatalogView) -> None:
    said = {one: small.cell(one, "colour") for one in small.ids}
    assert {one: (cell.value, cell.state) for one, cell in said.items()} == {
        **{"a": ("Red", "own"), "b": ("Blue", "own"), "c": ("Red", "accept"), "d": ("Black", "review")},
        **{"e": ("Green | Red", "own"), "f": (None, "nothing")},
    }
    assert (said["a"].other, said["b"].other) == ("Navy", None)  # what was accepted though the catalog says else
    small.refresh([decided("a", "Black"), decided("c", None), decided("nobody", "Red")])
    assert (small.cell("a", "Colour").value, small.cell("a", "Colour").state) == ("Black", "person")
    assert (small.cell("c", "Colour").value, small.cell("c", "Colour").state) == (None, "person")
    small.refresh([])
    assert {one: small.cell(one, "colour") for one in small.ids} == said
    with pytest.raises(ReviewError, match="there is no product 'z' with a property 'Colour' here"):
        small.cell("z", "Colour")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), "abcdef"),
        (Choice(text="c THING"), "c"),
        (Choice(text="d"), "d"),  # an id
        (Choice(category="Wear > Shirts"), "ac"),
        (Choice(category="shoes"), "bd"),
        (Choice(property="Colour", value="Red"), "ace"),
        (Choice(property="Colour", value="Black"), ""),  # which nobody accepted
        (Choice(property="Colour", value="Black", shows="review"), "d"),
        (Choice(property="Colour", shows="filled"), "abce"),
        (Choice(property="Colour", shows="missing"), "f"),
        (Choice(property="Colour", shows="differs"), "a"),
        (Choice(shows="conflict"), "d"),
        (Choice(conditions=(Condition("price", "<", "35"), Condition("colour", "!=", "Red"))), "b"),
        (Choice(order="title", shows="filled", property="Colour"), "abce"),
        (Choice(order="doubt", property="Colour"), "dabcef"),
        (Choice(order="Colour"), "dbeacf"),  # by name, none last
    ],
)
def test_filters_and_orders(small: CatalogView, choice: Choice, expected: str) -> None:
    assert ids(small, choice) == expected


def test_filters_and_counts_see_what_was_decided_since(small: CatalogView) -> None:
    red, every = Choice(property="Colour", value="Red"), np.ones(6, bool)
    assert ids(small, red) == "ace"
    small.refresh([decided("a", "Blue"), decided("d", "Red"), decided("f", "Pink", name="Colour")])
    assert ids(small, red) == "cde"
    assert dict(small.facets(every, ["Colour"], 9)["Colour"]) == {"red": 3, "blue": 2, "green": 1, "pink": 1}
    assert ids(small, Choice(shows="person")) == "adf"
    small.refresh([decided("d", "Red")])
    assert ids(small, red) == "acde"
    with pytest.raises(ShopvlError, match="no product of this index has the property 'taste'"):
        small.rows(Choice(conditions=(Condition("taste", "=", "sweet"),)))
    with pytest.raises(ReviewError, match="there is no state 'best' to show"):
        Choice(shows="best")


def test_coverage_is_counted_over_all_and_by_category(small: CatalogView) -> None:
    found = small.coverage(np.ones(6, bool))
    colour = found.properties.index("Colour")
    assert found.counts[colour] == {"filled": 4, "review": 1, "missing": 1}
    assert dict(zip(found.categories, found.filled_CP[:, colour].tolist(), strict=True)) == {
        "Wear > Shirts": 2,
        "Wear > Shoes": 1,
    }
    assert found.of_CP[:, colour].tolist() == [2, 2]


def test_what_stands_is_exported(small: CatalogView, tmp_path: Path) -> None:
    from shopvl.tagging.export import export_products

    small.refresh([decided("b", "Navy"), decided("c", None)])
    rows = small.rows(Choice(order="Colour"))
    done = export_products(small.tagged(rows), small.properties, tmp_path / "out.csv")
    written = pl.read_csv(tmp_path / "out.csv")
    assert done.products == 6
    assert written["product_id"].to_list() == list("abcdef")  # in the catalog's order, as formats want it
    assert written["Colour"].to_list() == ["Red", "Navy", None, None, "Green | Red", None]


@pytest.fixture(scope="module")
def tagged(tuned_folder: Path, toy_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog without labels, and its tags."""
    folder = tmp_path_factory.mktemp("tagged")
    pl.read_parquet(toy_table).with_columns(attributes=None, category_path=None).write_parquet(folder / "bare.parquet")
    bare = open_catalog(folder / "bare.parquet")
    tag(Design.from_pretrained(tuned_folder), bare, folder / "tags", precision=1.0)
    return folder


@pytest.fixture
def views(tuned_folder: Path, tagged: Path, tmp_path: Path) -> CatalogViews:
    return CatalogViews(
        AppService.open(tuned_folder, tmp_path / "work", catalog=tagged / "bare.parquet", tags=tagged / "tags")
    )


def test_every_answer_of_a_run_is_there_as_it_was_given(views: CatalogViews) -> None:
    (name,) = views.names()
    view = views.open(name)
    answers = pl.read_parquet(Path(name) / "tags.parquet").iter_rows(named=True)
    for row in answers:
        cell = view.cell(row["product_id"], row["property"])
        assert cell.value == (row["value"] or row["best_guess"])
        assert cell.state == ("apart" if row["reason"] == "property does not apply" else row["decision"])
        assert cell.conflict == row["conflict"]
    assert views.open(name) is view
    assert len(views.start(name)) == len(view)


def test_the_first_rows_are_those_of_the_whole(views: CatalogViews, monkeypatch) -> None:
    monkeypatch.setattr("shopvl.service.catalog_views.FIRST_ROWS", 5)
    (name,) = views.names()
    start = views.start(name)
    whole = views.open(name)
    assert start.ids == whole.ids[:5]
    rows = range(5)
    assert start.lines(rows, start.shown(4)) == whole.lines(rows, start.shown(4))


def test_an_edit_is_a_correction_that_others_see_and_can_be_undone(views: CatalogViews) -> None:
    (name,) = views.names()
    view = views.open(name)
    product, before = view.ids[3], view.cell(view.ids[3], "Colour")
    made = views.edit(name, product, "Colour", "red", "ann")
    assert (made.value, made.previous) == ("Red", before.value)
    assert views.service.decisions() == [made]
    assert views.open(name).cell(product, "Colour").state == "person"
    with pytest.raises(ReviewError, match="is not a known Colour"):
        views.edit(name, product, "Colour", "nonsense", "ann")
    with pytest.raises(ReviewError, match="there is no product 'nobody'"):
        views.edit(name, "nobody", "Colour", "Red", "ann")
    views.service.undo("ann")
    assert views.open(name).cell(product, "Colour") == before


def test_a_corrected_category_has_other_properties(views: CatalogViews) -> None:
    (name,) = views.names()
    view, ontology = views.open(name), views.service.ontology
    leaves = {
        leaf: {prop.id for prop in ontology.properties if ontology.applies(prop.id, leaf)} for leaf in ontology.leaves()
    }
    product = view.ids[0]
    for leaf, has in leaves.items():
        views.edit(name, product, CATEGORY, " > ".join(leaf), "ann")
        states = {prop.id: views.open(name).cell(product, prop.id).state for prop in ontology.properties}
        assert not {prop for prop, state in states.items() if state == "apart"} & has
        assert not {prop for prop, state in states.items() if state == "nothing"} - has


def test_pictures_are_read_by_row(views: CatalogViews, monkeypatch) -> None:
    monkeypatch.setattr("shopvl.service.catalog_views.BLOCK_ROWS", 7)
    (name,) = views.names()
    rows = next(views.service.catalog.batches(60)).rows(named=True)
    for row in (rows[0], rows[6], rows[7], rows[-1]):
        assert views.product(name, row["product_id"]).picture == row["image"]["bytes"]
        assert views.picture(name, row["product_id"])[:2] == b"\xff\xd8"  # a JPEG
    with pytest.raises(ReviewError, match="there is no product 'nobody' in this catalog"):
        views.picture(name, "nobody")
    with pytest.raises(ReviewError, match="nothing to export"):
        views.export(name, np.array([], int), "wide", Path("out.csv"))
