"""What a worker process runs, made after the fork."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from socket import socket
from typing import Any

from pyproxycache.front.admin.admin_pages import AdminPages
from pyproxycache.front.answers.application import Application
from pyproxycache.front.http1.request_runner import Learn, MayAsk, RequestRunner
from pyproxycache.front.http1.sessions import Http1Sessions, SessionParts
from pyproxycache.front.http2.http2_sessions import Http2Sessions
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.poller import everyone
from pyproxycache.front.loop.turns import Shares
from pyproxycache.tls.server_tls import ServerTls


@dataclass(frozen=True, slots=True)
class WorkerHooks:
    """The calls by which a worker reopens and finishes its logs, and closes its parts.

    `reopen_logs` opens log files that were renamed anew. `finish_logs` writes what waits, before an end
    without delay. `close` ends the worker's parts; running downloads may go on for up to so many seconds.
    """

    reopen_logs: Callable[[], None]
    finish_logs: Callable[[], None]
    close: Callable[[float], None]


MakeSessions = Callable[[ClientLoop], Http1Sessions]
"""Makes the sessions of a poller's connections."""

IsStopping = Callable[[], bool]
"""Whether the worker is to end."""


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What a worker does for the operator: `pages` makes what answers at `addresses`.

    `clients` is told about once a second how many clients are connected. `server_stops` tells whether the
    whole server is to stop, and not this worker alone. Workers of one server find each other by
    `server_name`.
    """

    addresses: tuple[str, ...]
    pages: Callable[[IsStopping], AdminPages]
    clients: Callable[[int], None]
    server_stops: Callable[[], bool]
    server_name: str


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """The parts that a worker runs with its sockets and threads.

    `shares`: how many threads may wait for origins; None: the usual shares. `tls` is that of the listeners
    which speak it, by the addresses in `listen`, `redirected` the scheme of those for redirected
    connections. `welcomes` tells whether an accepted connection may ask anything. `admin` is there if the
    operator asks at an address of its own.
    """

    application: Application
    sessions: SessionParts
    hooks: WorkerHooks
    shares: Shares | None = None
    tls: Mapping[str, ServerTls] = field(default_factory=dict)
    welcomes: Callable[[socket], bool] = everyone
    redirected: Mapping[str, str] = field(default_factory=dict)
    admin: AdminParts | None = None

    def sessions_on(self, threads: AdaptivePool, cfg: Any, is_stopping: Callable[[], bool]) -> MakeSessions:
        """What makes sessions whose requests run on these threads; `cfg` is gunicorn's configuration."""

        def runner(learn: Learn, may_ask: MayAsk) -> RequestRunner:
            return RequestRunner(cfg, self.application, self.sessions.reuse, is_stopping, learn, may_ask)

        def sessions(loop: ClientLoop) -> Http1Sessions:
            made = Http1Sessions(self.sessions, threads, runner, loop)
            made.speak("h2", Http2Sessions(made.first_step, loop).begin)
            return made

        return sessions
