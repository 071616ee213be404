"""Downloads, checked as they arrive: one (`Download`), or many at once from another process (`Load`).

`python load.py --proxy 127.0.0.1:3128 --clients 50 --size 104857600 --seed 1 URL...` prints JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Self
from urllib.parse import urlsplit

from origin import Content, Generated, Literal

BUFFER = 512 << 10
LOW_WATER = 256 << 10
"""Bytes for which the clients of a load wake: with these two, 50 times 100 MB take 2 CPU seconds."""
Address = tuple[str, int]


class Wire:
    """Reads lines and counted bytes from a socket through one buffer; a view holds until the next one."""

    def __init__(self, connection: socket.socket, low_water: int) -> None:
        self.connection, self.low_water = connection, low_water
        self._view = memoryview(bytearray(BUFFER))
        self._start = self._stop = 0
        self._low = 1

    def line(self) -> bytes:
        """The next line, without its end; ConnectionError at the end of the connection."""
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self._some(1) if self._start < self._stop else self._filled(1)
        return bytes(line).rstrip(b"\r\n")

    def exactly(self, count: int) -> Iterator[memoryview]:
        """Views on so many bytes, as they arrive; ConnectionError where fewer come."""
        while count:
            piece = self._filled(count)
            count -= len(piece)
            yield piece
            self._wake_at(min(count, self.low_water) or 1)

    def rest(self) -> Iterator[memoryview]:
        """Views on what comes until the connection ends cleanly."""
        while self._fill():
            yield self._some(BUFFER)

    def _wake_at(self, low: int) -> None:
        """Has the kernel wake this thread for so many bytes, not for every segment."""
        if low != self._low:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low)
            self._low = low

    def _filled(self, limit: int) -> memoryview:
        if not self._fill():
            raise ConnectionError("ended short")
        return self._some(limit)

    def _fill(self) -> bool:
        if self._start == self._stop:
            self._start, self._stop = 0, self.connection.recv_into(self._view)
        return self._stop > 0

    def _some(self, limit: int) -> memoryview:
        start, self._start = self._start, min(self._stop, self._start + limit)
        return self._view[start : self._start]


class Download:
    """One request on a connection of its own; reads at the caller's speed, checks against `expected`.

    `proxy` None asks the URL's host itself. A target without a scheme is sent to the proxy as it is.
    `ttfb` (to the first byte of the body) and `seconds` count from before connecting. `complete` says
    whether the body ended as its framing promised; `error` why not. `correct` is None where nothing was
    expected. After the first bytes it wakes for `low_water` at a time: 1 sees each segment as it comes.
    """

    def __init__(
        self,
        proxy: Address | None,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        method: str = "GET",
        body: bytes = b"",
        expected: Content | None = None,
        digest: bool = False,
        timeout: float = 60.0,
        low_water: int = 1,
    ) -> None:
        self.url, self.method, self.expected, self.timeout = url, method, expected, timeout
        self._low_water = low_water
        parts = urlsplit(url)
        self._address = proxy or (parts.hostname or "", parts.port or 80)
        target = url if proxy else parts._replace(scheme="", netloc="").geturl() or "/"
        host = parts.netloc.rpartition("@")[2] or _authority(*self._address)
        self._request = _request(method, target, host, headers, body)
        self._sha256 = hashlib.sha256() if digest else None
        self._wire: Wire | None = None
        self._body: Iterator[memoryview] | None = None
        self.status, self.reason = 0, ""
        self.headers: list[tuple[str, str]] = []
        self.received = 0
        self.ttfb: float | None = None
        self.seconds = 0.0
        self.complete = False
        self.correct: bool | None = None if expected is None else True
        self.error: str | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def open(self) -> None:
        """Connects and sends the request; OSError."""
        self._started = time.monotonic()
        connection = socket.create_connection(self._address, self.timeout)
        self._wire = Wire(connection, self._low_water)
        connection.sendall(self._request)

    def close(self) -> None:
        """Goes away, whatever is still to come."""
        if self._wire is not None:
            self._wire.connection.close()

    def get(self, name: str) -> str | None:
        """A response field's combined value."""
        lines = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(lines) if lines else None

    def sha256(self) -> str:
        """The digest of what was received, where `digest` was asked for."""
        assert self._sha256 is not None
        return self._sha256.hexdigest()

    def read_head(self) -> int:
        """Reads up to the body; returns the status. OSError, ValueError."""
        assert self._wire is not None
        while self.status in (0, 100, 102, 103):
            _version, status, reason = (self._wire.line().decode("latin-1") + "  ").split(" ", 2)
            self.status, self.reason, self.headers = int(status), reason.strip(), []
            while line := self._wire.line():
                name, _colon, value = line.decode("latin-1").partition(":")
                self.headers.append((name, value.strip()))
        return self.status

    def pieces(self) -> Iterator[memoryview]:
        """The body as it arrives; a view holds until the next one. OSError, ValueError."""
        if not self.status:
            self.read_head()
        position = self._first()
        for piece in self._framed():
            if self.ttfb is None:
                self.ttfb = time.monotonic() - self._started
            if self.expected is not None and not self.expected.startswith(piece, position):
                self.correct = False
            if self._sha256 is not None:
                self._sha256.update(piece)
            position += len(piece)
            self.received += len(piece)
            yield piece
        self.seconds = time.monotonic() - self._started
        self.complete = True
        if self.expected is not None and self.status == 200 and self.received != self.expected.size:
            self.correct = False

    def take(self, count: int) -> int:
        """Reads at least so many more bytes of the body, where there are; returns `received`."""
        if self._body is None:
            self._body = self.pieces()
        goal = self.received + count
        while self.received < goal and next(self._body, None) is not None:
            pass
        return self.received

    def begun(self, count: int) -> Self:
        """Opens it and takes at least so many bytes of the body, which have to be there."""
        self.open()
        assert self.take(count) >= count, f"{self.url}: {self.received} of {count} bytes"
        return self

    def run(self) -> Self:
        """Reads to the end and closes; a failure is in `error`, not raised."""
        try:
            if self._wire is None:
                self.open()
            self.take(1 << 62)
        except (OSError, ValueError) as failure:
            self.error = f"{type(failure).__name__}: {failure}"
            self.correct = False if self.expected is not None else None
            self.seconds = time.monotonic() - self._started
        self.close()
        return self

    def start(self) -> Self:
        """run() in a thread; join() waits for it."""
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()
        return self

    def join(self, timeout: float = 60.0) -> Self:
        """Waits for the end of what start() began; TimeoutError."""
        self._thread.join(timeout)
        if self.is_running:
            raise TimeoutError(f"{self.url}: still at {self.received} bytes after {timeout} s")
        return self

    @property
    def is_running(self) -> bool:
        """Whether what start() began goes on."""
        return self._thread.is_alive()

    def _first(self) -> int:
        """The offset of the body's first byte in the whole content."""
        content_range = self.get("Content-Range") if self.status == 206 else None
        return int(content_range.split()[1].partition("-")[0]) if content_range else 0

    def _framed(self) -> Iterator[memoryview]:
        assert self._wire is not None
        length = self.get("Content-Length")
        if self.method == "HEAD" or self.status in (204, 304):
            return
        if (self.get("Transfer-Encoding") or "").lower() == "chunked":
            while size := int(self._wire.line().partition(b";")[0], 16):
                yield from self._wire.exactly(size)
                self._wire.line()
            while self._wire.line():
                pass
        elif length is not None:
            yield from self._wire.exactly(int(length))
        else:
            yield from self._wire.rest()


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _request(method: str, target: str, host: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    fields = [*headers, ("Connection", "close")]
    if not any(name.lower() == "host" for name, _value in fields):
        fields.insert(0, ("Host", host))
    if body:
        fields.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


@dataclass(frozen=True)
class Client:
    """How one download of a load went: seconds, bytes; `ok` is a whole, right 200 or 206."""

    status: int
    ttfb: float | None
    seconds: float
    bytes: int
    ok: bool
    error: str | None


@dataclass(frozen=True)
class Load:
    """Many downloads at once: wall seconds from the common start, the load's CPU seconds, each client."""

    seconds: float
    cpu: float
    clients: tuple[Client, ...]

    @property
    def ok(self) -> bool:
        return all(client.ok for client in self.clients)

    @property
    def median_ttfb(self) -> float:
        """The median time to the first byte of the body; infinite where most got none."""
        return median(float("inf") if client.ttfb is None else client.ttfb for client in self.clients)


def run(
    proxy: Address | None, urls: Sequence[str], clients: int, expected: Content | None, timeout: float
) -> Load:
    """Downloads in this process; the URLs are dealt out to the clients in turn."""
    barrier = threading.Barrier(clients + 1)
    downloads = [
        Download(proxy, urls[number % len(urls)], expected=expected, timeout=timeout, low_water=LOW_WATER)
        for number in range(clients)
    ]

    def client(download: Download) -> None:
        barrier.wait()
        download.run()

    threads = [threading.Thread(target=client, args=(download,)) for download in downloads]
    for thread in threads:
        thread.start()
    barrier.wait()
    started, before = time.monotonic(), time.process_time()
    for thread in threads:
        thread.join()
    done = tuple(
        Client(
            each.status,
            each.ttfb,
            each.seconds,
            each.received,
            each.status in (200, 206) and each.complete and each.correct is not False,
            each.error,
        )
        for each in downloads
    )
    return Load(time.monotonic() - started, time.process_time() - before, done)


class LoadProcess:
    """A load that runs in a process of its own; `result()` waits for it, `kill()` gives it up."""

    def __init__(
        self,
        proxy: Address | None,
        urls: Sequence[str],
        clients: int,
        expected: Generated | Path | None = None,
        timeout: float = 60.0,
    ) -> None:
        command = [sys.executable, __file__, "--clients", str(clients), "--timeout", str(timeout)]
        if proxy is not None:
            command += ["--proxy", "{}:{}".format(*proxy)]
        if isinstance(expected, Generated):
            command += ["--size", str(expected.size), "--seed", str(expected.seed)]
        elif expected is not None:
            command += ["--expected", str(expected)]
        self._process = subprocess.Popen([*command, *urls], stdout=subprocess.PIPE, text=True)

    def result(self, timeout: float = 300.0) -> Load:
        """What the load saw; subprocess.TimeoutExpired, and the load is then given up."""
        try:
            output, _errors = self._process.communicate(timeout=timeout)
        finally:
            self.kill()
        return parse(output)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


def parse(text: str) -> Load:
    """The Load that a process printed as JSON."""
    values = json.loads(text)
    names = [each.name for each in fields(Client)]
    clients = tuple(Client(**{name: client[name] for name in names}) for client in values["clients"])
    return Load(values["seconds"], values["cpu"], clients)


def main() -> None:
    parser = argparse.ArgumentParser(description="Download URLs with many clients at once and print JSON.")
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--proxy", help="HOST:PORT; without it the URLs' hosts are asked themselves")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--size", type=int, help="bytes of the generated body that is expected")
    parser.add_argument("--seed", type=int, default=0, help="seed of the generated body")
    parser.add_argument("--expected", type=Path, help="a file with the body that is expected")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds of silence a client bears")
    options = parser.parse_args()
    expected: Content | None = None
    if options.size is not None:
        expected = Generated(options.size, options.seed)
    elif options.expected is not None:
        expected = Literal(options.expected.read_bytes())
    host, _colon, port = (options.proxy or "").rpartition(":")
    proxy = (host, int(port)) if options.proxy else None
    print(json.dumps(asdict(run(proxy, options.urls, options.clients, expected, options.timeout))))


if __name__ == "__main__":
    main()
