"""Two streams joined: what comes from one goes to the other, until both have ended."""

from __future__ import annotations

import contextlib
import select
from typing import Protocol

from pyproxycache.body import Body, Piece
from pyproxycache.errors import BrokenOff
from pyproxycache.facts import Facts
from pyproxycache.front.loop.answer_writer import SendStatus
from pyproxycache.net.stream import Stream

_LAST_SECONDS = 2.0
"""How long a silence may be once the end is in sight."""
_TAKING_SECONDS = 60.0
"""How long the client may take nothing of what is left of a far end that broke off."""
_STEP = 64 << 10
_MOVES = 16
"""Reads and writes of one tunnel while others wait."""
_NOTHING = memoryview(b"")


class FarStream(Protocol):
    """The other end of a tunnel: its stream, and what was read of that already (`early`)."""

    @property
    def stream(self) -> Stream: ...

    @property
    def early(self) -> bytes: ...

    def close(self) -> None:
        """Close the connection."""


class Broken(Exception):
    """A stream failed; `stream` is which one."""

    def __init__(self, broken: Stream, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.stream = broken


class Flow:
    """One direction; `early` is what was read of the source before.

    `passed` counts bytes that the sink took. `over`: the source has ended, and the sink was told.
    """

    def __init__(self, source: Stream, sink: Stream, early: bytes = b"") -> None:
        self.passed = 0
        self.over = False
        self._source = source
        self._sink = sink
        self._held = memoryview(early)

    @property
    def is_cut_short(self) -> bool:
        """Whether the sink is not told of the end yet, which it may take for that of both directions."""
        return self.over and not self._sink.ends_one_way

    def move(self) -> bool:
        """Read or pass on what can be without waiting; false if nothing. Raises Broken."""
        used = self._sink if self._held else self._source
        try:
            if self._held:
                count = self._sink.send(self._held)
                # An empty rest would keep the whole piece for as long as the tunnel is silent.
                self._held = self._held[count:] if count < len(self._held) else _NOTHING
                self.passed += count
            else:
                self._receive()
        except BlockingIOError:
            return False
        except OSError as error:
            raise Broken(used, error) from error
        return True

    def _receive(self) -> None:
        data = self._source.recv(_STEP)
        self._held = memoryview(data)
        if not data:
            self.over = True
            if not self.is_cut_short:
                self._tell_end()

    def part(self) -> None:
        """Both directions are over: tell the sink now if it was not told before."""
        if self.is_cut_short:
            self._tell_end()

    def _tell_end(self) -> None:
        with contextlib.suppress(OSError):  # it is gone, which the other direction finds out
            self._sink.half_close()


class Tunnel(Body):
    """An answer's body that is a way through to the far end, for what is no HTTP any more.

    It may be silent for `idle` seconds; an end that is gone is found out by TCP's own probes. What each end
    says is counted. Once it is joined it takes the place of what sent the head.

    `is_cut_off`: the far end broke off, and the client has not taken all that came of it.
    """

    def __init__(self, far: FarStream, idle: float, facts: Facts) -> None:
        self.far = far.stream
        self.head_bytes = 0
        self.is_cut_off = False
        self._has_failed = False  # one end, as the system said
        self._near = self.far
        self._end = far
        self._idle = idle
        self._facts = facts
        self._flows: tuple[Flow, ...] = ()

    def __next__(self) -> Piece:
        raise StopIteration

    def close(self) -> None:
        self._end.close()

    def join(self, near: Stream, early: bytes, head_bytes: int) -> None:
        """Go on between the client, of whom `early` was read already, and the far end.

        The client's head of so many bytes has been sent.
        """
        self.head_bytes = head_bytes
        near.probe_when_silent()
        self._near = near
        self._flows = (Flow(near, self.far, early), Flow(self.far, near, self._end.early))

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
        if stops or any(flow.is_cut_short for flow in self._flows):
            return _LAST_SECONDS
        return min(self._idle, _TAKING_SECONDS) if self.is_cut_off else self._idle

    def _halted(self) -> SendStatus:
        if self._has_failed and self._is_over_for_both():
            return SendStatus.DONE
        if not all(flow.over for flow in self._flows):
            return SendStatus.FULL
        for flow in self._flows:
            flow.part()
        return SendStatus.DONE

    def _is_over_for_both(self) -> bool:
        """Whether the far end has failed, and all that it said has been passed on.

        Raises Broken where the client failed, for whom all is over.
        """
        if _has_failed(self._near):
            raise Broken(self._near, ConnectionResetError("the client broke off"))
        self.is_cut_off = _has_failed(self.far)
        return self.is_cut_off and self._flows[1].over

    def advance(self, *, has_failed: bool = False) -> SendStatus:
        """Pass on what there is, a turn's worth at most, and wait for nothing.

        `has_failed`: the system says so of an end, which may not show in what is read and sent here.

        Raises BrokenOff, and ConnectionError where it was the client who broke off.
        """
        self._has_failed |= has_failed
        try:
            moving = [flow for flow in self._flows if not flow.over]
            for _ in range(_MOVES):
                # What cannot move now has an event once it can.
                moving = [flow for flow in moving if flow.move() and not flow.over]
                if not moving:
                    return self._halted()
            return SendStatus.TURN
        except Broken as broken:
            if broken.stream is not self.far:
                self.far.reset()  # which must not take it for the end
                raise ConnectionError(str(broken)) from broken
            raise BrokenOff(f"the origin broke off: {broken}") from broken
        finally:
            upward, downward = self._flows
            self._facts.uploaded.total, self._facts.received.total = upward.passed, downward.passed


def _has_failed(stream: Stream) -> bool:
    """Whether the system has an error of it that nobody has met yet."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _fd, event in poll.poll(0))
