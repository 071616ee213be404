"""A worker's front in HTTP/2, and a client by another library, over a wire that cuts anywhere."""

from __future__ import annotations

import os
import random
import select
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import hpack
from hyperframe.frame import Frame
from inline_front import InlineThreads, NotingEngine, parts_with, watch_nothing
from inprocess import server_config
from splits import cpu_within
from strict_http2 import Answered, Fields, StrictClient, frame

from pyproxycache import clock
from pyproxycache.body import Body, BytesBody
from pyproxycache.facts import Facts
from pyproxycache.front.http2.http2_sessions import Http2Sessions
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.memory.answer_file import AnswerFile, FileBody
from pyproxycache.front.requests.ingress import SECURED
from pyproxycache.messages import Head, Headers, Request
from pyproxycache.response import Response
from pyproxycache.routing.resource import Resource
from pyproxycache.steps import Steps

_STEPS = 200_000
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def get(path: str, *more: tuple[str, str], method: str = "GET") -> Fields:
    """The fields of a request to a proxy."""
    return [(":method", method), (":scheme", "http"), (":authority", "h"), (":path", path), *more]


def made(count: int) -> bytes:
    """The body of the resource with so many bytes."""
    return random.Random(count).randbytes(count)


def in_file(data: bytes) -> Body:
    """A body that lies in a file."""
    with TemporaryFile() as file:
        file.write(data)
        file.flush()
        return FileBody(AnswerFile(os.dup(file.fileno()), 0, len(data)))


class SizesEngine(NotingEngine):
    """Answers /COUNT with so many bytes; /x/COUNT without telling their number, /f/COUNT from a file.

    It notes what it is asked.
    """

    def __init__(self, *, reads: bool) -> None:
        super().__init__(reads=reads)
        self.versions: set[tuple[int, int]] = set()

    def handle(self, resource: Resource, request: Request, facts: Facts) -> Steps[Response]:
        self.versions.add(request.version)
        response = yield from super().handle(resource, request, facts)
        if response.head.status != 200:
            return response
        *kind, count = request.url.target.strip("/").split("/")
        data = made(int(count)) if count.isdigit() else b""
        is_known = kind != ["x"]
        headers = Headers([("X-Count", str(len(data))), *([("Content-Length", count)] if is_known else [])])
        body = in_file(data) if kind == ["f"] else BytesBody(data)
        return Response(Head(200, "OK", headers), body, len(data) if is_known else None)


class Wire:
    """A Stream whose far end is a client; it takes and gives any number of bytes."""

    ends_one_way = False

    def __init__(self, take: Callable[[bytes], bytes], chance: random.Random | None) -> None:
        """`take` gets the bytes that are sent, and returns those that the client sends because of them."""
        self.coming = bytearray()
        self.is_closed = self.is_reset = self.is_ended = False
        self.takes_nothing = False
        self._allowed = 0
        self.sent = 0
        self._take = take
        self._chance = chance

    def recv(self, count: int) -> bytes:
        if self._chance is not None:
            if self._chance.random() < 0.2:
                raise BlockingIOError
            count = min(count, self._chance.choice((1, 2, 5, 100, 10_000)))
        if not self.coming and not self.is_ended:
            raise BlockingIOError
        data = bytes(self.coming[:count])
        del self.coming[: len(data)]
        return data

    def takes_bytes(self, count: int) -> None:
        """Have it take so many bytes although it takes nothing."""
        self._allowed = count

    def send(self, data: bytes | memoryview) -> int:
        assert not self.is_closed
        if self.takes_nothing:
            data = data[: self._allowed]
            self._allowed -= len(data)
            if not data:
                raise BlockingIOError
        if self._chance is not None:
            if self._chance.random() < 0.2:
                raise BlockingIOError
            data = data[: self._chance.choice((1, 2, 5, 100, 10_000))]
        self.sent += len(data)
        self.coming += self._take(bytes(data))
        return len(data)

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        raise NotImplementedError

    def pending(self) -> int:
        return 0

    def half_close(self) -> None:
        self.is_ended = True

    def reset(self) -> None:
        self.is_reset = True

    def close(self) -> None:
        self.is_closed = True

    def fileno(self) -> int:
        return -1 if self.is_closed else 1000

    def probe_when_silent(self) -> None: ...

    def wait(self, events: int, seconds: float) -> bool:
        raise NotImplementedError

    def has_failed(self) -> bool:
        return False


class Spoken:
    """A session in HTTP/2 on a wire, whose requests an engine answers in this thread."""

    def __init__(
        self,
        take: Callable[[bytes], bytes],
        chance: random.Random | None = None,
        *,
        reads: bool = True,
        threads: int = 0,
    ) -> None:
        """The requests are answered in this thread, or in so many `threads`."""
        self.posted: deque[Callable[[], None]] = deque()
        self._threads = AdaptivePool(threads) if threads else InlineThreads(1)
        self.engine: Any = SizesEngine(reads=reads)
        self.loop = ClientLoop(self.posted.append, watch_nothing, 1000.0)
        parts = parts_with(self.engine)
        self.sessions = parts.sessions_on(self._threads, server_config(), lambda: False)(self.loop)
        self.wire = Wire(take, chance)
        self.connection = self.sessions.open(self.wire, ("127.0.0.1", 1))
        self.connection.ingress = SECURED
        begin = Http2Sessions(self.sessions.first_step, self.loop).begin
        self.loop.turn_to(self.connection, begin(self.connection))

    def step(self) -> None:
        """Do the next thing that is due, or tell the connection that something may have come."""
        if self.posted:
            self.posted.popleft()()
        elif self.loop.turns:
            self.loop.take_turns()
        elif self.connection.is_open:
            self.loop.on_event(self.connection, select.EPOLLIN | select.EPOLLOUT)

    def run(self, is_done: Callable[[], bool]) -> None:
        """Take steps until it is done; raises AssertionError if it does not come to that."""
        with cpu_within(20.0):
            for _ in range(_STEPS):
                if is_done():
                    return
                self.step()
                self._threads.relieve(clock.steady())
                os.sched_yield()
        raise AssertionError("it does not come to an end")

    def settle(self) -> None:
        """Do all that is due."""
        for _ in range(20):
            self.step()
        while self.posted or self.loop.turns:
            self.step()

    def pass_time(self, seconds: float) -> None:
        self.loop.now += seconds
        self.loop.tick()
        self.settle()


class Judge(StrictClient):
    """A strict client at the other end of the wire."""

    def __init__(
        self, chance: random.Random | None = None, *, window: int = 65535, threads: int = 0
    ) -> None:
        super().__init__(window=window)
        self.spoken = Spoken(self.receive, chance, threads=threads)
        self.flush()

    def ask(self, fields: Fields, content: bytes | None = None) -> int:
        """Send a request; returns its stream."""
        stream = self.begin(fields, content)
        self.flush()
        return stream

    def all_of(self, streams: Iterable[int]) -> list[Answered]:
        """The answers on these streams, once all have ended."""
        wanted = list(streams)
        self.spoken.run(lambda: all(self.answers[one].is_over for one in wanted))
        return [self.answers[one] for one in wanted]

    def flush(self) -> None:
        """Have what the client wants to send come."""
        self.spoken.wire.coming += self.h2.data_to_send()


@dataclass(frozen=True)
class Sent:
    """A frame that was sent, by hyperframe."""

    name: str
    stream: int
    frame: Any


def frames_of(data: bytes) -> Iterator[Sent]:
    """The frames in these bytes."""
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        yield Sent(type(frame).__name__, frame.stream_id, frame)
        data = data[9 + length :]


class RawClient:
    """A client that sends any frames, and notes those that it gets."""

    def __init__(self, *, reads: bool = True, settings: bytes = b"", preface: bytes | None = None) -> None:
        """It begins with these settings, or with the `preface` in place of all."""
        self._raw = bytearray()
        self._encoder = hpack.Encoder()
        self.spoken = Spoken(self._taken, reads=reads)
        self.send(PREFACE + frame(4, 0, 0, settings) if preface is None else preface)

    def _taken(self, data: bytes) -> bytes:
        self._raw += data
        return b""

    def send(self, raw: bytes) -> None:
        """Have the bytes come, and all be done that is due then."""
        self.spoken.wire.coming += raw
        self.spoken.settle()

    def block(self, fields: Fields) -> bytes:
        """The fields as the next block of this connection."""
        return self._encoder.encode(fields)

    def ask(self, stream: int, fields: Fields, flags: int = 5) -> None:
        """Send a request in one frame, which ends the stream and the block."""
        self.send(frame(1, flags, stream, self.block(fields)))

    @property
    def sent(self) -> list[Sent]:
        """The frames that it got."""
        return list(frames_of(bytes(self._raw)))

    def body(self, stream: int) -> bytes:
        """The content that it got on a stream."""
        return b"".join(
            one.frame.data for one in self.sent if (one.name, one.stream) == ("DataFrame", stream)
        )

    @property
    def goaways(self) -> list[tuple[int, int]]:
        """The codes and last streams of the GOAWAY frames that it got."""
        found = [one.frame for one in self.sent if one.name == "GoAwayFrame"]
        return [(one.error_code, one.last_stream_id) for one in found]

    @property
    def resets(self) -> dict[int, int]:
        """The codes of the RST_STREAM frames that it got, by streams."""
        return {one.stream: one.frame.error_code for one in self.sent if one.name == "RstStreamFrame"}
