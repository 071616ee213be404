"""What a worker process runs, made after the fork."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyproxycache.front.answers.application import Application
from pyproxycache.front.http1.request_runner import Learn, MayAsk, RequestRunner
from pyproxycache.front.http1.sessions import Http1Sessions, SessionParts
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.client_loop import Post, Watch
from pyproxycache.front.loop.turns import Shares


@dataclass(frozen=True, slots=True)
class WorkerHooks:
    """The calls by which a worker reopens and finishes its logs, and closes its parts.

    `reopen_logs` is for files that were renamed,
    `finish_logs` for an end without delay. `close` ends the worker's parts: it lets running downloads
    finish for so many seconds.
    """

    reopen_logs: Callable[[], None]
    finish_logs: Callable[[], None]
    close: Callable[[float], None]


MakeSessions = Callable[[Post, Watch, float], Http1Sessions]
"""Makes the sessions of a poller's connections, given what it posts and watches by, and the time."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """The parts that a worker runs with its sockets and threads.

    `shares`: how many threads may wait for origins; None: the usual ones.
    """

    application: Application
    sessions: SessionParts
    hooks: WorkerHooks
    shares: Shares | None = None

    def sessions_on(self, threads: AdaptivePool, cfg: Any, is_stopping: Callable[[], bool]) -> MakeSessions:
        """Sessions whose requests run on the threads; `cfg` is gunicorn's configuration."""

        def runner(learn: Learn, may_ask: MayAsk) -> RequestRunner:
            return RequestRunner(cfg, self.application, self.sessions.reuse, is_stopping, learn, may_ask)

        return lambda post, watch, now: Http1Sessions(self.sessions, threads, runner, post, watch, now)
