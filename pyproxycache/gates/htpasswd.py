"""htpasswd files with hashes by bcrypt: read, and read again once they have changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pyproxycache.errors import ConfigError

Users = Mapping[bytes, bytes]
"""The hash of each user's password, by the user's name in UTF-8."""

# A check of a higher cost takes many seconds. Of the salt's last character only two bits count.
_HASH = re.compile(rb"\$2[aby]\$(?:0[4-9]|1[0-6])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_ACCEPTED = "accepted is NAME:HASH with a hash by bcrypt of a cost from 4 to 16, as of `htpasswd -B`"
_MOST_BYTES = 16 << 20
_MOST_TOLD = 10


def users_of(data: bytes, source: str) -> dict[bytes, bytes]:
    """The users in the bytes of an htpasswd file, which errors call `source`.

    Empty lines and those that begin with # are passed over. Raises ConfigError with the numbers of wrong
    lines, and never with what is in them.
    """
    users: dict[bytes, bytes] = {}
    problems = []
    for number, line in _entries(data):
        name, _colon, hashed = line.partition(b":")
        problem = _problem(name, hashed) or ("the user has a line before this" if name in users else "")
        if problem:
            problems.append(f"{source}:{number}: {problem}")
        users[name] = hashed
    if not users:
        problems.append(f"{source}: has no users: {_ACCEPTED}")
    if problems:
        raise ConfigError("\n".join(problems[:_MOST_TOLD]))
    return users


def _entries(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are neither empty nor comments, with their numbers from 1."""
    for number, line in enumerate(data.split(b"\n"), 1):
        entry = line.strip(b" \t\r")
        if entry and not entry.startswith(b"#"):
            yield number, entry


def _problem(name: bytes, hashed: bytes) -> str:
    """What is wrong with an entry, "" for nothing."""
    if not _HASH.fullmatch(hashed):
        return f"is not an entry of bcrypt: {_ACCEPTED}"
    if not name or _CONTROL.search(name):
        return f"has no name, or a control character in it: {_ACCEPTED}"
    try:
        name.decode()
    except UnicodeDecodeError:
        return "the name is not in UTF-8"
    return ""


class UsersFile:
    """An htpasswd file; `users` are those of when it was right last. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises ConfigError if it is wrong."""
        self._path = path
        self._data = self._read()
        self._problem = ""
        self.users: Users = users_of(self._data, self._source)

    @property
    def _source(self) -> str:
        return f"proxy_auth.users: {self._path}"

    def look(self) -> bool:
        """Read the file again; returns whether it has other users now.

        Raises ConfigError, once, if it is wrong now; `users` stay as they were then.
        """
        try:
            # All of it: a file may change twice within one tick of the clock that marks changes.
            data = self._read()
            if data == self._data:
                self._problem = ""
                return False
            self._data = data
            users = users_of(data, self._source)
        except ConfigError as error:
            is_told, self._problem = str(error) == self._problem, str(error)
            if is_told:
                return False
            raise
        self._problem = ""
        has_changed, self.users = users != self.users, users
        return has_changed

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"{self._source}: cannot be read: {error.strerror}") from error
        if len(data) > _MOST_BYTES:
            raise ConfigError(f"{self._source}: is larger than {_MOST_BYTES >> 20} MB")
        return data
