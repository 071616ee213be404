"""The gunicorn application: its settings, and how each worker gets its parts."""

from __future__ import annotations

import math
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gunicorn.app.base import BaseApplication

from pyproxycache.front.processes.gunicorn_worker import Worker
from pyproxycache.front.processes.master import Master
from pyproxycache.front.processes.worker_parts import WorkerParts
from pyproxycache.options import ServerOptions
from pyproxycache.report.metrics.board import Board

_GRACE = 2


PARSING: dict[str, Any] = {
    "permit_unconventional_http_method": True,
    "header_map": "dangerous",
    "forwarded_allow_ips": "",
    "secure_scheme_headers": {},
    "forwarder_headers": "",
}
"""Gunicorn's settings for a proxy: all methods and fields pass unchanged, and none is trusted."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the server takes from one configuration.

    `begin` is called when the setup is adopted, `ready` when the server begins to accept; `build` makes the
    parts of a worker, after the fork. The master calls `workers_are_outdated` every second. `board` has the
    figures of the workers, if they count any.
    """

    options: ServerOptions
    begin: Callable[[], None]
    ready: Callable[[], None]
    build: Callable[[], WorkerParts]
    workers_are_outdated: Callable[[], bool]
    board: Board | None = None


class Server(BaseApplication):  # type: ignore[misc]
    """Runs workers; `load_setup` gives the setup by the configuration as it is now, or raises."""

    def __init__(self, load_setup: Callable[[], Setup]) -> None:
        self.load_setup = load_setup
        self.adopt(load_setup())
        super().__init__()

    def adopt(self, setup: Setup) -> None:
        """Adopt a setup, which new workers are made by from then on."""
        self._setup = setup
        setup.begin()

    def workers_are_outdated(self) -> bool:
        """Whether the workers have to be replaced, as by the setup."""
        return self._setup.workers_are_outdated()

    def stop(self) -> None:
        """Let all workers know that none of them is replaced."""
        if self._setup.board is not None:
            self._setup.board.stop()

    @property
    def redirected(self) -> tuple[str, ...]:
        """The addresses of listeners for redirected connections, by the setup."""
        return self._setup.options.redirected

    def load_config(self) -> None:
        for name, value in self._settings().items():
            self.cfg.set(name, value)

    def load(self) -> WorkerParts:
        _allow_many_files()
        return self._setup.build()

    def _forking(self, _arbiter: object, worker: object) -> None:
        if self._setup.board is not None:
            self._setup.board.deal(worker)

    def _ended(self, _arbiter: object, worker: object) -> None:
        if self._setup.board is not None:
            self._setup.board.collect(worker)

    def run(self) -> None:
        Master(self).run()

    def _settings(self) -> dict[str, Any]:
        options = self._setup.options
        return {
            "bind": list(options.listen),
            "workers": options.workers,
            "threads": options.threads,
            "worker_class": Worker,
            "graceful_timeout": math.ceil(options.drain) + _GRACE,
            "timeout": 60,
            "backlog": 4096,
            "loglevel": options.log_level,
            "limit_request_line": options.limits.request_line,
            "limit_request_fields": options.limits.header_fields,
            "limit_request_field_size": options.limits.header_size,
            **PARSING,
            "control_socket_disable": True,
            "when_ready": lambda _arbiter: self._setup.ready(),
            "pre_fork": self._forking,
            "child_exit": self._ended,
            "proc_name": "pyproxycache",
        }


def _allow_many_files() -> None:
    """Raise the limit of open files as far as is allowed: each client and growing file takes one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
