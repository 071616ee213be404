"""Digests as lock files, documents and references to images write them, each in one text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable

from pyproxycache.rules.digests import LENGTHS, ExpectedDigest

# With one algorithm more than bodies are compared by, as integrity metadata may have it.
_LENGTHS = {**LENGTHS, "sha-384": 48}
_NAMES = {"md5": "md5", "sha1": "sha", "sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}
_HEX = re.compile(r"[0-9a-fA-F]+")


def digest_of(text: str, field: str) -> tuple[ExpectedDigest, ...]:
    """The digest in "sha256:HEX" or "sha256=HEX"; () if it is none that is known."""
    name, _, value = text.partition("=" if "=" in text and ":" not in text else ":")
    algorithm = _NAMES.get(name.strip().lower(), "")
    value = value.strip()
    if not _HEX.fullmatch(value) or len(value) != 2 * _LENGTHS.get(algorithm, 0):
        return ()
    return (ExpectedDigest(field, algorithm, value.lower()),)


def digests_of_integrity(text: str, field: str = "integrity") -> tuple[ExpectedDigest, ...]:
    """The known digests in integrity metadata (Subresource Integrity), "sha512-BASE64 ..."."""
    found = []
    for one in text.split():
        name, _, encoded = one.partition("-")
        algorithm = _NAMES.get(name.lower(), "")
        try:
            digest = base64.b64decode(encoded.partition("?")[0], validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(digest) == _LENGTHS.get(algorithm):
            found.append(ExpectedDigest(field, algorithm, digest.hex()))
    return tuple(found)


def strongest(digests: Iterable[ExpectedDigest]) -> tuple[ExpectedDigest, ...]:
    """Those by the strongest algorithm among them: one of these has to be the file's."""
    known = [one for one in digests if one.algorithm in _LENGTHS]
    most = max((_LENGTHS[one.algorithm] for one in known), default=0)
    return tuple(one for one in known if _LENGTHS[one.algorithm] == most)
