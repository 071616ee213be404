"""Requests that are kept to be repeated: in memory alone, so many and so large at most."""

from __future__ import annotations

import heapq
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from pyproxycache import clock
from pyproxycache.front.gateway.refreshed_route import RefreshedRoute
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.messages import Entry
from pyproxycache.store.values import Uses
from pyproxycache.url import Url

_MOST = 4096
_MOST_BYTES = 32 << 20
_OF_A_REQUEST = 2000


@dataclass(frozen=True, slots=True, repr=False)
class KeptRequest:
    """A request that its route has let in, with its content; it has credentials, and is shown nowhere.

    `wanted` is what it asks for as it was received, `url` what it was sent on for.
    """

    route: RefreshedRoute
    received: RawRequest
    wanted: Wanted
    url: Url
    content: bytes

    @property
    def size(self) -> int:
        """About the bytes of memory that it takes."""
        fields = sum(len(name) + len(value) + 150 for name, value in self.received.headers)
        return _OF_A_REQUEST + fields + len(self.received.target) + len(self.content)


Name = tuple[str, tuple[tuple[str, str | None], ...]]
"""Cache key and selecting fields of an entry: its name for all responses that take its place."""


@dataclass(slots=True, repr=False)
class RefreshRecord:
    """What is kept of an entry: the newest request for it, and what its clients want.

    `used`: when this worker gave it last (epoch seconds). `base` is the count of its uses when the response
    of the time `received` came. `turn` is not 0 while it waits to be due.
    """

    name: Name
    request: KeptRequest
    used: float = 0.0
    received: float = 0.0
    base: int = 0
    entry_id: int = 0
    turn: int = 0


class KeptRequests:
    """The records of a worker, each with the time at which it is due; safe to call from any thread.

    The one that was not asked for longest goes when there are too many. `uses` tells those of an entry, by
    its id. All fields are guarded by `changed`, which is notified when something is due earlier.
    """

    def __init__(
        self, uses: Callable[[int], Uses], most: int = _MOST, most_bytes: int = _MOST_BYTES
    ) -> None:
        self.changed = threading.Condition()
        self._uses = uses
        self._most, self._most_bytes = most, most_bytes
        self._records: OrderedDict[Name, RefreshRecord] = OrderedDict()
        self._by_entry: dict[int, RefreshRecord] = {}
        self._bytes = 0
        self._due: list[tuple[float, int, RefreshRecord]] = []
        self._turns = count(1)

    def __len__(self) -> int:
        return len(self._records)

    def keep(self, entry: Entry, request: KeptRequest) -> int:
        """Keep the request by which the entry is given now, in place of the one before.

        Gives how many others had to go.
        """
        if request.size > self._most_bytes:
            return 0
        name, now = (entry.key, entry.vary), clock.wall()
        with self.changed:
            record = self._records.get(name)
            if record is None:
                record = self._records[name] = RefreshRecord(name, request)
                self._schedule(record, now + request.route.rule.soonest)
            else:
                self._bytes -= record.request.size
                record.request = request
                self._records.move_to_end(name)
            self._bytes += request.size
            if entry.id:  # else it still arrives: what was asked for once would be fetched twice
                record.used = now
            self._learn(record, entry)
            before = len(self._records)
            while len(self._records) > self._most or self._bytes > self._most_bytes:
                self._drop(next(iter(self._records.values())))
            return before - len(self._records)

    def learn(self, record: RefreshRecord, entry: Entry) -> int:
        """Take note of the entry that is stored now; gives how often that response was used."""
        with self.changed:
            self._learn(record, entry)
            return self._uses(entry.id).count - record.base

    def accessed(self, entry_id: int, now: float) -> None:
        """Note that an entry was given, which is due if that was often enough."""
        if entry_id not in self._by_entry:  # most are of no record, and need no lock
            return
        with self.changed:
            record = self._by_entry.get(entry_id)
            if record is None:
                return
            record.used = max(record.used, now)
            hits = record.request.route.rule.hits
            if hits is not None and record.turn and self._uses(entry_id).count - record.base >= hits:
                self._schedule(record, now)

    def schedule(self, record: RefreshRecord, at: float) -> None:
        """Have the record due at this time (epoch seconds), if it is still kept."""
        with self.changed:
            if self._records.get(record.name) is record:
                self._schedule(record, at)

    def drop(self, record: RefreshRecord) -> None:
        """Forget the record and its request."""
        with self.changed:
            if self._records.get(record.name) is record:
                self._drop(record)

    def take_due(self, now: float) -> RefreshRecord | float | None:
        """A record that is due at `now` (steady seconds), and is not until it is scheduled again.

        Else the next time, or None. The caller holds `changed`.
        """
        while self._due:
            at, turn, record = self._due[0]
            if record.turn != turn:
                heapq.heappop(self._due)
            elif at > now:
                return at
            else:
                heapq.heappop(self._due)
                record.turn = 0
                return record
        return None

    def _learn(self, record: RefreshRecord, entry: Entry) -> None:
        if entry.id and entry.id != record.entry_id:
            self._by_entry.pop(record.entry_id, None)
            record.entry_id = entry.id
            self._by_entry[entry.id] = record
            record.received = 0.0
        if entry.id and entry.response_time != record.received:
            record.received = entry.response_time
            record.base = self._uses(entry.id).count

    def _schedule(self, record: RefreshRecord, at: float) -> None:
        # Kept in steady seconds: where the clock is set back, nothing would be due for as long.
        due = clock.steady() + max(0.0, at - clock.wall())
        record.turn = next(self._turns)
        heapq.heappush(self._due, (due, record.turn, record))
        if len(self._due) > 4 * self._most:  # most of them are of no use any more
            self._due = [one for one in self._due if one[2].turn == one[1]]
            heapq.heapify(self._due)
        self.changed.notify()

    def _drop(self, record: RefreshRecord) -> None:
        del self._records[record.name]
        self._by_entry.pop(record.entry_id, None)
        self._bytes -= record.request.size
        record.turn = 0
