"""A small drawn shop that every test may read, and a design on it. Nothing here needs a network."""

import os

for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ[name] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["SHOPVL_ALLOW_HOSTS"] = "127.0.0.1"  # servers that tests start

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from shopvl.catalog.mining import mine_ontology
from shopvl.catalog.ontology import Ontology, apply_names
from shopvl.catalog.readers import Catalog, open_catalog
from shopvl.synthetic import write_shop
from shopvl.tracking import registry, store

if TYPE_CHECKING:
    from shopvl.design.design import Design

# a prompt head's last fit is as long for sixty products as for 25,000; here a fifth of that is enough
SHORT_FIT = {"min_steps": 60}
TOY_PRODUCTS = 60


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[], "Design"]) -> Path:
    """The folder of a design that the first test process to ask for it makes; the others wait."""
    shared = _shared(factory)
    with FileLock(shared / f"{name}.lock"):
        if not (shared / name / "config.json").is_file():  # a design folder that has one is whole
            make().save(shared / name)
    return shared / name


@pytest.fixture(scope="session", autouse=True)
def stores_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow takes three seconds to make the tables of a local store: a new store is a copy of one without runs."""
    plain = store.mlflow_client
    empty = _shared(tmp_path_factory) / "empty-store" / "mlflow.db"

    def client(uri: str) -> Any:
        path = Path(uri.removeprefix(store.LOCAL))
        if uri.startswith(store.LOCAL) and path != empty and not path.exists():
            plain(f"{store.LOCAL}{empty}")
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty, path)
        return plain(uri)

    with pytest.MonkeyPatch.context() as patch:
        for module in (store, registry):
            patch.setattr(module, "mlflow_client", client)
        yield


def _shared(factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of a run have."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def toy_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Parquet file of a shop of TOY_PRODUCTS products at 48 px."""
    return write_shop(tmp_path_factory.mktemp("shop"), TOY_PRODUCTS, seed=1, size_px=48)


@pytest.fixture(scope="session")
def toy_catalog(toy_table: Path) -> Catalog:
    return open_catalog(toy_table)


@pytest.fixture(scope="session")
def toy_ontology(toy_catalog: Catalog) -> Ontology:
    return mine_ontology(toy_catalog.batches())


@pytest.fixture(scope="session")
def toy_rows(toy_catalog, tmp_path_factory):
    from shopvl.data.training_rows import training_rows

    return training_rows(toy_catalog, tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="session")
def make_design(toy_ontology, toy_rows):
    """A function: recipe -> Design with random weights and a tokenizer learned from the toy shop."""
    from shopvl.design.build import tokenizer_for
    from shopvl.design.design import build
    from shopvl.training.pretraining import texts_of_training

    def make(recipe, seed: int = 0):
        tokenizer = tokenizer_for(recipe, texts_of_training(toy_rows, toy_ontology))
        return build(recipe, tokenizer, toy_ontology, seed=seed)

    return make


@pytest.fixture
def batch_of(toy_rows):
    """A function: design, count -> a training batch of the first rows."""

    def make(design, count: int = 8, seed: int = 0):
        return design.loader.training_batch([toy_rows[i] for i in range(count)], random.Random(seed))

    return make


@pytest.fixture(scope="session")
def tuned_folder(toy_catalog, toy_rows, make_design, tmp_path_factory) -> Path:
    """A tri-clip at size tiny, trained for a few steps on the toy shop, with heads and calibration, saved."""
    from shopvl.inference.calibrate import calibrate
    from shopvl.recipes import find
    from shopvl.training.loop import train
    from shopvl.training.schedule import Budget
    from shopvl.training.tuning import fit_heads

    def make():
        design = make_design(find("tri-clip", "tiny"))
        train(design, toy_rows, tmp_path_factory.mktemp("run"), budget=Budget(steps=30))
        fit_heads(design, toy_catalog, min_steps=150)
        calibrate(design, toy_catalog)
        return design

    return made_once(tmp_path_factory, "tuned", make)


@pytest.fixture(scope="session")
def writer_folder(make_design, tmp_path_factory) -> Path:
    """A design that writes texts and has learned nothing, saved."""
    from dataclasses import replace

    from shopvl.recipes import find
    from shopvl.recipes.parts.objectives import Instructed

    recipe = find("simvlm", "tiny")
    told = (*recipe.objectives, Instructed(tasks=("title", "sentence")))
    design = make_design(replace(recipe, text=replace(recipe.text, max_tokens=48), objectives=told))
    folder = tmp_path_factory.mktemp("writer")
    design.save(folder)
    return folder


@pytest.fixture(scope="session")
def prompted_folder(toy_table, toy_catalog, tmp_path_factory) -> Path:
    """A prompt-mask at size tiny that began with the tri-clip's picture tower, trained on the toy shop, calibrated."""
    from shopvl.inference.calibrate import calibrate
    from shopvl.recipes import find
    from shopvl.training.experiment import Experiment
    from shopvl.training.pretraining import pretrain

    def make():
        text = find("prompt-mask", "tiny").to_dict()["text"]
        start = tmp_path_factory.mktemp("stage1")
        names = str(toy_table.with_name("ontology.json"))
        apply_names(mine_ontology(toy_catalog.batches()), toy_table.with_name("ontology_names.json")).save(names)
        told = {"size": "tiny", "catalog": str(toy_table), "split": None, "ontology": names}
        pretrain(Experiment(name="one", changes={"text": text}, epochs=1, **told), start)
        more = {"recipe": "prompt-mask", "start": str(start / "design"), "epochs": 20, "prompt_head": SHORT_FIT}
        design = pretrain(Experiment(name="two", **told, **more), tmp_path_factory.mktemp("stage2"))
        calibrate(design, toy_catalog)
        return design

    return made_once(tmp_path_factory, "prompted", make)


@pytest.fixture
def prompted(prompted_folder: Path):
    from shopvl.design.design import Design

    return Design.from_pretrained(prompted_folder)


@pytest.fixture
def tuned(tuned_folder: Path):
    from shopvl.design.design import Design

    return Design.from_pretrained(tuned_folder)
