"""The gunicorn worker: runs a poller and request threads, and waits for downloads at its end."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys

from gunicorn.http import message
from gunicorn.workers import base

from pyproxycache import clock
from pyproxycache.front.admin.admin_server import AdminServer
from pyproxycache.front.admin.stack_teller import StackTeller
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.poller import Poller
from pyproxycache.front.processes.bound import listeners_of, sockets_apart
from pyproxycache.front.processes.heap import keep_few_arenas
from pyproxycache.front.processes.worker_parts import AdminParts, WorkerParts
from pyproxycache.net import descriptors

_GRACE = 2.0
_GRACE_OF_OPERATOR = 0.5
_OWN_FILES = 1024
_LEAST_CONNECTIONS = 16
_TURN_SECONDS = 0.0002
_OBJECTS_A_COLLECTION = 10_000


class Worker(base.Worker):  # type: ignore[misc]
    """A worker process: its main thread runs the poller, request threads do what may have to wait."""

    def init_process(self) -> None:
        keep_few_arenas()
        self._drain = max(0.0, self.cfg.graceful_timeout - _GRACE)
        self._stop_at = float("inf")
        # gunicorn cuts the configured limit down to this constant.
        message.MAX_REQUEST_LINE = max(message.MAX_REQUEST_LINE, self.cfg.limit_request_line)
        self._poller: Poller | None = None
        self._admin: AdminParts | None = None
        super().init_process()

    def init_signals(self) -> None:
        """Handle signals, which the master blocked before the fork."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.SIGNALS)

    def handle_exit(self, _sig: int, _frame: object) -> None:
        if self.alive:
            self.alive: bool = False
            self._stop_at = clock.steady() + self._drain
            if self._poller is not None:
                self._poller.wake_up()

    def handle_quit(self, _sig: int, _frame: object) -> None:
        # Threads may be anywhere, and unfinished downloads can be resumed: exit at once.
        if self._poller is not None:
            self._poller.write_lines()
            self.wsgi.hooks.finish_logs()
        os._exit(0)

    def handle_usr1(self, sig: int, frame: object) -> None:
        """Open the log files anew, as they were renamed (SIGUSR1)."""
        super().handle_usr1(sig, frame)
        if self._poller is not None:
            self._poller.post(self.wsgi.hooks.reopen_logs)

    def run(self) -> None:
        # By default the poller could wait 5 ms for the interpreter while a thread works on a miss.
        sys.setswitchinterval(_TURN_SECONDS)
        parts: WorkerParts = self.wsgi
        threads = AdaptivePool(self.cfg.threads, parts.shares)
        sessions = parts.sessions_on(threads, self.cfg, lambda: not self.alive)
        for listener in self.sockets:
            listener.setblocking(False)
        addresses = () if parts.admin is None else parts.admin.addresses
        clients, of_admin = sockets_apart(self.sockets, addresses)
        listeners = listeners_of(clients, self.cfg.bind, parts.tls, parts.redirected)
        self._poller = Poller(listeners, sessions, _most_connections(), parts.welcomes)
        descriptors.closers.append(self._poller.close_idle)
        # What there is before the first request stays, and few requests leave cycles behind.
        gc.freeze()
        gc.set_threshold(_OBJECTS_A_COLLECTION)
        self._admin = parts.admin
        admin = None
        if parts.admin is not None:
            admin = AdminServer(of_admin, parts.admin.pages(lambda: not self.alive))
            admin.start()
            self._tell_stacks(parts.admin.server_name)
        self._poller.run(self._beat)
        if admin is not None and not self._server_stops():
            admin.close()  # the workers that stay answer the operator
        self._poller.finish(self._beat, self._stop_at)
        parts.hooks.close(max(0.0, self._stop_at - clock.steady()))
        if admin is not None:
            admin.finish(_GRACE_OF_OPERATOR)
        os._exit(0)

    def _tell_stacks(self, name: str) -> None:
        """Tell the other workers of the server with this name the own stacks, if that can be done."""
        try:
            StackTeller(name).start()
        except OSError as error:  # another user may have taken the address, which all can see
            self.log.warning("other workers cannot show this one's stacks: %s", error.strerror)

    def _beat(self) -> bool:
        """Tell the master that this worker lives; returns false once the worker is to end."""
        self.notify()
        if self._admin is not None and self._poller is not None:
            self._admin.clients(self._poller.clients)
        if self.alive and self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self.handle_exit(signal.SIGTERM, None)  # no master is left to end this worker
        return bool(self.alive)

    def _server_stops(self) -> bool:
        """Whether no other worker goes on: the server stops, or its master has died."""
        return self.ppid != os.getppid() or (self._admin is not None and self._admin.server_stops())


def _most_connections() -> int:
    """How many clients may be connected: each may take descriptors for a file and an origin, too."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_LEAST_CONNECTIONS, (soft - min(_OWN_FILES, soft // 4)) // 3)
