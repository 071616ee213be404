"""Releases that are let through at any age, in a file of the cache folder that a command writes."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from pyproxycache import clock

log = logging.getLogger("pyproxycache.mirrors")

FILE = "allowed-releases.json"
"""The file's name in the cache folder."""

_LOOK_SECONDS = 1.0
_MOST_BYTES = 16 << 20


class Allowance(Struct, frozen=True, order=True):
    """A version of a package, in its normal form, that a mirror lets through."""

    mirror: str
    package: str
    version: str


def read_allowances(path: Path) -> list[Allowance]:
    """All that the file has; none if there is no file. Raises OSError, ValueError."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return []
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MB")
    return msgspec.json.decode(data, type=list[Allowance])


def written_allowances(allowances: Iterable[Allowance]) -> bytes:
    """The content of the file with these, each once."""
    lines = (msgspec.json.encode(one) for one in sorted(set(allowances)))
    return b"[\n" + b",\n".join(lines) + b"\n]\n"


class AllowanceFile:
    """The file as it is, or was a second ago; safe to call from any number of threads.

    One that cannot be read lets nothing through, and is logged once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()  # guards the rest
        self._looked = float("-inf")
        self._stamp: tuple[int, ...] = ()
        self._told = ""  # what was wrong with the file at the last look
        self._versions: Mapping[tuple[str, str], tuple[str, ...]] = {}

    def versions(self, mirror: str, package: str) -> tuple[str, ...]:
        """The versions of the package, in its normal form, that the mirror lets through."""
        with self._lock:
            self._look_again()
            return self._versions.get((mirror, package), ())

    def state(self, mirror: str) -> str:
        """A text that changes when the mirror lets something else through."""
        with self._lock:
            self._look_again()
            told = sorted(item for item in self._versions.items() if item[0][0] == mirror)
            return repr(told)

    def _look_again(self) -> None:
        now = clock.steady()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look()

    def _look(self) -> None:
        stamp: tuple[int, ...] = (0,)
        with contextlib.suppress(OSError):
            found = self._path.stat()
            # Writers put a new file in the place of the old one.
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        versions: dict[tuple[str, str], tuple[str, ...]] = {}
        try:
            for one in read_allowances(self._path):
                key = (one.mirror, one.package)
                versions[key] = (*versions.get(key, ()), one.version)
            self._told = ""
        except (OSError, ValueError) as error:
            versions = {}
            if isinstance(error, OSError):
                self._stamp = ()  # the file may be right: perhaps there is no descriptor to be had
            if self._told != str(error):
                self._told = str(error)
                log.error("no release is let through before its time: %s: %s", self._path, error)
        self._versions = versions
