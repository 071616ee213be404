"""A worker's front in this process: a real poller, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from gunicorn.config import Config as ServerConfig

from pyproxycache.config import Config
from pyproxycache.front.http1.request_runner import Learn, MayAsk, RequestRunner
from pyproxycache.front.http1.sessions import Http1Sessions
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.client_loop import Post, Watch
from pyproxycache.front.loop.poller import Poller
from pyproxycache.front.processes.worker_parts import WorkerParts
from pyproxycache.options import Share, StoreOptions
from pyproxycache.outcome import Outcome
from pyproxycache.wiring.worker import build_worker

_SETTINGS: dict[str, Any] = {
    "permit_unconventional_http_method": True,
    "header_map": "dangerous",
    "forwarded_allow_ips": "",
    "secure_scheme_headers": {},
    "forwarder_headers": "",
}


MakeSessions = Callable[[Post, Watch, float], Http1Sessions]


def server_config() -> Any:
    """What the server tells gunicorn of parsing."""
    cfg = ServerConfig()
    for name, value in _SETTINGS.items():
        cfg.set(name, value)
    return cfg


def sessions_of(parts: WorkerParts, threads: AdaptivePool, is_stopping: Callable[[], bool]) -> MakeSessions:
    """What makes a worker's sessions, once there is a poller."""

    def runner(learn: Learn, may_ask: MayAsk) -> RequestRunner:
        return RequestRunner(
            server_config(), parts.application, parts.sessions.sharing, is_stopping, learn, may_ask
        )

    return lambda post, watch, now: Http1Sessions(parts.sessions, threads, runner, post, watch, now)


class Front:
    """Serves on `address`; `outcomes` are what was reported, once for each request, as it stood then."""

    def __init__(self, folder: Path, *, memory: int = 64 << 20, threads: int = 4, **config: Any) -> None:
        store = StoreOptions(path=folder, reserve=Share(percent=0))
        self.parts = build_worker(Config(store=store, memory=memory, **config))
        self.outcomes: list[Outcome] = []
        self._changed = threading.Condition()  # guards outcomes
        self.is_filled = False
        self._record()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._alive = True
        self._make_sessions = sessions_of(self.parts, AdaptivePool(threads), lambda: not self._alive)
        self.serve_with(lambda make: make)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def serve_with(self, changed: Callable[[MakeSessions], MakeSessions]) -> None:
        """Have a poller whose sessions are made in a changed way; before it runs."""
        self.poller = Poller([self._listener], changed(self._make_sessions), 10_000)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._alive = False
        self.poller.wake_up()
        self._thread.join(10)
        self.parts.hooks.close(1.0)

    @property
    def memory(self) -> Any:
        return self.poller._sessions._memory

    def told(self, start: int, count: int, *, exactly: bool = True, timeout: float = 10.0) -> list[Outcome]:
        """So many outcomes from that place on, once they are there, and `exactly` so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.outcomes) >= start + count, timeout)
            assert not exactly or len(self.outcomes) == start + count
            return self.outcomes[start:]

    def _record(self) -> None:
        """Note what the reporter is told, with each of those that it is told of as many."""
        reporter, finished, repeated = (
            self.parts.sessions.reporter,
            self.parts.sessions.reporter.finished,
            self.parts.sessions.reporter.repeated,
        )

        def one(outcome: Outcome) -> None:
            finished(outcome)
            self._note(outcome, 1)

        def many(outcome: Outcome, entry_id: int, times: int, now: float) -> None:
            repeated(outcome, entry_id, times, now)
            self._note(outcome, times)

        reporter.finished = one  # type: ignore[method-assign]
        reporter.repeated = many  # type: ignore[method-assign]

    def _note(self, outcome: Outcome, times: int) -> None:
        with self._changed:
            self.outcomes += [replace(outcome) for _ in range(times)]
            self._changed.notify_all()

    def _run(self) -> None:
        self.poller.run(lambda: self._alive)
        self.poller.finish(lambda: True, 0.0)
