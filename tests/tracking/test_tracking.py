"""MLflow sees the parameters, the metrics, the data digest and the saved design."""

import subprocess
import sys
from pathlib import Path

import pytest

from shopvl.tracking.journal import read_sent
from shopvl.training.experiment import Experiment
from shopvl.training.pretraining import pretrain

mlflow = pytest.importorskip("mlflow")


def test_a_run_is_recorded_once(toy_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # nothing may appear in the working folder
    told = Experiment(name="toy", recipe="vilt", size="tiny", catalog=str(toy_table), epochs=2)
    folder = tmp_path / "runs" / "one"
    design = pretrain(told, folder)
    pretrain(told, folder)  # finished already: the same run again, no further step
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == read_sent(folder).run_id
    assert run.data.params["data_digest"]
    assert run.data.params["seed"] == "0"
    assert {"mlm", "itm", "wra-ot", "products_per_second"} <= run.data.metrics.keys()
    saved = {item.path for item in client.list_artifacts(run.info.run_id, "design")}
    assert {"design/config.json", "design/model.safetensors", "design/tokenizer.json"} <= saved
    assert design.parameter_count() == int(run.data.params["parameters"])
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


def test_runs_that_start_at_once_share_a_new_store(tmp_path: Path) -> None:
    """Each in a process of its own, as on a machine where two experiments are started side by side."""
    code = "import sys; from pathlib import Path; from shopvl.tracking import tracked\n"
    code += "with tracked('side by side', sys.argv[1], Path(sys.argv[2])): pass"
    started = [
        subprocess.Popen([sys.executable, "-c", code, name, str(tmp_path / name)], stderr=subprocess.PIPE)
        for name in ("one", "two", "three")
    ]
    errors = [process.communicate()[1].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], errors
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("side by side")
    assert {run.info.run_name for run in client.search_runs([experiment.experiment_id])} == {"one", "two", "three"}
