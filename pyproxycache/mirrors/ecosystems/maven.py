"""Maven repositories: artefacts by group, name and version, with a file of its digest beside each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pyproxycache.mirrors.ecosystem import (
    IMMUTABLE,
    NO_PAGE,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    Together,
    index,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.mirrors.stated_digests import stated_digests

_LONGEST = 1024
# The digest alone, or as command-line tools write it: with the file's name behind it.
_DIGEST = re.compile(rb"\s*([0-9a-fA-F]{32,128})(?:\s.*)?", re.DOTALL)
_PLACE = re.compile(r"(?:.*/)?([^/]+)/([^/]+)/[^/]+")


def _read(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    begin = b""
    for piece in pieces:
        begin += piece[: _LONGEST - len(begin)]
        yield piece
    url, _, suffix = reading.url.partition("?")[0].rpartition(".")
    found, place = _DIGEST.fullmatch(begin), _PLACE.fullmatch(url)
    digests = stated_digests(f".{suffix}", [(suffix, found[1].decode())]) if found else ()
    if digests and place:
        reading.is_shown(NamedFile(url, digests, place[1], place[2]))


_BESIDE = ("", ".md5", ".sha1", ".sha256", ".sha512", ".asc")
_ENDING = "|".join(map(re.escape, filter(None, _BESIDE)))

# A release: its file's name begins with the names of the two folders that it is in.
_RELEASE = (
    r"(?:[^/]+/)+(?P<name>[^/]+)/(?P<version>(?![^/]*-SNAPSHOT/)[^/]+)/(?P=name)-(?P=version)[.-][^/]*"
)

MAVEN = Ecosystem(
    "maven",
    rules=(
        PathRule(re.compile(r"(?:.*/)?maven-metadata[^/]*\.xml(?:\.[a-z0-9]+)*$"), index(300)),
        PathRule(re.compile(r".*-SNAPSHOT/"), index(300)),
        PathRule(re.compile(rf"{_RELEASE}$"), IMMUTABLE),
    ),
    documents=(
        Document(
            # Metadata changes, so that its digests are no longer right while it is younger than they are.
            re.compile(rf"{_RELEASE}\.(?:md5|sha1|sha256|sha512)$"),
            NO_PAGE,
            _read,
            has_links=False,
        ),
    ),
    together=(
        Together(re.compile(r"(?P<of>(?:.*/)?maven-metadata[^/]*\.xml)(?:\.[a-z0-9]+)*$"), _BESIDE),
        Together(re.compile(rf"(?P<of>.*-SNAPSHOT/[^/]+?)(?:{_ENDING})*$"), _BESIDE),
    ),
)
