"""Models and data sets: repositories of files, each revision by its commit, large files elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from pyproxycache.mirrors.documents.json_items import JsonItem, Path, with_items
from pyproxycache.mirrors.ecosystem import (
    IMMUTABLE,
    PASSED,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    Read,
    index,
    public,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.mirrors.stated_digests import stated_digests

_FIELD = "lfs"
_COMMIT = "[0-9a-f]{40}"
# Which repository, and which of its revisions.
_LISTED = re.compile(
    rf"(?P<base>.*/)api/(?P<kind>models|datasets|spaces)/(?P<name>(?:[^/]+/)?[^/]+)"
    rf"/(?:tree|revision)/(?P<commit>{_COMMIT})(?:/.*)?"
)
_LONGEST_NAME = 4096


def _read(paths: tuple[Path, ...]) -> Read:
    def read(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
        listed = _LISTED.fullmatch(reading.url.partition("?")[0])

        def shown(item: JsonItem) -> bytes:
            if b'"lfs"' not in item.text and b'"xetHash"' not in item.text:
                return item.text
            file = item.value()
            if not isinstance(file, dict):
                return item.text
            if listed is not None and (named := _named(listed, file)) is not None:
                reading.is_shown(named)
            if "xetHash" not in file:
                return item.text
            # Else clients ask another service for pieces of the file, past the cache.
            return msgspec.json.encode({name: value for name, value in file.items() if name != "xetHash"})

        return with_items(pieces, paths, shown)

    return read


def _named(listed: re.Match[str], file: dict[str, Any]) -> NamedFile | None:
    """The file by its commit, if it is a large one, whose digest is stated."""
    stored = file.get("lfs")
    name = file.get("path", file.get("rfilename"))
    if not isinstance(stored, dict) or not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        return None
    digest = stored.get("oid", stored.get("sha256"))
    digests = stated_digests(_FIELD, [("sha256", digest)] if isinstance(digest, str) else [])
    kind = "" if listed["kind"] == "models" else f"{listed['kind']}/"
    path = quote(name.encode("utf-8", "surrogatepass"))
    url = f"{listed['base']}{kind}{listed['name']}/resolve/{listed['commit']}/{path}"
    return NamedFile(url, digests, f"{kind}{listed['name']}", listed["commit"])


_JSON = re.compile(r"application/json")
_REPOSITORY = r"api/(?:models|datasets|spaces)/(?:[^/]+/)?[^/]+"

HUGGINGFACE = Ecosystem(
    "huggingface",
    rules=(
        PathRule(re.compile(rf"(?:.+/)?resolve/{_COMMIT}/"), public(IMMUTABLE)),
        PathRule(re.compile(rf"api/resolve-cache/.+/{_COMMIT}/"), public(IMMUTABLE)),
        PathRule(re.compile(r"(?:.+/)?(?:resolve|raw)/[^/]+/"), public(index(120))),
        PathRule(
            re.compile(r"api/(?:whoami|login|settings|organizations|.*/xet-(?:read|write)-token)"), PASSED
        ),
        PathRule(re.compile(rf"{_REPOSITORY}/(?:tree|revision)/{_COMMIT}(?:/|$)"), public(index(3600))),
        PathRule(re.compile(r"api/"), public(index(120))),
    ),
    documents=(
        Document(re.compile(rf"{_REPOSITORY}/tree/"), _JSON, _read(((),))),
        Document(re.compile(rf"{_REPOSITORY}(?:/revision/[^/]+)?$"), _JSON, _read((("siblings",),))),
    ),
    hidden=frozenset(
        {
            "x-xet-hash",
            "x-xet-refresh-route",
            "x-xet-cas-url",
            "x-xet-access-token",
            "x-xet-token-expiration",
        }
    ),
)
