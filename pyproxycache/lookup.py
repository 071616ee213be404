"""What is stored that may answer a request: the index asked in the terms of the rules."""

from __future__ import annotations

from pyproxycache.messages import Entry, Request
from pyproxycache.rules.keys import vary_values
from pyproxycache.store.index import Index


class LookUp:
    """Finds entries by a cache key and a request; called like a function."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __call__(self, key: str, request: Request) -> list[Entry]:
        """Entries of the key that fit the request; where there is none, those found without its query."""

        def values(fields: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
            return vary_values(fields, request)

        found = self._index.lookup(key, values)
        return found or self._index.lookup(key, values, search=key.partition("?")[0])
