"""Which upstreams have failed lately, and are asked after the others."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from pyproxycache.front.requests.target import Wanted

_FOR = 30.0  # seconds
_MOST = 1000


class FailingUpstreams:
    """Remembers failures by origin, the last thousand; `_until` (steady seconds) is guarded by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def note(self, origin: str, now: float, *, has_failed: bool) -> None:
        """Note how the origin has answered."""
        with self._lock:
            self._until.pop(origin, None)
            if has_failed:
                if len(self._until) >= _MOST:  # clients may have named any hosts
                    del self._until[next(iter(self._until))]
                self._until[origin] = now + _FOR

    def last(self, wanted: Iterable[Wanted], now: float) -> list[Wanted]:
        """The same URLs, those of failing upstreams behind the others."""
        with self._lock:
            return sorted(wanted, key=lambda one: self._until.get(one.url.origin, 0.0) > now)
