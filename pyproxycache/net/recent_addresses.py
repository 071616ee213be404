"""The addresses that names have had lately, as their look-ups gave several, one after the other."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

_REMEMBERED_SECONDS = 3600.0
_MOST = 16_384
_MOST_OF_A_NAME = 64


class RecentAddresses:
    """Addresses by name, each for `seconds` after it was last found; `_found` is guarded by `_lock`.

    Names of large services have other addresses in each answer, and clients use older answers than the
    cache has. Of the names, and of the addresses of one name, those found longest ago are forgotten first.
    `_count` is the number of all addresses.
    """

    def __init__(self, seconds: float = _REMEMBERED_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._found: OrderedDict[str, OrderedDict[str, float]] = OrderedDict()
        self._count = 0

    def note(self, host: str, addresses: Iterable[str], now: float) -> None:
        """Remember that the name has these IP addresses at `now` (monotonic seconds)."""
        with self._lock:
            known = self._found.setdefault(host, OrderedDict())
            self._found.move_to_end(host)
            before = len(known)
            for address in addresses:
                known[address] = now
                known.move_to_end(address)
            while len(known) > _MOST_OF_A_NAME:
                known.popitem(last=False)
            self._count += len(known) - before
            while self._count > _MOST:
                _host, forgotten = self._found.popitem(last=False)
                self._count -= len(forgotten)

    def until(self, host: str, address: str, now: float) -> float | None:
        """Until when the name counts as having the address; None if it does not (monotonic seconds)."""
        with self._lock:
            known = self._found.get(host)
            found = None if known is None else known.get(address)
        return None if found is None or found + self._seconds <= now else found + self._seconds
