"""What a shared cache can do with a request and with a response, as values."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.messages import Entry, Head, Headers, Part
from pyproxycache.outcome import Forward
from pyproxycache.rules.parts import Plan


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer with the entry; `age` and `ttl` in seconds, `ttl` negative once it is stale.

    `refresh`: the origin wants it validated in the background (RFC 5861 section 3).
    """

    entry: Entry
    age: float
    ttl: int
    stale: bool
    refresh: bool = False


@dataclass(frozen=True, slots=True)
class Assemble:
    """Answer out of stored parts, of which none is missing; `ttl` in seconds."""

    plan: Plan
    ttl: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send the request with these headers; `stale` is the copy they validate, or that may stand in.

    `variants` are stored under other request fields but would do, and their entity tags are sent along.
    With a `plan` the answer is made out of parts: its first missing segment is asked for or, where none is
    missing, all are validated.
    """

    headers: Headers
    stale: Entry | None
    reason: Forward
    variants: tuple[Entry, ...] = ()
    plan: Plan | None = None

    @property
    def siblings(self) -> tuple[Entry, ...]:
        """The stored parts beside `stale` that the answer tells about."""
        parts = self.plan.parts if self.plan is not None else ()
        return tuple(part for part in parts if part is not self.stale)


@dataclass(frozen=True, slots=True)
class Bypass:
    """Forward the request as it is and store nothing of the answer."""

    reason: Forward


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this status and text, and ask nobody."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Store:
    """Store the response with this head under these request fields; `siblings` are parts it validates.

    `own` are the fields of the answer that nobody gets but the one who asked. `outdated` was validated in
    vain and is found by other request fields than this, so that it would go on being found.
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
    """The stored response is valid: answer with this updated entry, and its siblings.

    `kept` is what is to be stored of it: nothing where what was said is for this client alone. `own` are
    the fields of the 304 that nobody gets but the one who asked.
    """

    entry: Entry
    siblings: tuple[Entry, ...] = ()
    kept: tuple[Entry, ...] = ()
    own: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Forget:
    """The stored response is outdated."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class ServeStale:
    """Answer with the copy although it is not fresh; `detail` (a token) says what failed."""

    entry: Entry
    detail: str


@dataclass(frozen=True, slots=True)
class FetchAnew:
    """The origin validated something that is not there: fetch the response itself."""

    fetch: Fetch


@dataclass(frozen=True, slots=True)
class Pass:
    """Hand the response on and store nothing; `remember` if the next answer is likely the same."""

    reason: str
    remember: bool
