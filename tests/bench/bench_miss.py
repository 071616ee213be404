"""What a distinct miss costs below the front, layer by layer: `make bench-miss`.

One process without sockets to clients asks for URLs that nobody has asked for. The origin is a process
of its own, on the other core, and gives each URL a body of its own. CPU time is the whole process's: other
threads and the kernel's part included.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyproxycache import engine
from pyproxycache.configuration.config import Config
from pyproxycache.facts import Facts
from pyproxycache.fetching import fetcher, leader
from pyproxycache.fetching.transfers import downloads, transfer
from pyproxycache.messages import Headers, Request
from pyproxycache.net.names import Names
from pyproxycache.options import Share, StoreOptions
from pyproxycache.outcome import Result
from pyproxycache.report.folding import outcome_of
from pyproxycache.routing.resource import Realm
from pyproxycache.rules import decide
from pyproxycache.rules.policy import Policies
from pyproxycache.serving import delivery, lookup
from pyproxycache.steps import finished
from pyproxycache.store.bodies import blobs, commits, partial
from pyproxycache.store.flights import claims, flight, flight_reader, flights, writer
from pyproxycache.store.index import index
from pyproxycache.store.upkeep import housekeeping, space
from pyproxycache.upstream import client, exchange
from pyproxycache.url import Url
from pyproxycache.wiring.fetching import build_components, build_leading, build_upstream
from pyproxycache.wiring.listening import build_guard
from pyproxycache.wiring.stored import open_store

# What belongs to which line of the table: a function's own time, without that of others in the table.
LAYERS: dict[str, list[tuple[object, str]]] = {
    "engine, fetcher": [(engine.Engine, "handle"), (fetcher.Fetcher, "fetch")],
    "rules": [(decide, "on_request"), (decide, "on_response"), (decide, "with_variants")],
    "look-ups": [(lookup.Lookup, "__call__"), (lookup.Lookup, "find"), (index.Index, "variants")],
    "flights": [
        (flights.LocalFlights, "join"),
        (writer.LocalWriter, "begin"),
        (writer.LocalWriter, "store"),
        (writer.LocalWriter, "store_at_once"),
        (writer.LocalWriter, "finish"),
        (flight.LocalFlight, "publish"),
        (flight.LocalFlight, "read"),
        (flight_reader.FlightReader, "__next__"),
    ],
    "claims: locks, reads, transactions": [
        (claims.Claims, "claim"),
        (claims.Claims, "record"),
        (claims.Claims, "store"),
        (claims.Claims, "finish"),
    ],
    "rows put in place": [(commits, "insert_entry")],
    "files": [
        (partial.Partial, "create"),
        (partial.Partial, "write"),
        (partial.Partial, "open_reader"),
        (partial.Partial, "discard"),
        (blobs.Blobs, "keep"),
        (blobs.Blobs, "write"),
    ],
    "space on the disk": [
        (space.Space, "admits"),
        (space.Space, "allow"),
    ],
    "download": [
        (leader.Leader, "ask"),
        (leader.Leader, "adopt"),
        (downloads.Downloads, "start"),
        (downloads.Downloads, "_run"),
        (transfer.Transfer, "run"),
    ],
    "upstream": [
        (client.Upstream, "send"),
        (exchange.Exchange, "read"),
        (exchange.Exchange, "at_hand"),
    ],
    "answer": [(delivery.Delivery, "arriving"), (delivery.Delivery, "stored")],
    "bookkeeping": [(housekeeping.Housekeeper, "count"), (housekeeping.Housekeeper, "note_access")],
}


class Clock:
    """CPU seconds and calls by layer, each thread's on its own stack."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._local = threading.local()
        self._lock = threading.Lock()  # guards both sums

    def clear(self) -> None:
        self.seconds.clear()
        self.calls.clear()

    def watch(self, layers: dict[str, list[tuple[object, str]]]) -> None:
        for layer, functions in layers.items():
            for owner, name in functions:
                if hasattr(owner, name):
                    plain = vars(owner)[name]
                    if isinstance(plain, classmethod):
                        setattr(owner, name, classmethod(self._timed(layer, plain.__func__)))
                    else:
                        setattr(owner, name, self._timed(layer, plain))

    def _timed(self, layer: str, plain: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(plain)
        def timed(*args: Any, **options: Any) -> Any:
            stack = self._local.__dict__.setdefault("stack", [])
            begun = time.thread_time()
            stack.append(0.0)
            try:
                return plain(*args, **options)
            finally:
                spent = time.thread_time() - begun
                within = stack.pop()
                if stack:
                    stack[-1] += spent
                with self._lock:
                    self.seconds[layer] += spent - within
                    self.calls[layer] += 1

        return timed


def serve_bytes(size: int) -> None:
    """The origin: the same answer to whatever ends in an empty line; says its port and never ends."""
    head = (
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
        "Content-Type: application/octet-stream\r\nConnection: keep-alive\r\n"
        f"Cache-Control: public, max-age=360000000\r\nContent-Length: {size}\r\n\r\n"
    ).encode()
    filler = b"x" * size
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for fd, _events in poll.poll():
            if fd == listener.fileno():
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
            elif asked := connections[fd].recv(65536):
                # Each URL has a body of its own, or all would be one blob.
                connections[fd].sendall(head + (asked[:40] + filler)[:size])
            else:
                connections.pop(fd).close()


def parts(folder: Path) -> tuple[engine.Engine, housekeeping.Housekeeper]:
    """An engine over a cache of its own."""
    config = Config(store=StoreOptions(path=folder, reserve=Share()))
    store = open_store(config.store)
    housekeeper = housekeeping.Housekeeper(store.index, store.space)
    housekeeper.start()
    guard = build_guard(config)
    upstream = build_upstream(config, guard, "bench", Names())
    leading = build_leading(config, store, upstream, guard.admit_peer, lambda _count: None)
    components = build_components(config, store, leading, guard.admit_peer, housekeeper.note_access)
    return engine.Engine(components), housekeeper


def misses(handle: engine.Engine, port: int, numbers: Iterator[int], count: int, size: int) -> None:
    """So many answers, each read to its end."""
    realm = Realm(Policies())
    fields = Headers(
        [
            ("Host", f"127.0.0.1:{port}"),
            ("User-Agent", "bench/1"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "gzip"),
        ]
    )
    for _ in range(count):
        url = Url("http", "127.0.0.1", port, f"/objects/{next(numbers):08d}")
        facts = Facts()
        response = finished(handle.handle(realm.resource(url), Request("GET", url, fields), facts))
        received = 0
        for piece in response.body:
            received += len(piece if isinstance(piece, bytes) else piece.read())
        outcome = outcome_of(facts)
        assert outcome.result is Result.FETCHED, outcome
        assert received == size, received


@dataclass(frozen=True)
class Cost:
    """Of one round: misses a second; of each miss CPU, user and system time (µs), and context switches."""

    rate: float
    cpu: float
    user: float
    system: float
    switches: float


def measured(run: Callable[[int], object], threads: int, count: int, rounds: int) -> Cost:
    """The cheapest round, for other processes on the machine can only add to what it costs."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, [20] * threads))
        return min((one_round(pool, run, threads, count) for _ in range(rounds)), key=lambda cost: cost.cpu)


def one_round(pool: ThreadPoolExecutor, run: Callable[[int], object], threads: int, count: int) -> Cost:
    each = max(1, count // threads)
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    list(pool.map(run, [each] * threads))
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    switches = after.ru_nvcsw - before.ru_nvcsw + after.ru_nivcsw - before.ru_nivcsw
    total = each * threads
    us = 1e6 / total
    return Cost(total / seconds, (user + system) * us, user * us, system * us, switches / total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=400, help="misses in a round")
    parser.add_argument("--rounds", type=int, default=10, help="of which the cheapest counts")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--folder", help="where the cache is made")
    parser.add_argument("--no-layers", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if options.serve:
        os.sched_setaffinity(0, cores[-1:])
        serve_bytes(options.size)
    command = [sys.executable, __file__, "--serve", "--size", str(options.size)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as origin,
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
    ):
        try:
            os.sched_setaffinity(0, cores[:1])
            assert origin.stdout is not None
            report(options, int(origin.stdout.readline()), Path(folder))
        finally:
            origin.kill()


def report(options: argparse.Namespace, port: int, folder: Path) -> None:
    handle, housekeeper = parts(folder)
    numbers = itertools.count()

    def run(count: int) -> None:
        misses(handle, port, numbers, count, options.size)

    print(f"{options.size} bytes          misses/s   CPU µs    (user   system)  context switches")
    for threads in options.threads:
        cost = measured(run, threads, options.count, options.rounds)
        print(
            f"{threads:3d} threads      {cost.rate:10.0f} {cost.cpu:8.0f} {cost.user:8.0f}"
            f" {cost.system:8.0f} {cost.switches:12.1f}"
        )
    if not options.no_layers:
        clock = Clock()
        clock.watch(LAYERS)
        each = 1 / options.count
        best: dict[str, float] = {}
        for _ in range(options.rounds):
            clock.clear()
            run(options.count)
            if not best or sum(clock.seconds.values()) < sum(best.values()):
                best = dict(clock.seconds)
        print("\nby layer, one thread, with clocks in between     own CPU µs    calls")
        for layer in LAYERS:
            print(f"{layer:46s} {best.get(layer, 0) * 1e6 * each:12.1f} {clock.calls[layer] * each:8.1f}")
        print(f"{'in all':46s} {sum(best.values()) * 1e6 * each:12.1f}")
    housekeeper.close()


if __name__ == "__main__":
    main()
