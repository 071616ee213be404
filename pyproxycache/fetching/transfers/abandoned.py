"""Limits how many downloads go on that no client waits for any more."""

from __future__ import annotations

import threading
from collections import Counter

from pyproxycache.options import FetchOptions
from pyproxycache.store.ports import Flight


class Abandoned:
    """The flights of this process that nobody reads, with their origins, up to the limits in the options.

    `_origins` is guarded by `_lock`.
    """

    def __init__(self, options: FetchOptions) -> None:
        self._options = options
        # Reentrant: a reader that the collector of cycles closes may come here from within.
        self._lock = threading.RLock()
        self._origins: dict[Flight, str] = {}

    def admits(self, flight: Flight) -> bool:
        """Whether the flight, which nobody reads any more, may go on; it counts as abandoned then."""
        origin = flight.key.origin
        with self._lock:
            count = Counter(tuple(self._origins.values()))
            if (
                len(self._origins) >= self._options.abandoned
                or count[origin] >= self._options.abandoned_of_origin
            ):
                return False
            self._origins[flight] = origin
            return True

    def forget(self, flight: Flight) -> None:
        """Stop counting the flight: somebody reads it again, or it has ended."""
        with self._lock:
            self._origins.pop(flight, None)
