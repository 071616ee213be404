"""What a connection is still to send, in frames, and which stream may add to that next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice

from pyproxycache.front.http2.faults import ConnectionFault, ErrorCode
from pyproxycache.front.http2.flood_guard import FloodGuard
from pyproxycache.front.http2.frames import frame_bytes

_MOST_UNSENT = 256 << 10
_MOST_CONTROL = _MOST_UNSENT + (64 << 10)
SHARE = 64 << 10
"""Bytes that a stream may add while others wait."""


class Outlet:
    """The frames of one connection that were not sent yet; streams of all threads add to them.

    `lock` guards all of it, and all of the connection's streams. `window` is how much content the client
    takes on all streams together. `unsent` counts the bytes that wait. `is_gone`: the connection has ended.
    The line of streams that wait for room has their keys.
    """

    def __init__(
        self, guard: FloodGuard, wake: Callable[[], None], probe_when_silent: Callable[[], None]
    ) -> None:
        """`wake` has the poller send; any thread may call it."""
        self.lock = threading.Lock()
        self._changed = threading.Condition(self.lock)
        self._sleepers = 0
        self.window = 0xFFFF
        self.unsent = 0
        self.is_gone = False
        self.probe_when_silent = probe_when_silent
        self._guard = guard
        self._wake = wake
        self._is_woken = False
        self._frames: list[bytes | memoryview] = []
        self._waiting: dict[int, None] = {}  # keys of streams, in the order in which they have their turns
        self._chosen: set[int] = set()  # those that have theirs

    # Called with the lock held.

    def put(self, frame: bytes) -> None:
        """Add a frame, whatever waits already."""
        self._frames.append(frame)
        self.unsent += len(frame)
        self.wake()

    def wake(self) -> None:
        """Have the poller send what waits, and look what follows."""
        if not self._is_woken:
            self._is_woken = True
            self._wake()

    def put_control(self, type_: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Add a frame that answers the client's; raises ConnectionFault if it has read too few of them."""
        if self.unsent > _MOST_CONTROL:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, "it has frames answered, and reads no answer"
            )
        self.put(frame_bytes(type_, flags, stream_id, payload))

    def put_data(self, header: bytes, payload: memoryview) -> None:
        """Add a DATA frame, for which room() has said that there is room."""
        self.window -= len(payload)
        self._guard.note_data_sent(len(payload))
        self.put(header + payload)

    @property
    def has_room(self) -> bool:
        """Whether so few bytes wait that content may be added."""
        return self.unsent <= _MOST_UNSENT - SHARE

    def check_room(self, key: int) -> None:
        """Raise BlockingIOError if the stream has to wait, and put it in line."""
        if not self.has_room and key not in self._chosen:
            self._waiting.setdefault(key)
            raise BlockingIOError

    def room(self, key: int) -> int:
        """How much content the stream may add; raises BlockingIOError if none, and puts it in line.

        While others wait, it may add its share once in its turn, and has to wait again.
        """
        room = min(self.window, _MOST_UNSENT - self.unsent) if self.has_room else 0
        is_chosen = key in self._chosen
        self._chosen.discard(key)
        if room > 0 and not (self._waiting or self._chosen):
            return room
        if self.window > 0 and is_chosen:
            # Even if frames' headers have made it a little more: it would come too late in each turn.
            return min(self.window, SHARE)
        self._waiting.setdefault(key)
        if room > 0:
            self.wake()
        raise BlockingIOError

    def forget(self, key: int) -> None:
        """Take the stream out of the line."""
        self._waiting.pop(key, None)
        self._chosen.discard(key)

    def note_change(self) -> None:
        """Let threads that wait look whether what they wait for has come."""
        if self._sleepers:
            self._changed.notify_all()

    # Called without the lock.

    def wait(self, is_ready: Callable[[], bool], seconds: float) -> bool:
        """Wait in this thread until it is ready; returns whether it is."""
        with self.lock:
            self._sleepers += 1
            try:
                return self._changed.wait_for(is_ready, max(0.0, seconds))
            finally:
                self._sleepers -= 1

    def hold(self) -> None:
        """Wake nobody for what is added, until take() is called: the poller is about to send anyway."""
        with self.lock:
            self._is_woken = True

    def take(self) -> bytes:
        """Take all frames that wait, to send them; they count as unsent until note_sent().

        Nobody is woken while frames that were taken before have to wait for the client.
        """
        with self.lock:
            self._is_woken = False
            if not self._frames:
                return b""
            frames, self._frames = self._frames, []
        return b"".join(frames)

    def note_sent(self, count: int) -> None:
        """Note that so many of the bytes taken were sent."""
        with self.lock:
            self.unsent -= count
            self.note_change()

    def next_streams(self) -> list[int]:
        """The keys of the streams whose turn it is to add content: as many as there is room for."""
        with self.lock:
            room = min(self.window, _MOST_UNSENT - self.unsent)
            if not self._waiting or room <= 0 or not self.has_room:
                return []
            chosen = list(islice(self._waiting, max(1, room // SHARE)))
            for key in chosen:
                del self._waiting[key]
            self._chosen.update(chosen)
            return chosen

    @property
    def has_waiting(self) -> bool:
        """Whether streams wait although there is room."""
        return bool(self._waiting) and self.window > 0 and self.has_room

    def end(self) -> None:
        """Note that the connection has ended: nothing is sent any more."""
        with self.lock:
            self.is_gone = True
            self._frames.clear()
            self._waiting.clear()
            self._changed.notify_all()
