"""Digests of files as package indexes state them, by the names that these have for algorithms."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pyproxycache.rules.digests import ExpectedDigest

# Algorithms by the names that indexes have for them (in lower case), and their digests' length in hex.
_ALGORITHMS = {
    "sha512": ("sha-512", 128),
    "sha256": ("sha-256", 64),
    "sha1": ("sha", 40),
    "sha": ("sha", 40),
    "md5sum": ("md5", 32),
    "md5": ("md5", 32),
}
_SAFE = ("sha-512", "sha-256")
_HEX = re.compile(r"[0-9a-f]+")


def stated_digests(document: str, stated: Iterable[tuple[str, str]]) -> tuple[ExpectedDigest, ...]:
    """The digests that a document states, of pairs of an algorithm's name and a digest in hex.

    Those that are not safe against attackers count only if no other is stated. What is unknown or of
    another length is left out.
    """
    found: dict[str, str] = {}
    for name, digest in stated:
        algorithm, length = _ALGORITHMS.get(name.lower(), ("", 0))
        text = digest.lower()
        if algorithm and len(text) == length and _HEX.fullmatch(text):
            found[algorithm] = text
    best = [one for one in _SAFE if one in found] or [one for one in ("sha", "md5") if one in found][:1]
    return tuple(ExpectedDigest(document, one, found[one]) for one in best)
