"""Who brings in what is not stored: decided once for a fresh miss, and again when a leader has died."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyproxycache.errors import StoreError
from pyproxycache.fetching.leader import Leader
from pyproxycache.fetching.leading import Leading
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules.policy import UrlRules
from pyproxycache.store.ports import Flights, JoinFlight, LeadFlight, NotStorable
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.fetching")


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The caller is to look up again, as what is stored has changed since it did."""


@dataclass(frozen=True, slots=True)
class Alone:
    """Each request asks the origin for itself, and its answer is not stored: `why` as in Cache-Status."""

    why: str


Dispatched = Leading | JoinFlight | NotStorable | LookAgain | Alone
"""Lead the flight, follow another leader, ask alone as it was not storable, look up again, or ask alone."""


class Dispatcher:
    """Decides who brings in a body: this request (Leading), a running flight, or each request alone."""

    def __init__(self, flights: Flights, leader: Leader) -> None:
        self._flights = flights
        self._leader = leader

    def decide(
        self, keys: Sequence[FlightKey], rules: UrlRules, has_changed: Callable[[], bool]
    ) -> Dispatched:
        """Decide who brings in the first of these flight keys that is not known as not storable.

        `rules` are those for the URL. `has_changed`: whether what is stored now is something else than what
        the caller found, for another leader may have finished between that look and our claim. A lead has
        to be left as a context.
        """
        try:
            for key in keys:
                joined = self._flights.join(key)
                if not isinstance(joined, NotStorable):
                    break
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(keys[0].cache_key), error)
            return Alone("store-failed")
        if not isinstance(joined, LeadFlight):
            return joined
        leading = self._leader.lead(joined.writer, rules)
        return LookAgain() if leading.is_left_for(has_changed) else leading
