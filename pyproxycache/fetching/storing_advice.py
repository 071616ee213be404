"""Advice in the log on an origin whose answers are not stored, though a rule could change that."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict

from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.fetching")

_MOST_ORIGINS = 256
_ADVICE = {
    "no-freshness": "it says neither how long it is fresh nor how it can be validated",
}


class StoringAdvice:
    """Logs why an origin's answers are not stored, once for each origin and reason.

    `_told` has the last so many of these, and is guarded by `_lock`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def give(self, key: FlightKey, reason: str) -> None:
        """Log why the answer of this key is not stored, and which rule would have it stored."""
        why = _ADVICE.get(reason)
        if why is None or not self._is_new(key.origin, reason):
            return
        log.info(
            "%s is not kept: %s; a rule with `fresh` for its host or path, or `cache.ttl` of its route,"
            " keeps it, see docs/configuration.md (said once for each origin)",
            without_query(key.cache_key),
            why,
        )

    def _is_new(self, origin: str, reason: str) -> bool:
        with self._lock:
            if (origin, reason) in self._told:
                return False
            self._told[origin, reason] = None
            if len(self._told) > _MOST_ORIGINS:
                self._told.popitem(last=False)
            return True
