"""Ruby gems: the compact index, whose files are appended to, with digests in the file of each gem."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from pyproxycache.mirrors.documents.lines import with_lines
from pyproxycache.mirrors.ecosystem import (
    IMMUTABLE,
    NO_PAGE,
    PASSED,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    index,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

_FIELD = "checksum"
_NAME = re.compile(r"[A-Za-z0-9._-]+")
# Version and platform, what it depends on, and behind the bar what it requires, with the digest.
_LINE = re.compile(r"(?P<version>[A-Za-z0-9.]+)(?P<platform>-[A-Za-z0-9._-]+)? [^|]*\|(?P<requires>.*)")
_DIGEST = re.compile(r"(?:.*,)?checksum:([0-9a-fA-F]{64})(?:,.*)?")


def _read_info(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    base, _, last = reading.url.partition("?")[0].rpartition("/")
    gem = unquote(last)

    def is_shown(line: bytes) -> bool:
        told = _LINE.fullmatch(line.decode("utf-8", "replace").rstrip("\r"))
        digest = told and _DIGEST.fullmatch(told["requires"])
        if not told or not digest or not _NAME.fullmatch(gem):
            return True
        url = f"{base.removesuffix('info')}gems/{gem}-{told['version']}{told['platform'] or ''}.gem"
        # What has been read is shown: clients ask for the rest of the file alone, and check its digest.
        reading.is_shown(
            NamedFile(url, (ExpectedDigest(_FIELD, "sha-256", digest[1].lower()),), gem, told["version"])
        )
        return True

    return with_lines(pieces, is_shown)


_INFO = re.compile(r"info/[^/]+$")

RUBYGEMS = Ecosystem(
    "rubygems",
    rules=(
        PathRule(re.compile(r"gems/[^/]+\.gem$"), IMMUTABLE),
        PathRule(re.compile(r"quick/Marshal\.4\.8/[^/]+\.gemspec\.rz$"), IMMUTABLE),
        # By these, clients find out which kind of index there is.
        PathRule(re.compile(r"$"), index(3600), heads_by_get=True),
        PathRule(re.compile(r"versions$"), index(60), heads_by_get=True),
        PathRule(re.compile(r"names$"), index(60)),
        PathRule(_INFO, index(60)),
        PathRule(re.compile(r"(?:latest_|prerelease_)?specs\.4\.8(?:\.gz)?$"), index(300)),
        PathRule(re.compile(r"api/"), PASSED),
    ),
    documents=(Document(_INFO, NO_PAGE, _read_info, has_links=False),),
)
