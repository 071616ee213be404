"""A worker's front for one connection, in this thread: what it makes of what a client sends."""

from __future__ import annotations

import random
import re
import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inprocess import server_config
from scripted import upstream
from splits import Plain, Secured, cpu_within, plain, secured

from pyproxycache.configuration.config import Config
from pyproxycache.errors import ProxyError
from pyproxycache.facts import Facts
from pyproxycache.front.loop.adaptive_pool import AdaptivePool, Task
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.processes.worker_parts import WorkerHooks, WorkerParts
from pyproxycache.messages import Head, Headers, Request, Response
from pyproxycache.net.stream import stream_over
from pyproxycache.options import KissCacheOptions, StoreOptions
from pyproxycache.report.figures import Figures
from pyproxycache.report.reporter import Reporter
from pyproxycache.routing.resource import Resource
from pyproxycache.serving import responses
from pyproxycache.steps import Steps
from pyproxycache.wiring.front import Below, build_parts
from pyproxycache.wiring.listening import build_guard

_STEPS = 20_000
_CONFIG = Config(store=StoreOptions(path=Path("/nowhere")), kisscache=KissCacheOptions(enabled=False))
_UPSTREAM, _GUARD = upstream(), build_guard(_CONFIG)  # once: they read certificates and addresses
_STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")


@dataclass(frozen=True)
class Asked:
    """A request that was read to its end."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Seen:
    """The requests of a connection, and the statuses that its client got, interim ones too."""

    requests: tuple[Asked, ...]
    statuses: tuple[int, ...]


class _Engine:
    """Answers with nothing; notes what it was asked, and reads content if it `reads`."""

    def __init__(self, *, reads: bool) -> None:
        self.asked: list[Asked] = []
        self._reads = reads

    def handle(self, _resource: Resource, request: Request, facts: Facts) -> Steps[Response]:
        yield from ()
        try:
            body = b"".join(request.body or ()) if self._reads else b""
        except ProxyError as error:
            return responses.from_error(error)
        fields = tuple((name.lower(), value) for name, value in request.headers)
        self.asked.append(Asked(request.method, str(request.url), fields, body))
        return Response(Head(200, "OK", Headers([("Content-Length", "0")])))


class _Inline(AdaptivePool):
    """Threads whose work is done at once."""

    def submit(self, task: Task) -> None:
        task.run()


def seen(
    pieces: list[bytes],
    *,
    reads: bool = True,
    slow: random.Random | None = None,
    idle: float = 0.0,
    pace: float = 0.0,
    tls: int | None = None,
) -> Seen:
    """What is made of these pieces of one connection, whose client may be `slow` to take its answers.

    The first one comes after `idle` seconds, and whatever happens takes `pace` seconds. With a seed for
    `tls` they come encrypted, in other pieces drawn by lot. Raises AssertionError where the connection does
    not end.
    """
    engine: Any = _Engine(reads=reads)
    posted: deque[Callable[[], None]] = deque()
    parts = _parts(engine)
    loop = ClientLoop(posted.append, _watch_nothing, 0.0)
    sessions = parts.sessions_on(_Inline(1), server_config(), lambda: False)(loop)
    with _client(pieces, slow, tls) as sock:
        sock.feed.next()
        connection = sessions.open(stream_over(sock), ("127.0.0.1", 1))
        loop.now += idle
        with cpu_within(10.0):
            for _ in range(_STEPS):
                loop.now += pace
                loop.tick()
                sessions.tick()
                if posted:
                    posted.popleft()()
                elif loop.turns:
                    loop.take_turns()
                elif not connection.is_open:
                    break
                else:
                    ended = select.EPOLLRDHUP if sock.feed.is_over else 0
                    loop.on_event(connection, select.EPOLLIN | select.EPOLLOUT | ended)
            else:
                raise AssertionError("the connection does not end")
        statuses = tuple(int(status) for status in _STATUS.findall(sock.feed.sent()))
    return Seen(tuple(engine.asked), statuses)


def _client(pieces: list[bytes], slow: random.Random | None, tls: int | None) -> Plain | Secured:
    if tls is None:
        return plain(pieces, early=True, slow=slow)
    return secured(b"".join(pieces), tls, early=True, slow=slow)


def _watch_nothing(*_values: object) -> None:
    """No connection is another's to wait for."""


def _parts(engine: Any) -> WorkerParts:
    def nothing(*_values: object) -> None:
        pass

    below = Below(
        name="test",
        engine=engine,
        upstream=_UPSTREAM,
        guard=_GUARD,
        reporter=Reporter(nothing, nothing, None),
        versions=memoryview(bytearray(8)).cast("Q"),
        figures=lambda: Figures(0, None, 0, 0, {}),
    )
    return build_parts(_CONFIG, below, 0, WorkerHooks(lambda: None, lambda: None, nothing))
