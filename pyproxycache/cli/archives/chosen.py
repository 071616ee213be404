"""Which stored responses belong to what lock files name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from pyproxycache.messages import Entry
from pyproxycache.mirrors.ecosystems.oci import repository_of_image
from pyproxycache.mirrors.lock_files.finding import (
    METADATA,
    archive_name,
    beginning_of_archives,
    ends_of_files,
    ends_of_indexes,
)
from pyproxycache.mirrors.lock_files.locked import Locked

_OF_IMAGE = re.compile(r"/v2/(.+)/(?:manifests|blobs)/[^/]+$")


class Chosen:
    """Says of each entry whether it belongs to the locked packages, and in the end what was not there.

    A file belongs by its URL, by its digest, or by the end of its path where that tells name and version;
    an index by the end of its path. Of images all that is stored of their repositories belongs to them.
    """

    def __init__(self, locked: Iterable[Locked]) -> None:
        self._locked = tuple(locked)
        self._by_url: dict[str, list[int]] = {}
        self._by_digest: dict[str, list[int]] = {}
        self._by_end: dict[str, list[int]] = {}
        self._by_beginning: dict[str, list[int]] = {}
        self._indexes: set[str] = set()
        self._repositories = {
            repository_of_image(one.name) for one in self._locked if one.ecosystem == "oci"
        }
        self._found: set[int] = set()
        for number, one in enumerate(self._locked):
            if one.url:
                self._by_url.setdefault(one.url, []).append(number)
            for digest in one.digests:
                if digest.algorithm == "sha-256":
                    self._by_digest.setdefault(digest.digest, []).append(number)
            for end in ends_of_files(one):
                self._by_end.setdefault(end, []).append(number)
            if beginning := beginning_of_archives(one):
                self._by_beginning.setdefault(beginning, []).append(number)
            self._indexes |= ends_of_indexes(one)

    def has(self, entry: Entry) -> bool:
        """Whether the entry belongs to one of them."""
        url = entry.key.removesuffix(METADATA)
        found = {*self._by_url.get(url, ()), *self._by_digest.get(entry.digest, ())}
        path = urlsplit(url).path
        is_index = False
        for place in [match.end() for match in re.finditer("/", path)]:
            end = path[place:]
            found.update(self._by_end.get(end, ()), self._by_end.get(unquote(end).lower(), ()))
            is_index = is_index or end in self._indexes
        if not found and (name := archive_name(path)):
            begun = (numbers for begin, numbers in self._by_beginning.items() if name.startswith(begin))
            found.update(*begun)
        image = _OF_IMAGE.search(path)
        is_index = is_index or (image is not None and image[1] in self._repositories)
        if url == entry.key:
            self._found |= found
        return bool(found) or is_index

    def missing(self) -> list[str]:
        """What has no stored file, by names for people."""
        missing = (one for number, one in enumerate(self._locked) if number not in self._found)
        return list(dict.fromkeys(one.title for one in missing))
