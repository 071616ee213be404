"""The port of a flight's leader, and of the body that it writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

from pyproxycache.errors import ProxyError
from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.ports.flight_port import Flight
from pyproxycache.store.values import End


class GrowingBody(Protocol):
    """The file of a body that is arriving. Only the flight's leader uses it, one thread at a time."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    def write(self, data: bytes) -> None:
        """Append all of `data`, or nothing. Raises NoSpace where the disk is full, StoreError else."""

    def blocks(self) -> Iterator[bytes]:
        """What was written so far, read back; raises OSError."""

    def digest(self) -> str:
        """The sha256 of what was written so far, in hex."""

    def sha256(self) -> hashlib._Hash:
        """A copy of the hash of what was written so far, to continue elsewhere."""


class DownloadWriter(Protocol):
    """The right to download a key: publishes the progress, commits the body, ends the flight exactly once.

    The leader must end it, by `store`, `store_at_once`, `finish` or `leave_for_successor`, or the key stays
    taken until its lease is over. Belongs to one thread at a time. `entry` and `size` tell what a dead
    leader left to be resumed; else there is no file before `begin`.
    """

    withheld: int
    """How many of the last bytes in the file no follower is given before the body is whole (0 or 1)."""

    @property
    def key(self) -> FlightKey:
        """The flight key that is led."""

    @property
    def entry(self) -> Entry | None:
        """The head that was recorded last, by this leader or by the one it succeeds."""

    @property
    def size(self) -> int:
        """Bytes of the body that are in the file."""

    @property
    def file(self) -> GrowingBody:
        """The body's file, which is there once it has begun."""

    @property
    def flight(self) -> Flight:
        """The flight, as its followers see it."""

    @property
    def ended(self) -> bool:
        """Whether the flight has been ended."""

    def begin(self, entry: Entry, length: int | None) -> None:
        """Record the head, so that a successor can resume, and tell the followers.

        `length`: bytes that the body will have, None where only its end tells. Raises StoreError where the
        file cannot be made: nothing has been told then.
        """

    def begin_anew(self, entry: Entry, length: int | None) -> bool:
        """Begin the body again from its first byte; False where a client has bytes that this leader wrote.

        Readers who have bytes of a dead leader's break off; those without any go on with the new body, if
        its head fits what their clients were told. Raises StoreError.
        """

    def publish_size(self) -> None:
        """Tell the followers how many bytes there are now."""

    def feed_without_file(self, data: bytes, total: int) -> bool:
        """Pass bytes on to followers in this process that no file has room for; False when none is left.

        `total`: bytes of the body with these. Waits for the fastest reader, where 16 MB are behind it.
        """

    def unlist(self, not_storable_until: float) -> None:
        """Let nobody join from now on; the key counts as not storable until then (epoch seconds)."""

    def end_here(self, entry: Entry) -> None:
        """Take what is there of a part as all of it; `entry` is the part shortened to that."""

    def store(self, entry: Entry) -> int | None:
        """Commit the whole body in the file, and end the flight; gives the entry's id.

        None where the key was purged, or taken from this leader, since it joined: nothing is stored then.
        Once it returns, every process finds the entry, and the body is whole. Raises StoreError with the
        flight not ended: `finish` is to follow. Waits for other writers.
        """

    def store_at_once(self, entry: Entry, body: bytes) -> int | None:
        """Commit a body that came with its head and has no file, as store() does.

        Followers read it in any case. The flight has ended also where StoreError is raised.
        """

    def finish(
        self,
        end: End,
        *,
        error: ProxyError | None = None,
        not_storable_until: float | None = None,
        total: int | None = None,
    ) -> None:
        """End the flight with nothing stored; raises nothing of the store's.

        With `not_storable_until` (epoch seconds) nobody queues on the key until then. `total`: bytes of the
        body where some of them were in no file.
        """

    def leave_for_successor(self, end: End, error: ProxyError | None = None) -> None:
        """End the flight, but keep the head and the bytes: the next who joins the key resumes it."""
