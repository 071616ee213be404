"""Many processes and threads on one cache folder, some of them killed in between.

Run as a script it is one of the processes: it wants each object, by leading or by following, and prints a
line for each that it has got.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cachedir import CacheDir, data, entry, whole

from pyproxycache.errors import BrokenOff
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight import LocalFlight
from pyproxycache.store.ports import DownloadWriter, JoinFlight, LeadFlight
from pyproxycache.store.values import End, Orphaned

OBJECTS = 100
THREADS = 8
PROCESSES = 3
KILLS = 12
PIECE = 4096


def url(number: int) -> str:
    return f"http://origin.example/{number}"


def body(number: int) -> bytes:
    # Every tenth has the bytes of another.
    seed = hashlib.sha256(str(number - number % 10 if number % 10 == 1 else number).encode()).digest()
    return seed * (1 + seed[0] * 20)


class Worker:
    """Gets every object; counts what it led, and flights that were lost with nothing stored."""

    def __init__(self, folder: Path) -> None:
        self.cache = CacheDir(folder)
        self.flights = self.cache.flights

    def run(self, seed: int) -> None:
        numbers = list(range(OBJECTS)) * THREADS
        random.Random(seed).shuffle(numbers)
        with ThreadPoolExecutor(THREADS) as pool:
            for line in pool.map(self.get, numbers):
                print(line, flush=True)

    def get(self, number: int) -> str:
        """How the object was got: "led", "followed" or "found"; each way its bytes are compared."""
        how = "found"
        while not self.is_stored(number):
            joined = self.flights.join(FlightKey(url(number)))
            if isinstance(joined, LeadFlight):
                how = self.lead(joined.writer, number)
                continue
            assert isinstance(joined, JoinFlight)
            how = self.follow(joined.flight, number)
            if how == "lost" and not self.cache.stored(url(number)):
                return "lost too early"
        return how

    def is_stored(self, number: int) -> bool:
        for stored in self.cache.stored(url(number)):
            try:
                assert self.cache.body(stored) == body(number), number
            except FileNotFoundError:
                # Only in the moment of an eviction, which removes the row first.
                assert stored not in self.cache.stored(url(number))
                return False
            return True
        return False

    def lead(self, writer: DownloadWriter, number: int) -> str:
        if self.cache.stored(url(number)):
            writer.finish(End.LOST)
            return "found"
        wanted = body(number)
        writer.withheld = 0
        writer.begin(entry(url(number)), len(wanted))
        for start in range(writer.size, len(wanted), PIECE):
            writer.file.write(wanted[start : start + PIECE])
            writer.publish_size()
        writer.store(whole(entry(url(number)), wanted))
        return "led"

    def follow(self, flight: LocalFlight, number: int) -> str:
        progress = flight.wait_head()
        if progress.entry is None:
            return "lost"
        try:
            assert data(flight.read(progress, 0, None)) == body(number), number
        except (Orphaned, BrokenOff):
            return "lost"
        return "followed"


@dataclass
class Process:
    """One of them, as the test sees it."""

    running: subprocess.Popen[str]

    @classmethod
    def start(cls, folder: Path, seed: int) -> Process:
        path = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, __file__, str(folder), str(seed)]
        environment = {**os.environ, "PYTHONPATH": path}
        return cls(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))

    def lines(self, count: int | None = None) -> list[str]:
        """The next lines it prints, so many or all."""
        assert self.running.stdout is not None
        if count is None:
            return self.running.stdout.read().splitlines()
        return [self.running.stdout.readline().strip() for _ in range(count)]

    def finish(self) -> list[str]:
        with self.running:
            lines = self.lines()
        assert self.running.returncode == 0
        return lines

    def kill(self) -> None:
        with self.running:
            self.running.kill()


def nothing_damaged_or_left_over(cache: CacheDir) -> None:
    cache.space().recover()
    assert cache.partial_files() == []
    assert [finding for finding in cache.fsck.check() if finding is not None] == []
    for number in range(OBJECTS):
        (stored,) = cache.stored(url(number))
        assert cache.body(stored) == body(number), number
    assert cache.index.usage().blobs == len({body(n) for n in range(OBJECTS)})
    ((in_files,),) = cache.database.select("SELECT count(*) FROM blobs WHERE place IS NULL")
    assert len(cache.blob_files()) == in_files


def test_each_object_is_led_once(tmp_path: Path) -> None:
    cache = CacheDir(tmp_path)
    processes = [Process.start(tmp_path, seed) for seed in range(PROCESSES)]
    lines = [line for process in processes for line in process.finish()]
    assert lines.count("led") == OBJECTS
    assert lines.count("lost too early") == 0
    assert len(lines) == OBJECTS * THREADS * PROCESSES
    nothing_damaged_or_left_over(cache)
    cache.close()


def test_killed_again_and_again(tmp_path: Path) -> None:
    cache = CacheDir(tmp_path)
    chance = random.Random(5)
    processes = [Process.start(tmp_path, seed) for seed in range(PROCESSES)]
    for seed in range(PROCESSES, PROCESSES + KILLS):
        victim = processes.pop(chance.randrange(PROCESSES))
        victim.lines(chance.randrange(40))
        victim.kill()
        cache.space(max_size=200_000).collect()
        processes.append(Process.start(tmp_path, seed))
    for process in processes:
        process.finish()
    last = Process.start(tmp_path, 0)
    assert "lost too early" not in last.finish()
    nothing_damaged_or_left_over(cache)
    cache.close()


if __name__ == "__main__":
    Worker(Path(sys.argv[1])).run(int(sys.argv[2]))
