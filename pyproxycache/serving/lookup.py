"""Finds the stored entries that fit a request."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from itertools import chain

from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry, Request
from pyproxycache.routing.flight_key import Vary
from pyproxycache.routing.resource import Resource
from pyproxycache.rules.variants import vary_values
from pyproxycache.store.ports import EntryIndex
from pyproxycache.store.values import Stamp, VaryValues
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.serving.lookup")

_LIMIT = 1 << 20
# What the content means depends on them as much as on its bytes (RFC 9110 section 8).
_METADATA = ("content-type", "content-encoding", "content-language")


def with_content_key(resource: Resource, request: Request) -> Request:
    """The request with the key of its content and the content in memory; of other methods as it is.

    Content of more than a megabyte gets no key, and its answer is not stored.
    """
    if request.method not in resource.realm.by_content:
        return request
    pieces, size = [], 0
    rest = iter(request.body or ())
    for piece in rest:
        pieces.append(piece)
        size += len(piece)
        if size > _LIMIT:
            return replace(request, body=chain(pieces, rest))
    digest = hashlib.sha256(b"" if request.method == "QUERY" else request.method.encode())
    for name in _METADATA:
        digest.update(f"{name}: {request.headers.get(name)}\n".encode("latin-1", "replace"))
    content = b"".join(pieces)
    digest.update(content)
    body = None if request.body is None else (content,)
    return replace(request, body=body, content_key=digest.hexdigest())


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What is stored that fits a request.

    `stamp` is the key's version before it was looked up, None where that could not be told; `varies` are
    the fields that all Vary sets of the key name. `is_known`: whether anything is stored under the key.
    """

    entries: list[Entry]
    varies: tuple[str, ...]
    stamp: Stamp | None
    is_known: bool


class Lookup:
    """Finds entries by a cache key and a request."""

    def __init__(self, index: EntryIndex) -> None:
        self._index = index

    def __call__(self, resource: Resource, request: Request) -> list[Entry]:
        """The entries of the key that fit the request; if none does, those found without its query."""
        return self.find(resource, request).entries

    def find(self, resource: Resource, request: Request) -> LookupResult:
        """The entries that fit the request, with the stamp and the Vary names that the result rests on."""
        return self._find(resource, lambda fields: vary_values(fields, request))

    def variant(self, resource: Resource, vary: Vary) -> LookupResult:
        """The entries that fit requests with these values of fields, and with none of others."""
        known = dict(vary)
        return self._find(resource, lambda fields: tuple((name, known.get(name)) for name in fields))

    def _find(self, resource: Resource, values_of: VaryValues) -> LookupResult:
        sets: set[tuple[str, ...]] = set()

        def values(fields: tuple[str, ...]) -> Vary:
            sets.add(fields)
            return values_of(fields)

        try:
            return self._look(resource, values, sets)
        except StoreError as error:
            log.warning("%s is looked for in vain: %s", without_query(resource.key), error)
            return LookupResult([], (), None, is_known=False)

    def _look(self, resource: Resource, values: VaryValues, sets: set[tuple[str, ...]]) -> LookupResult:
        key, search = resource.key, resource.search_key
        stamp = self._index.stamp(key)
        if stamp is not None and self._index.is_unknown(key, search):
            return LookupResult([], (), stamp, is_known=False)
        entries = self._index.lookup(key, values)
        is_known = bool(sets)
        if not entries:
            entries = self._index.search(search, key, values)
        if resource.rules.slides:
            entries = [replace(entry, used=self._index.uses(entry.id).last) for entry in entries]
        return LookupResult(
            entries, tuple(sorted({name for names in sets for name in names})), stamp, is_known
        )

    def is_unchanged(self, key: str, stamp: Stamp | None) -> bool:
        """Whether nothing stored under the key has changed since the stamp was taken."""
        return stamp is not None and self._index.stamp(key) == stamp
