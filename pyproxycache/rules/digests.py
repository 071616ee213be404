"""The digests that a body has to match: those of integrity fields (RFC 9530), of names, of documents."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from pyproxycache.messages import Head
from pyproxycache.rules.grammar import parse_content_range
from pyproxycache.rules.structured import parse_dictionary

LENGTHS = {"sha-256": 32, "sha-512": 64, "sha": 20, "md5": 16}
"""The algorithms by the names of IANA's registry, and their digests' length in bytes."""

STRONG = frozenset({"sha-256", "sha-512"})
"""The algorithms that are safe against attackers (RFC 9530 section 5)."""

_HASHES = {"sha-512": hashlib.sha512, "sha": hashlib.sha1, "md5": hashlib.md5}
_WEAKER = ("sha", "md5")
_CHECKSUMS = {
    "X-Checksum-Sha512": "sha-512",
    "X-Checksum-Sha256": "sha-256",
    "X-Checksum-Sha1": "sha",
    "X-Checksum-Md5": "md5",
}
_HEX = re.compile(r"[0-9a-f]+")
_LINKING = "X-Linked-Etag"
_LINKED = re.compile(r'"([0-9a-f]{64})"')
_IMAGE = "Docker-Content-Digest"
_OF_IMAGE = re.compile(r"sha256:([0-9a-f]{64})")
_UNCODED = frozenset({"", "identity"})


@dataclass(frozen=True, slots=True)
class ExpectedDigest:
    """A digest that is stated of a body, in hex; `field` says by what, such as a field of the response.

    `document` is the URL of the document that states it, "" where none does. One that is not `is_binding`
    is only compared, and the body is given and stored whatever it has.
    """

    field: str
    algorithm: str
    digest: str
    document: str = ""
    is_binding: bool = True

    def __str__(self) -> str:
        place = f" in {self.document}" if self.document else ""
        return f"{self.field} ({self.algorithm}){place}"


@dataclass(frozen=True, slots=True)
class DigestMismatch:
    """A body has another digest (`found`, in hex) than the one expected."""

    expected: ExpectedDigest
    found: str

    def __str__(self) -> str:
        return f"{self.expected}: {self.expected.digest} was expected, and {self.found} came"


def expected_digests(head: Head) -> tuple[ExpectedDigest, ...]:
    """The digests that the body of the response has to match; for a 206, those of Content-Digest only.

    Unknown algorithms and invalid digests are ignored. RFC 9530 sections 2 and 3. X-Linked-Etag is what
    hosts of large files say of one when they redirect to it; Docker-Content-Digest is what registries of
    images say of manifests and blobs (OCI distribution); X-Checksum-Sha1 and the like are what repositories
    of artefacts say of these, of which the safest count.
    """
    linked = _LINKED.fullmatch(head.headers.get(_LINKING) or "") if is_of_file(head) else None
    of_link = (ExpectedDigest(_LINKING, "sha-256", linked[1]),) if linked else ()
    image = _OF_IMAGE.fullmatch(head.headers.get(_IMAGE) or "") if _is_of_image(head) else None
    of_image = (ExpectedDigest(_IMAGE, "sha-256", image[1]),) if image else ()
    of_artefact = safest(_checksums(head)) if is_of_file(head) else ()
    fields = ("Content-Digest",) if head.status == 206 else ("Content-Digest", "Repr-Digest")
    return (
        of_link
        + of_image
        + of_artefact
        + tuple(
            ExpectedDigest(field, algorithm, value.hex())
            for field in fields
            for algorithm, (value, _parameters) in (
                parse_dictionary(head.headers.get(field) or "") or {}
            ).items()
            if algorithm in STRONG and isinstance(value, bytes) and len(value) == LENGTHS[algorithm]
        )
    )


def _checksums(head: Head) -> Iterator[ExpectedDigest]:
    for name, algorithm in _CHECKSUMS.items():
        digest = (head.headers.get(name) or "").strip().lower()
        if len(digest) == 2 * LENGTHS[algorithm] and _HEX.fullmatch(digest):
            yield ExpectedDigest(name, algorithm, digest)


def safest(stated: Iterable[ExpectedDigest]) -> tuple[ExpectedDigest, ...]:
    """Those of safe algorithms; where there are none, those of the least weak algorithm."""
    stated = tuple(stated)
    strong = tuple(one for one in stated if one.algorithm in STRONG)
    weaker = (tuple(one for one in stated if one.algorithm == name) for name in _WEAKER)
    return strong or next(filter(None, weaker), ())


def is_of_file(head: Head) -> bool:
    """Whether the body is the file itself, to which digests apply that names and documents state."""
    coding = (head.headers.get("content-encoding") or "").strip().lower()
    return coding in _UNCODED and (head.status == 200 or _is_all(head))


def _is_of_image(head: Head) -> bool:
    """Whether a registry's digest is that of the body: of signed manifests it is that of a part."""
    return is_of_file(head) and "prettyjws" not in (head.headers.get("content-type") or "").lower()


def _is_all(head: Head) -> bool:
    """Whether the answer to a request for a part has the whole representation."""
    told = parse_content_range(head.headers.get("content-range") or "") if head.status == 206 else None
    return told is not None and told[2] is not None and (told[0], told[1]) == (0, told[2] - 1)


Stated = tuple[ExpectedDigest, ...]
"""The digests that one name or document states of a file: a body matches them all, or not at all."""


class IntegrityCheck:
    """Checks a body against its expected digests; the caller computes the sha256, which it needs anyway.

    Of each item of `stated` the body has to match one: what its name states is such an item, what documents
    state is another. `others` are only compared. All of them count if the body is the file.
    """

    def __init__(
        self, head: Head, stated: Iterable[Iterable[Stated]] = (), others: Iterable[Stated] = ()
    ) -> None:
        is_file = is_of_file(head)
        each = tuple(tuple(map(safest, item)) for item in stated) if is_file else ()
        self._of_head = expected_digests(head)
        self._of_file = tuple(item for item in each if item)
        self._others = tuple(chain.from_iterable(map(safest, others))) if is_file else ()
        told = tuple(chain.from_iterable(chain.from_iterable(self._of_file)))
        self.expected = (*self._of_head, *told)
        self._binding = tuple(one for one in told if one.is_binding)
        self._hashes = {
            name: make(usedforsecurity=False)
            for name, make in _HASHES.items()
            if any(one.algorithm == name for one in (*self.expected, *self._others))
        }

    @property
    def is_binding(self) -> bool:
        """Whether a body may turn out to be refused."""
        return any(one.is_binding for one in self.expected)

    @property
    def reads_the_body(self) -> bool:
        """Whether the whole body has to be given to `update`."""
        return bool(self._hashes)

    def update(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        for one in self._hashes.values():
            one.update(data)

    def mismatches(self, sha256: str) -> tuple[DigestMismatch, ...]:
        """What the body does not match and should, first that for which it is refused.

        `sha256` is the body's, in hex.
        """
        told = self._wrong(self._of_head, sha256)
        for item in self._of_file:
            wrong = [self._wrong(one, sha256) for one in item]
            if all(wrong):
                told += chain.from_iterable(wrong)
        return tuple(sorted(told, key=lambda one: not one.expected.is_binding))

    def is_proven(self, sha256: str) -> bool:
        """Whether the body is what all state that count, and one of them by a safe digest."""
        is_safe = any(one.algorithm in STRONG for one in self._binding)
        return is_safe and not self._wrong((*self._of_head, *self._binding), sha256)

    def is_disputed(self, sha256: str) -> bool:
        """Whether the body differs from what somebody states of the file, whether that counts or not."""
        return bool(self._wrong((*self._binding, *self._others), sha256))

    def _wrong(self, expected: Iterable[ExpectedDigest], sha256: str) -> list[DigestMismatch]:
        found = {"sha-256": sha256, **{name: one.hexdigest() for name, one in self._hashes.items()}}
        return [
            DigestMismatch(one, found[one.algorithm])
            for one in expected
            if found[one.algorithm] != one.digest
        ]

    def mismatch(self, sha256: str) -> DigestMismatch | None:
        """For what the body is refused; None if it is not. `sha256` is the body's, in hex."""
        first = next(iter(self.mismatches(sha256)), None)
        return first if first is not None and first.expected.is_binding else None
