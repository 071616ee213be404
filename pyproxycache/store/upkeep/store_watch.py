"""Whether the workers' store is still the one in the folder: the master looks, and has it opened anew."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.store.sqlite.damage import Identity, identity

log = logging.getLogger("pyproxycache.store")

_NAMES = ("index.sqlite", "index.lock", "versions", "claims")
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0
_LONGEST_REPRIEVE = 60.0
"""Seconds after which workers without a store are replaced again, though one could be opened before."""


class StoreWatch:
    """Tells the master when the folder has another store than its workers opened.

    Made before the workers are; belongs to the master's main thread, but for `ask`.

    `open_anew` makes or mends the store; it raises StoreError. Letting go of it closes its descriptors.
    """

    def __init__(self, folder: Path, open_anew: Callable[[], None]) -> None:
        self._folder = folder
        self._open_anew = open_anew
        self._asked, self._ask = os.pipe()
        os.set_blocking(self._asked, False)
        self._opened = self._identities()
        self._is_asked_for = False
        self._next_try, self._pause = 0.0, _FIRST_PAUSE
        self._opened_at, self._reprieve = -_LONGEST_REPRIEVE, 0.0

    def ask(self) -> None:
        """Note, for a worker that has no store, that it is to be replaced once there is one."""
        with contextlib.suppress(OSError):
            os.write(self._ask, b"!")

    def is_anew(self) -> bool:
        """Whether a store was opened that the workers have not got, and they are to be replaced."""
        with contextlib.suppress(BlockingIOError):
            self._is_asked_for = bool(os.read(self._asked, 4096)) or self._is_asked_for
        self._note_made()
        is_other = self._identities() != self._opened
        if not (is_other or self._is_asked_for) or clock.steady() < self._next_try:
            return False
        # Workers that could not use what was opened last would not now, and each loses what waits in it.
        if not is_other and clock.steady() < self._opened_at + self._reprieve:
            return False
        try:
            self._open_anew()
        except StoreError as error:
            log.error("the store cannot be used, and requests are passed on: %s", error)
            self._next_try = clock.steady() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return False
        before, self._opened = self._opened, self._identities()
        is_other = self._opened != before or self._is_asked_for
        self._is_asked_for, self._next_try, self._pause = False, 0.0, _FIRST_PAUSE
        if is_other:
            now = clock.steady()
            is_soon = now < self._opened_at + 2 * self._reprieve + _FIRST_PAUSE
            self._reprieve = min(2 * self._reprieve or _FIRST_PAUSE, _LONGEST_REPRIEVE) if is_soon else 0.0
            self._opened_at = now
            log.warning("the store in %s is opened anew, by new workers", self._folder)
        return is_other

    def __del__(self) -> None:
        # Each reload of the configuration makes another one.
        os.close(self._asked)
        os.close(self._ask)

    def _note_made(self) -> None:
        """A file that was not there before is one that the workers made: it is theirs."""
        pairs = zip(self._opened, self._identities(), strict=True)
        self._opened = [now if opened is None else opened for opened, now in pairs]

    def _identities(self) -> list[Identity | None]:
        return [identity(self._folder / name) for name in _NAMES]
