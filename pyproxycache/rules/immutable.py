"""Paths in package ecosystems whose content never changes, recognised by a digest or a version in them."""

from __future__ import annotations

import re

LIFETIME = 365 * 86400.0
"""The freshness lifetime of immutable content, in seconds."""

_VERSION = r"v?[0-9]+\.[0-9]+\.[0-9]+[^/]*"

# The ecosystem's clients check such content by a digest from elsewhere, or its rules forbid replacing it.
_PATHS = (
    # Debian repositories: indexes by their digest.
    r"/by-hash/(?:MD5Sum/[0-9a-f]{32}|SHA1/[0-9a-f]{40}|SHA256/[0-9a-f]{64}|SHA512/[0-9a-f]{128})",
    # Container images: layers and configurations.
    r"/v2/.+/blobs/(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})",
    # Python: a digest in three parts, or the older form by the kind of file and the name's first letter.
    r"/packages/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/[^/]+",
    r"/packages/(?:source|(?:py|cp|pp)[0-9a-z.]+)/[A-Za-z0-9]/[^/]+/[^/]+",
    # Rust.
    rf"/[A-Za-z0-9_-]+-{_VERSION}\.crate",
    rf"/crates/[A-Za-z0-9_-]+/{_VERSION}/download",
    # Go: not its lists of versions, nor branches.
    rf"/@v/{_VERSION}\.(?:info|mod|zip)",
    # JavaScript.
    rf"/-/[^/]+-{_VERSION}\.tgz",
    # Nix.
    r"/nar/[0-9a-df-np-sv-z]{52}\.nar(?:\.[a-z0-9]+)?",
)
_IMMUTABLE = re.compile("(?:" + "|".join(_PATHS) + r")\Z")
# Clients choose paths, and the search takes time quadratic in their length.
_LONGEST = 512


def is_immutable(path: str, content_type: str) -> bool:
    """Whether the content of a 200 for the path never changes; HTML does, as it may be a login page."""
    is_page = content_type.lower().startswith("text/html")
    return not is_page and _IMMUTABLE.search(path[-_LONGEST:]) is not None
