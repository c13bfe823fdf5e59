"""The door to MLflow's runs: entries of a journal go in, figures of runs come out."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from shopvl.errors import TrackingError
from shopvl.files import atomic_write
from shopvl.tracking.journal import Entry, Sent, read_sent, refuse, write_sent

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# fail quickly if a server is down: entries that it did not get are kept and sent later
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it announces each table it makes

LOCAL = "sqlite:///"
KEY = "shopvl.key"  # the tag that says which journal a run is of
PART = " part "  # of the key of a long parameter
MAX_PARAM, MAX_DIGEST, MAX_METRICS = 6000, 36, 1000  # MLflow's limits
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "PERMISSION_DENIED"}


class UnreachableError(TrackingError):
    """The store did not answer; the same may work later."""


def is_installed() -> bool:
    """Whether there is an MLflow at all."""
    return find_spec("mlflow") is not None


def load_ahead() -> None:
    """Import MLflow now: if a thread imported it while a worker process is forked, the worker could deadlock."""
    import mlflow.entities
    import mlflow.tracking  # noqa: F401


def chosen_store(beside: Path) -> str:
    """Where runs are recorded: $MLFLOW_TRACKING_URI, else a local SQLite store in that folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{LOCAL}{beside.resolve() / 'mlflow.db'}"


def existing_store(uri: str | None) -> str:
    """The store to read: `uri`, $MLFLOW_TRACKING_URI, or `runs/mlflow.db` here. TrackingError if there is none."""
    store = uri or chosen_store(Path("runs"))
    if not is_installed():
        raise TrackingError("MLflow is not installed, which keeps runs and models; pip install 'shopvl[track]'")
    if store.startswith(LOCAL) and not Path(store.removeprefix(LOCAL)).is_file():
        raise TrackingError(
            f"there is no store {store}; name one with --store or MLFLOW_TRACKING_URI, "
            "or make one with `shopvl experiments run`"
        )
    return store


def mlflow_client(uri: str) -> Any:
    """MLflow's client of that store. A local store is made where there is none."""
    from filelock import FileLock
    from mlflow import MlflowClient

    if not uri.startswith(LOCAL):
        return MlflowClient(uri, registry_uri=uri)
    path = Path(uri.removeprefix(LOCAL))
    path.parent.mkdir(parents=True, exist_ok=True)
    # or a local store makes a folder mlruns/ wherever the command was started
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = _local_artifacts(uri)
    # two runs that start at once would both make the tables of a new local store, and the slower one would fail
    with FileLock(path.with_name(".mlflow.lock")):
        if not path.exists():
            _make_local(path, _local_artifacts(uri))
        client = MlflowClient(uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    return client


def _make_local(path: Path, artifacts: str) -> None:
    """A local store without runs, whole or not at all: MLflow goes on from tables that are half made no more."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with atomic_write(path) as draft:
        for left in path.parent.glob(f"{draft.name}*"):  # by a process that was killed: SQLite's journal too
            left.write_bytes(b"") if left == draft else left.unlink()
        SqlAlchemyStore(f"{LOCAL}{draft}", artifacts).engine.dispose()


def _local_artifacts(uri: str) -> str:
    return (Path(uri.removeprefix(LOCAL)).parent / "mlflow-artifacts").as_uri()


def experiment_id(client: Any, uri: str, name: str) -> str:
    """The experiment of that name, made where there is none."""
    from filelock import FileLock

    local = uri.startswith(LOCAL)
    with FileLock(Path(uri.removeprefix(LOCAL)).parent / ".mlflow.lock") if local else nullcontext():
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(client.create_experiment(name, artifact_location=_local_artifacts(uri) if local else None))


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Translate MLflow's errors: `UnreachableError` if a later attempt may work, else TrackingError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as fault:
        message = " ".join(str(fault).split())[:300]
        if fault.error_code in REFUSALS or fault.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise TrackingError(f"{uri} refuses: {message}") from fault
        raise UnreachableError(f"{uri} does not answer: {message}") from fault
    except (OSError, SQLAlchemyError) as fault:  # the latter of a local store that is damaged
        raise UnreachableError(f"{uri} does not answer: {' '.join(str(fault).split())[:300]}") from fault


# --- entries of a journal, into the store


class Sender:
    """Sends entries of one journal to the store. Sending is idempotent."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder, self.uri = folder, uri
        self.client: Any = None
        self.sent: Sent = read_sent(folder)

    def send(self, entries: Iterable[tuple[Entry, int]]) -> Iterator[int]:
        """Send entries in order; yields after each that has arrived. Raises UnreachableError."""
        if self.client is None:
            with reaching(self.uri):
                self.client = mlflow_client(self.uri)
        for what, group in groupby(entries, key=lambda item: item[0]["what"]):
            for several in _packets(group) if what == "metrics" else ([item] for item in group):
                self._send(several)
                yield len(several)

    def _send(self, several: Sequence[tuple[Entry, int]]) -> None:
        try:
            with reaching(self.uri):
                self._do([entry for entry, _ in several])
        except UnreachableError:
            raise
        except TrackingError as refused:
            if self.sent.run_id is None:
                raise  # without a run nothing else can be sent
            for entry, _ in several:
                refuse(self.folder, entry, str(refused))
        self.sent = replace(self.sent, bytes=several[-1][1])
        write_sent(self.folder, self.sent)

    def _do(self, entries: Sequence[Entry]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        entry, run_id = entries[0], self.sent.run_id
        match entry["what"]:
            case "begin":
                self.sent = replace(self.sent, run_id=self._begin(entry))
            case "go_on":
                self.client.update_run(run_id, status="RUNNING")
            case "params":
                items = entry["values"].items()
                params = [Param(*part) for key, value in items for part in param_parts(key, value).items()]
                self.client.log_batch(run_id, params=params)
            case "tags":
                tags = [RunTag(key, value) for key, value in entry["values"].items()]
                self.client.log_batch(run_id, tags=tags)
            case "metrics":
                values = [
                    Metric(metric_name(name), value, point["time"], point["step"])
                    for point in entries
                    for name, value in point["values"].items()
                ]
                self.client.log_batch(run_id, metrics=values)
            case "dataset":
                self._dataset(entry)
            case "files":
                self._files(Path(entry["path"]), entry["name"])
            case "model":
                self._model(Path(entry["path"]), entry["name"])
            case "end":
                self.client.set_terminated(run_id, entry["status"], entry["time"])

    def _begin(self, entry: Entry) -> str:
        number = experiment_id(self.client, self.uri, entry["experiment"])
        for run in self.client.search_runs([number], f"tags.`{KEY}` = '{entry['key']}'", max_results=1):
            return str(run.info.run_id)
        tags = {KEY: entry["key"]}
        return str(self.client.create_run(number, entry["time"], tags, entry["run_name"]).info.run_id)

    def _dataset(self, entry: Entry) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = {"uri": entry["source"], "split": entry["split"]}
        dataset = Dataset(entry["name"], entry["digest"][:MAX_DIGEST], "local", json.dumps(source), entry["schema"])
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", entry["context"])])]
        self.client.log_inputs(self.sent.run_id, inputs)

    def _files(self, path: Path, name: str) -> None:
        if path.is_dir():
            self.client.log_artifacts(self.sent.run_id, str(path), name)
        elif path.is_file():
            self.client.log_artifact(self.sent.run_id, str(path), name or None)
        else:
            raise TrackingError(f"{path} is gone, so it cannot be sent any more")

    def _model(self, path: Path, name: str) -> None:
        from mlflow.entities import LoggedModelOutput

        run = self.client.get_run(self.sent.run_id)
        model_id = log_model(self.client, run.info.experiment_id, path, name, self.sent.run_id)
        self.client.log_outputs(self.sent.run_id, [LoggedModelOutput(model_id, 0)])


def log_model(client: Any, experiment: str, path: Path, name: str, run_id: str | None = None) -> str:
    """A saved model folder as a logged model of MLflow; its id."""
    if not path.is_dir():
        raise TrackingError(f"the model {path} is gone, so it cannot be sent any more")
    model = client.create_logged_model(experiment, name=name, source_run_id=run_id, model_type="shopvl")
    client.log_model_artifacts(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _packets(group: Iterator[tuple[Entry, int]]) -> Iterator[list[tuple[Entry, int]]]:
    """Entries of metrics in packets as large as MLflow takes at once."""
    packet: list[tuple[Entry, int]] = []
    size = 0
    for entry, offset in group:
        if packet and size + len(entry["values"]) > MAX_METRICS:
            yield packet
            packet, size = [], 0
        packet.append((entry, offset))
        size += len(entry["values"])
    if packet:
        yield packet


def metric_name(name: str) -> str:
    """That name in letters which all of MLflow's stores take."""
    replaced = name.replace("@", "_at_").replace("+", "_and_").replace(":", "/")
    return re.sub(r"[^\w\-. /]", "_", replaced)


# --- runs, out of the store


@dataclass(frozen=True)
class Run:
    """A run as the store knows it."""

    run_id: str
    name: str
    experiment: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    started: int = 0  # milliseconds


class RunStore:
    """What is in a store. Raises TrackingError where it does not answer or has no such thing."""

    def __init__(self, uri: str | None = None) -> None:
        self.uri = existing_store(uri)
        with reaching(self.uri):
            self.client = mlflow_client(self.uri)

    def experiments(self) -> list[str]:
        """Names of the experiments that have runs, newest first."""
        with reaching(self.uri):
            return [
                e.name
                for e in self.client.search_experiments()
                if self.client.search_runs([e.experiment_id], max_results=1)
            ]

    def runs(self, experiment: str) -> list[Run]:
        """Every run of an experiment, oldest first."""
        with reaching(self.uri):
            stored = self.client.get_experiment_by_name(experiment)
            if stored is None:
                there = ", ".join(self.experiments()) or "none at all"
                raise TrackingError(f"{self.uri} has no experiment {experiment!r}; there are: {there}")
            runs: list[Any] = []
            token = None
            while token or not runs:
                page = self.client.search_runs([stored.experiment_id], order_by=["start_time"], page_token=token)
                runs += page
                token = page.token
                if not token:
                    break
            return [_run(run, experiment) for run in runs]

    def run(self, run_id: str) -> Run:
        """The run of that id."""
        with reaching(self.uri):
            stored = self.client.get_run(run_id)
            return _run(stored, self.client.get_experiment(stored.info.experiment_id).name)

    def curve(self, run_id: str, metric: str) -> tuple[list[int], list[float]]:
        """Steps and values of a metric."""
        with reaching(self.uri):
            points = {m.step: m.value for m in self.client.get_metric_history(run_id, metric)}
        steps = sorted(points)
        return steps, [points[step] for step in steps]

    def file(self, run_id: str, name: str, folder: Path) -> Path:
        """An artifact of the run, copied into `folder`."""
        with reaching(self.uri):
            return Path(self.client.download_artifacts(run_id, name, str(folder)))


def _run(run: Any, experiment: str) -> Run:
    params, info = dict(run.data.params), run.info
    for key in sorted((key for key in params if PART in key), key=lambda key: int(key.split(PART)[1])):
        params[key.split(PART)[0]] += params.pop(key)
    data = run.data
    return Run(info.run_id, info.run_name, experiment, info.status, params, data.metrics, data.tags, info.start_time)


def param_parts(key: str, value: str) -> dict[str, str]:
    """A parameter as MLflow takes it: in several parts where it is too long for one."""
    starts = range(0, max(len(value), 1), MAX_PARAM)
    return {
        key if number == 0 else f"{key}{PART}{number}": value[start : start + MAX_PARAM]
        for number, start in enumerate(starts)
    }
