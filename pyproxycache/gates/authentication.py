"""The gate that decides whether a client has the name and the password of a user of this proxy."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import threading
from collections.abc import Callable
from typing import NamedTuple

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.errors import AuthenticationRequired
from pyproxycache.gates.check_turns import CheckTurns
from pyproxycache.gates.htpasswd import Users
from pyproxycache.gates.verdicts import Verdict, Verdicts
from pyproxycache.net.ip_addresses import client_of
from pyproxycache.steps import Steps, until_there

_BASIC = re.compile(r"basic +([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_LONGEST = 1024
_LONGEST_PASSWORD = 72
"""Bytes of a password that bcrypt looks at."""
_RIGHT_FOR, _MOST_RIGHT = 3600.0, 10_000
_WRONG_FOR, _MOST_WRONG = 60.0, 1000

Matches = Callable[[bytes, bytes], bool]
"""Takes a password and a hash; whether they match. Takes long, and compares in constant time."""


class Pair(NamedTuple):
    """A user's name and a password, as bytes of UTF-8."""

    name: bytes
    password: bytes


def pair_of(lines: tuple[str, ...]) -> Pair | None:
    """The name and password in the lines of Proxy-Authorization (RFC 7617); None if there is no valid pair.

    There has to be one line, with text in UTF-8 that has no control characters, and a name.
    """
    found = _BASIC.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None or len(found[1]) > 2 * _LONGEST:
        return None
    try:
        data = base64.b64decode(found[1], validate=True)
        data.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, colon, password = data.partition(b":")
    if not name or not colon or len(data) > _LONGEST or _CONTROL.search(data):
        return None
    return Pair(name, password)


class Authentication:
    """Decides whether credentials are those of a user; safe to call from any number of threads.

    What it has found is remembered by keyed digests, and for right passwords an hour long. The `realm` is
    what clients show when they ask for a password. `matches` compares a password with a hash, `now` gives
    monotonic seconds.
    """

    def __init__(
        self, users: Users, realm: str, matches: Matches, now: Callable[[], float] = clock.steady
    ) -> None:
        quoted = re.sub(r'(["\\])', r"\\\1", realm)
        self._challenge = (("Proxy-Authenticate", f'Basic realm="{quoted}", charset="UTF-8"'),)
        self._matches = matches
        self._now = now
        self._key = secrets.token_bytes(32)
        self._turns = CheckTurns(now)
        self._lock = threading.Lock()
        self._users = users
        self._right = Verdicts(_MOST_RIGHT, _RIGHT_FOR)
        self._wrong = Verdicts(_MOST_WRONG, _WRONG_FOR)

    def adopt(self, users: Users) -> None:
        """Take these users from now on; what was found of others than these counts no more."""
        with self._lock:
            self._users = users
            self._right.adapt(users)
            self._wrong.adapt(users)

    def known(self, lines: tuple[str, ...]) -> Verdict | None:
        """The verdict on the lines of Proxy-Authorization if they are known to be right already."""
        pair = pair_of(lines)
        verdict = None if pair is None else self._verdict(self._digest(pair))
        return verdict if verdict is not None and verdict.is_right else None

    def is_still(self, user: str, hashed: bytes) -> bool:
        """Whether the user of this name has the password that was compared with this hash."""
        return self._users.get(user.encode("latin-1")) == hashed

    def verdict(self, lines: tuple[str, ...], client: str) -> Steps[Verdict]:
        """The verdict on the credentials in the lines of Proxy-Authorization, which are a user's.

        `client` is the IP address that they came from. Raises AuthenticationRequired, and TooManyTries.
        """
        pair = pair_of(lines)
        if pair is None:
            raise self._required("this proxy asks for a user name and a password")
        digest = self._digest(pair)
        while (verdict := self._verdict(digest)) is None:
            turn, is_wrong = self._turns.ask(client_of(client), digest), False
            try:
                yield from until_there(turn)
                if turn.may_check:
                    is_wrong = not self._check(pair, digest)
            finally:
                self._turns.end(turn, has_failed=is_wrong)
        if not verdict.is_right:
            raise self._required("the user name or the password is wrong")
        return verdict

    def _check(self, pair: Pair, digest: bytes) -> bool:
        """Compare the password with the user's; returns whether it is right, which is remembered."""
        with self._lock:
            users = self._users
        hashed = users.get(pair.name)
        with Blocking():  # bcrypt lets other threads run
            # For a name that is none of a user's, as much work as for one that is.
            matches = self._matches(pair.password[:_LONGEST_PASSWORD], hashed or _nobodys(users))
        is_right = matches and hashed is not None
        with self._lock:
            if self._users.get(pair.name) == hashed:  # else it is looked at again
                kept = self._right if is_right else self._wrong
                kept.add(digest, pair.name, hashed, is_right, self._now())
        return is_right

    def _verdict(self, digest: bytes) -> Verdict | None:
        with self._lock:
            now = self._now()
            return self._right.find(digest, now) or self._wrong.find(digest, now)

    def _digest(self, pair: Pair) -> bytes:
        return hashlib.blake2b(b":".join(pair), digest_size=32, key=self._key).digest()

    def _required(self, why: str) -> AuthenticationRequired:
        return AuthenticationRequired(why, headers=self._challenge)


def _nobodys(users: Users) -> bytes:
    """A hash that no password is likely to have, of the cost that the first of the users has."""
    cost = next(iter(users.values()), b"$2b$10$")[4:6]
    return b"$2b$" + cost + b"$" + b"." * 53
