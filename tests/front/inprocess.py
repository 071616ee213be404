"""A worker's front in this process: a real poller, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from gunicorn.config import Config as ServerConfig

from pyproxycache.configuration.config import Config
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.listener import Listener
from pyproxycache.front.loop.poller import Poller
from pyproxycache.front.processes.gunicorn_server import PARSING
from pyproxycache.front.processes.worker_parts import MakeSessions
from pyproxycache.options import Share, StoreOptions
from pyproxycache.outcome import Outcome
from pyproxycache.report.reporter import GivenAgain, Reporter
from pyproxycache.tls.leaf_tls import LeafTls
from pyproxycache.wiring.worker import build_worker


def server_config() -> Any:
    """What the server tells gunicorn of parsing."""
    cfg = ServerConfig()
    for name, value in PARSING.items():
        cfg.set(name, value)
    return cfg


class Front:
    """Serves on `address`; `outcomes` are what was reported, once for each request, as it stood then.

    `repeated` of them are those of answers from memory.
    """

    def __init__(
        self,
        folder: Path,
        *,
        memory: int = 64 << 20,
        threads: int = 4,
        leaf_tls: LeafTls | None = None,
        **config: Any,
    ) -> None:
        store = StoreOptions(path=folder, reserve=Share(percent=0))
        self.outcomes: list[Outcome] = []
        self.repeated = 0
        self._changed = threading.Condition()  # guards outcomes and repeated
        self.is_filled = False
        made = build_worker(
            Config(store=store, memory=memory, **config),
            make_reporter=partial(_Recording, self),
            leaf_tls=leaf_tls,
        )
        self.parts = replace(made, sessions=replace(made.sessions, report_after=0.001))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._alive = True
        self.make_sessions = self.parts.sessions_on(
            AdaptivePool(threads), server_config(), lambda: not self._alive
        )
        self.serve_with(lambda make: make)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def serve_with(self, changed: Callable[[MakeSessions], MakeSessions]) -> None:
        """Have a poller whose sessions are made in a changed way; before it runs."""
        self.poller = Poller([Listener(self._listener)], changed(self.make_sessions), 10_000)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._alive = False
        self.poller.wake_up()
        self._thread.join(10)
        self.parts.hooks.close(1.0)

    def told(self, start: int, count: int, *, exactly: bool = True, timeout: float = 10.0) -> list[Outcome]:
        """So many outcomes from that place on, once they are there, and `exactly` so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.outcomes) >= start + count, timeout)
            assert not exactly or len(self.outcomes) == start + count
            return self.outcomes[start:]

    def note(self, outcome: Outcome, times: int) -> None:
        """It was reported, so many times."""
        with self._changed:
            self.outcomes += [outcome] * times
            self._changed.notify_all()

    def note_repeated(self, times: int) -> None:
        """So many answers came from memory."""
        with self._changed:
            self.repeated += times

    def _run(self) -> None:
        self.poller.run(lambda: self._alive)
        self.poller.finish(lambda: True, 0.0)


class _Recording(Reporter):
    """Tells a front what it is told, with each of those that it is told of as many."""

    def __init__(self, front: Front, *parts: Any) -> None:
        super().__init__(*parts)
        self._front = front

    def finished(self, outcome: Outcome) -> None:
        super().finished(outcome)
        self._front.note(outcome, 1)

    def accessed(self, entry_id: int, now: float) -> None:
        super().accessed(entry_id, now)
        self._front.note_repeated(1)

    def repeated(self, given: Iterable[GivenAgain], now: float) -> None:
        kept = [*given]
        super().repeated(kept, now)
        for outcome, _entry_id, times in kept:
            self._front.note_repeated(times)
            self._front.note(outcome, times)
