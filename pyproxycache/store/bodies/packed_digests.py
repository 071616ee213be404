"""The digests of a file as bytes, which take half as many as their text."""

from __future__ import annotations

from collections.abc import Iterable

_STRENGTHS = {"md5": 1, "sha": 2, "sha-256": 3, "sha-512": 3}
SAFE = frozenset(name for name, strength in _STRENGTHS.items() if strength == 3)
"""The algorithms by which a body is proven."""
# A byte for the algorithm, and the digest, of so many bytes.
_CODES = {"md5": (b"\1", 16), "sha": (b"\2", 20), "sha-256": (b"\3", 32), "sha-512": (b"\4", 64)}
_NAMES = {code[0]: (name, length) for name, (code, length) in _CODES.items()}

Digests = tuple[tuple[str, str], ...]
"""Pairs of algorithm and hex."""


def packed(digests: Iterable[tuple[str, str]]) -> bytes:
    """The digests as bytes; those of unknown algorithms, or of another length, are left out."""
    known = [(*_CODES[name], digest) for name, digest in sorted(digests) if name in _CODES]
    return b"".join(
        [code + bytes.fromhex(digest) for code, length, digest in known if len(digest) == 2 * length]
    )


def unpacked(digests: bytes) -> Digests:
    """The digests that packed() has made these bytes of."""
    found, at = [], 0
    while at < len(digests):
        name, length = _NAMES.get(digests[at], ("", len(digests)))
        if name:
            found.append((name, digests[at + 1 : at + 1 + length].hex()))
        at += 1 + length
    return tuple(found)


def agree(one: bytes, other: bytes) -> bool:
    """Whether no algorithm has two digests."""
    found = dict(unpacked(one))
    return all(found.get(name, digest) == digest for name, digest in unpacked(other))


def strength(digests: bytes) -> int:
    """How good the best of the algorithms is."""
    return max((_STRENGTHS[algorithm] for algorithm, _ in unpacked(digests)), default=0)
