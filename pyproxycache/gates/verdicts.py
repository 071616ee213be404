"""What checks of passwords have found, remembered for a while without the passwords."""

from __future__ import annotations

from collections import OrderedDict

from pyproxycache.gates.htpasswd import Users

_OVER = float("-inf")


class Verdict:
    """What a check of a user's password has found; it counts `until` then (monotonic seconds).

    `hashed` is what the password was compared with, None if there is no such user. `until` may change at
    any time, as the file of users does.
    """

    __slots__ = ("hashed", "is_right", "name", "until")

    def __init__(self, name: bytes, hashed: bytes | None, is_right: bool, until: float) -> None:
        self.name = name
        self.hashed = hashed
        self.is_right = is_right
        self.until = until

    @property
    def user(self) -> str:
        """The user's name, a character for each byte, as the fields of a request are decoded."""
        return self.name.decode("latin-1")


NO_VERDICT = Verdict(b"", None, False, _OVER)
"""Stands where nothing has been found yet."""


class Verdicts:
    """The verdicts of the last `seconds`, at most `most` of them, by digests of user and password."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._kept: OrderedDict[bytes, Verdict] = OrderedDict()  # the oldest first

    def add(self, pair: bytes, name: bytes, hashed: bytes | None, is_right: bool, now: float) -> None:
        """Remember what was found now, and drop what is too old, or too much."""
        self._end(pair)
        self._kept[pair] = Verdict(name, hashed, is_right, now + self._seconds)
        while True:
            oldest, verdict = next(iter(self._kept.items()))
            if len(self._kept) <= self._most and verdict.until > now:
                return
            self._end(oldest)

    def find(self, pair: bytes, now: float) -> Verdict | None:
        """The verdict on the pair with this digest; None if there is none that still counts."""
        found = self._kept.get(pair)
        return found if found is not None and found.until > now else None

    def adapt(self, users: Users) -> None:
        """End the verdicts on users that have another password now, are gone, or are new."""
        for pair, verdict in list(self._kept.items()):
            if users.get(verdict.name) != verdict.hashed:
                self._end(pair)

    def _end(self, pair: bytes) -> None:
        """Drop the verdict on the pair, and have it count no more wherever it is known."""
        verdict = self._kept.pop(pair, None)
        if verdict is not None:
            verdict.until = _OVER
