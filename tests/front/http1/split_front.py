"""A worker's front for one connection, in this thread: what it makes of what a client sends."""

from __future__ import annotations

import random
import re
import select
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from inline_front import Asked, InlineThreads, NotingEngine, parts_with, watch_nothing
from inprocess import server_config
from split_streams import Split, layered_stream, plain_stream
from splits import cpu_within

from pyproxycache.front.loop.client_loop import ClientLoop

_STEPS = 20_000
_STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")


@dataclass(frozen=True)
class Seen:
    """The requests of a connection, and the statuses that its client got, interim ones too."""

    requests: tuple[Asked, ...]
    statuses: tuple[int, ...]


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
    engine: Any = NotingEngine(reads=reads)
    posted: deque[Callable[[], None]] = deque()
    parts = parts_with(engine)
    loop = ClientLoop(posted.append, watch_nothing, 0.0)
    sessions = parts.sessions_on(InlineThreads(1), server_config(), lambda: False)(loop)
    with _client(pieces, slow, tls) as (stream, feed):
        feed.next()
        connection = sessions.open(stream, ("127.0.0.1", 1))
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
                    ended = select.EPOLLRDHUP if feed.is_over else 0
                    loop.on_event(connection, select.EPOLLIN | select.EPOLLOUT | ended)
            else:
                raise AssertionError("the connection does not end")
        statuses = tuple(int(status) for status in _STATUS.findall(feed.sent()))
    return Seen(tuple(engine.asked), statuses)


def _client(
    pieces: list[bytes], slow: random.Random | None, tls: int | None
) -> AbstractContextManager[Split]:
    return plain_stream(pieces, slow) if tls is None else layered_stream(b"".join(pieces), tls, slow)
