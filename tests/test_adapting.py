"""A model made a catalog's own: splits, ontology, training, calibration, and what it can answer in the end."""

import json
from pathlib import Path

import polars as pl
import pytest

from shopvl import adapt as adapting
from shopvl.adapt import Ability, abilities, adapt, fitting
from shopvl.catalog.readers import open_catalog
from shopvl.design.design import Design
from shopvl.errors import CatalogError, RecipeError
from shopvl.inference.calibrate import AnswerCalibration
from shopvl.recipes import find


@pytest.fixture
def other_shop(toy_table: Path, tmp_path: Path) -> Path:
    """The toy products without splits, with a property under a name that the model never heard."""
    frame = pl.read_parquet(toy_table)
    renamed = [
        [{**pair, "property": "Farbe"} if pair["property"] == "Colour" else pair for pair in pairs or ()]
        for pairs in frame["attributes"].to_list()
    ]
    path = tmp_path / "other.parquet"
    attributes = pl.Series("attributes", renamed, dtype=frame.schema["attributes"])
    frame.drop("split", strict=False).with_columns(attributes).write_parquet(path)
    return path


def without(table: Path, name: str) -> Path:
    """The table where no product has that input."""
    frame = pl.read_parquet(table)
    alone = table.with_name("alone.parquet")
    frame.with_columns(pl.lit(None, dtype=frame.schema[name]).alias(name)).write_parquet(alone)
    return alone


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few dozen rows are many."""
    monkeypatch.setattr(adapting, "FEW", 0)


@pytest.mark.zoo
def test_a_model_is_made_a_catalogs_own(many: None, prompted_folder: Path, other_shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    stages: set[str] = set()

    def report(stage: str, *_: object) -> None:
        stages.add(stage)

    found = adapt(str(other_shop), prompted_folder, out, minutes=0.03, report=report).abilities
    assert {"read", "train", "calibrate", "measure"} <= stages
    adapted = Design.from_pretrained(out)
    assert "Farbe" in adapted.labels
    assert "Colour" not in adapted.labels
    assert {one.name for one in found} <= adapted.labels.keys()
    assert {"category", "Farbe"} <= {one.name for one in found}
    assert max(one.rows for one in found) == open_catalog(other_shop, split="test").count()
    measured = json.loads((out / "scores" / "metrics.json").read_text())["answers"]["image+title"]
    assert {one.name: one.accuracy for one in found} == {
        name: told["accuracy"] for name, told in measured.items() if told["rows"]
    }
    # a second start finds its training done
    assert adapt(str(other_shop), prompted_folder, out, minutes=0.03).abilities == found
    pl.read_parquet(other_shop).head(50).write_parquet(other_shop)
    with pytest.raises(RecipeError, match=r"run holds a run with another data_digest; give another --out, or delete"):
        adapt(str(other_shop), prompted_folder, out, minutes=0.03)


@pytest.mark.parametrize(("lacking", "inputs"), [("title", "image"), ("image", "title")])
def test_it_learns_from_the_one_input_that_there_is(
    lacking: str, inputs: str, many: None, prompted_folder: Path, other_shop: Path, tmp_path: Path
) -> None:
    alone, out = without(other_shop, lacking), tmp_path / "mine"
    found = adapt(str(alone), prompted_folder, out, minutes=0.02).abilities
    assert {one.inputs for one in found} == {inputs}
    assert {"category", "Farbe"} <= {one.name for one in found}
    assert max(one.rows for one in found) == open_catalog(alone, split="test").count()
    assert "How good is" in (out / "scores" / "report.html").read_text()


@pytest.mark.parametrize("lacking", ["title", "image"])
def test_few_rows_teach_and_calibrate(lacking: str, prompted_folder: Path, other_shop: Path, tmp_path: Path) -> None:
    """All labelled rows but those of the test calibrate, each answered without itself; the towers stay as they were."""
    frame = pl.read_parquet(other_shop)
    broken = {name: [None] for name in frame.columns} | {"product_id": ["empty"], "category_path": [["Shoes"]]}
    pl.concat([frame, pl.DataFrame(broken, frame.schema)]).write_parquet(other_shop)
    alone, out = without(other_shop, lacking), tmp_path / "mine"
    done = adapt(str(alone), prompted_folder, out, minutes=1)
    inputs = "image" if lacking == "title" else "title"
    assert [one.product_id for one in done.rejects] == ["empty"]
    assert {one.inputs for one in done.abilities} == {inputs}
    adapted, counts = Design.from_pretrained(out), open_catalog(alone).split_counts()
    labelled = counts["train"] + counts["val"] - 1
    assert labelled - 1 <= adapted.calibration[inputs]["category"]["rows"] <= labelled + 1
    assert "Farbe" in adapted.labels
    assert set(adapted.familiarity) == {inputs}
    assert "cross-fitting" in (out / "README.md").read_text()
    before = Design.from_pretrained(prompted_folder).model.state_dict()
    towers = {name: own for name, own in adapted.model.state_dict().items() if "tower" in name}
    assert towers
    assert all(own.equal(before[name]) for name, own in towers.items())
    again = adapt(str(alone), prompted_folder, out, minutes=1)
    assert again == done


@pytest.mark.parametrize(("products", "size"), [(50, 16), (400, 25), (1600, 100), (100_000, 256)])
def test_a_small_catalog_is_learned_in_small_batches(products: int, size: int) -> None:
    recipe = find("prompt-mask", "mini")
    assert recipe.schedule.batch_size == 256
    small = fitting(recipe, products)
    assert small.schedule.batch_size == size
    assert fitting(small, 10 * products).schedule.batch_size == size  # never more than the recipe's own


@pytest.mark.zoo
def test_linear_heads_are_fitted_anew(tuned_folder: Path, other_shop: Path, tmp_path: Path) -> None:
    found = adapt(str(other_shop), tuned_folder, tmp_path / "mine", minutes=0.02).abilities
    assert "Farbe" in {one.name for one in found}
    assert Design.from_pretrained(tmp_path / "mine").heads is not None


def test_too_little_to_learn_from(prompted_folder: Path, toy_table: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(toy_table).drop("split", strict=False)
    few, bare = tmp_path / "few.parquet", tmp_path / "bare.parquet"
    frame.head(9).write_parquet(few)
    frame.drop("attributes", "category_path").write_parquet(bare)
    with pytest.raises(
        CatalogError, match=r"has 9 products: \d to learn from, \d to calibrate on and \d to test on; wanted are"
    ):
        adapt(str(few), prompted_folder, tmp_path / "a", minutes=1)
    with pytest.raises(CatalogError, match="has neither categories nor attributes, so there is nothing to learn"):
        adapt(str(bare), prompted_folder, tmp_path / "b", minutes=1)


def test_what_a_property_is_good_for(tuned: Design) -> None:
    told = {
        "colour": {"rows": 90, "accuracy": 0.9, "accepted": 0.7, "precision_of_accepted": 0.97},
        "season": {"rows": 90, "accuracy": 0.5, "accepted": 0.0, "precision_of_accepted": None},
        "usage": {"rows": 90, "accuracy": 0.6, "accepted": 0.2, "precision_of_accepted": 1.0},
        "gender": {"rows": 90, "accuracy": 0.85, "accepted": 0.0, "precision_of_accepted": None},
        "style": {"rows": 0},
    }
    tuned.calibration["image+title"] = {"colour": vars(AnswerCalibration()) | {"curve": [[0.9, 0.97], [0.5, 0.96]]}}
    found = abilities({"answers": {"image+title": told}}, tuned)
    assert [(one.name, one.grade) for one in found] == [
        ("colour", "answers"),
        ("usage", "suggests"),
        ("gender", "suggests"),
        ("season", "cannot"),
    ]
    assert isinstance(found[0], Ability)
    assert [one.shown for one in found] == [0.97, 0.0, 0.0, 0.0]
