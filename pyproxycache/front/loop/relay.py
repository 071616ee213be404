"""Two sockets joined: what comes from one goes to the other, until both have ended."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable

from pyproxycache.body import Body, Piece
from pyproxycache.errors import BrokenOff
from pyproxycache.front.loop.answer_writer import FULL, SendStatus
from pyproxycache.net.racing import probe_when_silent
from pyproxycache.outcome import Outcome

IDLE_SECONDS = 86400.0
"""For such a time there may be nothing to say; an end that is gone is found out by TCP's own probes."""
LAST_SECONDS = 2.0
"""How long a silence may be once the end is in sight."""
_STEP = 64 << 10
_MOVES = 16
"""Reads and writes of one tunnel while others wait."""


class Broken(Exception):
    """A socket failed; `socket` is which one."""

    def __init__(self, broken: socket.socket, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.socket = broken


class Flow:
    """One direction; `early` is what was read of the source before. The sockets must not block.

    `passed` counts bytes that the sink took. `over`: the source has ended, and the sink was told.
    """

    def __init__(self, source: socket.socket, sink: socket.socket, early: bytes = b"") -> None:
        self.passed = 0
        self.over = False
        self._source = source
        self._sink = sink
        self._held = memoryview(early)

    @property
    def is_cut_short(self) -> bool:
        """Whether the sink cannot be told of the end: TLS has none for one direction alone."""
        return self.over and isinstance(self._sink, ssl.SSLSocket)

    def move(self) -> bool:
        """Read or pass on what can be without waiting; false if nothing. Raises Broken."""
        used = self._sink if self._held else self._source
        try:
            if self._held:
                count = self._sink.send(self._held)
                self._held = self._held[count:]
                self.passed += count
            else:
                self._receive()
        except FULL:
            return False
        except OSError as error:
            raise Broken(used, error) from error
        return True

    def _receive(self) -> None:
        try:
            data = self._source.recv(_STEP)
        except ssl.SSLZeroReturnError:
            data = b""
        self._held = memoryview(data)
        if not data:
            self.over = True
            if not self.is_cut_short:
                with contextlib.suppress(OSError):  # it is gone, which the other direction finds out
                    self._sink.shutdown(socket.SHUT_WR)


class Tunnel(Body):
    """An answer's body that is a way through: the far end's socket, for what is no HTTP any more.

    `early` is what was read of it already; `close` ends it. What the far end says counts in the outcome.
    Once it is joined it takes the place of what sent the head.
    """

    def __init__(
        self, far: socket.socket, early: bytes, close: Callable[[], None], outcome: Outcome
    ) -> None:
        self._close = close
        self.far = far
        self.head_bytes = 0
        self._early = early
        self._outcome = outcome
        self._flows: tuple[Flow, ...] = ()

    def __next__(self) -> Piece:
        raise StopIteration

    def close(self) -> None:
        self._close()

    def join(self, near: socket.socket, early: bytes, head_bytes: int) -> None:
        """Go on between the client, of whom `early` was read already, and the far end.

        The client's head of so many bytes has been sent.
        """
        self.head_bytes = head_bytes
        probe_when_silent(near)
        near.setblocking(False)
        self.far.setblocking(False)
        self._flows = (Flow(near, self.far, early), Flow(self.far, near, self._early))

    @property
    def sent(self) -> int:
        """Bytes from the far end that the client took."""
        return self._flows[1].passed if self._flows else 0

    @property
    def taken(self) -> int:
        """Bytes that either side took."""
        return sum(flow.passed for flow in self._flows)

    def patience(self, *, stops: bool) -> float:
        """How long a silence may be (seconds); not long where the worker `stops`."""
        is_ending = stops or any(flow.is_cut_short for flow in self._flows)
        return LAST_SECONDS if is_ending else IDLE_SECONDS

    def advance(self) -> SendStatus:
        """Pass on what there is, a turn's worth at most, and wait for nothing.

        Raises BrokenOff, and ConnectionError where it was the client who broke off.
        """
        before = self.sent
        try:
            for _ in range(_MOVES):
                active = [flow for flow in self._flows if not flow.over]
                if not active:
                    self._part()
                    return SendStatus.DONE
                moved = [flow.move() for flow in active]
                if not any(moved):
                    return SendStatus.FULL
            return SendStatus.TURN
        except Broken as broken:
            if broken.socket is not self.far:
                raise ConnectionError(str(broken)) from broken
            raise BrokenOff(f"the origin broke off: {broken}") from broken
        finally:
            self._outcome.bytes_received += self.sent - before

    def _part(self) -> None:
        if isinstance(self.far, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):  # a goodbye, if there is still someone
                self.far.unwrap()
