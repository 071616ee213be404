"""What lock files name, as values."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from pyproxycache.rules.digests import ExpectedDigest
from pyproxycache.url import leads_upward

LARGEST = 64 << 20
"""The largest lock file that is read (bytes)."""
MOST = 1_000_000
"""The most packages of one lock file."""


@dataclass(frozen=True, slots=True)
class Locked:
    """A package, or one file of it, that a lock file names.

    `url` is where the file is, "" where the lock file does not say; `file` is the file's name, "" if it
    names none. A file is the locked one if it has one of the `digests` of the strongest algorithm among
    them; without digests any is.
    """

    ecosystem: str
    name: str
    version: str
    url: str = ""
    file: str = ""
    digests: tuple[ExpectedDigest, ...] = ()

    @property
    def title(self) -> str:
        """What people know it by."""
        return self.file or f"{self.name} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class LockList:
    """All that a lock file names, and why it names further things that cannot be fetched as files."""

    locked: tuple[Locked, ...]
    left_out: tuple[str, ...] = ()


class LockFileError(Exception):
    """A file is not a lock file of the format that its name tells; the text says why."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text if line is None else f"line {line}: {text}")


class Gathering:
    """Gathers what one lock file names; raises LockFileError if that is too much."""

    def __init__(self) -> None:
        self._locked: dict[Locked, None] = {}
        self._left_out: dict[str, None] = {}

    def add(self, one: Locked) -> None:
        """Add a package or file, unless it is there; its parts become paths of the cache."""
        place = f"/{one.name}/{one.version}/{one.file}"
        if not f"{place}{one.url}".isprintable() or leads_upward(place):
            title = one.title[:100]
            raise LockFileError(f"{title!r} has characters, or a path, that no package or file has")
        self._locked[one] = None
        if len(self._locked) > MOST:
            raise LockFileError(f"it names more than {MOST} files")

    def leave_out(self, what: str, why: str) -> None:
        """Note what is not fetched, and why."""
        if len(self._left_out) < MOST:
            self._left_out[f"{what}: {why}"] = None

    def result(self) -> LockList:
        """All that was gathered, in the order in which it came."""
        return LockList(tuple(self._locked), tuple(self._left_out))


def is_web(url: str) -> bool:
    """Whether the URL can be fetched by HTTP, and taken apart."""
    try:
        urlsplit(url)
    except ValueError:
        return False
    return url.startswith(("https://", "http://"))
