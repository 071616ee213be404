"""JavaScript packages: a document for each, in full or abbreviated, and an archive for each version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from pyproxycache.mirrors.digest_texts import digests_of_integrity
from pyproxycache.mirrors.documents.json_items import JsonItem, with_items
from pyproxycache.mirrors.ecosystem import (
    IMMUTABLE,
    PASSED,
    Document,
    DocumentReading,
    Ecosystem,
    PathRule,
    index,
    negotiated,
)
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import STRONG, ExpectedDigest

_FIELD = "dist.integrity"


def _read(pieces: Iterable[bytes], reading: DocumentReading) -> Iterator[bytes]:
    def shown(item: JsonItem) -> bytes | None:
        version = msgspec.json.decode(item.text)
        dist = version.get("dist") if isinstance(version, dict) else None
        if not isinstance(dist, dict) or not isinstance(dist.get("tarball"), str):
            return item.text
        url = reading.absolute(dist["tarball"])
        name = version.get("name")
        digests = _digests(dist.get("integrity"), dist.get("shasum"))
        if not reading.is_shown(
            NamedFile(url, digests, name if isinstance(name, str) else "", item.key or "")
        ):
            return None
        version["dist"] = {**dist, "tarball": reading.link(url)}
        return msgspec.json.encode(version)

    return with_items(pieces, [("versions",)], shown)


def _digests(integrity: Any, shasum: Any) -> tuple[ExpectedDigest, ...]:
    """Those of an integrity (Subresource Integrity), else that of the older shasum."""
    stated = digests_of_integrity(integrity, _FIELD) if isinstance(integrity, str) else ()
    found = [one for one in stated if one.algorithm in STRONG]
    if not found and isinstance(shasum, str) and re.fullmatch(r"[0-9a-fA-F]{40}", shasum):
        found.append(ExpectedDigest("dist.shasum", "sha", shasum.lower()))
    return tuple(found)


def _document_at(package: str) -> str:
    return package.replace("/", "%2f") if package.startswith("@") else quote(package, safe="")


_PACKAGE = re.compile(r"(?:@[^/]+(?:/|%2[fF])[^/]+|[^@/-][^/]*)$")

NPM = Ecosystem(
    "npm",
    rules=(
        PathRule(re.compile(r"(?:@[^/]+/)?[^/]+/-/.+\.tgz$"), IMMUTABLE),
        PathRule(re.compile(r"-/"), PASSED),
        PathRule(_PACKAGE, negotiated(index(300))),
        PathRule(re.compile(r"(?:@[^/]+(?:/|%2[fF]))?[^/]+/[^/]+$"), index(300)),
    ),
    document_at=_document_at,
    accepted=("application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*",),
    documents=(
        Document(
            _PACKAGE,
            re.compile(r"application/json|application/vnd\.npm\.install-v1\+json"),
            _read,
        ),
    ),
)
