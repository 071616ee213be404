"""What documents tell of releases, remembered as long as they do not change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pyproxycache.blocking import Blocking
from pyproxycache.mirrors.cooldown.releases import Releases

T = TypeVar("T", bound=Sized)

_MOST_FILES = 100_000


@dataclass(slots=True)
class _ReadingTurn:
    """The lock of those who read one document, and how many they are."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class KnownDocuments(Generic[T]):
    """What documents tell, by document and validator, those used last: `most` files in all.

    `_kept`, `_files` and `_turns` are guarded by `_lock`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[str, T]] = OrderedDict()
        self._files = 0
        self._turns: dict[str, _ReadingTurn] = {}

    @contextmanager
    def in_turn(self, url: str) -> Iterator[None]:
        """A context for one thread at a time: many clients ask for a new document at once.

        Who had to wait looks first whether the one before has read it.
        """
        with self._lock:
            turn = self._turns.setdefault(url, _ReadingTurn())
            turn.users += 1
        try:
            with Blocking():
                turn.lock.acquire()
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._turns[url]

    def of(self, url: str, validator: str) -> T | None:
        """What the document at the URL tells, if it has this validator still; "" is that of none."""
        with self._lock:
            kept = self._kept.get(url)
            if kept is None or not validator or kept[0] != validator:
                return None
            self._kept.move_to_end(url)
            return kept[1]

    def keep(self, url: str, validator: str, told: T) -> None:
        """Remember what the document with this validator tells."""
        with self._lock:
            self._forget(url)
            if not validator or len(told) > self._most:
                return
            self._kept[url] = (validator, told)
            self._files += len(told) + 1
            while self._files > self._most:
                self._forget(next(iter(self._kept)))

    def _forget(self, url: str) -> None:
        kept = self._kept.pop(url, None)
        if kept is not None:
            self._files -= len(kept[1]) + 1


class KnownReleases(KnownDocuments[Releases]):
    """Releases of packages by document and validator."""

    def __init__(self) -> None:
        super().__init__(_MOST_FILES)
