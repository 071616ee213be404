"""Rust crates: a sparse index with a file for each crate, and a config.json that says where crates are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from pyproxycache.mirrors.documents.json_items import JsonItem, with_items
from pyproxycache.mirrors.documents.lines import with_lines
from pyproxycache.mirrors.ecosystem import (
    ANY_TYPE,
    IMMUTABLE,
    PASSED,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    index,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

T = TypeVar("T")

_CONFIG = "config.json"
_FIELD = "cksum"
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VERSION = re.compile(r"[A-Za-z0-9.+-]+")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_MARKER = re.compile(r"\{(crate|version|prefix|lowerprefix|sha256-checksum)\}")


class CrateConfig(msgspec.Struct):
    """What config.json says of where crates are: a URL, which may have markers."""

    dl: str


class IndexLine(msgspec.Struct):
    """What a line of the index says of one version."""

    name: str
    vers: str
    cksum: str
    pubtime: str | None = None


def _read_config(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    def shown(item: JsonItem) -> bytes:
        where = decoded(item.text, str) if item.key == "dl" else None
        return item.text if where is None else msgspec.json.encode(reading.link(where))

    return with_items(pieces, [()], shown)


def _read_index(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    config = decoded(reading.key, CrateConfig)
    crate = reading.url.partition("?")[0].rpartition("/")[2].lower()

    def is_shown(line: bytes) -> bool:
        told = read_line(line, crate)
        if told is None:
            return True
        url = download_url(config.dl, told) if config else ""
        digest = ExpectedDigest(_FIELD, "sha-256", told.cksum.lower())
        return reading.is_shown(NamedFile(url, (digest,), told.name, told.vers))

    return with_lines(pieces, is_shown)


def read_line(line: bytes, crate: str) -> IndexLine | None:
    """What a line of the crate's file says; None if it is not of that crate, or of another form.

    Lines of another form are those of a later version of the format, which clients pass over.
    """
    told = decoded(line, IndexLine)
    if told is None or not (_NAME.fullmatch(told.name) and _VERSION.fullmatch(told.vers)):
        return None
    is_told = told.name.lower() == crate.lower() and _DIGEST.fullmatch(told.cksum)
    return told if is_told else None


def download_url(where: str, told: IndexLine) -> str:
    """The URL of the version's crate, as clients make it of `dl`."""
    values = {
        "crate": told.name,
        "version": told.vers,
        "prefix": _index_folder(told.name),
        "lowerprefix": _index_folder(told.name.lower()),
        "sha256-checksum": told.cksum,
    }
    if not _MARKER.search(where):
        return f"{where}/{told.name}/{told.vers}/download"
    return _MARKER.sub(lambda found: values[found[1]], where)


def _index_folder(name: str) -> str:
    """The folder of the crate's file in the index."""
    if len(name) < 4:
        return f"3/{name[0]}" if len(name) == 3 else str(len(name))
    return f"{name[:2]}/{name[2:4]}"


def decoded(text: bytes, kind: type[T]) -> T | None:
    """The value that the JSON text has, None if it is of another form."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError):
        return None


_FILE = re.compile(
    r"(?:1/[^/]|2/[^/]{2}|3/(?P<first>[^/])/(?P=first)[^/]{2}"
    r"|(?P<one>[^/]{2})/(?P<two>[^/]{2})/(?P=one)(?P=two)[^/]*)$"
)

CARGO = Ecosystem(
    "cargo",
    rules=(
        PathRule(re.compile(r"config\.json$"), index(3600)),
        PathRule(_FILE, index(60)),
        PathRule(re.compile(r".*\.crate$|.*/[^/]+/[0-9][^/]*/download$"), IMMUTABLE),
        PathRule(re.compile(r"api/"), PASSED),
    ),
    document_at=lambda crate: f"{_index_folder(crate)}/{crate}".lower(),
    documents=(
        Document(re.compile(r"config\.json$"), ANY_TYPE, _read_config),
        Document(_FILE, ANY_TYPE, _read_index, has_links=False, key=_CONFIG),
    ),
)
