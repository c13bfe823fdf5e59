"""What a run reads, and how often."""

import json
from pathlib import Path

import pytest

from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.data.training_rows import SOURCE
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import EXPERIMENT, ROWS, pretrain


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
