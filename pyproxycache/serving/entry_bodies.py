"""Bodies of stored entries, opened for clients."""

from __future__ import annotations

import logging

from pyproxycache.body import Body
from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry
from pyproxycache.store.ports import Bodies
from pyproxycache.store.values import BodyGone

log = logging.getLogger("pyproxycache.serving")


class EntryBodies:
    """Gives clients the bodies of stored entries."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies

    def open(self, entry: Entry, start: int, stop: int | None) -> Body:
        """The entry's bytes `start` up to `stop`; raises BodyGone where they cannot be read."""
        try:
            return self._bodies.open(entry.digest, entry.size, start, entry.size if stop is None else stop)
        except StoreError as error:
            log.error("a stored body cannot be read: %s", error)
            raise BodyGone(str(error)) from error
