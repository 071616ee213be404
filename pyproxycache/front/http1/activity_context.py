"""The parts of a worker that the activities of its HTTP/1.1 connections use."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.front.http1.request_collapser import RequestCollapser
from pyproxycache.front.http1.request_runner import RequestRunner
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.client_loop import ClientLoop


@dataclass(frozen=True, slots=True)
class ActivityContext:
    """The parts of a worker that the activities of all its HTTP/1.1 connections use.

    `half_closed`: for how many seconds a client that has closed its sending side is assumed to wait.
    """

    loop: ClientLoop
    threads: AdaptivePool
    runner: RequestRunner
    collapser: RequestCollapser
    half_closed: float
