"""A process that uses a cache folder: told over a pipe what to do, killed where it hurts.

Run as a script it is the process itself: one JSON list in, one JSON value out.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from cachedir import CacheDir, data, entry, whole
from crowd import Crowd
from told_process import ToldProcess

from pyproxycache.body import Piece
from pyproxycache.errors import ProxyError, error_named
from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies import commits
from pyproxycache.store.files.footprint import LARGEST_IN_INDEX
from pyproxycache.store.flights.flight import LocalFlight
from pyproxycache.store.ports import DownloadWriter, JoinFlight, LeadFlight
from pyproxycache.store.values import End, Orphaned, Progress


class StoreProcess(ToldProcess):
    """The test's end of it, with the options of its CacheDir."""

    def __init__(
        self, folder: Path, lease: float, silence: float, largest_in_index: int = LARGEST_IN_INDEX
    ) -> None:
        super().__init__(__file__, str(folder), str(lease), str(silence), str(largest_in_index))


class Commands:
    """What the process can be told; it has one flight at a time."""

    def __init__(self, cache: CacheDir) -> None:
        self._cache = cache
        self._permit: DownloadWriter | None = None
        self._key = ""
        self._follow: JoinFlight | None = None
        self._body: Iterator[Piece] = iter(())
        self._asked = threading.Semaphore(0)

    @property
    def writer(self) -> DownloadWriter:
        assert self._permit is not None
        return self._permit

    def join(self, key: str) -> list[object]:
        """What became of it; for a leader, what there is to resume: size and ETag."""
        self._key = key
        joined = self._cache.flights.join(FlightKey(key))
        if isinstance(joined, LeadFlight):
            self._permit = joined.writer
            self._permit.withheld = 0
            self._tell_when_asked(joined.writer.flight)
            left = joined.writer.entry
            return ["lead", joined.writer.size, left.head.headers.get("etag") if left else None]
        if isinstance(joined, JoinFlight):
            self._follow = joined
            return ["follow"]
        return ["not storable"]

    def _tell_when_asked(self, flight: LocalFlight) -> None:
        plain = flight.followed

        def followed() -> AbstractContextManager[None]:
            self._asked.release()
            return plain()

        flight.followed = followed  # type: ignore[method-assign]

    def wait_asked(self) -> None:
        """Until one more process follows what this one leads."""
        self._asked.acquire()

    def follow(self, key: str) -> bool:
        """Whether there was something to follow."""
        self._follow = self._cache.flights.follow(FlightKey(key))
        return self._follow is not None

    def begin(self, length: int | None, etag: str = '"1"') -> None:
        self.writer.begin(entry(self._key, etag=etag), length)

    def begin_anew(self, length: int | None, etag: str) -> bool:
        return self.writer.begin_anew(entry(self._key, etag=etag), length)

    def write(self, text: str) -> float:
        """Append and tell the followers; gives when (monotonic seconds, one clock for all processes)."""
        self.writer.file.write(text.encode())
        now = time.monotonic()
        self.writer.publish_size()
        return now

    def finish_past_the_file(self, text: str) -> None:
        """The rest of the body as it goes where there is no room for it."""
        total = self.writer.size + len(text)
        self.writer.unlist(time.time() + 60)
        self.writer.feed_without_file(text.encode(), total)
        self.writer.finish(End.UNSTORED, total=total)

    def store(self) -> str | None:
        entry = self._whole()
        return entry.digest if self.writer.store(entry) else None

    def _whole(self) -> Entry:
        fd = self.writer.file.open_reader()
        with os.fdopen(fd, "rb") as file:
            assert self.writer.entry is not None
            return whole(self.writer.entry, file.read())

    def leave(self) -> None:
        """End the flight as a stop does: what can be resumed stays."""
        self.writer.leave_for_successor(End.BROKEN)

    def fail(self, name: str, text: str, proxy_error: str | None) -> None:
        """End the flight with an error, before its head or behind it."""
        self.writer.finish(End.FAILED, error=error_named(name)(text, proxy_error))

    def error(self) -> list[object]:
        """What the followed flight's end tells its waiters: class, text, status and Proxy-Status type."""
        assert self._follow is not None
        now: Progress | None = None
        while now is None or now.end is None:
            now = self._follow.flight.wait_change(now)
        assert now.error is not None
        return [type(now.error).__name__, str(now.error), now.error.status, now.error.proxy_error]

    def head(self) -> list[str | None]:
        """The followed flight's ETag and end, once there is one of them."""
        assert self._follow is not None
        now = self._follow.flight.wait_head()
        etag = now.entry.head.headers.get("etag") if now.entry else None
        return [etag, now.end.value if now.end else None]

    def open(self, start: int = 0) -> None:
        """Begin to read the followed flight, which holds its file from here on."""
        assert self._follow is not None
        flight = self._follow.flight
        self._body = flight.read(flight.progress(), start, None)

    def read(self, count: int | None = None) -> list[str]:
        """The next bytes (so many, or all), and how they ended: "more", "end", or the error's name."""
        got = ""
        try:
            while count is None or len(got) < count:
                got += data(iter([next(self._body)])).decode()
        except StopIteration:
            return [got, "end"]
        except (Orphaned, ProxyError) as error:
            return [got, type(error).__name__]
        return [got, "more"]

    def wait_size(self, size: int) -> float:
        """When the followed flight was seen to have that size (monotonic seconds)."""
        assert self._follow is not None
        now = None
        while now is None or now.size < size:
            now = self._follow.flight.wait_change(now)
        return time.monotonic()

    def forget(self) -> None:
        """The flight's own table no longer has it, as just after its end."""
        self._cache.flights.drop(self.writer.flight)

    def die(self, point: str) -> None:
        """Store, and be killed by the kernel on the way, before or after the commit."""
        if point == "before commit":
            commits.insert_entry = _killed  # type: ignore[assignment]
        elif point == "after commit":
            self.writer.flight.publish = _killed  # type: ignore[method-assign,assignment]
        self.store()

    def die_at_once(self, body: str) -> None:
        """Store a body that came with its head, and be killed between its blob and its row."""
        commits.insert_entry = _killed  # type: ignore[assignment]
        self.writer.store_at_once(whole(entry(self._key), body.encode()), body.encode())

    def store_at_once(self, body: str) -> str | None:
        stored = whole(entry(self._key), body.encode())
        return stored.digest if self.writer.store_at_once(stored, body.encode()) else None

    def die_evicting(self) -> None:
        """Evict everything, and be killed between the rows and the files."""
        self._cache.blobs.remove = _killed  # type: ignore[method-assign]
        self._cache.evict(*(access.entry for access in self._cache.listing.walk()))

    def settle(self) -> None:
        self._cache.index.settle()

    def collect(self, max_size: int) -> bool:
        """Whether this process could collect."""
        return self._cache.space(max_size=max_size).collect() is not None

    def purge(self, key: str) -> int:
        return self._cache.index.purge([key])

    def stored(self, key: str) -> list[str]:
        return [one.digest for one in self._cache.stored(key)]

    def crowd(self, threads: int) -> list[int]:
        """How often its threads led and followed."""
        crowd = Crowd(self._cache)
        crowd.run(threads)
        return [crowd.led, crowd.followed]

    def count(self, times: int) -> None:
        """Add to a counter, one transaction each."""
        for _ in range(times):
            self._cache.index.touch({}, {"n": 1})


def _killed(*_args: object, **_options: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder, lease, silence, largest_in_index = sys.argv[1:]
    commands = Commands(CacheDir(Path(folder), float(lease), float(silence), int(largest_in_index)))
    for line in sys.stdin:
        name, *args = json.loads(line)
        print(json.dumps(getattr(commands, name)(*args)), flush=True)


if __name__ == "__main__":
    main()
