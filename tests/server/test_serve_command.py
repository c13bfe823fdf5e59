"""`shopvl serve` as people start and end it; the examples of its page; and requests drawn from its description."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from http_client import asked, free_port
from typer.testing import CliRunner

from shopvl.cli import app as commands
from shopvl.synthetic.generate import draw_item

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_examples_of_the_page(url: str, tmp_path: Path) -> None:
    for number, name in enumerate(("shirt.jpg", "shoe.jpg")):
        draw_item(3 + number, 0, 96).image.save(tmp_path / name)
    block = re.search(
        r"<!-- runs with curl -->\n```sh\n(.*?)```", (ROOT / "docs/serve.md").read_text("utf-8"), re.DOTALL
    )
    lines = block[1].replace("\\\n", " ").splitlines()
    assert len(lines) == 9
    for line in lines:
        command = line.replace("http://127.0.0.1:8000", url)
        done = subprocess.run(
            ["bash", "-c", f"{command} --fail-with-body"], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert '"error":{' not in done.stdout, f"{command}\n{done.stdout}"


def test_the_script_that_calls_the_server(url: str, tmp_path: Path) -> None:
    draw_item(3, 0, 96).image.save(tmp_path / "shirt.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    script = ROOT / "docs/examples/call_server.py"
    words = [sys.executable, str(script), "shirt.jpg", "broken.jpg", "--url", url]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "broken failed: " in done.stdout
    assert '"property": "Colour"' in done.stdout


@pytest.mark.zoo
@pytest.mark.skipif(os.name == "nt", reason="TERM is not sent on Windows")
def test_term_finishes_what_is_under_way(tuned_folder: Path) -> None:
    port = free_port()
    words = ["-m", "shopvl.cli", "serve", "--model", f"shop={tuned_folder}", "--port", str(port)]
    server = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline().startswith(f"answers at http://127.0.0.1:{port}"), server.stderr.read()
        assert asked(f"http://127.0.0.1:{port}/v1/models")[1]["models"][0]["name"] == "shop"
        body = b'{"products": [{"title": "red shirt"}]}'
        head = (
            f"POST /v1/tag HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=30) as under_way:
            under_way.sendall(head.encode() + b"\r\n\r\n" + body[:10])
            time.sleep(0.2)
            server.send_signal(signal.SIGTERM)
            until = time.monotonic() + 20
            while is_open(port):
                assert time.monotonic() < until
                time.sleep(0.02)
            under_way.sendall(body[10:])
            said = b"".join(iter(lambda: under_way.recv(65536), b""))
        assert said.startswith(b"HTTP/1.1 200")
        assert b'"tags":[' in said
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()


@pytest.mark.skipif(os.name == "nt", reason="TERM is not sent on Windows")
def test_term_ends_what_does_not_end_by_itself() -> None:
    """A thread at work for ever, as one that watches a run over a catalog, would keep the process."""
    script = """
import threading, urllib.request
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from shopvl.server import running

running.LAST_SECONDS = 0.2
asked = threading.Event()
def stuck(request):
    asked.set()
    threading.Event().wait()
def ready(url):
    threading.Thread(target=urllib.request.urlopen, args=(url,), daemon=True).start()
    threading.Thread(target=lambda: (asked.wait(), print("under way", flush=True)), daemon=True).start()
running.run(Starlette(routes=[Route("/", stuck)]), host="127.0.0.1", port=PORT, grace_s=0.2, ready=ready)
"""
    words = [sys.executable, "-c", script.replace("PORT", str(free_port()))]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout.readline() == "under way\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_others_are_let_in_with_keys_only(tuned_folder: Path, tmp_path: Path) -> None:
    def refusal(*words: str) -> str:
        return str(CliRunner().invoke(commands, ["serve", *words]).exception)

    assert "name keys with --api-key-file, or say --without-keys" in refusal("--host", "0.0.0.0")
    assert "cannot be read" in refusal("--host", "0.0.0.0", "--api-key-file", str(tmp_path / "none"))
    assert "comes twice" in refusal("--model", f"a={tuned_folder}", "--model", f"a={tuned_folder}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = ("--model", f"a={tuned_folder}", "--port", str(taken.getsockname()[1]))
        assert "is it taken?" in refusal(*words)


@pytest.mark.zoo
def test_requests_drawn_from_the_description_never_fail_the_server(url: str) -> None:
    """Every place, with what fits its schema and what does not: no 5xx, and answers as they are described."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

    described = schemathesis.openapi.from_url(f"{url}/openapi.json")
    bounds = settings(
        max_examples=25,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for found in described.get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/reload"):
            continue
        modes = schemathesis.GenerationMode
        for mode in modes if operation.method == "post" else [modes.POSITIVE]:  # others take nothing

            @bounds
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case) -> None:
                case.call_and_validate(
                    checks=[not_a_server_error, response_schema_conformance, status_code_conformance]
                )

            check()
