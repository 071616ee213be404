"""What a shared cache can do with a request and with a response, as values."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.messages import Entry, Head, Headers, Part
from pyproxycache.outcome import Forward
from pyproxycache.rules.parts import Plan


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer with the entry; `age` and `ttl` are in seconds, and `ttl` is negative if it is stale.

    `refresh`: validate it in the background as well (RFC 5861 section 3).
    """

    entry: Entry
    age: float
    ttl: int
    stale: bool
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class Assemble:
    """Answer out of stored parts that have all the bytes; `ttl` is in seconds."""

    plan: Plan
    ttl: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask the origin with these headers; `stale` is the entry they validate, or that may stand in for it.

    `variants` are entries stored under other request fields, whose entity tags are sent too. With a `plan`
    the answer is made out of stored parts: its first missing segment is asked for, or all parts are
    validated if none is missing.
    """

    headers: Headers
    stale: Entry | None
    reason: Forward
    variants: tuple[Entry, ...] = ()
    plan: Plan | None = None

    @property
    def siblings(self) -> tuple[Entry, ...]:
        """The parts of the plan other than `stale`, which the answer validates too."""
        parts = self.plan.parts if self.plan is not None else ()
        return tuple(part for part in parts if part is not self.stale)


@dataclass(frozen=True, slots=True)
class Bypass:
    """Forward the request unchanged for this client alone, and store nothing of the answer."""

    reason: Forward


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this status and text without asking the origin."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Store:
    """Store the response with this head under these request fields (`vary`).

    `siblings` are stored parts that it validates. `own` are fields for the requesting client alone.
    `outdated` is the entry that did not validate, if other request fields than the new one's select it: it
    has to be removed.
    """

    vary: tuple[tuple[str, str | None], ...]
    head: Head
    part: Part | None = None
    groups: tuple[str, ...] = ()
    search: str = ""
    siblings: tuple[Entry, ...] = ()
    own: tuple[tuple[str, str], ...] = ()
    outdated: Entry | None = None


@dataclass(frozen=True, slots=True)
class Freshen:
    """The stored response is still valid: answer with this updated entry and its `siblings`.

    `kept` are the entries to store in their updated form; none if the 304 is for this client alone. `own`
    are the fields of the 304 for the requesting client alone.
    """

    entry: Entry
    siblings: tuple[Entry, ...] = ()
    kept: tuple[Entry, ...] = ()
    own: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Forget:
    """Remove the entry: it is outdated."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class ServeStale:
    """Answer with the stale entry in place of a failed origin; `detail` (a token) says what failed."""

    entry: Entry
    detail: str


@dataclass(frozen=True, slots=True)
class FetchAnew:
    """Fetch again without validators: the 304 is about something that is not stored."""

    fetch: Fetch


@dataclass(frozen=True, slots=True)
class Pass:
    """Hand the response on and store nothing; `remember` that if the next answer will likely be alike."""

    reason: str
    remember: bool
