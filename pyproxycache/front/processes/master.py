"""gunicorn's master process, which keeps the old configuration until a new one has been tried."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gunicorn import sock, util
from gunicorn.arbiter import Arbiter

from pyproxycache.errors import ConfigError, ProxyError
from pyproxycache.front.processes.bound import place_of
from pyproxycache.front.processes.unix_sockets import check_is_free
from pyproxycache.net.original_destination import accept_for_all

log = logging.getLogger("pyproxycache")

Listener = Any
"""A gunicorn.sock.BaseSocket: `cfg_addr` is what it was asked to be bound to."""


class Master(Arbiter):  # type: ignore[misc]
    """The master process; keeps its listeners, settings and workers if a reload fails."""

    LISTENERS: list[Listener]

    def start(self) -> None:
        """Bind the listeners, and tell that the server is ready."""
        super().start()
        _let_accept_for_all(self.LISTENERS, self.app.redirected)

    def reload(self) -> None:
        """Read and adopt the configuration, with new workers; after an error nothing has changed."""
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
        """End the workers and the listeners, even if a Unix socket's file is gone, or another one's."""
        self.app.stop()
        self.LISTENERS = _with_files(self.LISTENERS)
        super().stop(graceful)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """End the workers and this process; further signals do not change its exit status."""
        try:
            super().halt(reason, exit_status)
        finally:
            # At its end the interpreter restores default handlers, by which a signal would kill it.
            for number in self.SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def spawn_worker(self) -> Any:
        """Fork a worker, with signals blocked until it has its own handlers, so that none is lost."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self.worker_class.SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self.worker_class.SIGNALS)

    def murder_workers(self) -> None:
        """End workers that hang, and replace outdated ones; the master calls this every second."""
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
        """The listeners for these addresses, existing or new; raises ConfigError.

        Under socket activation they are those of the service manager, whatever is configured.
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
        """Replace the listeners, closing those left out; gunicorn does not bind anything anew then."""
        dropped = [listener for listener in self.LISTENERS if listener not in listeners]
        sock.close_sockets(_with_files(dropped))
        if listeners != self.LISTENERS:
            log.info("listening on %s", ", ".join(listen))
        self.LISTENERS = listeners
        _let_accept_for_all(listeners, self.app.redirected)
        self.cfg.set("bind", listen)


def _with_files(listeners: list[Listener]) -> list[Listener]:
    """The listeners without Unix sockets whose files are gone or none of theirs; those are closed here.

    Gunicorn would fail to remove what is gone, and remove whatever else has the name.
    """
    found = []
    for listener in listeners:
        name = listener.getsockname()
        if isinstance(name, str) and not Path(name).is_socket():
            listener.close()
        else:
            found.append(listener)
    return found


def _let_accept_for_all(listeners: list[Listener], redirected: Iterable[str]) -> None:
    """Let the listeners for redirected connections take those of TPROXY, too, if that is allowed."""
    places = {place_of(util.parse_address(text)): text for text in redirected}
    for listener in listeners:
        text = places.get(place_of(listener.cfg_addr))
        if text is not None:
            try:
                accept_for_all(listener.sock)
            except PermissionError:
                log.info("%s takes connections by REDIRECT; TPROXY would need CAP_NET_RAW", text)


def _bound(address: str | tuple[str, int], master: Master) -> Listener:
    """A new listener; raises OSError, or ValueError if a file of that name is no socket."""
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
