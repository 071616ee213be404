"""Two sockets joined: what comes from one goes to the other, until both have ended."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence

from pyproxycache.errors import BrokenOff
from pyproxycache.messages import Piece
from pyproxycache.outcome import Outcome

IDLE_SECONDS = 600.0
LAST_SECONDS = 2.0
"""How long a silence may be once the end is in sight."""
_STEP = 64 << 10


class Broken(Exception):
    """A socket failed; `socket` is which one."""

    def __init__(self, broken: socket.socket, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.socket = broken


class Flow:
    """One direction; `early` is what was read of the source before. The sockets must not block.

    `passed` counts bytes that the sink took. `over`: the source has ended, and the sink was told.
    `waits_for` is the socket, and what poll has to see of it, that held up the last `move`.
    """

    def __init__(self, source: socket.socket, sink: socket.socket, early: bytes = b"") -> None:
        self.passed = 0
        self.over = False
        self.waits_for = (source, select.POLLIN)
        self._source = source
        self._sink = sink
        self._held = memoryview(early)

    @property
    def is_cut_short(self) -> bool:
        """Whether the sink cannot be told of the end: TLS has none for one direction alone."""
        return self.over and isinstance(self._sink, ssl.SSLSocket)

    def move(self) -> bool:
        """Read or pass on what can be without waiting; false if nothing. Raises Broken."""
        place = (self._sink, select.POLLOUT) if self._held else (self._source, select.POLLIN)
        try:
            if self._held:
                count = self._sink.send(self._held)
                self._held = self._held[count:]
                self.passed += count
            else:
                self._receive()
        except BlockingIOError:
            self.waits_for = place
            return False
        except ssl.SSLWantReadError:
            self.waits_for = (place[0], select.POLLIN)
            return False
        except ssl.SSLWantWriteError:
            self.waits_for = (place[0], select.POLLOUT)
            return False
        except OSError as error:
            raise Broken(place[0], error) from error
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


def relay(flows: Sequence[Flow], stopping: int, idle: float = IDLE_SECONDS) -> None:
    """Run both flows until they are over, or nothing has moved for `idle` seconds; raises Broken.

    Once the descriptor `stopping` can be read, or one end cannot be told of the other's, a silence of
    LAST_SECONDS is the end.
    """
    stops = False
    while active := [flow for flow in flows if not flow.over]:
        moved = [flow.move() for flow in active]
        if any(moved):
            continue
        hurries = stops or any(flow.is_cut_short for flow in flows)
        seconds = min(idle, LAST_SECONDS) if hurries else idle
        found = _wait(active, None if stops else stopping, seconds)
        if not found:
            return
        stops = stops or stopping in found


def _wait(flows: Sequence[Flow], stopping: int | None, seconds: float) -> set[int]:
    """The descriptors for which there is something to do; none after so many seconds."""
    wanted: dict[int, int] = {} if stopping is None else {stopping: select.POLLIN}
    for flow in flows:
        waited, mask = flow.waits_for
        wanted[waited.fileno()] = wanted.get(waited.fileno(), 0) | mask
    poll = select.poll()
    for descriptor, mask in wanted.items():
        poll.register(descriptor, mask)
    return {descriptor for descriptor, _events in poll.poll(seconds * 1000)}


class Tunnel:
    """An answer's body that is a way through: the far end's socket, for what is no HTTP any more.

    `early` is what was read of it already; `close` ends it. What the far end says counts in the outcome,
    and once it is with the client in `passed` (bytes).
    """

    def __init__(
        self, far: socket.socket, early: bytes, close: Callable[[], None], outcome: Outcome
    ) -> None:
        self.passed = 0
        self.close = close
        self._far = far
        self._early = early
        self._outcome = outcome

    def __iter__(self) -> Iterator[Piece]:
        return iter(())

    def join(self, near: socket.socket, early: bytes, stopping: int) -> None:
        """Relay between the client, of whom `early` was read already, and the far end; raises BrokenOff.

        ConnectionError where it was the client who broke off.
        """
        inward, outward = Flow(near, self._far, early), Flow(self._far, near, self._early)
        near.setblocking(False)
        self._far.setblocking(False)
        try:
            relay((inward, outward), stopping)
            if isinstance(self._far, ssl.SSLSocket):
                with contextlib.suppress(OSError, ValueError):  # a goodbye, if there is still someone
                    self._far.unwrap()
        except Broken as broken:
            if broken.socket is near:
                raise ConnectionError(str(broken)) from broken
            raise BrokenOff(f"the origin broke off: {broken}") from broken
        finally:
            self.passed = outward.passed
            self._outcome.bytes_received += outward.passed
