"""Interim answers: heads that a client gets before the final one (RFC 9110 section 15.2)."""

from __future__ import annotations

import contextlib
import select
import threading
from typing import Protocol

from pyproxycache.http1.answer_heads import status_line
from pyproxycache.messages import Head
from pyproxycache.rules.grammar import end_to_end

_MOST = 16
_LONGEST = 16 << 10


class Client(Protocol):
    """A client's stream, and what waits for it."""

    def fileno(self) -> int: ...

    def sendall(self, data: bytes, /) -> None: ...

    def half_close(self) -> None: ...


class InterimHeads:
    """Sends interim heads to one client of HTTP/1.1 until its final head begins.

    Only in the thread that answers the client: what others fetch at its request is not its answer.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._thread = threading.get_ident()
        self._left = _MOST
        self._over = False

    def forward(self, head: Head) -> None:
        """Send an origin's; dropped where there are too many, or the client is not reading."""
        if not self._is_awaited():
            return
        fields = end_to_end(head.headers).without("Content-Length")
        lines = [f"HTTP/1.1 {status_line(head)}", *(f"{name}: {value}" for name, value in fields)]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if self._left and len(data) <= _LONGEST and self._has_room():
            self._left -= 1
            self._send(data)

    def belong_here(self) -> None:
        """This thread is the one that answers the client, from here on."""
        self._thread = threading.get_ident()

    def proceed(self) -> None:
        """Ask for the request's body, which a client holds back that expects this."""
        if self._is_awaited():
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def end(self) -> None:
        """The final head comes: nothing may come before it any more."""
        self._over = True

    def _is_awaited(self) -> bool:
        return not self._over and threading.get_ident() == self._thread

    def _has_room(self) -> bool:
        # Others may wait for the same origin: this client does not hold them up.
        poll = select.poll()
        poll.register(self._client, select.POLLOUT)
        return bool(poll.poll(0))

    def _send(self, data: bytes) -> None:
        try:
            self._client.sendall(data)
        except OSError:
            # Nothing may follow half a head: the final one shall fail as well.
            self._over = True
            with contextlib.suppress(OSError):
                self._client.half_close()
