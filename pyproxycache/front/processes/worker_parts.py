"""What a worker process runs, made after the fork."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache.front.answers.application import Application
from pyproxycache.front.http1.sessions import SessionParts
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


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """The parts that a worker runs with its sockets and threads.

    `shares`: how many threads may wait for origins; None: the usual ones.
    """

    application: Application
    sessions: SessionParts
    hooks: WorkerHooks
    shares: Shares | None = None
