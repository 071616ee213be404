"""The values that a store and the layers above it exchange: frozen, and the same for every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from pyproxycache.errors import ProxyError
from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.statement import Statement

VaryValues = Callable[[tuple[str, ...]], tuple[tuple[str, str | None], ...]]
"""Gives the request's normalised values for the field names of a Vary set; None for a field it lacks."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The version that a key had at one moment; `slot` is the key's place in the table of versions."""

    slot: int
    version: int


@dataclass(frozen=True, slots=True)
class Uses:
    """The uses of an entry: the last one (epoch seconds, 0: not known), and how many are counted."""

    last: float = 0.0
    count: int = 0


class End(Enum):
    """Every way in which a flight can end."""

    STORED = "stored"
    """The body is whole and stored, unless the key was purged meanwhile."""
    FRESHENED = "freshened"
    """The origin validated the stored response: followers look it up again."""
    PASSED = "passed"
    """The response is not to be stored: each follower sends its own request to the origin."""
    STALE = "stale"
    """The origin failed, and followers may serve the stale response that is stored."""
    FAILED = "failed"
    """There is no response: every follower gets the leader's error."""
    BROKEN = "broken"
    """The body ended short, and cannot be continued."""
    ORPHANED = "orphaned"
    """The leader's process has died: followers join again, and one of them becomes the successor."""
    LOST = "lost"
    """The flight is over and its outcome is not known here: followers look again, and join again."""
    UNSTORED = "unstored"
    """The body is whole but was not stored (no space, or too large)."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a flight at one moment.

    `size`: bytes of the body that may be read. `entry`: the response's head, None while it is awaited.
    `length`: bytes that the body will have, None where only its end tells. `end` and `error`: how the
    flight ended, None while it runs. `generation` counts how often the body began anew from its first byte.
    `file`: number of the flight's file that holds the body, None where its last bytes are in no file.
    """

    generation: int = 0
    size: int = 0
    entry: Entry | None = None
    length: int | None = None
    end: End | None = None
    error: ProxyError | None = None
    file: int | None = 0

    @property
    def tells_head(self) -> bool:
        """Whether nobody has to wait for the head any more: it is known, or the flight has ended."""
        return self.entry is not None or self.end is not None


@dataclass(frozen=True, slots=True)
class RecordedFlight:
    """A flight whose head is recorded, in whichever process it runs or ran.

    `entry` is the response that is being stored, `arrived` the bytes of its body that have been written.
    `is_led`: whether its leader lives. Where it does not, the next who joins `key` becomes its successor.
    """

    key: FlightKey
    entry: Entry
    arrived: int
    is_led: bool


class Orphaned(Exception):
    """A body that is being read lost its leader after `offset` bytes; a successor can continue it."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class BodyGone(Exception):
    """A stored body cannot be read: it was just evicted, or it is damaged or missing and now forgotten."""


@dataclass(frozen=True, slots=True)
class StatedFile:
    """What a document states of a file: its cache key, and its digests as pairs of algorithm and hex.

    Algorithms have the names of IANA's registry: sha-256, sha-512, sha, md5.
    """

    key: str
    digests: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Statements:
    """What is known of a file: what documents state of it, one for each of their repositories, in order.

    `has_failed`: a body had another digest lately. `may_follow`: documents are being read, in any process,
    that may state more.
    """

    made: tuple[Statement, ...] = ()
    has_failed: bool = False
    may_follow: bool = False


Counting = Callable[[str, Sequence[Statement]], Sequence[Statement]]
"""Takes a file's cache key and what is stated of it, and gives those statements that count."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store holds, in sum: bytes and number of bodies, number of entries."""

    bytes: int
    blobs: int
    entries: int
