"""Sends interim responses, which a client gets before the final one (RFC 9110 section 15.2)."""

from __future__ import annotations

import contextlib
import threading
from typing import Protocol

from pyproxycache.http1.answer_heads import status_line
from pyproxycache.messages import Head
from pyproxycache.rules.grammar import end_to_end

_MOST = 16
_LONGEST = 16 << 10


class Client(Protocol):
    """The protocol of a client's stream, whose methods may wait for the client; `has_room` does not."""

    def has_room(self) -> bool: ...

    def sendall(self, data: bytes, /) -> None: ...

    def half_close(self) -> None: ...


class InterimHeads:
    """Sends interim heads to one HTTP/1.1 client until its final head begins.

    Heads that come in another thread than the one that answers the client are dropped, as they belong to
    another exchange.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._thread = threading.get_ident()
        self._left = _MOST
        self._over = False

    def forward(self, head: Head) -> None:
        """Send an origin's interim head; drop it if there were too many, or the client does not read."""
        if not self._is_awaited():
            return
        fields = end_to_end(head.headers).without("Content-Length")
        lines = [f"HTTP/1.1 {status_line(head)}", *(f"{name}: {value}" for name, value in fields)]
        data = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        # A client that does not read must not hold up others that wait for the same origin.
        if self._left and len(data) <= _LONGEST and self._client.has_room():
            self._left -= 1
            self._send(data)

    def belong_here(self) -> None:
        """Make the calling thread the one that answers the client."""
        self._thread = threading.get_ident()

    def proceed(self) -> None:
        """Send 100 Continue, for which the client holds its request's body back."""
        if self._is_awaited():
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def end(self) -> None:
        """Send no more interim heads, as the final one follows."""
        self._over = True

    def _is_awaited(self) -> bool:
        return not self._over and threading.get_ident() == self._thread

    def _send(self, data: bytes) -> None:
        try:
            self._client.sendall(data)
        except OSError:
            # Half a head may have been sent: the final one has to fail as well.
            self._over = True
            with contextlib.suppress(OSError):
                self._client.half_close()
