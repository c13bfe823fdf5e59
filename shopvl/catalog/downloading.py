"""One download over http(s): from an address that may be asked, of limited size, and never longer than it says.

Whoever writes a catalog says which addresses are fetched from where the program runs. So what is not public (this
machine, its network, a cloud's metadata service) is refused in every spelling, when the connection is made and after
every redirect, unless the user allows it (server-side request forgery: CWE-918).
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from types import TracebackType

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from shopvl.catalog.vocabulary import ALLOW_HOSTS, USER_AGENT
from shopvl.errors import HostError, ImageError

MAX_DOWNLOAD_BYTES = 20 * 1024 * 1024
MAX_REDIRECTS = 5
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def fetch(
    url: str,
    *,
    timeout_s: float = 10.0,
    attempts: int = 3,
    pause_s: float = 0.5,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
) -> bytes:
    """What lies at an http(s) address; `user:password@` in it is sent as basic authentication.

    Tries again where that can help (timeouts, busy servers). `timeout_s` is for a whole attempt: names, redirects and
    headers too. Raises HostError where it may work another time, ImageError where it will not.

    >>> fetch("https://example.com/shirt.jpg")  # doctest: +SKIP
    """
    for attempt in range(1, attempts + 1):
        try:
            return _download(url, timeout_s, max_bytes)
        except _Passing as error:
            if attempt == attempts:
                times = "" if attempts == 1 else f" ({attempts} attempts)"
                raise HostError(f"{_short(url)}: {error}{times}") from error
            time.sleep(pause_s * 2 ** (attempt - 1))
    raise ImageError(f"{_short(url)}: {attempts} attempts were asked for, at least 1 was wanted")


class _Passing(Exception):  # noqa: N818
    """A failure that may not happen again."""


class _Refused(Exception):  # noqa: N818
    """An address that may not be asked."""


def _download(url: str, timeout_s: float, max_bytes: int) -> bytes:
    with _Exchange(timeout_s) as exchange:
        try:
            response = _answered(url, exchange)
            return _body(url, response, exchange, max_bytes)
        except (ImageError, _Passing):
            raise
        except _Refused as error:
            raise ImageError(f"{_short(url)}: {error}") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise exchange.failure(error) from error


def _answered(url: str, exchange: _Exchange) -> urllib3.BaseHTTPResponse:
    """The response with status 200 to 299 at the end of the redirects."""
    try:
        target, headers = _request(url)
    except (UnicodeError, ValueError) as error:
        raise ImageError(f"{_short(url)}: not a valid address: {error}") from error
    for _ in range(MAX_REDIRECTS + 1):
        response = _asked(target, headers, exchange)
        location = response.get_redirect_location()
        if not location:
            return _successful(url, response)
        response.release_conn()
        further = urllib.parse.urljoin(target, location)
        if urllib.parse.urlsplit(further).scheme.lower() not in ("http", "https"):
            raise ImageError(f"{_short(url)}: sent on to {_short(further)}, which is neither http nor https")
        try:
            following, own = _request(further)
        except (UnicodeError, ValueError) as error:
            raise ImageError(f"{_short(url)}: sent on to {_short(further)}, not a valid address: {error}") from error
        same = urllib.parse.urlsplit(following).netloc == urllib.parse.urlsplit(target).netloc
        target, headers = following, headers if same else own  # a password is for the host it was given for
    raise ImageError(f"{_short(url)}: sent on more than {MAX_REDIRECTS} times, or in a circle")


def _asked(target: str, headers: dict[str, str], exchange: _Exchange) -> urllib3.BaseHTTPResponse:
    parts = urllib.parse.urlsplit(target)
    host = parts.hostname or ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        _check_name(host)  # the proxy finds the address
        manager: urllib3.PoolManager = urllib3.proxy_from_url(proxy)
    else:
        manager = _manager()
    with exchange.current():
        return manager.urlopen(
            "GET",
            target,
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            enforce_content_length=False,
            timeout=exchange.left_s,
        )


def _successful(url: str, response: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
    if 200 <= response.status < 300:
        return response
    said = f"the server answered {response.status} {response.reason}"
    if response.status in _TRY_AGAIN:
        raise _Passing(said)
    raise ImageError(f"{_short(url)}: {said}")


def _body(url: str, response: urllib3.BaseHTTPResponse, exchange: _Exchange, max_bytes: int) -> bytes:
    too_large = ImageError(f"{_short(url)}: more than {max_bytes / 2**20:.3g} MB, which is the limit for a picture")
    exchange.answered = True
    promised = response.headers.get("Content-Length", "")
    if promised.isdigit() and int(promised) > max_bytes:
        raise too_large
    packets, size = [], 0
    while packet := response.read1(65536):
        packets.append(packet)
        size += len(packet)
        if size > max_bytes:
            raise too_large
    if exchange.over:
        raise exchange.failure(TimeoutError())
    if promised.isdigit() and size < int(promised):
        raise _Passing(f"the connection broke off after {size} of {promised} bytes")
    if not packets:
        raise ImageError(f"{_short(url)}: the server sent nothing")
    return b"".join(packets)


class _Exchange:
    """The connections of one download, which are cut when its time is over, whatever they wait for."""

    _of_thread = threading.local()

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s, self.deadline = timeout_s, time.monotonic() + timeout_s
        self.over = self.answered = False
        self._open: list[socket.socket] = []
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Exchange:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        self._cut()

    @property
    def left_s(self) -> float:
        """Seconds until the end."""
        return max(0.001, self.deadline - time.monotonic())

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Connections that this thread makes meanwhile are of this exchange."""
        self._of_thread.exchange = self
        try:
            yield
        finally:
            del self._of_thread.exchange

    @classmethod
    def connected(cls, host: str, port: int) -> socket.socket:
        """A socket to the first address of the host that may be asked and answers; raises _Refused if none may."""
        exchange: _Exchange = cls._of_thread.exchange
        addresses = exchange._resolved(host, port)
        allowed = [(address, port) for address, port in addresses if _may_be_asked(host, address)]
        if not allowed:
            raise _Refused(_refusal(host, addresses[0][0]))
        failure = OSError("no address")
        for place in allowed:
            try:
                opened = socket.create_connection(place, timeout=exchange.left_s)
            except OSError as error:
                failure = error
                continue
            # what TLS wraps is detached from this object, so the cut needs a handle of its own
            exchange._open.append(opened.dup())
            return opened
        raise failure

    def _resolved(self, host: str, port: int) -> list[tuple[str, int]]:
        """Addresses of a name, with the port. Asking a slow name server cannot be stopped, so it is left to itself."""
        found: list[tuple[str, int]] = []
        failure: list[OSError | UnicodeError] = []

        def ask() -> None:
            try:
                answers = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
                found.extend((str(sockaddr[0]), port) for *_, sockaddr in answers)
            except (OSError, UnicodeError) as error:
                failure.append(error)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(self.left_s)
        if failure:
            raise failure[0]
        if not found:
            raise TimeoutError
        return found

    def failure(self, error: Exception) -> _Passing:
        """What ended the exchange, in words."""
        unreachable = isinstance(error, urllib3.exceptions.NewConnectionError)  # a kind of timeout, by its class
        timed_out = isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError) and not unreachable
        if self.over or timed_out:
            return _Passing(f"{'still loading after' if self.answered else 'no answer within'} {self.timeout_s:g} s")
        if unreachable:
            return _Passing(f"cannot be reached: {error.__cause__}")
        return _Passing(f"the connection failed: {error!r}")

    def _cut(self) -> None:
        self.over = self.over or time.monotonic() >= self.deadline
        while self._open:
            with contextlib.suppress(OSError), self._open.pop() as handle:
                handle.shutdown(socket.SHUT_RDWR)


def _connected(connection: HTTPConnection) -> socket.socket:
    try:
        return _Exchange.connected(connection.host, connection.port)
    except TimeoutError as error:
        raise urllib3.exceptions.ConnectTimeoutError(connection) from error
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, str(error)) from error


class _Connection(HTTPConnection):
    _new_conn = _connected


class _TlsConnection(HTTPSConnection):
    _new_conn = _connected


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


@functools.lru_cache(maxsize=1)
def _manager() -> urllib3.PoolManager:
    manager = urllib3.PoolManager()
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager


def _request(url: str) -> tuple[str, dict[str, str]]:
    """An address as a request may carry it, and the headers: blanks and letters beyond ASCII are quoted, a name and
    password become a header."""
    parts = urllib.parse.urlsplit(url.strip())
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError("it is not http(s):// and a host")
    host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    if any(letter.isspace() for letter in host):
        raise ValueError(f"{host!r} is not the name of a host")
    place = f"[{host}]" if ":" in host else host
    path, query = (urllib.parse.quote(part, safe="/%:=&?~+!$,;'@()*[]") for part in (parts.path, parts.query))
    netloc = place if parts.port is None else f"{place}:{parts.port}"
    # one request a connection: the cut at the end of the time closes it
    headers = {"User-Agent": os.environ.get(USER_AGENT, "shopvl"), "Accept": "image/*,*/*;q=0.5", "Connection": "close"}
    if parts.username is not None:
        known = ":".join(urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
        headers |= urllib3.make_headers(basic_auth=known)
    return urllib.parse.urlunsplit((parts.scheme, netloc, path, query, "")), headers


def _check_name(host: str) -> None:
    """Raises _Refused for an address written as numbers, in any spelling, or a name of this machine, that is own."""
    own = "127.0.0.1" if host.rstrip(".").lower().rpartition(".")[2] == "localhost" else host
    try:
        address = str(ipaddress.ip_address(own))
    except ValueError:
        try:
            address = socket.inet_ntoa(socket.inet_aton(own))
        except OSError:
            return
    if not _may_be_asked(host, address):
        raise _Refused(_refusal(host, address))


def _may_be_asked(host: str, address: str) -> bool:
    """Whether the address is public, or it or the host's name is among those the user allows."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if all(one.is_global and not one.is_multicast for one in (found, *_carried(found))):
        return True
    return is_allowed(host, found)


def is_allowed(host: str, address: Address | None = None) -> bool:
    """Whether the user allows this host, by its name, or by its address, which may be the name."""
    if address is None:
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(host)
    for allowed in filter(None, (one.strip().lower() for one in os.environ.get(ALLOW_HOSTS, "").split(","))):
        if allowed == host.lower():
            return True
        with contextlib.suppress(ValueError):
            if address is not None and address in ipaddress.ip_network(allowed, strict=False):
                return True
    return False


def _carried(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address stands for: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    carried: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    carried += address.teredo or ()
    if address in _NAT64:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in carried if one is not None]


def _refusal(host: str, address: str) -> str:
    at = "" if host == address else f" ({address})"
    return f"{host}{at} is an address of this machine or its network; allow it with --allow-hosts {host}"


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
