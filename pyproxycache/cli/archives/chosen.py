"""Which stored responses belong to what lock files name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from pyproxycache.cli.downloads.images import reference_of
from pyproxycache.messages import Entry
from pyproxycache.mirrors.ecosystems import ECOSYSTEMS
from pyproxycache.mirrors.ecosystems.go import without_capitals
from pyproxycache.mirrors.ecosystems.oci import repository_of_image
from pyproxycache.mirrors.lock_files.locked import Locked
from pyproxycache.mirrors.python_names import python_name

_ARCHIVE = re.compile(r"\.(?:whl|tar\.gz|zip|tar\.bz2)$")
_OF_IMAGE = re.compile(r"/v2/(.+)/(?:manifests|blobs)/[^/]+$")
_METADATA = ".metadata"


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
            for end in _ends(one):
                self._by_end.setdefault(end, []).append(number)
            self._indexes |= _index_ends(one)

    def has(self, entry: Entry) -> bool:
        """Whether the entry belongs to one of them."""
        url = entry.key.removesuffix(_METADATA)
        found = {*self._by_url.get(url, ()), *self._by_digest.get(entry.digest, ())}
        path = urlsplit(url).path
        is_index = False
        for place in [match.end() for match in re.finditer("/", path)]:
            end = path[place:]
            found.update(self._by_end.get(end, ()), self._by_end.get(unquote(end).lower(), ()))
            is_index = is_index or end in self._indexes
        # A package of Python tells its name and version in its file's name.
        if not found and _ARCHIVE.search(path):
            name = python_name(unquote(path.rpartition("/")[2]))
            found.update(*(numbers for end, numbers in self._by_end.items() if name.startswith(end)))
        image = _OF_IMAGE.search(path)
        is_index = is_index or (image is not None and image[1] in self._repositories)
        if url == entry.key:
            self._found |= found
        return bool(found) or is_index

    def missing(self) -> list[str]:
        """What has no stored file, by names for people."""
        missing = (one for number, one in enumerate(self._locked) if number not in self._found)
        return list(dict.fromkeys(one.file or f"{one.name} {one.version}".strip() for one in missing))


def _ends(one: Locked) -> list[str]:
    """The ends of paths, below whatever leads there, that tell the package and its version."""
    match one.ecosystem:
        case "npm" if one.version:
            bare = one.name.rpartition("/")[2]
            return [f"{one.name}/-/{bare}-{one.version}.tgz".lower()]
        case "pypi" if one.file:
            return [one.file, one.file.lower()]
        case "pypi" if one.version and not one.digests:
            return [python_name(f"{one.name}-{one.version}-")]
        case "cargo":
            return [one.file.lower(), f"{one.name}/{one.version}/download".lower()]
        case "oci":
            return [f"{repository_of_image(one.name)}/manifests/{reference_of(one)}".lower()]
        case "go":
            escaped = without_capitals(f"{one.name}/@v/{one.file}")
            return [escaped, escaped.removesuffix(".zip") + ".info"]
    return []


def _index_ends(one: Locked) -> set[str]:
    """The ends of the paths of documents that name it, however they are encoded, and of their keys."""
    ecosystem = ECOSYSTEMS[one.ecosystem]
    path = ecosystem.document_path(one.name)
    if path is None:
        return set()
    return {path, unquote(path), path.replace("%2f", "%2F"), *ecosystem.keys_of(path)}
