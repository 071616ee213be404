"""A process that uses the same store through its ports: told over a pipe what to do, and killed.

Run as a script it is the process itself: one JSON list in, one JSON value out.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import backends
from backends import Limits, OpenedStore
from responses import grow, joined, keep, response, whole
from told_process import ToldProcess

from pyproxycache.body import Piece
from pyproxycache.errors import ProxyError, UpstreamError
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.ports import DownloadWriter, Flight, JoinFlight, LeadFlight
from pyproxycache.store.values import End, Orphaned


class OtherProcess(ToldProcess):
    """The test's end of it, with a store of the backend."""

    def __init__(self, backend: str, folder: Path, limits: Mapping[str, float]) -> None:
        super().__init__(__file__, backend, str(folder), json.dumps(limits))


class Commands:
    """What the process can be told; it has one flight at a time."""

    def __init__(self, store: OpenedStore) -> None:
        self._store = store
        self._writer: DownloadWriter | None = None
        self._flight: Flight | None = None
        self._body: Iterator[Piece] = iter(())

    @property
    def writer(self) -> DownloadWriter:
        assert self._writer is not None, "it leads nothing"
        return self._writer

    @property
    def flight(self) -> Flight:
        assert self._flight is not None, "it follows nothing"
        return self._flight

    def ready(self) -> bool:
        return True

    def join(self, key: str) -> list[object]:
        """ "lead" with the size and the ETag that a dead leader left, "follow", or "not storable"."""
        match self._store.flights.join(FlightKey(key)):
            case LeadFlight(writer):
                self._writer = writer
                left = writer.entry
                return ["lead", writer.size, left.headers.get("etag") if left else None]
            case JoinFlight(flight):
                self._flight = flight
                return ["follow"]
        return ["not storable"]

    def join_often(self, key: str, threads: int) -> dict[str, int]:
        """How many of so many threads that join at the same time lead, and how many follow."""
        start, kinds = threading.Barrier(threads), [""] * threads

        def run(number: int) -> None:
            start.wait()
            kinds[number] = str(self.join(key)[0])

        running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return {kind: kinds.count(kind) for kind in set(kinds)}

    def follow(self, key: str) -> bool:
        followed = self._store.flights.follow(FlightKey(key))
        self._flight = followed.flight if followed else None
        return followed is not None

    def begin(self, key: str, data: str, length: int | None, etag: str = '"1"') -> None:
        grow(self.writer, response(key, etag=etag), data.encode(), length)

    def go_on(self, data: str, length: int) -> None:
        """Continue what a dead leader left."""
        assert self.writer.entry is not None
        self.writer.begin(self.writer.entry, length)
        self.write(data)

    def write(self, data: str) -> None:
        self.writer.file.write(data.encode())
        self.writer.publish_size()

    def store(self) -> bool:
        body = b"".join(self.writer.file.blocks())
        assert self.writer.entry is not None
        return self.writer.store(whole(self.writer.entry, body)) is not None

    def finish(self, end: str, until: float | None = None) -> None:
        error = UpstreamError("the origin failed") if End(end) in (End.FAILED, End.BROKEN) else None
        self.writer.finish(End(end), error=error, not_storable_until=until)

    def leave(self) -> None:
        self.writer.leave_for_successor(End.BROKEN)

    def head(self) -> list[str | None]:
        """The followed flight's ETag and end, once there is one of them."""
        now = self.flight.wait_head()
        etag = now.entry.headers.get("etag") if now.entry else None
        return [etag, now.end.value if now.end else None]

    def open(self) -> None:
        """Begin to read what it follows; the flight's file is held from here on."""
        self._body = self.flight.read(self.flight.wait_head(), 0, None)

    def read(self, count: int | None = None) -> list[str]:
        """The next bytes (so many, or all), and how they ended: "more", "end", or the error's name."""
        got = ""
        try:
            while count is None or len(got) < count:
                got += joined([next(self._body)]).decode()
        except StopIteration:
            return [got, "end"]
        except (Orphaned, ProxyError) as error:
            return [got, type(error).__name__]
        return [got, "more"]

    def keep(self, key: str, body: str) -> str:
        return keep(self._store, response(key), body.encode()).digest

    def keep_on(self, key: str) -> None:
        """Store one response after the other, small and large ones, until it is killed."""
        print("true", flush=True)
        for number in range(1_000_000):
            body = hashlib.sha256(str(number).encode()).digest() * (4 if number % 2 else 4096)
            keep(self._store, response(f"{key}/{number % 50}"), body, grows=number % 3 == 0)

    def purge(self, key: str) -> int:
        return self._store.index.purge([key])

    def found(self, key: str) -> list[str]:
        """The digests of all whole responses of the key."""
        return [entry.digest for entry in self._store.index.variants(key, 100)]


def main() -> None:
    name, folder, limits = sys.argv[1:]
    commands = Commands(getattr(backends, name)(Path(folder)).open(Limits(**json.loads(limits))))
    for line in sys.stdin:
        name, *args = json.loads(line)
        print(json.dumps(getattr(commands, name)(*args)), flush=True)


if __name__ == "__main__":
    main()
