"""The door to MLflow. A run is recorded there when MLflow is installed; without it training goes on untracked."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it announces each table it makes
RUN_ID = "mlflow_run.txt"


class Tracker(Protocol):
    """Where figures of a run go."""

    def parameters(self, values: Mapping[str, Any]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int = 0) -> None: ...
    def folder(self, path: Path, name: str) -> None: ...


class _Untracked:
    def parameters(self, values: Mapping[str, Any]) -> None:
        pass

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        pass

    def folder(self, path: Path, name: str) -> None:
        pass


class _MlflowRun:
    def parameters(self, values: Mapping[str, Any]) -> None:
        import mlflow

        mlflow.log_params({key: str(value)[:6000] for key, value in values.items()})

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        import mlflow

        # MLflow's metric names know neither ":" nor "@" in all of its stores
        mlflow.log_metrics({key.replace(":", "/").replace("@", "_at_"): v for key, v in values.items()}, step=step)

    def folder(self, path: Path, name: str) -> None:
        import mlflow

        mlflow.log_artifacts(str(path), artifact_path=name)


@contextmanager
def tracked(experiment: str, run_name: str, folder: Path, uri: str | None = None) -> Iterator[Tracker]:
    """A run of that experiment, the same one again where `folder` was tracked before.

    `uri`: any MLflow tracking server; by default $MLFLOW_TRACKING_URI, else a local SQLite store beside `folder`.
    """
    if find_spec("mlflow") is None:
        yield _Untracked()
        return
    import mlflow
    from filelock import FileLock

    before = os.environ.get("MLFLOW_TRACKING_URI")
    server = uri or before
    place = None
    if server is None:
        store = folder.parent.resolve()
        store.mkdir(parents=True, exist_ok=True)
        server, place = f"sqlite:///{store / 'mlflow.db'}", (store / "mlflow-artifacts").as_uri()
        # or a local store makes a folder mlruns/ wherever the command was started
        os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = place
    mlflow.set_tracking_uri(server)
    # two runs that start at once would both make the tables of a new local store, and the slower one would fail
    with FileLock(folder.parent / ".mlflow.lock") if place else nullcontext():
        found = mlflow.get_experiment_by_name(experiment)
        if found is None:
            experiment_id = mlflow.create_experiment(experiment, artifact_location=place)
        else:
            experiment_id = found.experiment_id
    note = folder / RUN_ID
    known = note.read_text("utf-8").strip() if note.is_file() else None
    try:
        with mlflow.start_run(run_id=known, experiment_id=experiment_id, run_name=None if known else run_name) as run:
            folder.mkdir(parents=True, exist_ok=True)
            note.write_text(run.info.run_id, "utf-8")
            yield _MlflowRun()
    finally:
        mlflow.set_tracking_uri(before)  # or the next run of this process takes our store for the user's choice
