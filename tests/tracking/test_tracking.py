"""MLflow gets everything there is to know of a run, and a run never waits for it."""

import json
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from damages import DAMAGES, Damage

from shopvl.errors import TrackingError
from shopvl.tracking import continued, store, tracked
from shopvl.tracking.journal import JOURNAL, REFUSED, Journal, Sent, count_unsent, read_sent, unsent, write_sent
from shopvl.tracking.store import RunStore, UnreachableError
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


@pytest.mark.zoo
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


def test_a_store_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow makes its tables one after the other, and never goes on from some of them."""
    from mlflow.store.tracking import sqlalchemy_store

    path, draft = tmp_path / "mlflow.db", tmp_path / ".mlflow.db.draft"
    journal = draft.with_name(f"{draft.name}-journal")
    draft.write_bytes(b"half")  # as a killed process leaves them
    journal.write_bytes(b"half")

    def killed(uri: str, artifacts: str) -> None:
        assert draft.read_bytes() == b""
        assert not journal.exists()
        with sqlite3.connect(uri.removeprefix("sqlite:///")) as half:
            half.execute("CREATE TABLE secrets (secret_id INTEGER)")
        raise KeyboardInterrupt

    monkeypatch.setattr(sqlalchemy_store, "SqlAlchemyStore", killed)
    with pytest.raises(KeyboardInterrupt):
        store._make_local(path, tmp_path.as_uri())
    assert not path.exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def some_run(folder: Path, uri: str, **told: float) -> None:
    with tracked("toy", "one", folder, uri, **told) as tracker:
        tracker.parameters({"recipe": {"long": "x" * 9000}, "seed": 1})
        for step in range(3):
            tracker.metrics({"itc:title-image": 1.0 / (step + 1)}, step)
        (folder / "note.txt").write_text("kept")
        tracker.files(folder / "note.txt", "notes")
        tracker.dataset("shop", "0" * 64, "shop.parquet", "train", "training", ["title"])


def check_arrived(folder: Path, uri: str) -> None:
    store = RunStore(uri)
    (run,) = store.runs("toy")
    assert run.run_id == read_sent(folder).run_id
    assert run.status == "FINISHED"
    assert json.loads(run.params["recipe"]) == {"long": "x" * 9000}  # in parts, and together again
    assert store.curve(run.run_id, "itc/title-image") == ([0, 1, 2], [1.0, 0.5, pytest.approx(1 / 3)])
    assert "system/cpu_utilization_percentage" in run.metrics
    assert store.file(run.run_id, "notes/note.txt", folder).read_text() == "kept"
    (given,) = store.client.get_run(run.run_id).inputs.dataset_inputs
    assert given.dataset.digest == "0" * 36
    assert given.tags[0].value == "training"


def test_a_server_that_is_down_gets_everything_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    uri, folder = f"http://127.0.0.1:{free_port()}", tmp_path / "run"
    began = time.monotonic()
    some_run(folder, uri)
    assert time.monotonic() - began < 20  # seconds: a server that is down is noticed at once
    assert f"`shopvl experiments sync {folder}` sends them later" in caplog.text
    waiting = count_unsent(folder)
    assert waiting >= 7
    with pytest.raises(UnreachableError, match="does not answer"):
        continued(folder)
    local = f"sqlite:///{tmp_path / 'mlflow.db'}"  # the server, back again
    assert continued(folder, local) == (waiting, 0)
    check_arrived(folder, local)
    write_sent(folder, Sent())  # a note that was lost: sending twice does no harm
    continued(folder, local)
    check_arrived(folder, local)


def test_a_server_that_never_answers_holds_up_no_step(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        began = time.monotonic()
        some_run(tmp_path / "run", f"http://127.0.0.1:{server.getsockname()[1]}", patience_s=0.3)
        assert time.monotonic() - began < 10
    assert count_unsent(tmp_path / "run") >= 7


def test_what_the_server_refuses_is_kept_with_its_reason(tmp_path: Path) -> None:
    uri, folder = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "run"
    for seed in (1, 2):  # MLflow takes a parameter once
        with tracked("toy", "one", folder, uri) as tracker:
            tracker.parameters({"seed": seed})
    assert count_unsent(folder) == 0
    (line,) = (folder / REFUSED).read_text().splitlines()
    assert json.loads(line)["values"] == {"seed": "2"}
    assert "refuses" in json.loads(line)["reason"]


def test_a_run_that_fails_says_so(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(ValueError, match="broken"), tracked("toy", "one", tmp_path / "run", uri):
        raise ValueError("broken")
    (run,) = RunStore(uri).runs("toy")
    assert run.status == "FAILED"


def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "sqlite:///nowhere", "toy", "one")
    journal.add("metrics", values={"loss": 1.0}, step=0)
    journal.close()
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('{"what": "metr')
    Journal(tmp_path, "sqlite:///nowhere", "toy", "one").close()
    assert [entry["what"] for entry, _ in unsent(tmp_path)] == ["begin", "metrics", "go_on"]


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="there is no store"):
        RunStore(f"sqlite:///{tmp_path / 'none.db'}")


@pytest.mark.zoo
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_store_that_is_damaged_is_one_sentence_and_stops_no_run(damage: Damage, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with tracked("toy", "one", tmp_path / "run", uri) as tracker:
        tracker.metrics({"loss": 1.0})
    damage(tmp_path / "mlflow.db")
    with suppress(TrackingError):  # and nothing else
        RunStore(uri).runs("toy")
    with tracked("toy", "two", tmp_path / "two", uri, patience_s=1.0) as tracker:
        tracker.metrics({"loss": 1.0})
    assert len((tmp_path / "two" / JOURNAL).read_text().splitlines()) >= 4
