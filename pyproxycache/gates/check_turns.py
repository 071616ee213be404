"""Whose password is checked next: few checks at a time, and one for each client."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable

from pyproxycache.blocking import Blocking
from pyproxycache.errors import TooManyTries
from pyproxycache.gates.failed_checks import FailedChecks

_AT_ONCE = 2
"""Checks in all: each has a core for itself meanwhile."""

Wake = Callable[[], None]


class Turn:
    """A request's wait for the check of its user's password, without a thread.

    When it `is_there`, the request `may_check`, or an equal check has ended, whose verdict may tell. Its
    fields are guarded by the lock of its CheckTurns.
    """

    def __init__(self, client: str, pair: bytes, lock: threading.Lock) -> None:
        self.client, self.pair = client, pair
        self.may_check = False
        self._lock = lock
        self._wake: Wake | None = None
        self._has_come = threading.Event()

    def is_there(self) -> bool:
        """Whether the wait is over."""
        return self._has_come.is_set()

    def when_there(self, wake: Wake) -> bool:
        """Have `wake` called when the wait is over; returns false if it is over already."""
        with self._lock:
            if not self._has_come.is_set():
                self._wake = wake
                return True
        return False

    def forget(self, _wake: Wake) -> None:
        """Call no `wake` any more."""
        with self._lock:
            self._wake = None

    def wait(self) -> None:
        """Block until the wait is over."""
        with Blocking():
            self._has_come.wait()

    def come(self) -> Wake | None:
        """End the wait, with the lock held; returns what is to be called without it."""
        self._has_come.set()
        wake, self._wake = self._wake, None
        return wake


class CheckTurns:
    """Gives clients their turns to have a password checked: one at a time for each client, few in all.

    Clients whose checks fail often are refused for a while. `now` gives monotonic seconds. All fields are
    guarded by `_lock`.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._checking: set[str] = set()
        # By client, the next one first, and by the digest of user and password.
        self._waiting: OrderedDict[str, OrderedDict[bytes, dict[Turn, None]]] = OrderedDict()
        self._failed = FailedChecks(now)

    def ask(self, client: str, pair: bytes) -> Turn:
        """A turn for the client's check of the pair with this digest, to be ended by `end` in any case.

        Raises TooManyTries.
        """
        turn = Turn(client, pair, self._lock)
        with self._lock:
            seconds = self._failed.seconds_left(client)
            if seconds > 0:
                raise TooManyTries(
                    "too many wrong passwords came from your address: try again later",
                    headers=(("Retry-After", str(math.ceil(seconds))),),
                )
            self._waiting.setdefault(client, OrderedDict()).setdefault(pair, {})[turn] = None
            wakes = self._grant()
        _call(wakes)
        return turn

    def end(self, turn: Turn, *, has_failed: bool) -> None:
        """End the turn: requests that wait for an equal check go on, and others have their turn."""
        client, pair = turn.client, turn.pair
        over: list[Turn] = []
        with self._lock:
            if turn.may_check:
                self._checking.discard(client)
                over += self._taken_out(client, pair)
            elif turn in self._waiting_for(client, pair):
                del self._waiting[client][pair][turn]
            if has_failed:
                self._failed.note(client)
                if self._failed.seconds_left(client) > 0:
                    for other in tuple(self._waiting.get(client, ())):
                        over += self._taken_out(client, other)
            self._tidy(client, pair)
            wakes = [waiting.come() for waiting in over] + self._grant()
        _call(wakes)

    def _grant(self) -> list[Wake | None]:
        """Give turns to those who are next, with the lock held; returns what is to be called then."""
        wakes = []
        while len(self._checking) < _AT_ONCE:
            client = next((one for one in self._waiting if one not in self._checking), None)
            if client is None:
                break
            pair, turns = next(iter(self._waiting[client].items()))
            turn = next(iter(turns))
            del turns[turn]
            self._waiting.move_to_end(client)
            self._tidy(client, pair)
            self._checking.add(client)
            turn.may_check = True
            wakes.append(turn.come())
        return wakes

    def _waiting_for(self, client: str, pair: bytes) -> dict[Turn, None]:
        pairs = self._waiting.get(client)
        return {} if pairs is None else pairs.get(pair, {})

    def _taken_out(self, client: str, pair: bytes) -> list[Turn]:
        """The turns that wait for this check, which wait no more."""
        turns = list(self._waiting_for(client, pair))
        if turns:
            self._waiting[client][pair].clear()
            self._tidy(client, pair)
        return turns

    def _tidy(self, client: str, pair: bytes) -> None:
        """Drop what is empty."""
        pairs = self._waiting.get(client)
        if pairs is None:
            return
        if not pairs.get(pair, True):
            del pairs[pair]
        if not pairs:
            del self._waiting[client]


def _call(wakes: Iterable[Wake | None]) -> None:
    for wake in wakes:
        if wake is not None:
            wake()
