"""A worker's front for one connection, in this thread: what it makes of what a client sends."""

from __future__ import annotations

import random
import re
import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inprocess import sessions_of
from splits import Plain, Secured, cpu_within, plain, secured

from pyproxycache.errors import ProxyError
from pyproxycache.front.answers.application import Application
from pyproxycache.front.answers.sharing import Sharing
from pyproxycache.front.answers.signer import Signer
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.pages import Pages
from pyproxycache.front.handlers.prefix import Prefix
from pyproxycache.front.handlers.proxy import Proxy
from pyproxycache.front.handlers.purge import Purge
from pyproxycache.front.http1.sessions import SessionParts
from pyproxycache.front.loop.adaptive_pool import AdaptivePool, Task
from pyproxycache.front.onward.forwarded import Forwarding
from pyproxycache.front.processes.worker_parts import WorkerHooks, WorkerParts
from pyproxycache.front.requests.target import Way
from pyproxycache.front.router import Handlers, Router
from pyproxycache.gates.access import Access, Guard
from pyproxycache.messages import Head, Headers, Request, Response
from pyproxycache.net.stream import stream_over
from pyproxycache.options import LOOPBACK, ForwardedOptions, GuardOptions
from pyproxycache.outcome import Outcome
from pyproxycache.report.reporter import Reporter
from pyproxycache.routing.resource import Realm, Resource
from pyproxycache.rules.policy import Policies
from pyproxycache.serving import answer
from pyproxycache.steps import Steps

_STEPS = 20_000
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

    def handle(self, _resource: Resource, request: Request, outcome: Outcome) -> Steps[Response]:
        yield from ()
        try:
            body = b"".join(request.body or ()) if self._reads else b""
        except ProxyError as error:
            return answer.from_error(error)
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
    sessions = sessions_of(parts, _Inline(1), lambda: False)(posted.append, _watch_nothing, 0.0)
    loop = sessions.loop
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

    realm = Realm("forward", Policies())
    cached = CachedAnswers(realm, Forwarding(ForwardedOptions(), is_reverse=False), engine)
    handlers = Handlers(
        {Way.PROXY: Proxy(cached), Way.PREFIX: Prefix(cached)},
        purge=Purge(realm, Access(LOOPBACK), engine),
        own=(),
        elsewhere=Pages(),
    )
    reporter, signer = Reporter(nothing, nothing, None), Signer("test")
    guard = Guard(GuardOptions(), ())
    sessions = SessionParts(
        admits=Access(LOOPBACK).admits,
        sharing=Sharing(signer, reporter, guard.is_inward),
        reporter=reporter,
        versions=memoryview(bytearray(8)),
    )
    application = Application(Access(LOOPBACK), Router(handlers, None), signer, reporter)
    return WorkerParts(application, sessions, WorkerHooks(lambda: None, lambda: None, nothing))
