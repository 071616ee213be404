"""Two streams joined: bytes from one go to the other, until both have ended."""

from __future__ import annotations

import contextlib
from typing import Protocol

from pyproxycache.body import Body, Piece
from pyproxycache.errors import BrokenOff
from pyproxycache.facts import Facts
from pyproxycache.front.loop.answer_writer import SendStatus
from pyproxycache.net.stream import Stream

_LAST_SECONDS = 2.0
"""How long a tunnel may be silent once one side has ended, or the worker stops."""
_TAKING_SECONDS = 60.0
"""How long the client may take nothing of what is left of a far end that broke off."""
_STEP = 64 << 10
_MOVES = 16
"""Reads and writes of one tunnel before other connections have their turn."""
_NOTHING = memoryview(b"")


class FarStream(Protocol):
    """The far end of a tunnel: its stream, and the bytes read from that already (`early`)."""

    @property
    def stream(self) -> Stream: ...

    @property
    def early(self) -> bytes: ...

    def close(self) -> None:
        """Close the connection."""


class Broken(Exception):
    """Reading or writing failed; `stream` is the one that did."""

    def __init__(self, broken: Stream, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.stream = broken


class Flow:
    """One direction of a tunnel, from the source to the sink; `early` was read from the source before.

    `passed` counts the bytes that the sink has taken. `over`: the source has ended, and nothing is held.
    """

    def __init__(self, source: Stream, sink: Stream, early: bytes = b"") -> None:
        self.passed = 0
        self.over = False
        self._source = source
        self._sink = sink
        self._held = memoryview(early)

    @property
    def is_cut_short(self) -> bool:
        """Whether the sink is not told of the end yet, which it may take for the end of both ways."""
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
        """Tell the sink of the end if it was not told before; called once both directions are over."""
        if self.is_cut_short:
            self._tell_end()

    def _tell_end(self) -> None:
        with contextlib.suppress(OSError):  # the sink is gone, which the other direction finds out
            self._sink.half_close()


class Tunnel(Body):
    """An answer's body that passes bytes between the client and the far end (RFC 9110 section 3.7).

    It may be silent for `idle` seconds; TCP's own probes find out if an end is gone. The bytes of each
    direction are counted in the facts. Once joined, it sends in place of the answer's writer.

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
        """Join the client's stream, from which `early` was read already, with the far end.

        The client has been sent a head of `head_bytes` bytes.
        """
        self.head_bytes = head_bytes
        near.probe_when_silent()
        self._near = near
        self._flows = (Flow(near, self.far, early), Flow(self.far, near, self._end.early))

    @property
    def sent(self) -> int:
        """How many bytes from the far end the client has taken."""
        return self._flows[1].passed if self._flows else 0

    @property
    def taken(self) -> int:
        """How many bytes both ends have taken together."""
        return sum(flow.passed for flow in self._flows)

    def patience(self, *, stops: bool) -> float:
        """How long the tunnel may be silent (seconds); only shortly if the worker `stops`."""
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
        """Whether the far end has failed, and all bytes from it have been passed on.

        Raises Broken if the client's end has failed.
        """
        if self._near.has_failed():
            raise Broken(self._near, ConnectionResetError("the client broke off"))
        self.is_cut_off = self.far.has_failed()
        return self.is_cut_off and self._flows[1].over

    def advance(self, *, has_failed: bool = False) -> SendStatus:
        """Pass on what there is, a turn's worth at most, and wait for nothing.

        `has_failed`: epoll has reported an error of one end, which reading and sending may not show.

        Raises BrokenOff if the origin broke off, ConnectionError if the client did.
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
                if self._flows[0].over and not self._near.ends_one_way:
                    return SendStatus.DONE  # it had said that it would take no more
                self.far.reset()  # which must not take it for the end
                raise ConnectionError(str(broken)) from broken
            raise BrokenOff(f"the origin broke off: {broken}") from broken
        finally:
            upward, downward = self._flows
            self._facts.uploaded.total, self._facts.received.total = upward.passed, downward.passed
