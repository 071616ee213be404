"""A worker's chores: writing gathered accesses and counters, collecting when space is short."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.store.index import Index
from pyproxycache.store.space import Space

log = logging.getLogger("pyproxycache.store")

Chore = Callable[[], object]

_FLUSH_SECONDS = 2.0
_COLLECT_SECONDS = 600.0


class Housekeeper:
    """Gathers what requests note in memory; one thread a process writes it in batches.

    `_accesses` and `_counters` are guarded by `_lock`. A crash loses at most what came in since the last
    flush. `chores` are done every two seconds, in this order, before anything is collected.
    """

    def __init__(self, index: Index, space: Space, chores: Sequence[Chore] = ()) -> None:
        self._index = index
        self._space = space
        self._chores = chores
        self._lock = threading.Lock()
        self._accesses: dict[int, tuple[float, int]] = {}
        self._counters: Counter[str] = Counter()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def note_access(self, entry_id: int, now: float, times: int = 1) -> None:
        """An entry was served so many times, at last `now`."""
        with self._lock:
            _, hits = self._accesses.get(entry_id, (0.0, 0))
            self._accesses[entry_id] = (now, hits + times)

    def count(self, increments: dict[str, int]) -> None:
        with self._lock:
            self._counters.update(increments)

    def flush(self) -> None:
        """Write what was gathered; on a full disk it is dropped, for it is only bookkeeping."""
        with self._lock:
            accesses, self._accesses = self._accesses, {}
            counters, self._counters = self._counters, Counter()
        if accesses or counters:
            try:
                self._index.touch(accesses, counters)
            except StoreError as error:
                log.warning("access times and counters of the last seconds are lost: %s", error)

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        self.flush()

    def _run(self) -> None:
        collected = clock.steady()
        while not self._stopped.wait(_FLUSH_SECONDS):
            self.flush()
            for chore in self._chores:
                with _surviving(chore):
                    chore()
            due = clock.steady() - collected > _COLLECT_SECONDS
            try:
                self._index.settle()
                self._space.restock()
                if due or self._space.needs_collecting():
                    collected = clock.steady()
                    self._collect()
            except (StoreError, OSError, sqlite3.Error) as error:
                log.error("collecting failed: %s", error)

    def _collect(self) -> None:
        done = self._space.collect()
        if done is not None and done.entries:
            log.info("collected %d entries of %d bytes", done.entries, done.bytes)


@contextlib.contextmanager
def _surviving(chore: Chore) -> Iterator[None]:
    """One chore that fails keeps nobody from the others, nor from its own next time."""
    try:
        yield
    except Exception as error:
        name = getattr(chore, "__qualname__", type(chore).__name__)
        log.error("%s failed: %s", name, str(error) or type(error).__name__)
