"""Checks that every entry has its whole blob, and that no file is left over."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from pyproxycache.messages import Entry
from pyproxycache.store.bodies.blobs import Blobs, Damaged
from pyproxycache.store.bodies.stored_bodies import OUT_OF_RESOURCES
from pyproxycache.store.bodies.whole_bodies import WholeBodies
from pyproxycache.store.index.blob_rows import BlobRows
from pyproxycache.store.index.index import Index

# Errors that say nothing of the blob: the user may not read it, or this process cannot open anything more.
_NOT_THE_BLOBS = OUT_OF_RESOURCES | {errno.EACCES, errno.EPERM}


class Problem(Enum):
    """The kinds of damage that a check finds."""

    MISSING = "its body is missing"
    SIZE = "its body has another size than the index says"
    DIGEST = "its body is not what its digest says"
    UNREADABLE = "its body cannot be read from the disk"
    UNBACKED = "the index names a body that it does not have"
    STRAY = "a file that the index does not name"


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem that a check found, and the digest of the body it is about.

    `entry` is the one that names the body, if the index has no row of that.
    """

    problem: Problem
    digest: str
    entry: Entry | None = None


class Fsck:
    """Finds and removes damage, in a running cache too: a transaction looks again before a removal."""

    def __init__(self, index: Index, blob_rows: BlobRows, blobs: Blobs, bodies: WholeBodies) -> None:
        self._index = index
        self._blob_rows = blob_rows
        self._blobs = blobs
        self._bodies = bodies

    def check(self) -> Iterator[Finding | None]:
        """Check every blob and file, and give what is wrong with each, None if nothing is."""
        yield from self.check_bodies(self._blob_rows.blobs())
        for entry in self._blob_rows.unbacked():
            yield Finding(Problem.UNBACKED, entry.digest, entry)
        for digest, names in self._blobs.digests():
            # A second name is that of a download's file: its writer, or the sweep, deals with both. What is
            # noted is being written, or its writer died in it: the next writer looks after that.
            if names > 1 or digest in self._blobs.intent.noted():
                continue
            if not self._blob_rows.has_file(digest):
                yield Finding(Problem.STRAY, digest)

    def check_bodies(self, blobs: Iterable[tuple[str, int]]) -> Iterator[Finding | None]:
        """Check these blobs (digests and sizes), and give what is wrong with each, None if nothing is."""
        for digest, size in blobs:
            yield self._check_blob(digest, size)

    def fix(self, finding: Finding) -> None:
        """Remove what is damaged, the rows first, then the file; the next request fetches it again."""
        if finding.problem is Problem.STRAY:
            self._blob_rows.drop_strays([finding.digest], self._blobs)
        elif finding.entry is not None:
            self._index.forget(finding.entry)
        else:
            self._blob_rows.drop_blob(finding.digest, self._blobs)

    def _check_blob(self, digest: str, size: int) -> Finding | None:
        try:
            return None if self._bodies.check(digest, size) else Finding(Problem.DIGEST, digest)
        except FileNotFoundError:
            # Evicted since the rows were read, or really missing.
            return Finding(Problem.MISSING, digest) if self._blob_rows.has_blob(digest) else None
        except Damaged:
            return Finding(Problem.SIZE, digest)
        except OSError as error:
            return _unreadable(digest, error)


def _unreadable(digest: str, error: OSError) -> Finding:
    if error.errno in _NOT_THE_BLOBS:
        raise error
    return Finding(Problem.UNREADABLE, digest)
