"""Releases of a package, as a document tells of them, and what of them is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyproxycache.errors import BadRequest
from pyproxycache.rules.urls import parse_url, sendable

MOST_FILES = 250_000
"""The most files of one document; one that names more is refused."""


@dataclass(frozen=True, slots=True)
class ReleasedFile:
    """A file of a release: the key of its URL, the version, "" if it belongs to another package.

    `released` is since when it is there (seconds since the epoch); None if that is not told.
    """

    key: str
    version: str
    released: float | None


@dataclass(frozen=True, slots=True)
class Releases:
    """All files that a document names for its package, and tags with the versions that they stand for."""

    package: str
    files: tuple[ReleasedFile, ...]
    tags: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True, slots=True)
class ShownReleases:
    """What clients see of a package: the keys of files, the versions that these have, and tags.

    Versions are in normal form.

    `state` is a text that differs where something else is shown. `why` says why there is nothing, "" if
    there is something, or nothing at all was there.
    """

    package: str
    files: frozenset[str]
    versions: frozenset[str]
    tags: tuple[tuple[str, str], ...] = ()
    state: str = ""
    why: str = ""


def file_key(url: str) -> str:
    """What files are compared by: the URL as it is asked for, without its fragment; "" if it is none."""
    try:
        return str(parse_url(sendable(url.encode("utf-8", "surrogateescape"))))
    except BadRequest:
        return ""


def released_at(text: Any) -> float | None:
    """The time (seconds since the epoch) that a text in ISO 8601 tells, by UTC; None if it tells none."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
