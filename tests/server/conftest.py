"""The toy shop's model and index behind HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")


@pytest.fixture(scope="session")
def shop_index(tuned_folder: Path, toy_catalog, tmp_path_factory) -> Path:
    from shopvl.design.design import Design
    from shopvl.search import build_index

    folder = tmp_path_factory.mktemp("served") / "index"
    build_index(Design.from_pretrained(tuned_folder), toy_catalog, folder)
    return folder


@pytest.fixture(scope="session")
def app(tuned_folder: Path, shop_index: Path):
    from shopvl.server.application import application
    from shopvl.server.figures import Figures
    from shopvl.server.handlers import Limits
    from shopvl.server.models import ServedModels

    figures = Figures()
    models = ServedModels({"shop": str(tuned_folder)}, {"shop": shop_index}, figures.batches.observe)
    return application(models, figures=figures, limits=Limits(body_mb=2, rows=16, seconds=20))


@pytest.fixture(scope="session")
def url(app) -> Iterator[str]:
    from http_client import running

    with running(app) as address:
        yield address


@pytest.fixture(scope="session")
def products(toy_catalog) -> list[dict]:
    return next(toy_catalog.batches()).head(12).to_dicts()
