"""What a run reads, and how often."""

import json
from pathlib import Path

import pytest
import torch

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.data.training_rows import SOURCE, training_rows
from shopvl.design.design import Design
from shopvl.errors import RecipeError
from shopvl.runs.running import digests
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import EXPERIMENT, ROWS, _initial_design, pretrain


def test_the_table_is_hashed_once_a_run(toy_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, hashed = Catalog.digest, []

    def counted(catalog: Catalog) -> str:
        hashed.append(catalog.path)
        return digest(catalog)

    monkeypatch.setattr(Catalog, "digest", counted)
    told = Experiment(name="once", recipe="tri-clip", size="tiny", catalog=str(toy_table), split=None, epochs=1)
    for run in (1, 2):  # from nothing, and where everything is done already
        pretrain(told, tmp_path)
        assert hashed == [toy_table] * run
    content = digest(open_catalog(toy_table))
    assert json.loads((tmp_path / EXPERIMENT).read_text())["data_digest"] == content
    assert json.loads((tmp_path / ROWS / SOURCE).read_text())["digest"] == content


def experiment(table: Path, **fields) -> Experiment:
    return Experiment(name="parts", **{"size": "tiny", "catalog": str(table), "split": None, "epochs": 0.2} | fields)


@pytest.fixture(scope="module")
def two_towers(toy_table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Model folders of two runs that differ in their seed and in what their tokenizers learned."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    pretrain(experiment(toy_table, recipe="tri-clip", seed=1), folders[0])
    pretrain(experiment(toy_table, recipe="tri-clip", seed=2, changes={"text": {"vocabulary": 200}}), folders[1])
    return folders[0] / "design", folders[1] / "design"


def begun(told: Experiment) -> Design:
    """The design before its first step."""
    rows = training_rows(open_catalog(told.catalog_path()), Path(told.catalog_path()).parent / "begun")
    return _initial_design(told, rows, open_catalog(told.catalog_path()))


def test_parts_start_from_folders_of_their_own(toy_table: Path, two_towers: tuple[Path, Path]) -> None:
    one, two = two_towers
    told = experiment(toy_table, recipe="tri-clip", seed=5, start={"image_tower": str(two), "text_tower": str(one)})
    assert Experiment.from_dict(told.to_dict()) == told
    assert told.resolved().start == {"image_tower": str(two), "text_tower": str(one)}
    design, plain = begun(told), begun(experiment(toy_table, recipe="tri-clip", seed=5))
    first, second = Design.from_pretrained(one), Design.from_pretrained(two)
    assert design.tokenizer.backend.get_vocab() == first.tokenizer.backend.get_vocab()
    for name, tensor in design.model.state_dict().items():
        source = second if name.startswith("image_tower.") else first if name.startswith("text_tower.") else plain
        assert torch.equal(tensor, source.model.state_dict()[name]), name
    assert digests(told).keys() == {"catalog", "start of image_tower", "start of text_tower"}


def test_starts_that_do_not_fit_are_sentences(toy_table: Path, two_towers: tuple[Path, Path]) -> None:
    one, two = (str(folder) for folder in two_towers)
    wrong = {
        r"tower cannot start from .*: the model of 'tri-clip' has .*image_tower, text_tower": {"tower": one},
        "the starts of text_tower and text_projection read other word pieces": {
            "text_tower": one,
            "text_projection": two,
        },
    }
    for sentence, start in wrong.items():
        with pytest.raises(RecipeError, match=sentence):
            begun(experiment(toy_table, recipe="tri-clip", start=start))
    with pytest.raises(RecipeError, match=r"no weights of .* fit the part patches of the recipe 'vilt'"):
        begun(experiment(toy_table, recipe="vilt", start={"patches": one}))
