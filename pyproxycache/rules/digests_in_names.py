"""Digests in the names of files: paths that say which content they have."""

from __future__ import annotations

import re

from pyproxycache.messages import Head
from pyproxycache.rules.digests import LENGTHS, ExpectedDigest
from pyproxycache.rules.grammar import media_type

# The digest is at the end, so that the search takes no longer for a long path.
_LONGEST = 512
_BY_HASH = re.compile(r"/by-hash/(MD5Sum|SHA1|SHA256|SHA512)/([0-9a-f]+)\Z")
_OF_IMAGES = re.compile(r"/v2/.+/(?:blobs|manifests)/(sha256|sha512):([0-9a-f]+)\Z")
_ALGORITHMS = {
    "MD5Sum": "md5",
    "SHA1": "sha",
    "SHA256": "sha-256",
    "SHA512": "sha-512",
    "sha256": "sha-256",
    "sha512": "sha-512",
}
# The digest of such a manifest is that of a part of it, without its signatures.
_SIGNED_MANIFEST = "application/vnd.docker.distribution.manifest.v1+prettyjws"


def digest_in_name(path: str) -> tuple[ExpectedDigest, ...]:
    """The digest that the path states of the file: of indexes by their digest, of parts of images.

    Sources: Debian's repository format (Acquire-By-Hash), the OCI distribution specification.
    """
    end = path[-_LONGEST:]
    found = _BY_HASH.search(end) or _OF_IMAGES.search(end)
    if found is None:
        return ()
    algorithm = _ALGORITHMS[found[1]]
    return (ExpectedDigest("name", algorithm, found[2]),) if len(found[2]) == 2 * LENGTHS[algorithm] else ()


def is_signed_manifest(head: Head) -> bool:
    """Whether the body is a manifest of the old form, whose name states the digest of a part of it."""
    return media_type(head.headers) == _SIGNED_MANIFEST
