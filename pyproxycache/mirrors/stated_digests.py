"""Digests of files as package indexes state them, by the names that these have for algorithms."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pyproxycache.rules.digests import LENGTHS, ExpectedDigest, safest

# Algorithms by the names that indexes have for them, in lower case.
_ALGORITHMS = {
    "sha512": "sha-512",
    "sha256": "sha-256",
    "sha1": "sha",
    "sha": "sha",
    "md5sum": "md5",
    "md5": "md5",
}
_HEX = re.compile(r"[0-9a-f]+")


def stated_digests(document: str, stated: Iterable[tuple[str, str]]) -> tuple[ExpectedDigest, ...]:
    """The digests that a document states, of pairs of an algorithm's name and a digest in hex.

    Those that are not safe against attackers count only if no other is stated. What is unknown or of
    another length is left out.
    """
    found: dict[str, str] = {}
    for name, digest in stated:
        algorithm, text = _ALGORITHMS.get(name.lower()), digest.lower()
        if algorithm and len(text) == 2 * LENGTHS[algorithm] and _HEX.fullmatch(text):
            found[algorithm] = text
    return safest(ExpectedDigest(document, algorithm, text) for algorithm, text in found.items())
