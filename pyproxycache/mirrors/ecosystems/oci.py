"""Registries of images (OCI distribution): manifests and blobs by digest, manifests by tag."""

from __future__ import annotations

import re
from dataclasses import replace

from pyproxycache.mirrors.ecosystem import IMMUTABLE, PASSED, Asking, Ecosystem, PathRule, index

# What their fields say is meant for one client alone, who is here the cache.
_MEANT_FOR_CACHE = frozenset({"cache-control", "expires", "pragma", "set-cookie"})

_BY_DIGEST = r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"
_UNCHANGING = replace(IMMUTABLE, ignore=_MEANT_FOR_CACHE)
_CHANGING = replace(index(60.0), ignore=_MEANT_FOR_CACHE)
_REPOSITORY = re.compile(
    r"v2/(?P<name>[a-z0-9][a-z0-9._/-]{0,254})/(?:(?:manifests|blobs|referrers)/[^/]+|tags/list)$"
)
_CATALOG = "v2/_catalog"

# A registry may give each client what it accepts, and say so by no Vary: all get the one that is stored.
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "*/*",
    )
)


def repository_of_path(path: str) -> str:
    """The repository whose token opens a path ("v2/library/tiny/blobs/sha256:…"), "" for none."""
    if path == _CATALOG:
        return _CATALOG
    found = _REPOSITORY.match(path)
    return found["name"] if found else ""


def repository_of_image(name: str) -> str:
    """The repository of an image by the name that people write; the registry's host is not part of it."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return rest
    return name if slash else f"library/{name}"


OCI = Ecosystem(
    "oci",
    rules=(
        PathRule(re.compile(r"v2/.+/blobs/uploads(?:/|$)"), PASSED),
        PathRule(re.compile(rf"v2/.+/blobs/{_BY_DIGEST}"), _UNCHANGING),
        PathRule(re.compile(rf"v2/.+/manifests/{_BY_DIGEST}"), _UNCHANGING, heads_by_get=True),
        PathRule(
            re.compile(r"v2/.+/manifests/[^/]+$"), replace(_CHANGING, by_head=True), heads_by_get=True
        ),
        PathRule(re.compile(r"v2/.+/(?:tags/list|referrers/[^/]+)$"), _CHANGING),
        PathRule(re.compile(rf"{_CATALOG}$"), _CHANGING),
        PathRule(re.compile(r"v2/?$"), PASSED),
    ),
    asking=(Asking(re.compile(r"v2/.+/manifests/[^/]+$"), _MANIFESTS),),
    token_space=repository_of_path,
)
