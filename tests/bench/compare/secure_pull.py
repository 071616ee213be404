"""Many clients in TLS in one process, straight or behind a CONNECT, that print JSON.

`again` asks over and over on kept connections, for `--seconds`; `anew` does so with a new connection for
each request, and a full handshake unless `--resume`. `names` has handshakes alone, each with a host that is
named for the first time. `idle` keeps connections after one request each: it prints a line when all have
their answers, and ends with its input. Certificates are not verified, but a host's own must have its name.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import ssl
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

PATIENCE = 20.0
"""Seconds without any progress, after which clients give up."""
NAMES_OF_ONE = 50
"""Hosts that one address asks for: a proxy may limit how many are new."""
AT_ONCE = 50
"""Idle clients that begin at the same time."""
_ROOM = 64 << 10
_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Steps = Generator[socket.socket | None, None, None]
"""A client: yields a new socket that it waits for from then on, or nothing when it has to wait for it."""


@dataclass
class Load:
    """What the clients do, and what they have done."""

    proxy: tuple[str, int] | None
    host: str
    port: int
    path: str
    until: float = 0.0
    resumes: bool = False
    took: list[float] = field(default_factory=list)
    bytes: int = 0
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.request = f"GET {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n\r\n".encode()
        self.length = -1

    def run(self, clients: list[Steps]) -> None:
        """Has each go on when its socket is ready, until all have ended."""
        poll, waiting = select.epoll(), {}

        def go_on(steps: Steps, descriptor: int) -> None:
            try:
                sock = next(steps)
            except StopIteration:
                waiting.pop(descriptor, None)
                return
            except (OSError, ValueError) as failure:
                self.errors.append(f"{type(failure).__name__}: {failure}")
                waiting.pop(descriptor, None)
                return
            if sock is not None:
                waiting.pop(descriptor, None)
                waiting[sock.fileno()] = steps
                poll.register(sock, _EVENTS)

        for steps in clients:
            go_on(steps, -1)
        while waiting:
            events = poll.poll(PATIENCE)
            if not events:
                self.errors.append(f"{len(waiting)} clients got nothing for {PATIENCE:.0f} s")
                return
            for descriptor, _event in events:
                if descriptor in waiting:
                    go_on(waiting[descriptor], descriptor)

    # What clients are made of: each step gives what it comes to.

    def connected(
        self, host: str, source: str = "", session: ssl.SSLSession | None = None
    ) -> Generator[socket.socket | None, None, ssl.SSLSocket]:
        """A connection in TLS with the host, after the handshake."""
        sock = socket.socket()
        sock.setblocking(False)
        if source:
            sock.bind((source, 0))
        sock.connect_ex(self.proxy or (host, self.port))
        yield sock
        if self.proxy:
            sock.send(f"CONNECT {host}:{self.port} HTTP/1.1\r\nHost: {host}:{self.port}\r\n\r\n".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                yield None
                try:
                    data = sock.recv(_ROOM)
                except BlockingIOError:
                    continue
                if not data:
                    raise ConnectionError("closed before the answer to CONNECT")
                head += data
            if b" 200 " not in head[:20]:
                raise ValueError(f"no tunnel: {head[:100]!r}")
        secured = self.context.wrap_socket(
            sock, server_hostname=host, session=session, do_handshake_on_connect=False
        )
        while True:
            try:
                secured.do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                yield None
            else:
                return secured

    def answered(self, secured: ssl.SSLSocket) -> Iterator[None]:
        """One request, up to the end of its answer."""
        secured.send(self.request)
        received = b""
        while True:
            yield None
            try:
                while data := secured.recv(_ROOM):
                    received += data
                    if self._is_whole(received):
                        self.bytes += len(received)
                        return
                raise ConnectionError(f"closed after {len(received)} bytes of an answer")
            except ssl.SSLWantReadError:
                continue

    def _is_whole(self, received: bytes) -> bool:
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not received.startswith(b"HTTP/1.1 200"):
            raise ValueError(f"not a 200: {received[:100]!r}")
        if self.length < 0:
            found = _LENGTH.search(received, 0, end + 2)
            if found is None:
                raise ValueError(f"an answer without its length: {received[:end]!r}")
            self.length = int(found[1])
        return len(received) == end + 4 + self.length

    # Clients.

    def again(self) -> Steps:
        secured = yield from self.connected(self.host)
        while (began := time.monotonic()) < self.until:
            yield from self.answered(secured)
            self.took.append(time.monotonic() - began)
        secured.close()

    def anew(self) -> Steps:
        session: ssl.SSLSession | None = None
        while (began := time.monotonic()) < self.until:
            secured = yield from self.connected(self.host, session=session)
            if secured.session_reused != (session is not None):
                raise ValueError("a session was not resumed" if session else "a session was resumed")
            yield from self.answered(secured)
            if session is not None or not self.resumes:
                self.took.append(time.monotonic() - began)
            if self.resumes:
                session = secured.session  # its ticket has come before the answer
            secured.close()

    def name(self, numbers: Iterator[int], last: int, prefix: str) -> Steps:
        for number in numbers:
            if number >= last:
                return
            host, began = f"{prefix}{number}.example.org", time.monotonic()
            source = f"127.1.{number // NAMES_OF_ONE >> 8}.{number // NAMES_OF_ONE & 255}"
            secured = yield from self.connected(host, source)
            self.took.append(time.monotonic() - began)
            if host.encode() not in (secured.getpeercert(binary_form=True) or b""):
                raise ValueError(f"the certificate is not for {host}")
            secured.close()

    def once(self, kept: list[ssl.SSLSocket]) -> Steps:
        secured = yield from self.connected(self.host)
        kept.append(secured)
        yield from self.answered(secured)


def hold(load: Load, clients: int) -> None:
    """Keeps connections until the input ends."""
    kept: list[ssl.SSLSocket] = []
    while len(kept) < clients and not load.errors:
        load.run([load.once(kept) for _ in range(min(AT_ONCE, clients - len(kept)))])
    if load.errors:
        sys.exit(load.errors[0])
    print("ready", flush=True)
    sys.stdin.read()


def main() -> None:
    parser = argparse.ArgumentParser(description="Many clients in TLS that print JSON.")
    parser.add_argument("mode", choices=["again", "anew", "names", "idle"])
    parser.add_argument("url")
    parser.add_argument("--proxy", default="", help="host:port that is asked by CONNECT")
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=3, help="how long to ask")
    parser.add_argument("--resume", action="store_true", help="sessions, by their tickets")
    parser.add_argument("--count", type=int, default=500, help="of hosts that are named")
    parser.add_argument("--prefix", default="h", help="of their names")
    options = parser.parse_args()
    parts = urlsplit(options.url)
    host, _colon, port = options.proxy.rpartition(":")
    assert parts.hostname is not None
    load = Load((host, int(port)) if port else None, parts.hostname, parts.port or 443, parts.path)
    load.resumes = options.resume
    started = time.monotonic()
    load.until = started + options.seconds
    if options.mode == "idle":
        hold(load, options.clients)
    elif options.mode == "names":
        numbers = count()
        load.run([load.name(numbers, options.count, options.prefix) for _ in range(options.clients)])
    else:
        client = load.again if options.mode == "again" else load.anew
        load.run([client() for _ in range(options.clients)])
    seconds = time.monotonic() - started
    print(
        json.dumps(
            {
                "seconds": seconds,
                "took": load.took,
                "bytes": load.bytes,
                "rate": 0.0,
                "errors": sorted(set(load.errors)),
            }
        )
    )


if __name__ == "__main__":
    main()
