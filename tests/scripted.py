"""An origin that says byte for byte what the test wrote down for each of its connections."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from pyproxycache.messages import Headers, Request
from pyproxycache.options import FetchOptions, ParentOptions
from pyproxycache.upstream.client import Upstream
from pyproxycache.url import Url
from pyproxycache.wiring.fetching import tls_by_host

Answer = bytes | Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright"


class Scripted:
    """Answers each request of each connection with the next item; a connection without more is closed.

    An answer is sent once the head of its request is there; a callable gets the connection instead.
    `heads` are those of the requests, in order. `receive_buffer` (bytes) is how much of a request the
    kernel takes before it is read.
    """

    def __init__(
        self,
        *connections: Sequence[Answer],
        tls: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self._script = iter(connections)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.port = self._listener.getsockname()[1]
        self.heads: list[bytes] = []
        self.accepted = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def url(self, target: str = "/a", host: str = "127.0.0.1") -> Url:
        return Url("https" if self._tls else "http", host, self.port, target)

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                with contextlib.suppress(OSError, EOFError):
                    self._serve(connection, next(self._script, ()))

    def _serve(self, raw: socket.socket, answers: Sequence[Answer]) -> None:
        raw.settimeout(10)
        with self._tls.wrap_socket(raw, server_side=True) if self._tls else raw as connection:
            for answer in answers:
                self.heads.append(read_head(connection))
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                else:
                    answer(connection)
            if self._tls:
                connection.setblocking(False)  # say goodbye, and wait for none
                connection.unwrap()  # type: ignore[attr-defined]


def read_head(connection: socket.socket) -> bytes:
    """Up to the empty line, byte by byte; EOFError where it does not come."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(1)
        if not data:
            raise EOFError
        head += data
    return head


def until_gone(connection: socket.socket) -> None:
    """Hold the connection until the other side has closed it, reading nothing that matters."""
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def upstream(
    *,
    silence: float = 10.0,
    parent: ParentOptions | None = None,
    admit: Callable[[str, str, int], None] = lambda _client, _address, _port: None,
    **options: object,
) -> Upstream:
    """One that admits everything, unless told otherwise."""
    fetch = FetchOptions(silence=silence, **options)  # type: ignore[arg-type]
    return Upstream(fetch, parent, admit, "test", tls_of_host=tls_by_host(fetch))


def get(url: Url, method: str = "GET", body: Iterator[bytes] | None = None, *fields: str) -> Request:
    headers = Headers((name, value) for name, _, value in (field.partition(": ") for field in fields))
    return Request(method, url, headers, body=body)
