"""Says that a thread waits for something, so that its pool has another one work meanwhile."""

from __future__ import annotations

import threading
from typing import Protocol


class Places(Protocol):
    """Places for threads that work: there are fewer of them than threads."""

    def leave(self) -> None:
        """This thread waits from here on, and needs no place."""

    def come_back(self) -> None:
        """This thread has waited; returns once it has a place again."""


class _OfThread(threading.local):
    places: Places | None = None


_here = _OfThread()


def work_in(places: Places) -> None:
    """This thread has one of these places from here on."""
    _here.places = places


class Blocking:
    """A context in which this thread waits for an origin, or for another thread; it may be within another.

    To leave it may take a while: nobody who does so holds a lock that a working thread may want.
    """

    __slots__ = ("_places",)

    def __enter__(self) -> None:
        self._places, _here.places = _here.places, None
        if self._places is not None:
            self._places.leave()

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        if self._places is not None:
            self._places.come_back()
        _here.places = self._places
