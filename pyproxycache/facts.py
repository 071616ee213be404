"""Facts that the steps of one request note of it, in order; none is ever taken back."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.errors import Fault
from pyproxycache.messages import Url
from pyproxycache.outcome import Forward, Outcome, Result


@dataclass(frozen=True, slots=True)
class Located:
    """The request-target names this URL."""

    url: Url


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt to answer begins, under this cache key; facts noted before are of earlier attempts."""

    key: str


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The origin has to be asked, for this reason."""

    reason: Forward


@dataclass(frozen=True, slots=True)
class ForwardedAlone:
    """The request goes to the origin for this client alone; its answer is not shared or, so far, stored."""

    reason: Forward


@dataclass(frozen=True, slots=True)
class OriginConnected:
    """The origin is asked over a connection to this IP address, the parent's if `through_parent`."""

    peer: str
    through_parent: bool


@dataclass(frozen=True, slots=True)
class OriginReplied:
    """The origin's answer has this status."""

    status: int


@dataclass(frozen=True, slots=True)
class Collapsed:
    """The answer to another request is awaited, or shared."""


@dataclass(frozen=True, slots=True)
class BeingStored:
    """The origin's answer goes into the store."""


@dataclass(frozen=True, slots=True)
class NotStored:
    """The origin's answer is not stored, and why; a later BeingStored overrules it."""

    why: str


@dataclass(frozen=True, slots=True)
class ServedAs:
    """The answer is of this kind; `ttl` is how long a stored one is still fresh (seconds), `detail` why."""

    result: Result
    ttl: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An error of this kind (the name of its class) took the answer's place; `fault` tells whose it is."""

    kind: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class HeadMade:
    """The head of the answer has this status and Content-Type."""

    status: int
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class AnswerSent:
    """How many bytes of the answer's head and body were sent."""

    head_bytes: int
    body_bytes: int


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """The client went away before the end of the answer."""


@dataclass(frozen=True, slots=True)
class AnswerBroken:
    """The answer ended too early, which the client sees by its connection being reset."""


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """The request ended at this time of the monotonic clock (seconds)."""

    at: float


Fact = (
    Located
    | Attempted
    | Forwarded
    | ForwardedAlone
    | OriginConnected
    | OriginReplied
    | Collapsed
    | BeingStored
    | NotStored
    | ServedAs
    | AttemptFailed
    | HeadMade
    | AnswerSent
    | ClientLeft
    | AnswerBroken
    | RequestEnded
)


class ByteCount:
    """A count of bytes, which only grows."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0

    def add(self, count: int) -> None:
        self.total += count


_NOTHING = Outcome()


class Facts:
    """The facts of one request, and its bytes `received` from origins and `uploaded` through a tunnel.

    `known` is what was known before the first fact. Used by one thread at a time: the one that runs the
    request's steps, or reads its body.
    """

    __slots__ = ("_noted", "known", "received", "uploaded")

    def __init__(self, known: Outcome = _NOTHING) -> None:
        self.known = known
        self.received, self.uploaded = ByteCount(), ByteCount()
        self._noted: list[Fact] = []

    def note(self, *facts: Fact) -> None:
        """Add facts, in this order."""
        self._noted += facts

    def noted(self) -> tuple[Fact, ...]:
        """All facts noted so far, the oldest first."""
        return tuple(self._noted)
