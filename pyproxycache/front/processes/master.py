"""gunicorn's master, which tries a new configuration before it gives up the old one."""

from __future__ import annotations

import logging
import signal
import socket
from pathlib import Path
from typing import Any

from gunicorn import sock, util
from gunicorn.arbiter import Arbiter

from pyproxycache.errors import ConfigError, ProxyError
from pyproxycache.front.processes.unix_sockets import check_is_free

log = logging.getLogger("pyproxycache")

Listener = Any
"""A gunicorn.sock.BaseSocket: `cfg_addr` is what it was asked to be bound to."""


class Master(Arbiter):  # type: ignore[misc]
    """The master process; keeps its listeners, settings and workers if a reload fails."""

    LISTENERS: list[Listener]

    def reload(self) -> None:
        """Adopt the configuration as it is now, with new workers; with an error, nothing changes."""
        try:
            setup = self.app.load_setup()
            listeners = self._listeners(setup.options.listen)
        except (ConfigError, ProxyError, OSError) as error:
            for line in str(error).splitlines():
                log.error("the configuration stays as it was: %s", line)
            return
        except Exception:
            log.exception("the configuration stays as it was")
            return
        self.app.adopt(setup)
        self._adopt_listeners(listeners, list(setup.options.listen))
        log.info("the configuration was read again and is in force; the workers are replaced")
        super().reload()

    def stop(self, graceful: bool = True) -> None:
        """End the workers and the listeners; a Unix socket's file may have gone before."""
        self.LISTENERS = _with_files(self.LISTENERS)
        super().stop(graceful)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """End all, and this process; a signal that comes again does not change its exit status."""
        try:
            super().halt(reason, exit_status)
        finally:
            for (
                number
            ) in self.SIGNALS:  # the interpreter's end would restore what the system does by default
                signal.signal(number, signal.SIG_IGN)

    def spawn_worker(self) -> Any:
        """Fork a worker; signals wait until it has handlers of its own: the master's would lose them."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self.worker_class.SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self.worker_class.SIGNALS)

    def murder_workers(self) -> None:
        """What the master does every second; also has workers replaced that are outdated."""
        super().murder_workers()
        try:
            outdated = self.app.workers_are_outdated()
        except Exception:
            log.exception("the workers go on as they are")
            return
        if outdated:
            for _ in range(self.cfg.workers):
                self.spawn_worker()
            self.manage_workers()  # which ends those that are too many, the oldest first

    def _listeners(self, listen: tuple[str, ...]) -> list[Listener]:
        """Those that there are, as far as they are wanted, and new ones; raises ConfigError.

        Under socket activation they are the service manager's, whatever is configured.
        """
        if self.systemd:
            return list(self.LISTENERS)
        present = {listener.cfg_addr: listener for listener in self.LISTENERS}
        found, made, problems = [], [], []
        for text in listen:
            address = util.parse_address(text)
            listener = present.get(address)
            if listener is None:
                try:
                    listener = _bound(address, self)
                    made.append(listener)
                except (OSError, ValueError) as error:
                    problems.append(f"cannot listen on {text}: {_reason(error)}")
                    continue
            found.append(listener)
        if problems:
            sock.close_sockets(made)
            raise ConfigError("\n".join(problems))
        return found

    def _adopt_listeners(self, listeners: list[Listener], listen: list[str]) -> None:
        """Close those that are not wanted any more; for gunicorn nothing has changed then."""
        dropped = [listener for listener in self.LISTENERS if listener not in listeners]
        sock.close_sockets(_with_files(dropped))
        if listeners != self.LISTENERS:
            log.info("listening on %s", ", ".join(listen))
        self.LISTENERS = listeners
        self.cfg.set("bind", listen)


def _with_files(listeners: list[Listener]) -> list[Listener]:
    """All but Unix sockets whose file is gone, which are closed: gunicorn would fail to remove it."""
    found = []
    for listener in listeners:
        name = listener.getsockname()
        if isinstance(name, str) and not Path(name).exists():
            listener.close()
        else:
            found.append(listener)
    return found


def _bound(address: str | tuple[str, int], master: Master) -> Listener:
    """A new listener; raises OSError, or ValueError where a file of that name is no socket."""
    if isinstance(address, str):
        check_is_free(address)
        return sock.UnixSocket(address, master.cfg, master.log)
    is_v6 = ":" in address[0]
    kind = sock.TCP6Socket if is_v6 else sock.TCPSocket
    return kind(address, master.cfg, master.log)


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve ({error.strerror})"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
