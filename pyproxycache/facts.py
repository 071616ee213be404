"""Facts that the steps of one request note of it, in order; none is ever taken back."""

from __future__ import annotations

from msgspec import Struct

from pyproxycache.announced import Announced
from pyproxycache.errors import Fault
from pyproxycache.outcome import Forward, Outcome, Result
from pyproxycache.url import Url


class Located(Struct, frozen=True):
    """The request-target names this URL."""

    url: Url


class Came(Struct, frozen=True):
    """The request came this way, and is for this route or mirror, "" for none."""

    way: str
    route: str = ""


class Authenticated(Struct, frozen=True):
    """The client has sent the right password of this user, whose name has a character for each byte."""

    user: str


class Identified(Struct, frozen=True):
    """The request has this id, by which it is found in the logs of others."""

    request_id: str


class EventDue(Struct, frozen=True):
    """The request's route asks for an event of it, which tells this besides the record."""

    announced: Announced


class Attempted(Struct, frozen=True):
    """An attempt to answer begins, under this cache key; facts noted before are of earlier attempts."""

    key: str


class Forwarded(Struct, frozen=True):
    """The origin has to be asked, for this reason."""

    reason: Forward


class ForwardedAlone(Struct, frozen=True):
    """The request goes to the origin for this client alone; its answer is not shared or, so far, stored."""

    reason: Forward


class OriginConnected(Struct, frozen=True):
    """The origin is asked over a connection to this IP address, the parent's if `through_parent`."""

    peer: str
    through_parent: bool


class OriginReplied(Struct, frozen=True):
    """The origin's answer has this status."""

    status: int


class Collapsed(Struct, frozen=True):
    """The answer to another request is awaited, or shared."""


class BeingStored(Struct, frozen=True):
    """The origin's answer goes into the store."""


class NotStored(Struct, frozen=True):
    """The origin's answer is not stored, and why; a later BeingStored overrules it."""

    why: str


class ServedAs(Struct, frozen=True):
    """The answer is of this kind; `ttl` is how long a stored one is still fresh (seconds), `detail` why."""

    result: Result
    ttl: int | None = None
    detail: str = ""


class AttemptFailed(Struct, frozen=True):
    """An error of this kind (the name of its class) took the answer's place; `fault` tells whose it is."""

    kind: str
    fault: Fault


class HeadMade(Struct, frozen=True):
    """The head of the answer has this status and Content-Type."""

    status: int
    content_type: str = ""


class AnswerSent(Struct, frozen=True):
    """How many bytes of the answer's head and body were sent."""

    head_bytes: int
    body_bytes: int


class ClientLeft(Struct, frozen=True):
    """The client went away before the end of the answer."""


class AnswerBroken(Struct, frozen=True):
    """The answer ended too early, which the client sees by its connection being reset."""


class RequestEnded(Struct, frozen=True):
    """The request ended at this time of the monotonic clock (seconds)."""

    at: float


Fact = (
    Located
    | Came
    | Authenticated
    | Identified
    | EventDue
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
