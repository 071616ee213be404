"""An HTTP/1.1 origin that can be slow, break off, lie about lengths and hang, and records its requests."""

from __future__ import annotations

import fcntl
import hashlib
import random
import re
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache, partial
from http import HTTPStatus
from io import BufferedReader
from multiprocessing import get_context
from multiprocessing.managers import BaseManager, BaseProxy
from typing import Any, Self, cast

REASONS = {status.value: status.phrase for status in HTTPStatus}
BLOCK = 1 << 20
PIECE = 256 << 10
PACE = 0.01
"""Seconds of a limited rate that are sent at once."""
CATCH_UP = 0.25
"""Seconds a paced sender may lag behind its schedule and still catch up."""


class Literal:
    """A body held in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)

    def slice(self, start: int, count: int) -> bytes:
        return self.content[start : start + count]

    def startswith(self, chunk: bytes | bytearray | memoryview, offset: int) -> bool:
        """Whether the chunk is what lies at the offset."""
        # The buffer goes in as it is: bytes.startswith compares any buffer by memcmp, without a copy.
        return self.content.startswith(cast(bytes, chunk), offset)

    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Generated:
    """A body made from a seed: one random block repeated, each copy stamped with seed and block number."""

    size: int
    seed: int = 0

    def slice(self, start: int, count: int) -> bytes:
        """The bytes from start on, in any order of asking, without making the rest."""
        end = min(start + count, self.size)
        return b"".join(self._parts(start, end))

    def startswith(self, chunk: bytes | bytearray | memoryview, offset: int) -> bool:
        """Whether the chunk is what lies at the offset; compares against one block, makes nothing."""
        block, view, done = _block(self.seed), memoryview(chunk), 0
        if offset + len(view) > self.size:
            return False
        while done < len(view):
            number, within = divmod(offset + done, BLOCK)
            stamp = self._stamp(number)[within:]
            part = view[done : done + BLOCK - within]
            head = min(len(stamp), len(part))
            rest = cast(bytes, part[head:])
            if stamp[:head] != part[:head] or not block.startswith(rest, within + head):
                return False
            done += len(part)
        return True

    def sha256(self) -> str:
        return _digest(self)

    def _parts(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        block = memoryview(_block(self.seed))
        while start < end:
            number, within = divmod(start, BLOCK)
            last = min(BLOCK, within + end - start)
            stamp = self._stamp(number)[within:last]
            yield stamp
            yield block[within + len(stamp) : last]
            start += last - within

    def _stamp(self, number: int) -> bytes:
        return struct.pack(">QQ", self.seed, number)


Content = Literal | Generated


@lru_cache(maxsize=64)
def _block(seed: int) -> bytes:
    return random.Random(seed).randbytes(BLOCK)


@lru_cache(maxsize=64)
def _digest(content: Generated) -> str:
    digest = hashlib.sha256()
    for start in range(0, content.size, BLOCK):
        digest.update(content.slice(start, BLOCK))
    return digest.hexdigest()


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    version: str = "HTTP/1.1"
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.local_target.partition("?")[0]

    @property
    def local_target(self) -> str:
        """The target without the authority that it has where the origin plays a parent proxy."""
        if "://" not in self.target:
            return self.target
        return "/" + self.target.partition("://")[2].partition("/")[2]

    def get(self, name: str) -> str | None:
        lines = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(lines) if lines else None


Position = float | int
"""A place in the whole content: a float is a fraction of it, an int a byte offset."""
Positions = Position | list[Position | None] | None
"""One place for all, or a list of which each response with a body takes one (None: it goes through)."""


@dataclass
class Resource:
    """What a path answers with. `rate` is bytes a second for each response, `head_delay` seconds.

    `break_at` cuts the connection there (`reset`: by RST, which also discards what is not sent yet),
    `hang_at` falls silent there. `lie_length` is added to the Content-Length; a positive lie ends with
    the connection. `no_length` ends the body by closing. A `handler` answers instead: with a Resource,
    or with bytes that are sent as they are before the connection closes.
    """

    body: bytes | Content = b""
    status: int = 200
    headers: Iterable[tuple[str, str]] = ()
    etag: str | None = None
    last_modified: str | float | None = None
    cache_control: str | None = None
    ranges: bool = True
    chunked: bool = False
    no_length: bool = False
    last_chunk_missing: bool = False
    lie_length: int = 0
    rate: float | None = None
    head_delay: float = 0.0
    break_at: Positions = None
    hang_at: Positions = None
    reset: bool = False
    handler: Callable[[Asked], Resource | bytes] | None = None
    content: Content = field(init=False)

    def __post_init__(self) -> None:
        self.content = Literal(self.body) if isinstance(self.body, bytes) else self.body
        if isinstance(self.last_modified, int | float):
            self.last_modified = formatdate(self.last_modified, usegmt=True)

    def fields(self) -> list[tuple[str, str]]:
        """The fields that every answer about this resource has."""
        named = {
            "Date": formatdate(usegmt=True),
            "ETag": self.etag,
            "Last-Modified": cast(str | None, self.last_modified),
            "Cache-Control": self.cache_control,
            "Accept-Ranges": "bytes" if self.ranges and self.status == 200 else None,
        }
        own = {name.lower() for name, _value in self.headers}
        implied = [(name, value) for name, value in named.items() if value and name.lower() not in own]
        return implied + list(self.headers)

    def not_modified(self, asked: Asked) -> bool:
        """Whether the request's conditions hold for a 304 (RFC 9110 section 13.2.2)."""
        tags = asked.get("If-None-Match")
        if tags is not None:
            known = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
            return "*" in known or (self.etag is not None and self.etag.removeprefix("W/") in known)
        since = asked.get("If-Modified-Since")
        if since is None or not isinstance(self.last_modified, str):
            return False
        return parsedate_to_datetime(self.last_modified) <= parsedate_to_datetime(since)

    def span(self, asked: Asked) -> tuple[int, int] | None:
        """Start and end of the part asked for; None for the whole. An empty part cannot be satisfied."""
        spec = re.fullmatch(r"bytes=(\d*)-(\d*)", asked.get("Range") or "")
        if not self.ranges or asked.method != "GET" or spec is None or spec[0] == "bytes=-":
            return None
        condition = asked.get("If-Range")
        strong = condition is not None and not condition.startswith("W/")
        if condition is not None and not (strong and condition in (self.etag, self.last_modified)):
            return None
        size = self.content.size
        if not spec[1]:
            return max(0, size - int(spec[2])), size
        return int(spec[1]), min(int(spec[2]) + 1 if spec[2] else size, size)


class Gate:
    """Holds a response at one place until it is opened; tells when a response has come to it."""

    def __init__(self, position: Position | None) -> None:
        self.position = position
        self._reached = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def wait_reached(self, timeout: float = 30.0) -> None:
        """Waits until a response is held here; TimeoutError."""
        if not self._reached.wait(timeout):
            raise TimeoutError("no response came to the gate")

    def hold(self) -> None:
        self._reached.set()
        self._opened.wait()


class Pacer:
    """A schedule of bytes a second, shared by all who send on it."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.step = max(1, min(PIECE, int(rate * PACE)))
        self._lock = threading.Lock()
        self._due = 0.0

    def reserve(self, count: int) -> float:
        """Enters the bytes into the schedule; returns the seconds to wait after sending them."""
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now - CATCH_UP) if self._due else now
            self._due += count / self.rate
            return self._due - now


class CutOff(Exception):
    """The connection is to be closed here."""


class Origin:
    """The server: `with Origin() as origin: origin.put("/a", b"...")`.

    Port 0 is any free one, and is kept over stop() and start(). `rate` is bytes a second for all together.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        rate: float | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host, self.port, self.tls = host, port, tls
        self._shared = [Pacer(rate)] if rate else []
        self._resources: dict[str, Resource] = {}
        self._gates: dict[str, Gate] = {}
        self._asked: list[Asked] = []
        self._connections: set[socket.socket] = set()
        self._accepted = self._active = self._delivered = 0
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._stopping.set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listens, if it does not yet; after a stop() again, on the same port."""
        if not self._stopping.is_set():
            return
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._stopping.clear()
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=1024)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Stops listening and cuts every connection; returns when all are closed."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for gate in self._gates.values():
            gate.open()
        with self._changed:
            for connection in self._connections:
                _shut(connection)
            if not self._changed.wait_for(lambda: not self._connections, 10.0):
                raise TimeoutError("a connection of the origin did not end")

    def put(self, path: str, body: bytes | Content = b"", **options: Any) -> None:
        """Sets what a path (or a path with its query) answers with; the options are Resource's."""
        self._resources[path] = Resource(body, **options)

    def gate(self, path: str, at: Position | None = None) -> Gate:
        """Holds responses for the path at a place in their body, or before the head, until opened."""
        if path in self._gates:
            self._gates[path].open()
        gate = self._gates[path] = Gate(at)
        return gate

    def url(self, path: str = "/") -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    @property
    def requests(self) -> list[Asked]:
        """All requests so far, in order (a copy)."""
        with self._changed:
            return list(self._asked)

    @property
    def accepted(self) -> int:
        """How many connections there have been."""
        return self._accepted

    @property
    def delivered(self) -> int:
        """Bytes of answers that have come to the other side's kernel, on all connections so far."""
        with self._changed:
            return self._delivered + sum(map(_acknowledged, self._connections))

    def asked(self, path: str) -> list[Asked]:
        """The requests for a path, whatever their query."""
        return [asked for asked in self.requests if asked.path == path]

    def count(self, path: str) -> int:
        return len(self.asked(path))

    def forget(self) -> None:
        """Drops the record of requests."""
        with self._changed:
            self._asked.clear()

    def wait_for(self, path: str, count: int = 1, timeout: float = 30.0) -> None:
        """Waits until a path was asked for so often; TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.count(path) >= count, timeout):
                raise TimeoutError(f"{path}: {self.count(path)} requests in {timeout} s, not {count}")

    def wait_idle(self, timeout: float = 30.0) -> None:
        """Waits until no response is being sent; TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._active, timeout):
                raise TimeoutError(f"{self._active} responses are still being sent")

    def _accept(self) -> None:
        while True:
            try:
                connection, _peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        unsent = 0
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:  # the handshake comes with the first read
                connection = self.tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            with self._changed:
                self._connections.add(connection)
                self._accepted += 1
            with connection.makefile("rb") as reader:
                while not self._stopping.is_set() and (asked := _read_request(reader, connection)):
                    self._answer(connection, asked)
            unsent = _on_the_way(connection)
        except CutOff:
            unsent = _on_the_way(connection)
        except (OSError, ValueError):
            pass  # the peer went away or sent no HTTP, and gets no more
        finally:
            with self._changed:
                self._delivered += _acknowledged(connection) + unsent
                self._connections.discard(connection)
                connection.close()
                self._changed.notify_all()

    def _answer(self, connection: socket.socket, asked: Asked) -> None:
        with self._changed:
            self._asked.append(asked)
            self._active += 1
            resource = self._resources.get(asked.local_target) or self._resources.get(asked.path)
            self._changed.notify_all()
        try:
            answer = resource or Resource(b"no such resource\n", status=404)
            if answer.handler is not None:
                made = answer.handler(asked)
                if isinstance(made, bytes):
                    connection.sendall(made)
                    raise CutOff
                answer = made
            Response(self, connection, asked, answer).send()
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def take(self, resource: Resource, name: str) -> int | None:
        """The offset that the next response of the resource has for break_at or hang_at."""
        positions = getattr(resource, name)
        with self._changed:
            if isinstance(positions, list):
                positions = positions.pop(0) if positions else None
        return _offset(positions, resource.content.size)

    def gate_for(self, path: str) -> Gate | None:
        return self._gates.get(path)

    def pacers(self, resource: Resource) -> list[Pacer]:
        return self._shared + ([Pacer(resource.rate)] if resource.rate else [])

    def pause(self, seconds: float | None) -> None:
        """Waits that long (None: for ever), or until the origin stops, which cuts the connection."""
        if self._stopping.wait(seconds):
            raise CutOff


class Response:
    """One answer on its way: the head, then the body up to whatever is in its way."""

    def __init__(self, origin: Origin, connection: socket.socket, asked: Asked, resource: Resource) -> None:
        self.origin, self.connection, self.asked, self.resource = origin, connection, asked, resource
        self.chunked = (resource.chunked or resource.last_chunk_missing) and asked.version == "HTTP/1.1"
        self.pacers = origin.pacers(resource)
        self.step = min([PIECE, *(pacer.step for pacer in self.pacers)])
        self.closes = asked.version == "HTTP/1.0" or asked.get("Connection") == "close"

    def send(self) -> None:
        """Sends it all; CutOff where the connection ends with it."""
        resource, size = self.resource, self.resource.content.size
        fields, status, first, last = resource.fields(), resource.status, 0, size
        bodiless = status in (204, 304) or status < 200
        span = resource.span(self.asked)
        if status == 200 and self.asked.method in ("GET", "HEAD") and resource.not_modified(self.asked):
            status, bodiless = 304, True
        elif status == 200 and span is not None:
            first, last = span
            status = 206 if first < last else 416
            part = f"{first}-{last - 1}" if status == 206 else "*"
            fields.append(("Content-Range", f"bytes {part}/{size}"))
            first = min(first, last)
        if not bodiless:
            fields += self._framing(last - first)
        self._head(status, fields)
        if self.asked.method != "HEAD" and not bodiless:
            self._body(first, last)
        if self.closes or resource.lie_length > 0:
            raise CutOff

    def _framing(self, length: int) -> list[tuple[str, str]]:
        if self.chunked:
            return [("Transfer-Encoding", "chunked")]
        if self.resource.no_length or self.resource.chunked:
            self.closes = True
            return []
        return [("Content-Length", str(length + self.resource.lie_length))]

    def _head(self, status: int, fields: list[tuple[str, str]]) -> None:
        if (gate := self.origin.gate_for(self.asked.path)) and gate.position is None:
            gate.hold()
        if self.resource.head_delay:
            self.origin.pause(self.resource.head_delay)
        if self.closes:
            fields = [*fields, ("Connection", "close")]
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}"]
        lines += [f"{name}: {value}" for name, value in fields]
        self.connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def _body(self, first: int, last: int) -> None:
        """Sends the content between two offsets, stopping at gates, silences and cuts in their order."""
        resource, size = self.resource, self.resource.content.size
        stops: list[tuple[int, Callable[[], None]]] = []
        gate = self.origin.gate_for(self.asked.path)
        held = _offset(gate.position, size) if gate else None
        if gate and held is not None and first <= held < last:
            stops.append((held, gate.hold))
        for name, act in (("hang_at", partial(self.origin.pause, None)), ("break_at", self._cut)):
            offset = self.origin.take(resource, name)
            if offset is not None and offset < last:
                stops.append((max(first, offset), act))
        for offset, act in sorted(stops, key=lambda stop: stop[0]):
            self._span(first, offset)
            first = offset
            act()
        self._span(first, last)
        if self.chunked:
            if resource.last_chunk_missing:
                self._cut()
            self.connection.sendall(b"0\r\n\r\n")

    def _span(self, first: int, last: int) -> None:
        for start in range(first, last, self.step):
            piece = self.resource.content.slice(start, min(self.step, last - start))
            self.connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece)
            wait = max((pacer.reserve(len(piece)) for pacer in self.pacers), default=0.0)
            if wait > 0:
                self.origin.pause(wait)

    def _cut(self) -> None:
        if self.resource.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise CutOff


def _offset(position: Position | None, size: int) -> int | None:
    return int(position * size) if isinstance(position, float) else position


def _acknowledged(connection: socket.socket) -> int:
    """Bytes sent on the connection that its other side has (tcpi_bytes_acked, less the SYN)."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    return max(0, int(struct.unpack_from("Q", info, 120)[0]) - 1)


def _on_the_way(connection: socket.socket) -> int:
    """Bytes sent that its other side has not acknowledged yet."""
    return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"0000"))[0])


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the peer was first


def _read_request(reader: BufferedReader, connection: socket.socket) -> Asked | None:
    """The next request of the connection, with its body; None at the end."""
    line = reader.readline()
    if not line:
        return None
    method, target, version = line.decode("latin-1").split()
    headers = []
    while (line := reader.readline()) not in (b"\r\n", b""):
        name, _colon, value = line.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    head = Asked(method, target, tuple(headers), version)
    if (head.get("Expect") or "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if (head.get("Transfer-Encoding") or "").lower() == "chunked":
        body = b"".join(_chunks(reader))
    else:
        body = reader.read(int(head.get("Content-Length") or 0))
    return Asked(method, target, tuple(headers), version, body)


def _chunks(reader: BufferedReader) -> Iterator[bytes]:
    while size := int(reader.readline().partition(b";")[0], 16):
        yield reader.read(size)
        reader.readline()
    while reader.readline() not in (b"\r\n", b""):
        pass


class _Remote(BaseProxy):
    """An Origin in another process: its calls and its properties."""

    _calls = ("start", "stop", "put", "gate", "url", "asked", "count", "forget", "wait_for", "wait_idle")
    _exposed_ = ("__getattribute__", *_calls)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._calls:
            return lambda *args, **options: self._callmethod(name, args, options)
        return self._callmethod("__getattribute__", (name,))


class _Manager(BaseManager):
    pass


_Manager.register("Gate", exposed=("open", "wait_reached"), create_method=False)
_Manager.register("Origin", Origin, _Remote, method_to_typeid={"gate": "Gate"})


class OriginProcess:
    """An Origin in a process of its own, which does not share the caller's GIL.

    `with OriginProcess() as origin` gives Origin's calls and properties; a handler has to be picklable.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, rate: float | None = None) -> None:
        self._manager = _Manager(ctx=get_context("spawn"))
        self._options = (host, port, rate)

    def __enter__(self) -> Origin:
        self._manager.start()
        self._origin = cast(Origin, self._manager.Origin(*self._options))  # type: ignore[attr-defined]
        self._origin.start()
        return self._origin

    def __exit__(self, *exc: object) -> None:
        self._origin.stop()
        self._manager.shutdown()
