"""Integrity fields: the digests that a body has to match (RFC 9530)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pyproxycache.messages import Head
from pyproxycache.rules.structured import parse_dictionary

# The algorithms that are safe against attackers (RFC 9530 section 5), and their digests' length in bytes.
_ACTIVE = {"sha-256": 32, "sha-512": 64}


@dataclass(frozen=True, slots=True)
class ExpectedDigest:
    """A digest that a field of the response states; `digest` is in hex."""

    field: str
    algorithm: str
    digest: str


def expected_digests(head: Head) -> tuple[ExpectedDigest, ...]:
    """The digests that the body of the response has to match; for a 206, those of Content-Digest only.

    Unknown algorithms and invalid digests are ignored. RFC 9530 sections 2 and 3.
    """
    fields = ("Content-Digest",) if head.status == 206 else ("Content-Digest", "Repr-Digest")
    return tuple(
        ExpectedDigest(field, algorithm, value.hex())
        for field in fields
        for algorithm, (value, _parameters) in (
            parse_dictionary(head.headers.get(field) or "") or {}
        ).items()
        if isinstance(value, bytes) and len(value) == _ACTIVE.get(algorithm)
    )


class IntegrityCheck:
    """Checks a body against its expected digests; the caller computes the sha256, which it needs anyway."""

    def __init__(self, head: Head) -> None:
        self.expected = expected_digests(head)
        self._sha512 = (
            hashlib.sha512() if any(one.algorithm == "sha-512" for one in self.expected) else None
        )

    @property
    def reads_the_body(self) -> bool:
        """Whether the whole body has to be given to `update`."""
        return self._sha512 is not None

    def update(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self._sha512 is not None:
            self._sha512.update(data)

    def mismatch(self, sha256: str) -> str:
        """The first field and algorithm that the body does not match; "" if it matches all.

        `sha256` is the body's, in hex.
        """
        found = {"sha-256": sha256, "sha-512": self._sha512.hexdigest() if self._sha512 else ""}
        wrong = (one for one in self.expected if found[one.algorithm] != one.digest)
        return next((f"{one.field} ({one.algorithm})" for one in wrong), "")
