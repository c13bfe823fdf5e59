"""What MLflow serves are the tags that `shopvl tag` gives."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import polars as pl
import pytest

from shopvl.runs.serving import save_served

mlflow = pytest.importorskip("mlflow")
ROOT = Path(__file__).parents[2]
PRODUCTS = 5


@pytest.fixture(scope="module")
def served(tuned_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_served(tuned_folder, tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def products(toy_catalog) -> list[dict]:
    return next(toy_catalog.batches()).head(PRODUCTS).to_dicts()


@pytest.fixture(scope="module")
def tags(tuned_folder: Path, toy_catalog, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    from shopvl.design.design import Design
    from shopvl.tagging.run import tag

    out = tmp_path_factory.mktemp("tags")
    tag(Design.from_pretrained(tuned_folder), toy_catalog, out, limit=PRODUCTS)
    return pl.read_parquet(out / "tags.parquet").to_dicts()


def check_same(answered: list[dict], tags: list[dict]) -> None:
    assert len(answered) == len(tags)
    for ours, theirs in zip(answered, tags, strict=True):
        for name in ("product_id", "property", "value", "best_guess", "decision", "reason", "conflict", "model"):
            assert ours[name] == theirs[name], name
        assert list(ours["evidence"]) == theirs["evidence"]
        assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-5)
        assert len(ours["alternatives"]) == len(theirs["alternatives"])
        assert ours["reject"] is None


def test_it_holds_no_pickle_and_says_what_goes_in_and_out(served: Path) -> None:
    names = {path.name for path in served.rglob("*") if path.is_file()}
    assert {"MLmodel", "served.py", "model.safetensors", "input_example.json"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".bin"))]
    signature = mlflow.models.get_model_info(str(served)).signature
    assert signature.inputs.input_names() == ["product_id", "title", "image", "path"]
    assert "reject" in signature.outputs.input_names()
    assert signature.params.params[0].name == "precision"


def test_bytes_paths_and_bad_rows(served: Path, products, tags, tmp_path: Path, monkeypatch) -> None:
    import pandas as pd

    model = mlflow.pyfunc.load_model(str(served))
    rows = [{"product_id": p["product_id"], "title": p["title"], "image": p["image"]["bytes"]} for p in products]
    check_same(model.predict(pd.DataFrame(rows)).to_dict("records"), tags)

    for number, row in enumerate(rows):
        (tmp_path / f"{number}.jpg").write_bytes(row.pop("image"))
        row["path"] = f"{number}.jpg"
    refused = model.predict(pd.DataFrame(rows)).to_dict("records")
    assert len(refused) == PRODUCTS  # by default a server opens no file of its own
    assert all("pictures by path are not read here" in row["reject"] for row in refused)
    monkeypatch.setenv("SHOPVL_IMAGE_ROOT", str(tmp_path))
    check_same(model.predict(pd.DataFrame(rows)).to_dict("records"), tags)

    odd = [{"path": "../secret.jpg"}, {"path": "http://localhost/a.jpg"}, {"path": "none.jpg"}, {"path": "0.jpg"}]
    found = model.predict(pd.DataFrame(odd)).to_dict("records")
    reasons = {row["product_id"]: row["reject"] for row in found}
    assert reasons["0"] == "'../secret.jpg' is not a file below SHOPVL_IMAGE_ROOT"
    assert "is not a file below SHOPVL_IMAGE_ROOT" in reasons["1"]
    assert "there is no file" in reasons["2"]
    assert reasons["3"] is None  # a picture without a title has answers, too


def test_each_bad_row_fails_alone(served: Path, products, tags, monkeypatch, tmp_path: Path) -> None:
    """As a server gets them, from JSON."""
    from mlflow.utils.proto_json_utils import dataframe_from_parsed_json

    monkeypatch.setenv("SHOPVL_IMAGE_ROOT", str(tmp_path))
    picture = base64.b64encode(products[0]["image"]["bytes"]).decode()
    good = {"product_id": products[0]["product_id"], "title": products[0]["title"], "image": picture}
    bad = {
        "not base64": {"image": picture[:-3] + "\u00e9"},
        "not base64; send": {"image": "abc"},
        "the picture is a int": {"image": 7, "title": None},
        "the picture is a list": {"image": [1, 2]},
        "is not a file below": {"path": "a\0b.jpg", "image": None},
        "the file /": {"path": "x" * 5000},
        "the title is a list": {"title": ["a"], "image": picture},
        "no picture and no title": {"title": None, "image": None},
    }
    rows = [good, *({"product_id": reason, "title": "red shirt"} | row for reason, row in bad.items())]
    rows += [{"product_id": "9", "title": 3}]
    model = mlflow.pyfunc.load_model(str(served))
    frame = dataframe_from_parsed_json(rows, "records", model.metadata.get_input_schema())
    answered = model.predict(frame).to_dict("records")
    own = [row for row in answered if row["product_id"] == good["product_id"]]
    check_same(own, [row for row in tags if row["product_id"] == good["product_id"]])
    reasons = {row["product_id"]: row["reject"] for row in answered}
    assert {reason: told for reason, told in reasons.items() if reason in bad and told is None} == {}
    for reason in [reason for reason in bad if reason != "no picture and no title"]:
        assert reason in reasons[reason]
        assert len(reasons[reason]) <= 1000


@pytest.mark.zoo
@pytest.mark.timeout(300)
def test_a_server_answers_a_request_with_a_picture(served: Path, products, tags, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "mlflow", "models", "serve", "-m", str(served), "--env-manager", "local", "--workers", "1"]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, *command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": paths, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=tmp_path,
        )
    try:
        records = [
            {
                "product_id": p["product_id"],
                "title": p["title"],
                "image": base64.b64encode(p["image"]["bytes"]).decode(),
            }
            for p in products
        ]
        body = json.dumps({"dataframe_records": records}).encode()
        answered = asked(f"http://127.0.0.1:{port}/invocations", body, server, tmp_path / "log")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    check_same(answered["predictions"], tags)


def asked(url: str, body: bytes, server: subprocess.Popen, log: Path) -> dict:
    until = time.monotonic() + 240
    while True:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[-2000:]) from error
        except OSError:  # not up yet
            assert server.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.3)
