"""Serves the admin listener of a worker, on threads of its own: it answers however busy the others are."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import socket
import threading
from collections.abc import Sequence

from pyproxycache import clock
from pyproxycache.errors import BadRequest
from pyproxycache.front.admin.admin_pages import AdminPages, refused
from pyproxycache.front.admin.admin_request import read_request
from pyproxycache.net import descriptors

log = logging.getLogger("pyproxycache")

_MOST_CONNECTIONS = 32
_SECONDS = 10.0
_REST = 0.1
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class AdminServer:
    """Accepts connections, each of which has a thread, one request, and ten seconds.

    When there are too many, the oldest is closed: whoever holds connections keeps nobody else out.
    `_open` (guarded by `_changed`) has those there are, the oldest first.
    """

    def __init__(self, listeners: Sequence[socket.socket], pages: AdminPages) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._pages = pages
        self._changed = threading.Condition()
        self._open: dict[socket.socket, None] = {}
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="admin", daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def close(self) -> None:
        """Accept no more connections, which are other workers' then; those that are open go on."""
        os.eventfd_write(self._end, 1)
        self._thread.join()
        for listener in self._listeners.values():
            listener.close()

    def finish(self, seconds: float) -> None:
        """Accept no more, as the worker ends, and answer who has been accepted, in so many seconds."""
        if self._thread.is_alive():
            self.close()
        with self._changed:
            self._changed.wait_for(lambda: not self._open, seconds)

    def _run(self) -> None:
        poll = select.poll()
        for fd in (self._end, *self._listeners):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _event in poll.poll():
                if fd == self._end:
                    return
                self._accept(self._listeners[fd])

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return  # another worker has it
        except OSError as error:
            has_room = error.errno not in _NO_ROOM or any(close() for close in descriptors.closers)
            if not has_room:
                log.warning("the admin listener can accept no connection for now: %s", error.strerror)
                rest = select.poll()  # select() takes no descriptor above 1023
                rest.register(self._end, select.POLLIN)
                rest.poll(_REST * 1000)
            return
        peer = address[0].partition("%")[0] if isinstance(address, tuple) else ""
        with self._changed:
            self._open[sock] = None
            oldest = next(iter(self._open)) if len(self._open) > _MOST_CONNECTIONS else None
            if oldest is not None:
                del self._open[oldest]
                _shut(oldest)
        try:
            threading.Thread(
                target=self._serve, args=(sock, peer), name="admin-request", daemon=True
            ).start()
        except RuntimeError as error:  # the system allows no more threads
            log.warning("no thread for a request of the operator: %s", error)
            self._leave(sock)

    def _serve(self, sock: socket.socket, peer: str) -> None:
        try:
            self._answer(sock, peer)
        except OSError as error:
            log.debug("the operator's connection ended: %s", error)
        finally:
            self._leave(sock)

    def _answer(self, sock: socket.socket, peer: str) -> None:
        until = clock.steady() + _SECONDS
        try:
            request = read_request(sock, peer, until)
        except BadRequest as error:
            reply, has_content = refused(error), True
        else:
            if request is None:
                return
            reply, has_content = self._pages.answer(request), request.method != "HEAD"
        sock.settimeout(_SECONDS)
        sock.sendall(reply.sent(has_content=has_content))
        # What the client sends still would have the system reset the connection, and the answer with it.
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(1.0)
        while sock.recv(1 << 16) and clock.steady() < until:
            pass

    def _leave(self, sock: socket.socket) -> None:
        # With the lock, as its number may be another one's right after.
        with self._changed:
            self._open.pop(sock, None)
            sock.close()
            self._changed.notify_all()


def _shut(sock: socket.socket) -> None:
    """End a connection that its thread reads or writes, which closes it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
