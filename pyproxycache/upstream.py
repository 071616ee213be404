"""Requests to origins: checked connections, kept alive in a pool, bodies read as they arrive."""

from __future__ import annotations

import contextlib
import http.client
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from pyproxycache.errors import (
    BrokenOff,
    ProxyError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pyproxycache.messages import Head, Headers, Request, Url
from pyproxycache.options import FetchOptions, ParentOptions

Admit = Callable[[str, str, int], None]
"""Client address, address and port to connect to; raises Forbidden or LoopDetected."""

_IDLE_PER_ROUTE = 32
_IDLE_SECONDS = 20.0
_READ_SIZE = 256 << 10
_OBS_FOLD = re.compile(r"[ \t]*\r?\n[ \t]*")
_NOT_IN_FIELDS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_REPEATABLE = {"GET", "HEAD", "OPTIONS", "TRACE"}


@dataclass(frozen=True, slots=True)
class _Route:
    """Where connections for a URL go: straight to its origin, or through the parent."""

    scheme: str
    host: str
    port: int
    parent: Url | None


class Upstream:
    """Sends requests; connections are dialled to addresses that `admit` has seen."""

    def __init__(
        self, options: FetchOptions, parent: ParentOptions | None, admit: Admit, name: str
    ) -> None:
        self._via = f"1.1 {name}"
        self._options = options
        self._parent = parent
        self._admit = admit
        self._idle = _IdleConnections()
        self._tls = ssl.create_default_context(cafile=options.ca_file)
        if not options.tls_verify:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE

    def send(self, request: Request, *, patience: float | None = None) -> Exchange:
        """The answer's head, its body still to be read; `patience` limits the wait for it (seconds).

        Raises UpstreamUnreachable, UpstreamTimeout, UpstreamMalformed, Forbidden or LoopDetected.
        """
        route = self._route(request.url)
        if request.body is None and request.method in _REPEATABLE:
            while (kept := self._idle.take(route)) is not None:
                self._admit_kept(kept, request.client)
                with contextlib.suppress(_ClosedWhileIdle):
                    return self._exchange(kept, request, patience)
        return self._exchange(self._connect(route, request.client), request, patience)

    def _route(self, url: Url) -> _Route:
        through = self._parent is not None and not _excepted(url.host, self._parent)
        return _Route(
            url.scheme, url.host, url.port, self._parent.url if self._parent and through else None
        )

    def _admit_kept(self, connection: _Connection, client: str) -> None:
        if connection.route.parent is None:
            try:
                self._admit(client, *connection.peer)
            except ProxyError:
                self._idle.put(connection)
                raise

    def _connect(self, route: _Route, client: str) -> _Connection:
        connection = _Connection(route, self._options.connect_timeout, self._tls)
        connection.dial(client, self._admit)
        return connection

    def _exchange(self, connection: _Connection, request: Request, patience: float | None) -> Exchange:
        silence = self._options.silence
        try:
            connection.set_timeout(silence if patience is None else min(patience, silence))
            connection.send_request(request, self._via)
            response = connection.getresponse()
            connection.set_timeout(silence)
            return Exchange(connection, response, request.method, self._idle.put)
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            connection.close()
            if connection.used:
                raise _ClosedWhileIdle from error
            raise UpstreamUnreachable(
                f"{request.url.authority} closed the connection unanswered"
            ) from error
        except TimeoutError as error:
            connection.close()
            raise UpstreamTimeout(f"{request.url.authority} did not answer in time") from error
        except (http.client.HTTPException, ValueError) as error:
            connection.close()
            raise UpstreamMalformed(
                f"{request.url.authority} did not answer in HTTP: {error or type(error).__name__}"
            ) from error
        except OSError as error:
            connection.close()
            raise UpstreamUnreachable(f"{request.url.authority}: {error}") from error
        except BaseException:
            connection.close()
            raise


class _ClosedWhileIdle(Exception):
    """A kept connection that the origin had closed: nothing was processed, ask on another one."""


class Exchange:
    """One answer being received.

    `length` is the body's (bytes), None where its end will tell; `peer` the origin's address, empty
    behind a parent proxy.
    """

    def __init__(
        self,
        connection: _Connection,
        response: http.client.HTTPResponse,
        method: str,
        keep: Callable[[_Connection], None],
    ) -> None:
        self.head = Head(response.status, response.reason, _fields(response))
        self.peer = connection.peer[0] if connection.route.parent is None else ""
        self.length = _framed_length(response, method)
        self._connection = connection
        self._response = response
        self._keep = keep
        self._open = True
        if self.length == 0:
            self._finish()

    def read(self) -> bytes:
        """The next bytes as soon as there are any; b"" at the end of a whole body.

        Raises BrokenOff when the body ends short, UpstreamTimeout after too long a silence.
        """
        if not self._open:
            return b""
        try:
            data = self._response.read1(_READ_SIZE)
        except TimeoutError as error:
            self.close()
            raise UpstreamTimeout("the origin fell silent in the middle of the body") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.close()
            raise BrokenOff(f"the origin broke off: {error or type(error).__name__}") from error
        if data:
            if self._response.length == 0:
                self._finish()
            return data
        if self._response.length:
            self.close()
            raise BrokenOff(f"the origin broke off {self._response.length} bytes before the end")
        self._finish()
        return b""

    def __iter__(self) -> Iterator[bytes]:
        try:
            while data := self.read():
                yield data
        finally:
            self.close()

    def has_more(self) -> bool:
        """Whether the next `read` gives something without waiting."""
        return self._open and self._connection.is_readable()

    def _finish(self) -> None:
        """All of it is read: keep the connection if both sides can go on."""
        self._open = False
        self._response.close()
        if self._response.will_close:
            self._connection.close()
        else:
            self._keep(self._connection)

    def close(self) -> None:
        """Give the answer up; a connection with unread bytes is of no further use."""
        if self._open:
            self._open = False
            self._response.close()
            self._connection.close()


class _Response(http.client.HTTPResponse):
    """Skips interim answers of any kind (RFC 9110 section 15.2), not only 100."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == 101:
                raise http.client.HTTPException("an upgrade nobody asked for")
            if not 100 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _Connection(http.client.HTTPConnection):
    """One connection of a route; `used` once it has carried a request."""

    response_class = _Response
    auto_open = 0  # a connection is dialled once, through `admit`, and never silently again

    def __init__(self, route: _Route, timeout: float, tls: ssl.SSLContext) -> None:
        via = route.parent or route
        super().__init__(via.host, via.port, timeout=timeout)
        self.route = route
        self.peer = ("", 0)
        self.used = False
        self.idle_since = 0.0
        self._tls = tls
        self._raw: socket.socket | None = None

    def dial(self, client: str, admit: Admit) -> None:
        """Connect to the first address that is admitted and answers."""
        sock = _dial(self.host, self.port, self.timeout or 0.0, self._admitted(client, admit))
        self.peer = sock.getpeername()[:2]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        if self.route.scheme == "https":
            try:
                if self.route.parent is not None:
                    self.set_tunnel(self.route.host, self.route.port)
                    self._tunnel()  # type: ignore[attr-defined]
                self.sock = self._tls.wrap_socket(sock, server_hostname=self.route.host)
            except OSError as error:
                sock.close()
                raise UpstreamUnreachable(
                    f"no TLS with {self.route.host}:{self.route.port}: {error}"
                ) from error
        self._raw = self.sock

    def _admitted(self, client: str, admit: Admit) -> Callable[[str, int], None]:
        # The parent is the operator's choice; behind it, only literal addresses can be judged.
        route = self.route
        if route.parent is None:
            return lambda address, port: admit(client, address, port)
        with contextlib.suppress(ValueError):
            admit(client, str(ip_address(route.host)), route.port)
        return _anything

    def set_timeout(self, seconds: float) -> None:
        if self._raw is not None:
            self._raw.settimeout(seconds)

    def send_request(self, request: Request, via: str) -> None:
        whole = self.route.parent is not None and self.route.scheme == "http"
        target = str(request.url) if whole else request.url.target
        self.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        self.putheader("Host", request.url.authority)
        chunked = request.body is not None and "content-length" not in request.headers
        for name, value in request.headers:
            if name.lower() not in ("host", "transfer-encoding", "connection"):
                self.putheader(name, value.encode("latin-1"))
        self.putheader("Via", via)
        if chunked:
            self.putheader("Transfer-Encoding", "chunked")
        self.endheaders()
        if request.body is not None:
            with contextlib.suppress(ConnectionError):  # an origin may answer before it has read everything
                self._send_body(request, chunked)

    def _send_body(self, request: Request, chunked: bool) -> None:
        for data in request.body or ():
            self.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        if chunked:
            self.send(b"0\r\n\r\n")

    def is_readable(self) -> bool:
        if self._raw is None:
            return False
        if isinstance(self._raw, ssl.SSLSocket) and self._raw.pending():
            return True
        poll = select.poll()
        poll.register(self._raw, select.POLLIN)
        return bool(poll.poll(0))

    def is_quiet(self) -> bool:
        """Whether an idle connection is still open: anything to read on it means it is not."""
        return time.monotonic() - self.idle_since <= _IDLE_SECONDS and not self.is_readable()


class _IdleConnections:
    """Kept connections by route, newest first out; `_kept` is guarded by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[_Route, list[_Connection]] = {}

    def take(self, route: _Route) -> _Connection | None:
        while True:
            with self._lock:
                kept = self._kept.get(route)
                if not kept:
                    return None
                connection = kept.pop()
                if not kept:
                    del self._kept[route]
            if connection.is_quiet():
                return connection
            connection.close()

    def put(self, connection: _Connection) -> None:
        connection.used = True
        connection.idle_since = time.monotonic()
        closing = [connection]
        with self._lock:
            kept = self._kept.setdefault(connection.route, [])
            kept.append(connection)
            closing = [kept.pop(0)] if len(kept) > _IDLE_PER_ROUTE else []
            closing += self._expired(connection.idle_since)
        for old in closing:
            old.close()

    def _expired(self, now: float) -> list[_Connection]:
        """Oldest connections of any route that nobody will want (under the lock)."""
        expired: list[_Connection] = []
        for route in list(self._kept):
            kept = self._kept[route]
            while kept and now - kept[0].idle_since > _IDLE_SECONDS:
                expired.append(kept.pop(0))
            if not kept:
                del self._kept[route]
        return expired


def _dial(host: str, port: int, timeout: float, admit: Callable[[str, int], None]) -> socket.socket:
    """A connection to the first address of the host that is admitted and accepts."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UpstreamUnreachable(f"the name {host} does not resolve: {error}") from error
    failure: Exception = UpstreamUnreachable(f"the name {host} has no address")
    for family, kind, protocol, _name, address in found:
        try:
            admit(str(address[0]).partition("%")[0], port)
        except ProxyError as error:
            failure = error
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout)
            sock.connect(address)
            return sock
        except TimeoutError:
            failure = UpstreamTimeout(f"no connection to {host}:{port} within {timeout:g} s")
        except OSError as error:
            failure = UpstreamUnreachable(f"no connection to {host}:{port}: {error.strerror or error}")
        sock.close()
    raise failure


def _anything(_address: str, _port: int) -> None:
    """Admits every address."""


def _excepted(host: str, parent: ParentOptions) -> bool:
    """Whether the host is reached without the parent."""
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    for exception in parent.exceptions:
        if isinstance(exception, str):
            if host == exception.removeprefix(".") or (
                exception.startswith(".") and host.endswith(exception)
            ):
                return True
        elif address is not None and address in exception:
            return True
    return False


def _fields(response: http.client.HTTPResponse) -> Headers:
    if response.msg.defects:
        raise http.client.HTTPException("a line of the header section is not a field")
    fields = [(name, _OBS_FOLD.sub(" ", value).strip(" \t")) for name, value in response.msg.items()]
    for name, value in fields:
        if _NOT_IN_FIELDS.search(value) or not name.isascii():
            raise http.client.HTTPException(f"a control character in the field {name}")
    return Headers(fields)


def _framed_length(response: http.client.HTTPResponse, method: str) -> int | None:
    """The body's length (RFC 9112 section 6.3); raises HTTPException where the framing is ambiguous."""
    if method == "HEAD" or response.status in (204, 304):
        return 0
    coding = response.msg.get_all("transfer-encoding")
    if coding:
        if not response.chunked:
            raise http.client.HTTPException(f"unknown Transfer-Encoding {', '.join(coding)}")
        return None
    lengths = {
        part.strip() for line in response.msg.get_all("content-length", ()) for part in line.split(",")
    }
    if not lengths:
        return None
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()):
        raise http.client.HTTPException("contradictory or invalid Content-Length")
    return int(length)
