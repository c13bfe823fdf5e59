"""Models on a hub: a server on this machine that answers as the Hugging Face Hub does, and what is refused."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

import shopvl
from shopvl.design.folder import CALIBRATION, CARD, CONFIG, ONTOLOGY, WEIGHTS
from shopvl.design.hub import MOST_OF, hub_folder, is_on_hub
from shopvl.errors import DesignError

COMMIT = hashlib.sha1(b"a commit").hexdigest()
CALLER = """
import sys, shopvl
for name in sys.argv[1:]:
    model = shopvl.load(name)
    print(model.design.name, model.place, [tag.value for tag in model.tag(None, "red shirt")])
"""


@pytest.fixture
def hub(tuned_folder: Path, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """Where it answers, and what was asked of it. Beside the model's files it has some that must not be fetched."""
    files = {path.name: path.read_bytes() for path in tuned_folder.iterdir() if path.is_file()}
    files |= {"model.pkl": b"danger", "modeling.py": b"raise SystemExit(1)", "sub/config.json": b"{}"}
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(path)
            if path in ("/api/models/shop/tagger", f"/api/models/shop/tagger/revision/{COMMIT}"):
                siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
                self.reply(json.dumps({"id": "shop/tagger", "sha": COMMIT, "siblings": siblings}).encode(), {})
            elif path.startswith(f"/api/models/shop/tagger/tree/{COMMIT}"):
                tree = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in files.items()
                ]
                self.reply(json.dumps(tree).encode(), {})
            elif (name := path.removeprefix(f"/shop/tagger/resolve/{COMMIT}/")) in files:
                tag = hashlib.sha256(files[name]).hexdigest()
                self.reply(files[name], {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def reply(self, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


@pytest.mark.zoo
def test_a_model_is_fetched_from_a_hub_file_by_known_file(hub, tuned_folder: Path, tmp_path: Path) -> None:
    url, asked = hub
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

    def loads(*names: str, **also: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", CALLER, *names]
        return subprocess.run(words, env=environment | also, capture_output=True, text=True)

    done = loads("hf://shop/tagger", f"hf://shop/tagger@{COMMIT}")
    assert done.returncode == 0, done.stderr
    here = shopvl.load(tuned_folder)
    name, values = here.design.name, str([tag.value for tag in here.tag(None, "red shirt")])
    for line in done.stdout.splitlines():
        assert line.startswith(f"{name} {tmp_path}")
        assert line.endswith(values)
    fetched = {path.rpartition(f"{COMMIT}/")[2] for path in asked if "/resolve/" in path}
    assert fetched <= set(MOST_OF)
    assert fetched >= {CONFIG, WEIGHTS, ONTOLOGY, CARD, CALIBRATION}
    before = len(asked)
    again = loads("hf://shop/tagger", HF_HUB_OFFLINE="1")
    assert (again.returncode, len(asked)) == (0, before), "what was fetched is used without a hub"
    missing = loads("hf://shop/nothing")
    assert "there is no repository hf://shop/nothing that may be read" in missing.stderr


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({CONFIG: 10}, "is no model folder of shopvl: it has no model.safetensors"),
        ({WEIGHTS: 1 << 40}, r"model.safetensors of hf://shop/tagger has 1,099,511,627,776 bytes; at most"),
        ({ONTOLOGY: None}, r"ontology.json of hf://shop/tagger has an unknown number of bytes"),
    ],
)
def test_what_is_no_model_or_too_large_is_not_fetched(sizes: dict, said: str, monkeypatch) -> None:
    import huggingface_hub

    whole = dict.fromkeys(MOST_OF, 10) if CONFIG not in sizes else {}
    siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in (whole | sizes).items()]
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(siblings=siblings, sha=COMMIT)
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda **_: pytest.fail("it was fetched"))
    with pytest.raises(DesignError, match=said):
        hub_folder("hf://shop/tagger")


def test_without_a_network_it_is_said(monkeypatch) -> None:
    with pytest.raises(DesignError, match=r"was not fetched before, and the hub is not asked"):
        shopvl.load("hf://shop/tagger-that-nobody-fetched")
    monkeypatch.setattr("huggingface_hub.constants.is_offline_mode", lambda: False)
    monkeypatch.setattr(
        "huggingface_hub.HfApi.model_info", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("no route"))
    )
    with pytest.raises(DesignError, match=r"cannot be fetched \(no route\); try again, or name a folder"):
        shopvl.load("hf://shop/tagger")


@pytest.mark.parametrize("name", ["hf://", "hf://shop", "hf://../../etc", "hf://a/b/c", "hf://a/b@", "hf://a/b c"])
def test_other_names_are_no_repositories(name: str) -> None:
    assert is_on_hub(name)
    with pytest.raises(DesignError, match="names no repository; write hf://OWNER/NAME"):
        hub_folder(name)


def test_only_names_with_the_scheme_are_asked_of_a_hub() -> None:
    assert is_on_hub(Path("hf://shop/tagger"))
    for name in ("shop/tagger", "runs/tagger", "models:/shop@champion", "./hf:"):
        assert not is_on_hub(name)
