"""Limits what a client may have done on one connection for nothing: frames, resets and faults."""

from __future__ import annotations

from pyproxycache.front.http2.faults import ConnectionFault, ErrorCode

_FRAMES = 1000.0
_FRAMES_A_SECOND = 200.0
_PAID_BY_KILOBYTE = 1.0
"""Frames that a client may send for the content that it gets: some open two windows for every 4 KB."""
_STREAMS = 200.0
_STREAMS_A_SECOND = 20.0
_PAID_BY_ANSWER = 1.0


class _Account:
    """A balance that grows with time up to `most`, and must not fall below zero."""

    __slots__ = ("_balance", "_most", "_rate", "_since")

    def __init__(self, most: float, rate: float, now: float) -> None:
        self._balance = self._most = most
        self._rate = rate
        self._since = now

    def pay_in(self, amount: float) -> None:
        self._balance = min(self._most, self._balance + amount)

    def draw(self, amount: float, now: float) -> bool:
        """Draw the amount; returns whether the balance covers it."""
        self.pay_in((now - self._since) * self._rate)
        self._since = now
        self._balance -= amount
        return self._balance >= 0


class FloodGuard:
    """Counts what one client has done for nothing; all times are monotonic seconds.

    Frames that carry no content cost the client nothing, and the cache some work (CVE-2019-9512 and those
    with it). So do streams that end without an answer, because the client resets them (CVE-2023-44487), or
    has the cache reset them (CVE-2025-8671). Neither is limited while it goes with real traffic.
    """

    def __init__(self, now: float) -> None:
        self._frames = _Account(_FRAMES, _FRAMES_A_SECOND, now)
        self._streams = _Account(_STREAMS, _STREAMS_A_SECOND, now)

    def count_frame(self, now: float, weight: float = 1.0) -> None:
        """Count a frame without content; raises ConnectionFault if there were too many."""
        if not self._frames.draw(weight, now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames without content")

    def count_lost_stream(self, now: float) -> None:
        """Count a stream that the client has made end early; raises ConnectionFault if too many did."""
        if not self._streams.draw(1.0, now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams that came to nothing")

    def note_data_sent(self, count: int) -> None:
        """Note a DATA frame with so many bytes, for which the client opens windows again."""
        self._frames.pay_in(2 + count / 1024 * _PAID_BY_KILOBYTE)

    def note_answered(self) -> None:
        """Note a stream that came to its end."""
        self._streams.pay_in(_PAID_BY_ANSWER)
