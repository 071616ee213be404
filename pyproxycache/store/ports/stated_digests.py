"""The port of the digests that documents state of files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pyproxycache.store.values import StatedFile, Statements


class StatedDigests(Protocol):
    """What documents state of files, by the files' cache keys; forgotten when it was stated long ago.

    Each method raises StoreError.
    """

    def of(self, key: str) -> Statements:
        """What is known of the file; without statements where nothing is."""

    def state(
        self, document: str, repository: str, files: Iterable[StatedFile], *, is_binding: bool = True
    ) -> int:
        """Note what the document of this URL states, in place of what its repository stated before.

        Gives how many files changed. What other repositories have stated stays as it is. What is stored of
        a file and is none of what counts by now is forgotten, so that it is fetched anew; what is all of
        that counts as proven, and what is not all that anybody states as disputed. Of one file the
        statements of 16 repositories are kept. Files without a cache entry cost a few bytes each. Reads
        bodies that are stored, where no sha-256 is stated. Waits for other writers, and pauses for them.
        """

    def review(self, key: str) -> None:
        """Hold what is stored of a file against what is stated of it by now, as `state` does.

        Reads bodies and waits for other writers as that does.
        """

    def note_mismatch(self, key: str) -> None:
        """Note that a body came with another digest; `of` tells it for an hour. Waits for other writers."""

    def begin_reading(self, document: str) -> None:
        """Note that what the document states is still to come. Waits for other writers."""

    def end_reading(self, document: str) -> None:
        """Note that all is noted that the document states. Waits for other writers."""

    def is_being_read(self, origin: str) -> bool:
        """Whether a document of this origin is being read, in any process, since a minute at most."""

    def was_read_since(self, document: str, time: float) -> bool:
        """Whether it was read at that time (epoch seconds) or later, or is being read, in any process."""
