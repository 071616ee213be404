"""Python packages: simple pages in JSON (PEP 691) or HTML (PEP 503), and the files beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from pyproxycache.mirrors.documents.html_anchors import Anchor, with_anchors
from pyproxycache.mirrors.documents.json_items import JsonItem, with_items
from pyproxycache.mirrors.ecosystem import (
    IMMUTABLE,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    index,
    negotiated,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.mirrors.python_names import python_name
from pyproxycache.mirrors.stated_digests import stated_digests
from pyproxycache.rules.digests import ExpectedDigest

_FIELD = "simple page"
_SIMPLE = "application/vnd.pypi.simple.v1"
_FRAGMENT = re.compile(r"(?:.*&)?sha256=([0-9a-fA-F]{64})(?:&.*)?")
_METADATA = re.compile(r"sha256=([0-9a-fA-F]{64})")
# What comes behind the version of a wheel or of a source archive.
_NAME = re.compile(r"(?P<package>.+?)-(?P<version>[^-]+?)(?:-.*\.whl|\.tar\.gz|\.zip|\.tar\.bz2|\.egg)")


def _read_json(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    def shown(item: JsonItem) -> bytes | None:
        file = msgspec.json.decode(item.text)
        if not isinstance(file, dict) or not isinstance(file.get("url"), str):
            return item.text
        url = reading.absolute(file["url"])
        told = _named(url, _sha256(file.get("hashes")))
        if not reading.is_shown(told):
            return None
        metadata = _sha256(file.get("core-metadata") or file.get("data-dist-info-metadata"))
        if metadata:
            reading.is_shown(NamedFile(f"{url}.metadata", metadata, told.package, told.version))
        return msgspec.json.encode({**file, "url": reading.link(url)})

    return with_items(pieces, [("files",)], shown)


def _read_html(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    def shown(anchor: Anchor) -> str | None:
        href = anchor.attributes.get("href")
        if not href:
            return anchor.text
        url, mark, fragment = reading.absolute(href, anchor.base).partition("#")
        stated = _FRAGMENT.fullmatch(fragment)
        told = _named(url, _digest(stated[1] if stated else ""))
        if not reading.is_shown(told):
            return None
        attributes = anchor.attributes
        metadata = attributes.get("data-core-metadata") or attributes.get("data-dist-info-metadata") or ""
        if hashed := _METADATA.fullmatch(metadata):
            reading.is_shown(NamedFile(f"{url}.metadata", _digest(hashed[1]), told.package, told.version))
        return anchor.with_attribute("href", f"{reading.link(url)}{mark}{fragment}")

    # Links are absolute now, and must not count from elsewhere where they are paths.
    return with_anchors(pieces, shown, keeps_base=False)


def _named(url: str, digests: tuple[ExpectedDigest, ...]) -> NamedFile:
    name = _NAME.fullmatch(unquote(url.rpartition("/")[2]))
    package = python_name(name["package"]) if name else ""
    return NamedFile(url, digests, package, name["version"] if name else "")


def _sha256(hashes: Any) -> tuple[ExpectedDigest, ...]:
    stated = hashes.get("sha256") if isinstance(hashes, dict) else None
    return _digest(stated) if isinstance(stated, str) else ()


def _digest(text: str) -> tuple[ExpectedDigest, ...]:
    return stated_digests(_FIELD, [("sha256", text)])


_PAGE = re.compile(r"(?:.*/)?simple/[^/]+/?(?:index\.html)?$|[^/]+/$")

PYPI = Ecosystem(
    "pypi",
    rules=(
        PathRule(
            re.compile(r".*\.(?:whl|tar\.gz|zip|tar\.bz2|egg)(?:\.metadata|\.asc|\.provenance)?$"),
            IMMUTABLE,
        ),
        # An upstream may be the index itself, without simple/.
        PathRule(re.compile(r"(?:(?:.*/)?simple/?)?$"), negotiated(index(3600))),
        PathRule(re.compile(r"[^/]+/$"), negotiated(index(600))),
        PathRule(re.compile(r"(?:.*/)?simple/[^/]+/?(?:index\.html)?$"), negotiated(index(600))),
        PathRule(re.compile(r"pypi/.+/json$"), index(600)),
    ),
    document_at=lambda package: f"simple/{quote(package, safe='')}/",
    accepted=(
        f"{_SIMPLE}+json, {_SIMPLE}+html; q=0.1, text/html; q=0.01",
        f"{_SIMPLE}+json, {_SIMPLE}+html;q=0.2, text/html;q=0.01",
    ),
    documents=(
        Document(_PAGE, re.compile(r"application/vnd\.pypi\.simple\.v1\+json"), _read_json),
        Document(_PAGE, re.compile(r"text/html|application/vnd\.pypi\.simple\.v1\+html"), _read_html),
    ),
)
