"""Which addresses are asked, and for how long, whatever a server does."""

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner

from shopvl.catalog import downloading
from shopvl.catalog.downloading import fetch
from shopvl.catalog.vocabulary import ALLOW_HOSTS, USER_AGENT
from shopvl.cli import app
from shopvl.errors import HostError, ImageError

OWN = [
    *("127.0.0.1", "127.1", "127.8.9.10", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0", "localhost"),
    *("10.0.0.7", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255"),
    *("[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]"),
    *("[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
]
Answer = Callable[[socket.socket, bytes], None]


class Server:
    """Answers every connection to this machine by a function of the socket and the request's head."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.heads, self.over = answer, [], threading.Event()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                own, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(own,), daemon=True).start()

    def _one(self, own: socket.socket) -> None:
        with own:
            head = b""
            while b"\r\n\r\n" not in head and (packet := own.recv(4096)):
                head += packet
            self.heads.append(head)
            with contextlib.suppress(OSError):  # the other side hung up
                self.answer(own, head)

    def url(self, path: str = "/a.jpg", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[[Answer], Server]]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made: list[Server] = []

    def start(answer: Answer) -> Server:
        made.append(Server(answer))
        return made[-1]

    yield start
    for server in made:
        server.over.set()
        server.listening.close()


def good(own: socket.socket, head: bytes) -> None:
    own.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nJPEG")


@pytest.mark.parametrize("host", OWN)
def test_own_addresses_are_refused_in_every_spelling(host, serve, monkeypatch) -> None:
    monkeypatch.delenv(ALLOW_HOSTS)
    server = serve(good)
    with pytest.raises(ImageError, match="is an address of this machine or its network; allow it with --allow-hosts"):
        fetch(server.url(host=host), timeout_s=5)
    assert server.heads == []


def test_a_name_that_stands_for_an_own_address_is_refused_when_the_connection_is_made(serve, monkeypatch) -> None:
    monkeypatch.delenv(ALLOW_HOSTS)
    server = serve(good)
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: resolve("127.0.0.1", *more, **named))
    with pytest.raises(ImageError, match=r"pictures\.example \(127\.0\.0\.1\) is an address of this machine"):
        fetch(server.url(host="pictures.example"))
    monkeypatch.setenv(ALLOW_HOSTS, "other.example, pictures.example")
    assert fetch(server.url(host="pictures.example")) == b"JPEG"


@pytest.mark.parametrize("location", ["http://localhost:{port}/b", "//127.1:{port}/b", "http://[::1]:{port}/b"])
def test_a_redirect_to_an_own_address_is_refused(location, serve, monkeypatch) -> None:
    target = serve(good)

    def onward(own: socket.socket, head: bytes) -> None:
        own.sendall(f"HTTP/1.1 302 Found\r\nLocation: {location.format(port=target.port)}\r\n\r\n".encode())

    monkeypatch.setenv(ALLOW_HOSTS, "first.example")
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **named: resolve("127.0.0.1" if host == "first.example" else host, *more, **named),
    )
    with pytest.raises(ImageError, match="is an address of this machine"):
        fetch(serve(onward).url(host="first.example"))
    assert target.heads == []


@pytest.mark.parametrize(
    ("allowed", "passes"),
    [("127.0.0.0/8", True), ("127.0.0.1", True), ("10.0.0.0/8,127.0.0.1/32", True), ("10.0.0.0/8", False), ("", False)],
)
def test_networks_and_addresses_can_be_allowed(allowed, passes, serve, monkeypatch) -> None:
    monkeypatch.setenv(ALLOW_HOSTS, allowed)
    url = serve(good).url()
    if passes:
        assert fetch(url) == b"JPEG"
    else:
        with pytest.raises(ImageError, match="--allow-hosts"):
            fetch(url)


def test_public_addresses_are_asked() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"):
        assert downloading._may_be_asked("example.com", address)


def status_byte_by_byte(own: socket.socket, head: bytes) -> None:
    for letter in b"HTTP/1.1 200 OK" * 100:
        own.sendall(bytes([letter]))
        time.sleep(0.05)


def headers_byte_by_byte(own: socket.socket, head: bytes) -> None:
    own.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        own.sendall(b"x")
        time.sleep(0.05)


def endless_continue(own: socket.socket, head: bytes) -> None:
    while True:
        own.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


def endless_trailers(own: socket.socket, head: bytes) -> None:
    own.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nJPEG\r\n0\r\n")
    while True:
        own.sendall(b"X-More: yes\r\n")
        time.sleep(0.01)


def endless_redirects(own: socket.socket, head: bytes) -> None:
    time.sleep(0.15)
    own.sendall(b"HTTP/1.1 302 Found\r\nLocation: /further\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [status_byte_by_byte, headers_byte_by_byte, endless_continue, endless_trailers, endless_redirects],
    ids=lambda answer: answer.__name__,
)
def test_the_time_limit_is_for_the_whole_exchange(answer, serve) -> None:
    started = time.perf_counter()
    with pytest.raises(HostError, match=r"(no answer within|still loading after) 0\.4 s"):
        fetch(serve(answer).url(), timeout_s=0.4, attempts=1)
    assert time.perf_counter() - started < 1.5


def test_a_name_server_that_does_not_answer_holds_nothing_up(monkeypatch) -> None:
    asked = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [] * asked.wait(5))
    started = time.perf_counter()
    with pytest.raises(HostError, match=r"no answer within 0\.3 s"):
        fetch("http://slow.example/a.jpg", timeout_s=0.3, attempts=1)
    assert time.perf_counter() - started < 1.5
    asked.set()


def test_a_password_in_the_address_goes_to_its_host_only(serve) -> None:
    second = serve(good)

    def onward(own: socket.socket, head: bytes) -> None:
        own.sendall(f"HTTP/1.1 302 Found\r\nLocation: {second.url()}\r\n\r\n".encode())

    first = serve(onward)
    assert fetch(first.url().replace("http://", "http://ann:s%40crt@")) == b"JPEG"
    sent = b"basic " + base64.b64encode(b"ann:s@crt")
    assert sent.lower() in first.heads[0].lower()
    assert b"authorization" not in second.heads[0].lower()
    assert b"@" not in first.heads[0].splitlines()[0]


def test_the_user_agent_can_be_set(serve, monkeypatch) -> None:
    server = serve(good)
    fetch(server.url())
    monkeypatch.setenv(USER_AGENT, "our shop/1.0")
    fetch(server.url())
    assert b"User-Agent: shopvl\r\n" in server.heads[0]
    assert b"User-Agent: our shop/1.0\r\n" in server.heads[1]


def test_too_many_headers_are_a_sentence(serve) -> None:
    def many(own: socket.socket, head: bytes) -> None:
        own.sendall(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(2000)) + b"\r\nJPEG")

    with pytest.raises(HostError, match="the connection failed"):
        fetch(serve(many).url(), attempts=1)


def test_the_command_line_allows_hosts_for_worker_processes_too(serve, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(ALLOW_HOSTS, "")
    monkeypatch.setenv(USER_AGENT, "")
    server = serve(good)
    table = tmp_path / "products.csv"
    table.write_text(f"product_id,title,image\n1,Red shirt,{server.url()}\n", "utf-8")
    refused = CliRunner().invoke(app, ["catalog", "check", str(table), "--images"])
    assert "--allow-hosts 127.0.0.1" in " ".join(refused.output.split())
    assert server.heads == []
    options = ["--allow-hosts", "cdn.local,127.0.0.0/8", "--user-agent", "a shop"]
    CliRunner().invoke(app, [*options, "catalog", "check", str(table), "--images"])
    assert b"User-Agent: a shop\r\n" in server.heads[0]
