"""What the layers above may ask of a store: entries, whole bodies, room, and flights.

Each backend implements these protocols and passes the contract suite in `tests/contract`. What holds for
all:

- Every method may be called by any thread. A method that may wait says so; none waits for a client or an
  origin, and none is called with a lock of the caller's held.
- StoreError: the store cannot be used now (folder gone, index locked or damaged, disk full). Nothing was
  changed that another process could see half of. The caller logs it and answers without the store. NoSpace,
  a StoreError, says that there is no room.
- A process may be killed at any moment. The others then find every entry with its whole body or not at all,
  and every flight of the dead process free for a successor.
- Keys are cache keys. The key of a flight is that of the entries it brings, and where something follows, a
  space and what tells it from other flights of the key. Both are at most a request's size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pyproxycache.body import Body
from pyproxycache.errors import ProxyError
from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.values import End, Progress, RecordedFlight, Stamp, Usage, VaryValues


class EntryIndex(Protocol):
    """The stored responses by cache key: heads, times, and which body each has.

    Every look-up sees all that was committed before it began, by any process. Reading writes nothing. Each
    method raises StoreError.
    """

    @property
    def versions(self) -> memoryview:
        """A counter for each slot, shared with all processes and changed with every commit.

        What was made from a look-up holds as long as `versions[stamp.slot] == stamp.version`: one
        comparison, without a call or a lock. Several keys may share a slot; a change of one then counts for
        all.
        """

    def stamp(self, key: str) -> Stamp | None:
        """The key's version now; None while a commit that concerns it is under way.

        Taken before the look-up whose result is to be kept: a later change is then always noticed.
        """

    def is_unknown(self, key: str, search: str) -> bool:
        """Whether nothing was ever stored under the key, nor found by `search`: then no look-up is needed.

        May say False for such a key, and never says True for one with entries.
        """

    def lookup(self, key: str, vary: VaryValues) -> list[Entry]:
        """The key's entries that fit the request's values: whole responses and parts, fresh or stale."""

    def search(self, search: str, but: str, vary: VaryValues) -> list[Entry]:
        """The newest fitting entries of keys other than `but` whose key without its query is `search`.

        At most 32; whether their queries are equivalent (No-Vary-Search) is for the caller to decide.
        """

    def variants(self, key: str, limit: int) -> list[Entry]:
        """The key's newest whole responses (at most `limit`), whatever they vary on."""

    def freshen(self, entry: Entry) -> bool:
        """Give a stored entry the head and times that a 304 brought; False where it is gone.

        An entry without an id is a further variant with the same body: it is stored only while some entry
        of the key has that body, so that a 304 never brings back what was purged. Waits for other writers.
        """

    def forget(self, entry: Entry) -> None:
        """Remove one entry, unless it has another body by now. Waits for other writers."""

    def shorten(self, entry: Entry, ttl: float) -> None:
        """Give the entry a time to live of `ttl` seconds after its response. Waits for other writers."""

    def purge(self, keys: Iterable[str]) -> int:
        """Remove all entries of the keys, and end their flights; gives the number of entries removed.

        Once it returns, no process finds them, no flight that ran before can commit, and the next who joins
        the key leads. Waits for other writers, and pauses for them.
        """

    def purge_matching(self, *, prefix: str = "", pattern: str = "*") -> int:
        """Purge all keys that begin with `prefix` and match the glob `pattern`, as purge() does.

        What was stored by a download that began after the call may stay.
        """

    def purge_group(self, name: str, origin: str | None) -> int:
        """Purge the entries and flights in a cache group (RFC 9875) of an origin, as purge() does.

        `origin` is scheme and authority ("https://origin.example"); None means every origin.
        """

    def usage(self) -> Usage:
        """What is stored now, in sum: a body that several entries name counts once."""

    def counters(self) -> dict[str, int]:
        """The counters by name, as requests have added to them since the store was made; 0 are absent."""

    def instance(self) -> str:
        """A name for this store that no other store has, the same for all processes and ever after.

        The first call makes it, and waits for other writers.
        """


class Bodies(Protocol):
    """The stored bodies, each by its sha256 (hex) and size."""

    def open(self, digest: str, size: int, start: int, stop: int) -> Body:
        """Read a whole stored body's bytes from `start` up to `stop`.

        Raises BodyGone where it was evicted, or where it is missing, of another size or has other bytes
        than were written: all that names it has been forgotten then, so that it is fetched again. Raises
        StoreError where it could not be tried. A large body's bytes are compared with the digest by the
        verifier alone.
        """


class Room(Protocol):
    """Decides whether a body may be stored, and evicts entries so that it fits."""

    def admits(self, size: int, head_size: int = 0) -> bool:
        """Whether a body of `size` bytes may be stored, if room can be made as it arrives.

        Evicts where the cache is over its size. Raises StoreError.
        """

    def allow(self, size: int, count: int) -> int:
        """Make room for `count` more bytes of a body that has `size`; gives up to which size it may grow.

        Waits for another collector's end, ten seconds at most. Raises NoSpace where no room can be made,
        with a text for the log, and StoreError.
        """

    def make_room(self, count: int) -> None:
        """Evict so much that `count` more bytes fit, after a write that found none. Raises StoreError."""


class Flight(Protocol):
    """One download as its followers see it, led by a thread of this process or by another process.

    Only its leader changes it. Whoever waits is woken by each change. It is safe to hold after its end: it
    then tells its last progress, and readers that had begun read on.
    """

    @property
    def key(self) -> FlightKey: ...

    @property
    def partial(self) -> str:
        """The name of the growing file, which a successor keeps; empty where there is none."""

    @property
    def body(self) -> bytes | None:
        """The whole body where it came with its head and is in memory."""

    @property
    def head_was_known(self) -> bool:
        """Whether another process leads and had the head before this one began to follow."""

    def progress(self) -> Progress:
        """What is known now."""

    def wait_head(self) -> Progress:
        """What is known as soon as the head is, or the flight has ended. Waits."""

    def wait_change(self, seen: Progress | None, seconds: float | None = None) -> Progress:
        """What is known as soon as it is another value than `seen`, or after so many seconds. Waits."""

    def is_there(self) -> bool:
        """Whether the head is known, or the flight has ended."""

    def when_there(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called once, by any thread, when there is news; False where `is_there` holds."""

    def forget(self, wake: Callable[[], None]) -> None:
        """Do not call `wake` any more."""

    def wait(self) -> None:
        """Return when `is_there` holds. Waits."""

    def is_current(self) -> bool:
        """Whether it may be shared with who asks now; False once it was purged or its leader lost the key.

        Raises StoreError.
        """

    def read(self, answered: Progress, start: int, stop: int | None, *, given: bool = False) -> Body:
        """The body from `start` up to `stop` (None: its end) as it arrives.

        `answered` is the progress that the client's head was made of; `given` says that the client has
        bytes before `start` already. Waits for the flight's file. Raises Orphaned where the flight is over
        and has no file any more; the reader raises BrokenOff where the body begins anew too late for its
        client.
        """

    def is_awaited(self) -> bool:
        """Whether anybody waits for the head, here or in another process."""

    def close_if_left(self) -> bool:
        """Admit no more readers if all there were have left, in other processes too; gives whether so."""

    def tell_of_readers(self, on_change: Callable[[bool], None] | None) -> None:
        """Have this called with False when the last reader has left, and with True when there is one again.

        By the thread of who leaves or comes, without a lock held.
        """

    def followed(self) -> AbstractContextManager[None]:
        """Count as a follower for the length of the block."""


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
    def key(self) -> FlightKey: ...

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
    def flight(self) -> Flight: ...

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


@dataclass(frozen=True, slots=True)
class LeadFlight:
    """This caller leads: it downloads, and has to end the flight."""

    writer: DownloadWriter


@dataclass(frozen=True, slots=True)
class JoinFlight:
    """Another one leads: this caller follows."""

    flight: Flight


@dataclass(frozen=True, slots=True)
class NotStorable:
    """Nobody queues on this key for now: each sends its own request."""


class Flights(Protocol):
    """Who downloads what, among all threads and processes that share the store.

    Of one key there is one leader at a time. A leader whose process dies is succeeded at once, and one that
    lives but gives no sign of life, or whose download does not get on, after the store's terms. Each method
    raises StoreError.
    """

    def join(self, key: FlightKey) -> LeadFlight | JoinFlight | NotStorable:
        """Lead the download of a key, or follow the one that runs.

        A successor leads with the head and the bytes that the dead leader left.
        """

    def lead_after_all(self, key: FlightKey) -> LeadFlight | None:
        """Lead the download of a key although it counted as not storable; None where another one leads."""

    def follow(self, key: FlightKey) -> JoinFlight | None:
        """Follow the download of a key that runs; None, and nothing is changed, where none does."""

    def runs_here(self, key: FlightKey) -> bool:
        """Whether this process leads the key, or follows another one that does. Raises nothing."""

    def running(self) -> list[tuple[str, float]]:
        """The cache keys of the bodies that are arriving in any process, and since when (epoch seconds)."""

    def recorded(self, key: str) -> list[RecordedFlight]:
        """All flights of a cache key whose heads are recorded, whatever they vary on, of the dead too."""

    def stamp(self, key: str) -> Stamp | None:
        """A version that changes whenever the head of a flight of the cache key is recorded.

        When such a flight ends, that of `EntryIndex.stamp` changes. None while a change is under way.
        """
