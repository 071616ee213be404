"""The parts of a worker that the activities of its HTTP/1.1 connections use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache.front.http1.request_collapser import RequestCollapser
from pyproxycache.front.http1.request_runner import RequestRunner
from pyproxycache.front.loop.activity import Activity
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection


@dataclass(frozen=True, slots=True)
class ActivityContext:
    """The parts of a worker that the activities of all its HTTP/1.1 connections use.

    `begin_session` gives the first activity of a connection whose handshake is over, by the protocol that
    was agreed on. `half_closed`: for how many seconds a client that has closed its sending side is assumed
    to wait.
    """

    loop: ClientLoop
    threads: AdaptivePool
    runner: RequestRunner
    collapser: RequestCollapser
    begin_session: Callable[[ClientConnection, str | None], Activity]
    half_closed: float
