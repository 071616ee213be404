"""What is asked for as documents state it: whole indexes, and files of which each states another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry, Request
from pyproxycache.mirrors.repositories import Repository
from pyproxycache.routing.resource import Resource
from pyproxycache.rules.generations import is_behind
from pyproxycache.rules.statements import of_mirror, own
from pyproxycache.store.ports import EntryIndex, StatedDigests
from pyproxycache.url import Url, without_query

log = logging.getLogger("pyproxycache.serving")


class PackageIndexes:
    """What requests for packages are turned to; `repository` gives the place of packages of a URL."""

    def __init__(
        self, stated: StatedDigests, index: EntryIndex, repository: Callable[[Url], Repository | None]
    ) -> None:
        self._stated = stated
        self._index = index
        self._repository = repository

    def as_whole(self, resource: Resource, request: Request) -> Request:
        """The request for all of an index, if it would go on with an older one.

        Clients go on with one that has changed by now, of which an answer for them alone would be read by
        nobody. Where If-Range stands, they take the whole, too (RFC 9110 section 13.1.5).
        """
        if "if-range" not in request.headers or "range" not in request.headers:
            return request
        place = self._repository(resource.url)
        if place is None or not place.ecosystem.is_index(place.path_below(resource.url)):
            return request
        return request.with_headers(request.headers.without("Range", "If-Range"))

    def beside(self, resource: Resource) -> tuple[Resource, ...]:
        """The documents that change together with this one, as a metadata and its digests do."""
        url = resource.url
        place = self._repository(url)
        if place is None or url.query is not None:
            return ()
        paths = (f"{place.base}/{path}" for path in place.ecosystem.beside(place.path_below(url)))
        return tuple(resource.realm.resource(Url(url.scheme, url.host, url.port, path)) for path in paths)

    def is_behind(self, entry: Entry, beside: Iterable[Resource]) -> bool:
        """Whether a fresh entry has to be validated before it is given, as these change with it."""
        try:
            others = [entry for one in beside for entry in self._index.variants(one.key, 1)]
        except StoreError as error:
            log.warning("what is stored beside %s is not known: %s", without_query(entry.key), error)
            return False
        return is_behind(entry, others, clock.wall())

    def belonging(self, resource: Resource) -> tuple[Resource, ...]:
        """What a purge of the resource takes: what changes together, by the names of digests too."""
        together = (resource, *self.beside(resource))
        return (*together, *filter(None, map(self.by_digest, together)))

    def as_stated(self, resource: Resource, request: Request, entries: Sequence[Entry]) -> Request:
        """The request of a mirror's client for what the mirror states of a file, where others state others.

        Nothing is looked up for a whole entry that is what all state who speak of the file.
        """
        is_agreed = entries and not any(one.is_disputed or one.part is not None for one in entries)
        if not request.repositories or request.stated is not None or is_agreed:
            return request
        try:
            made = self._stated.of(resource.key).made
        except StoreError as error:
            log.warning("what is stated of %s is not known: %s", without_query(resource.key), error)
            return request
        found = of_mirror(resource.key, made, request.repositories)
        return request if found is None else replace(request, stated=found.text)

    def by_digest(self, resource: Resource) -> Resource | None:
        """The resource that has the content of an index under its digest, as it is stated last.

        So a client gets the index that belongs to the document that the cache has given, whatever the
        origin has under the index's own name by now. None if no document names one.
        """
        url = resource.url
        place = self._repository(url)
        named = None if place is None else place.ecosystem.by_digest
        if place is None or named is None or url.query is not None:
            return None
        path = place.path_below(url)
        if not named.path.match(path):
            return None
        try:
            stated = own(resource.key, self._stated.of(resource.key).made)
            found = None if stated is None else named.renamed(path, dict(stated.digests))
            if found is None:
                return None
            other = resource.realm.resource(Url(url.scheme, url.host, url.port, f"{place.base}/{found}"))
            return other if own(other.key, self._stated.of(other.key).made) else None
        except StoreError as error:
            log.warning("what is stated of %s is not known: %s", without_query(resource.key), error)
            return None
