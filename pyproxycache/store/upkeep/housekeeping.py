"""A worker's chores: writing gathered accesses and counters, collecting when space is short."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from pyproxycache import clock
from pyproxycache.background import Background, Chore, Count, Rounds
from pyproxycache.errors import StoreError
from pyproxycache.store.index.index import Index
from pyproxycache.store.upkeep.space import Space
from pyproxycache.units import format_count, format_size

log = logging.getLogger("pyproxycache.store")

_COLLECT_SECONDS = 600.0


class Housekeeper:
    """Gathers what requests note in memory; one thread a process, begun by `start`, writes it in batches.

    `_accesses` and `_counters` are guarded by `_lock`. A crash loses at most what came in since the last
    flush. `chores` are done in each of its rounds, before anything is collected. `counted` makes what
    counts its errors of what counts for the store alone. `_collected` (steady seconds) belongs to the
    thread.
    """

    def __init__(
        self,
        index: Index,
        space: Space,
        chores: Sequence[Chore] = (),
        counted: Callable[[Count], Count] = lambda count: count,
    ) -> None:
        self._index = index
        self._space = space
        self._lock = threading.Lock()
        self._accesses: dict[int, tuple[float, int]] = {}
        self._counters: Counter[str] = Counter()
        self._collected = clock.steady()
        every = (self.flush, *chores, index.settle, space.restock, self._collect_if_due)
        self._rounds = Rounds(every, Background("housekeeping", log, counted(self.count)))

    def start(self) -> None:
        """Begin the rounds, on a thread of their own."""
        self._rounds.start()

    def note_access(self, entry_id: int, now: float, times: int = 1) -> None:
        """Note that an entry was served so many times, at last at `now` (epoch seconds).

        All processes know that at once; the index, by which entries are evicted, after the next flush.
        """
        self._index.note_use(entry_id, now, times)
        with self._lock:
            _, hits = self._accesses.get(entry_id, (0.0, 0))
            self._accesses[entry_id] = (now, hits + times)

    def count(self, increments: dict[str, int]) -> None:
        """Add to the counters, by name."""
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
        """End the rounds, and write what was gathered."""
        self._rounds.close()
        self.flush()

    def _collect_if_due(self) -> None:
        due = clock.steady() - self._collected > _COLLECT_SECONDS
        if due or self._space.needs_collecting():
            self._collected = clock.steady()
            done = self._space.collect()
            if done is not None and done.entries:
                log.info(
                    "made room: removed %s, %s",
                    format_count(done.entries, "stored response"),
                    format_size(done.bytes),
                )
