"""The measurements themselves, each of one server that runs: what a part does, and what it notes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count

from harness import fetch
from load import Download
from origin import Generated, Origin

from compare import results as the
from compare.readers import Readers
from compare.servers import FastOrigin, Server
from compare.wrk import Run, Wrk

Note = Callable[[str, str, float], None]
"""Takes what was measured, its unit, and the value."""

MB = 1_000_000
SIZES = {"1k": "1 KB", "100k": "100 KB", "10m": "10 MB"}
LARGE_AT_ONCE = 8
"""Connections for 10 MB, which are not read by wrk: it copies them slower than servers send."""
AGENTS = {"plain": 1, "agents": 1000}
COLD = Generated(100 * MB, seed=1)
RATE = 25 * MB
SLOW_READERS, SLOW_RATE = 2000, 10_000
PACED_CONNECTIONS, PACED_RATE, PACED_SECONDS = 32, 2000, 5
IDLE = 1000
SETTLE = 1.0
"""Seconds that a server has to come to rest before its memory is read."""
SAMPLE = 0.25
"""Seconds between two looks at a server's memory."""

_numbers = count(1)


@dataclass(frozen=True)
class Bench:
    """What the parts measure with."""

    wrk: Wrk
    readers: Readers
    origin: FastOrigin
    paced: Origin

    def warm(self, server: Server) -> None:
        """Brings the files in, and RuntimeError unless each is a hit then."""
        for name, size in self.origin.files.items():
            replies = [server.fetch(f"/{name}") for _ in range(3)]
            if any(reply.status != 200 or len(reply.body) != size for reply in replies):
                raise RuntimeError(f"/{name} does not come whole: {[reply.status for reply in replies]}")
            if not server.is_hit(replies[-1]):
                raise RuntimeError(f"/{name} does not become a hit: {replies[-1].headers}")

    def hits(self, server: Server, name: str, mode: str = "plain", headers: tuple[str, ...] = ()) -> Run:
        """A run of hits; RuntimeError where the origin was asked."""
        before = self.origin.asked()
        if name == "10m":
            run = self.readers.again(f"{server.url}/{name}", LARGE_AT_ONCE, self.wrk.seconds, AGENTS[mode])
        else:
            run = self.wrk.run(f"{server.url}/{name}", mode=mode, headers=headers)
        if asked := self.origin.asked() - before:
            raise RuntimeError(f"{asked} of {run.requests} hits of /{name} went to the origin")
        return run

    @contextmanager
    def busy(self, server: Server, what: str, note: Note) -> Iterator[Callable[[Run], None]]:
        """Gives what notes a run's figures, and how busy the server's core was."""
        before = server.cpu()

        def tell(run: Run) -> None:
            note(what, the.RATE, run.rate)
            note(what, the.P99, run.p99 * 1000)
            used = server.cpu() - before
            note(what, the.CPU, 1e6 * used / run.requests)
            note(what, the.BUSY, min(100.0, 100 * used / run.seconds))

        yield tell


def hits(bench: Bench, server: Server, note: Note) -> None:
    """Part 1: the same request over and over, on kept connections."""
    for name, size in SIZES.items():
        if name != "10m" or not server.log:  # where a line more or less is nothing
            with bench.busy(server, f"{size} hits", note) as tell:
                tell(bench.hits(server, name))


def varying(bench: Bench, server: Server, note: Note) -> None:
    """Part 2: the same with 1,000 user agents; with access logs, of the smallest object alone."""
    for name, size in SIZES.items():
        if name == "1k" or not server.log:
            with bench.busy(server, the.VARYING.format(size), note) as tell:
                tell(bench.hits(server, name, "agents"))


def misses(bench: Bench, server: Server, note: Note) -> None:
    """Part 3: each request another URL."""
    before = bench.origin.requests()
    url = f"{server.url}/miss/{next(_numbers):04d}/"
    with bench.busy(server, the.DISTINCT, note) as tell:
        run = bench.wrk.run(url, mode="misses")
        tell(run)
    # Those that were under way when wrk stopped are more.
    if bench.origin.requests() - before < run.requests:
        raise RuntimeError(f"fewer requests went to the origin than the {run.requests} misses")
    if not server.is_hit(fetch(None, f"{url}{2:09d}")):  # wrk itself keeps the first
        raise RuntimeError("what was a miss is not a hit now: it was not kept")
    beside_misses(bench, server, note)


def beside_misses(bench: Bench, server: Server, note: Note) -> None:
    """How long hits take while as many clients as before miss all the time."""
    misses = replace(bench.wrk, seconds=PACED_SECONDS + 1)
    url = f"{server.url}/miss/{next(_numbers):04d}/"
    with ThreadPoolExecutor(1) as pool:
        missed = pool.submit(misses.run, url, mode="misses")
        paced = bench.readers.paced(f"{server.url}/1k", PACED_CONNECTIONS, PACED_RATE, PACED_SECONDS)
        note(the.BESIDE, the.RATE_OF_MISSES, missed.result().rate)
    note(the.BESIDE, the.PACED_MEDIAN, paced.p50 * 1000)
    note(the.BESIDE, the.PACED, paced.p99 * 1000)


def new_connections(bench: Bench, server: Server, note: Note) -> None:
    """Part 6: a connection for each request."""
    with bench.busy(server, the.CONNECTIONS, note) as tell:
        tell(bench.hits(server, "1k", headers=("Connection: close",)))


def slow_readers(bench: Bench, server: Server, note: Note) -> None:
    """Part 5: hits of 1 KB without and beside 2,000 connections that read 10 MB slowly.

    As many as can be had, and then so few that a queue shows what makes it, not how long it is anyway.
    """

    def measured() -> tuple[Run, Run]:
        paced = bench.readers.paced(f"{server.url}/1k", PACED_CONNECTIONS, PACED_RATE, PACED_SECONDS)
        return bench.hits(server, "1k"), paced

    without = measured()
    with bench.readers.slow(f"{server.url}/10m", SLOW_READERS, SLOW_RATE) as readers:
        beside = measured()
    for what, (run, paced) in ((the.WITHOUT, without), (the.WITH, beside)):
        note(what, the.RATE, run.rate)
        note(what, the.P99, run.p99 * 1000)
        note(what, the.PACED, paced.p99 * 1000)
    note(the.SLOWED, the.TIMES, beside[0].p99 / without[0].p99)
    note(the.SLOWED_PACED, the.TIMES, beside[1].p99 / without[1].p99)
    note("what a slow reader got", "KB/s", readers.rate / 1000)


def stampede(bench: Bench, server: Server, note: Note) -> None:
    """Parts 4 and 8: many clients ask for one cold object at once."""
    for clients in (50, 500):
        path, what = f"/cold/{next(_numbers)}", the.STAMPEDE.format(clients)
        bench.paced.put(path, COLD, rate=RATE, cache_control="max-age=86400", etag=f'"{path}"')
        before = server.cpu()
        with watched(server) as memory:
            result = bench.readers.download(f"{server.url}{path}", clients, COLD.size)
        note(what, the.SECONDS, result.seconds)
        note(what, the.FIRST, result.first * 1000)
        note(what, the.ASKED, bench.paced.count(path))
        note(what, the.BUSY, min(100.0, 100 * (server.cpu() - before) / result.seconds))
        note(what, the.LOAD, min(100.0, 100 * result.cpu / result.seconds))
        note(the.MOST.format(what), the.MEGABYTES, max(memory) / MB)
        _check_kept(server, path)


def _check_kept(server: Server, path: str) -> None:
    with Download(None, f"{server.url}{path}", digest=True) as whole:
        whole.run()
    if whole.error or whole.sha256() != COLD.sha256():
        raise RuntimeError(f"what was kept is not what the origin sent: {whole.error or 'other bytes'}")


def direct(bench: Bench, note: Note) -> None:
    """One client that asks the origin itself, for what part 4 is compared with."""
    path = f"/direct/{next(_numbers)}"
    bench.paced.put(path, COLD, rate=RATE)
    result = bench.readers.download(bench.paced.url(path), 1, COLD.size)
    for clients in (50, 500):
        note(the.STAMPEDE.format(clients), the.SECONDS, result.seconds)
        note(the.STAMPEDE.format(clients), the.FIRST, result.first * 1000)


def memory(bench: Bench, server: Server, note: Note) -> None:
    """Part 8: a server that nobody asked anything yet, and one with idle connections."""
    threading.Event().wait(SETTLE)
    rest = server.memory()
    note("at rest", the.MEGABYTES, rest / MB)
    fetch(None, f"{server.url}/1k")
    with bench.readers.idle(f"{server.url}/1k", IDLE):
        threading.Event().wait(SETTLE)
        note(the.IDLE, the.MEGABYTES, (server.memory() - rest) / MB)


@contextmanager
def watched(server: Server) -> Iterator[list[int]]:
    """Samples the server's memory (bytes) meanwhile, at the beginning and the end too."""
    samples, ended = [server.memory()], threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE):
            samples.append(server.memory())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()
        samples.append(server.memory())
