"""The app over the toy shop, served on a port of its own."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from shopvl.service.app_service import AppService
from shopvl.service.learning import Learning


@dataclass(frozen=True)
class Served:
    """Where the app is, and the workbench behind it."""

    url: str
    bench: AppService
    table: Path


@pytest.fixture(scope="session")
def other_folder(make_design, toy_catalog, tmp_path_factory) -> Path:
    """A second model, which writes: heads on towers that never learned anything."""
    from shopvl.recipes import find
    from shopvl.training.tuning import fit_heads

    design = make_design(find("coca", "tiny"), seed=5)
    fit_heads(design, toy_catalog)
    folder = tmp_path_factory.mktemp("other") / "raw"
    design.save(folder)
    return folder


@pytest.fixture(scope="session")
def bench(tuned_folder: Path, other_folder: Path, toy_table: Path, tmp_path_factory) -> AppService:
    """Two models, the toy catalog, its index, and a tagging run that accepts nothing."""
    from shopvl.catalog.readers import open_catalog
    from shopvl.design.design import Design
    from shopvl.search import build_index
    from shopvl.tagging.run import tag

    work = tmp_path_factory.mktemp("bench")
    design, catalog = Design.from_pretrained(tuned_folder), open_catalog(toy_table)
    tag(design, catalog, work / "tags", precision=1.0)
    build_index(design, catalog, work / "index")
    return AppService.open(
        tuned_folder,
        work / "app",
        others=[other_folder],
        catalog=toy_table,
        index=work / "index",
        tags=work / "tags",
        names=toy_table.with_name("ontology_names.json"),
    )


@pytest.fixture(scope="session")
def served(bench: AppService, toy_table: Path, tmp_path_factory) -> Iterator[Served]:
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))
    with serving(bench) as url:
        yield Served(url, bench, toy_table)


@contextmanager
def serving(bench: AppService, learning: Learning | None = None) -> Iterator[str]:
    """The app on a port of its own: its address."""
    import uvicorn

    from app.serving import application

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            application(bench, upload_mb=4, learning=learning), host="127.0.0.1", port=port, log_level="warning"
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="session")
def photos(bench: AppService, tmp_path_factory) -> list[Path]:
    """Ten different photos of the toy shop."""
    folder = tmp_path_factory.mktemp("photos")
    found = []
    for row in next(bench.catalog.batches(10)).iter_rows(named=True):
        found.append(folder / f"{row['product_id']}.png")
        found[-1].write_bytes(row["image"]["bytes"])
    return found
