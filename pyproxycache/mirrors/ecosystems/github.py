"""Releases and archives of source repositories, and the interface that lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from pyproxycache.mirrors.documents.json_items import JsonItem, Path, with_items
from pyproxycache.mirrors.ecosystem import (
    DAY,
    PASSED,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    Read,
    index,
    negotiated,
    public,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.mirrors.stated_digests import stated_digests
from pyproxycache.rules.policy import Policy

_FIELD = "asset's digest"
# A file of a release may be replaced, and an archive be packed anew.
_FILES = public(Policy(fresh=DAY, stale_if_error=30 * DAY))
_MOVING = public(index(300))
# Of an asset there is what is known of it, and its file.
_INTERFACE = negotiated(public(index(120)))
_DIGEST = re.compile(r"(sha256|sha512):([0-9a-fA-F]+)")
_RELEASE = re.compile(r".*/(?P<name>[^/]+/[^/]+)/releases/download/(?P<tag>.+)/[^/]+")


def _read(paths: tuple[Path, ...]) -> Read:
    def read(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
        def shown(item: JsonItem) -> bytes | None:
            asset = item.value()
            if not isinstance(asset, dict) or not isinstance(asset.get("browser_download_url"), str):
                return item.text
            url = reading.absolute(asset["browser_download_url"])
            of = _RELEASE.fullmatch(url)
            named = NamedFile(
                url, _digests(asset.get("digest")), of["name"] if of else "", of["tag"] if of else ""
            )
            if not reading.is_shown(named):
                return None
            asset["browser_download_url"] = reading.link(url)
            if isinstance(asset.get("url"), str):
                asset["url"] = reading.link(reading.absolute(asset["url"]))
            return msgspec.json.encode(asset)

        return with_items(pieces, paths, shown)

    return read


def _digests(text: Any) -> tuple[Any, ...]:
    found = _DIGEST.fullmatch(text) if isinstance(text, str) else None
    return stated_digests(_FIELD, [(found[1], found[2])]) if found else ()


_NAME = r"[^/]+/[^/]+"
_RELEASES = rf"(?:api/v3/)?repos/{_NAME}/releases"
_JSON = re.compile(r"application/(?:vnd\.github\.[a-z0-9.+-]*)?json")

GITHUB = Ecosystem(
    "github",
    rules=(
        PathRule(re.compile(r"(?:api/v3/)?(?:rate_limit|user|notifications|graphql)(?:/|$)"), PASSED),
        PathRule(re.compile(r"(?:api/v3/)?(?:repos|orgs|users)/"), _INTERFACE),
        PathRule(re.compile(rf"{_NAME}/releases/download/"), _FILES),
        # Its redirect tells the newest version, which scripts read there.
        PathRule(re.compile(rf"{_NAME}/releases/latest/?$"), _MOVING, shows_redirects=True),
        PathRule(re.compile(rf"{_NAME}/releases/latest/download/"), _MOVING),
        PathRule(re.compile(rf"{_NAME}/(?:archive|zipball|tarball)/refs/heads/"), _MOVING),
        PathRule(re.compile(rf"{_NAME}/archive/(?:refs/tags/.+|[0-9a-f]{{40}})\.(?:zip|tar\.gz)$"), _FILES),
        PathRule(
            re.compile(rf"{_NAME}/(?:legacy\.)?(?:zip|tar\.gz)/(?:refs/tags/.+|[0-9a-f]{{40}})$"), _FILES
        ),
        PathRule(
            re.compile(rf"{_NAME}/(?:archive|zipball|tarball|raw|(?:legacy\.)?(?:zip|tar\.gz))/"), _MOVING
        ),
    ),
    documents=(
        Document(re.compile(rf"{_RELEASES}/?$"), _JSON, _read((("*", "assets"),))),
        Document(re.compile(rf"{_RELEASES}/(?:latest|[0-9]+|tags/.+)$"), _JSON, _read((("assets",),))),
        Document(re.compile(rf"{_RELEASES}/[0-9]+/assets/?$"), _JSON, _read(((),))),
    ),
)
