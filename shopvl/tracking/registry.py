"""MLflow's model registry: names of models, the current champion, and former ones."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shopvl.errors import TrackingError
from shopvl.paths import cache_folder
from shopvl.tracking.store import existing_store, experiment_id, log_model, mlflow_client, reaching

CHAMPION = "champion"
HISTORY = "shopvl.champions"  # tag of a registered model: every version that was champion, in order
DESIGN_FOLDER = "artifacts/design"  # of a saved model
SCHEMES = ("models:/", "runs:/")


def is_reference(name: object) -> bool:
    """Whether that names a model in MLflow rather than a folder."""
    return str(name).startswith(SCHEMES)


def design_folder(reference: str, uri: str | None = None) -> Path:
    """The design folder of `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `models:/ID` or `runs:/RUN/model`.

    A model on a server is copied to the user's cache once; no code that came with it is run.
    """
    uri = existing_store(uri)
    with reaching(uri):
        client = mlflow_client(uri)
        return _local(client, _artifacts_of(client, reference, uri))


def _artifacts_of(client: Any, reference: str, uri: str) -> str:
    """Where the artifacts of the model are."""
    name = reference.removeprefix("models:/").removeprefix("runs:/")
    if reference.startswith("runs:/"):
        return str(logged_model_of(client, name.split("/")[0]).artifact_location)
    if "@" in name:
        model, alias = name.split("@", 1)
        version = _version_of(client, model, alias, uri)
    elif "/" in name:
        version = client.get_model_version(*name.split("/", 1))
    else:
        return str(client.get_logged_model(name).artifact_location)
    source = str(client.get_model_version_download_uri(version.name, version.version))
    if source.startswith("models:/"):
        return str(client.get_logged_model(source.removeprefix("models:/")).artifact_location)
    return source


def _version_of(client: Any, name: str, alias: str, uri: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as fault:
        if fault.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise TrackingError(
            f"{uri} has no model {name!r} with alias {alias!r}; `shopvl experiments promote` gives it one"
        ) from None


def logged_model_of(client: Any, run_id: str) -> Any:
    """The newest model that a run logged. Raises TrackingError where it logged none."""
    outputs = client.get_run(run_id).outputs
    if not outputs.model_outputs:
        raise TrackingError(f"run {run_id} logged no model; name a run of `shopvl experiments run` that has answers")
    return client.get_logged_model(outputs.model_outputs[-1].model_id)


def _local(client: Any, location: str) -> Path:
    """The design folder below those artifacts, here."""
    if location.startswith("file:"):
        return Path(location.removeprefix("file:").replace("//", "", 1)) / DESIGN_FOLDER
    cache = cache_folder() / "models"
    model_id = location.rstrip("/").split("/")[-2]
    cached = cache / model_id
    if not cached.is_dir():
        from mlflow.artifacts import download_artifacts

        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=cache))
        downloaded = Path(
            download_artifacts(f"{location}/{DESIGN_FOLDER}", dst_path=str(draft), tracking_uri=client.tracking_uri)
        )
        downloaded.rename(cached)
        shutil.rmtree(draft)
    return cached


# --- versions and the champion


class Registry:
    """The registered versions of one model, and which of them is champion."""

    def __init__(self, name: str, uri: str | None = None) -> None:
        self.name, self.uri = name, existing_store(uri)
        with reaching(self.uri):
            self.client = mlflow_client(self.uri)

    def champion(self) -> str | None:
        """The version that is champion; None where there is none."""
        return self._aliases().get(CHAMPION)

    def history(self) -> list[str]:
        """Every version that was made champion, in order."""
        model = self._model()
        return [] if model is None else list(json.loads(model.tags.get(HISTORY, "[]")))

    def register_run(self, run_id: str, tags: Mapping[str, str]) -> str:
        """A new version: the model that a run logged. Its number."""
        with reaching(self.uri):
            self._make()
            return self._version(str(logged_model_of(self.client, run_id).model_id), run_id, tags)

    def register_saved(self, saved: Path, tags: Mapping[str, str]) -> str:
        """A new version: a model saved on disk. Its number."""
        with reaching(self.uri):
            self._make()
            number = experiment_id(self.client, self.uri, self.name)
            return self._version(log_model(self.client, number, saved, "model"), None, tags)

    def _make(self) -> None:
        if self._model() is None:
            self.client.create_registered_model(self.name)

    def _version(self, model_id: str, run_id: str | None, tags: Mapping[str, str]) -> str:
        source = f"models:/{model_id}"
        version = self.client.create_model_version(self.name, source, run_id, tags=dict(tags), model_id=model_id)
        return str(version.version)

    def promote(self, version: str) -> None:
        """Make that version champion."""
        # history first: if interrupted between the two, it has one version too many, which `rollback` skips
        self._save_history([*self.history(), version])
        self._set_champion(version)

    def rollback(self) -> tuple[str, str]:
        """Make the former champion champion again; (version that went, version that is back)."""
        now, history = self.champion(), self.history()
        indices = [index for index, version in enumerate(history) if version == now]
        if now is None or not indices or indices[-1] == 0:
            raise TrackingError(f"{self.name} has no champion before version {now}; there is nothing to go back to")
        former = history[indices[-1] - 1]
        self._set_champion(former)
        self._save_history(history[: indices[-1]])
        return now, former

    def _set_champion(self, version: str) -> None:
        with reaching(self.uri):
            self.client.set_registered_model_alias(self.name, CHAMPION, version)

    def _save_history(self, versions: Sequence[str]) -> None:
        with reaching(self.uri):
            self.client.set_registered_model_tag(self.name, HISTORY, json.dumps(list(versions)))

    def _aliases(self) -> dict[str, str]:
        model = self._model()
        return {} if model is None else {alias: str(version) for alias, version in model.aliases.items()}

    def _model(self) -> Any:
        with reaching(self.uri):
            matches = self.client.search_registered_models(f"name = '{self.name}'", max_results=1)
            return self.client.get_registered_model(self.name) if matches else None


def save_pyfunc(
    target: Path,
    script: Path,
    artifacts: Mapping[str, Path],
    *,
    inputs: Sequence[tuple[str, str]],
    outputs: Sequence[tuple[str, str]],
    params: Mapping[str, float],
    example: Sequence[Mapping[str, Any]],
    requirements: Sequence[str],
) -> Path:
    """A model that MLflow can serve: a script that it runs (nothing is pickled), folders, a signature, an example.

    Columns are (name, type) with a type of MLflow's, `...?` where a column may be left out, `[...]` for lists; `any` is
    left to the script, so that one bad value does not fail all rows.
    """
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ParamSchema, ParamSpec, Schema

    shutil.rmtree(target, ignore_errors=True)
    signature = ModelSignature(
        Schema([_column(*column) for column in inputs]),
        Schema([_column(*column) for column in outputs]),
        ParamSchema([ParamSpec(name, "double", value) for name, value in params.items()]),
    )
    with tempfile.TemporaryDirectory() as folder:  # MLflow keeps a folder by the name it has
        save_model(
            str(target),
            python_model=str(script),
            artifacts={name: str(shutil.copytree(path, Path(folder) / name)) for name, path in artifacts.items()},
            signature=signature,
            input_example=pd.DataFrame(list(example)),
            pip_requirements=list(requirements),
        )
    return target


def _column(name: str, kind: str) -> Any:
    from mlflow.types import ColSpec, DataType
    from mlflow.types.schema import AnyType, Array

    plain = kind.rstrip("?").strip("[]")
    if plain == "any":
        return ColSpec(AnyType(), name, required=not kind.endswith("?"))
    type_ = Array(DataType[plain]) if kind.startswith("[") else DataType[plain]
    return ColSpec(type_, name, required=not kind.endswith("?"))
