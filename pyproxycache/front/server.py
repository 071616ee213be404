"""The gunicorn application: settings for the proxy's needs, one App a worker."""

from __future__ import annotations

import logging
import math
import resource
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication

from pyproxycache.errors import ConfigError, ProxyError
from pyproxycache.front.app import App
from pyproxycache.front.worker import Worker
from pyproxycache.options import ServerOptions

log = logging.getLogger("pyproxycache")

_GRACE = 2


class Server(BaseApplication):  # type: ignore[misc]
    """Runs workers; on SIGHUP asks `reload_options` anew and keeps the old options where that fails.

    `build` makes a worker's App, after the fork.
    """

    def __init__(
        self,
        reload_options: Callable[[], ServerOptions],
        build: Callable[[], App],
        ready: Callable[[], None],
    ) -> None:
        self._reload_options = reload_options
        self._options = reload_options()
        self._build = build
        self._ready = ready
        self._loaded = False
        super().__init__()

    def load_config(self) -> None:
        if self._loaded:
            try:
                self._options = self._reload_options()
            except (ConfigError, ProxyError, OSError) as error:
                log.error("the configuration stays as it was: %s", error)
        self._loaded = True
        for name, value in self._settings().items():
            self.cfg.set(name, value)

    def load(self) -> App:
        _allow_many_files()
        return self._build()

    def _settings(self) -> dict[str, Any]:
        options = self._options
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
            # A proxy passes methods and fields on as they are, and believes none of them.
            "permit_unconventional_http_method": True,
            "header_map": "dangerous",
            "forwarded_allow_ips": "",
            "secure_scheme_headers": {},
            "forwarder_headers": "",
            "control_socket_disable": True,
            "when_ready": lambda _arbiter: self._ready(),
            "proc_name": "pyproxycache",
        }


def _allow_many_files() -> None:
    """Each client and each growing file is a descriptor: take what the system lets us have."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
