"""What a recipe says it can do it does on the drawn shop; what it cannot is one sentence: `make test-zoo`."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from shopvl.cli import app
from shopvl.errors import ShopvlError
from shopvl.inference.predict import prompted_labels
from shopvl.recipes import RECIPES, find
from shopvl.recipes.capabilities import capabilities
from shopvl.training.tuning import fit_heads

pytestmark = pytest.mark.zoo


@pytest.fixture(scope="module")
def index_folder(tuned_folder: Path, toy_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index") / "index"
    said(True, "index", toy_table, "--model", tuned_folder, "--out", folder)
    return folder


def said(works: bool, *words: object) -> None:
    """The command ends well, or with one sentence for people."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if works:
        assert done.exit_code == 0, (words, done.exception)
        return
    assert isinstance(done.exception, ShopvlError), (words, done.output, done.exception)
    assert "\n" not in str(done.exception)
    assert "; " in str(done.exception)  # what is lacking; what to do


@pytest.mark.parametrize("name", RECIPES)
def test_it_does_what_it_says(
    name: str, make_design, toy_table, toy_catalog, tuned_folder, index_folder, tmp_path: Path
) -> None:
    recipe = find(name, "tiny")
    can, design = capabilities(recipe), make_design(recipe)
    folder, told = tmp_path / "model", ("--model", tmp_path / "model", "--out")
    use = ("--use", ",".join(recipe.inputs))
    design.save(folder)
    both = len(recipe.inputs) == 2
    said("embed" in can and both, "embed", toy_table, *told, tmp_path / "vectors")
    said("embed" in can and both, "index", toy_table, *told, tmp_path / "index")
    said("zero-shot" in can, "tag", toy_table, *use, *told, tmp_path / "zero", "--zero-shot", "--workers", 1)
    said("write" in can, "write", "red", "--model", folder)
    rerank = ("search", index_folder, "red dress", "--model", tuned_folder, "--rerank", folder)
    said("match" in can, *rerank)
    Image.new("RGB", (40, 40), "navy").save(tmp_path / "picture.png")
    said("locate" in can, "locate", tmp_path / "picture.png", "zip", "--model", folder)
    statement = f"{design.ontology.properties[0].id}: red"
    said("verify" in can, "verify", tmp_path / "picture.png", statement, "--model", folder)
    if recipe.answering is None:
        fit_heads(design, toy_catalog, min_steps=3)
    else:
        design.labels = prompted_labels(design.ontology)
    design.save(folder)
    said("tag" in can, "tag", toy_table, *use, *told, tmp_path / "tags", "--workers", 1)
