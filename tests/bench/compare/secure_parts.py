"""The measurements in TLS, each of one server that runs: on its listener, or behind a CONNECT."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from compare import results as the
from compare.parts import SETTLE, Bench, Note
from compare.readers import SecureReaders
from compare.secured import Secured

CLIENTS = 64
"""Kept connections of one load."""
MAKING = 16
"""New connections at a time."""
LARGE_AT_ONCE = 8
IDLE = 1000
NAMES = 400
"""Hosts that are named for the first time."""

_numbers = count(1)


def listener(bench: Bench, server: Secured, note: Note) -> None:
    """Part 9: what is hit and what begins on a listener that speaks TLS; wrk asks on kept connections."""
    clients = SecureReaders(bench.readers.core)
    with all_hit(bench, server):
        for name, size, connections in (("1k", "1 KB", CLIENTS), ("10m", "10 MB", LARGE_AT_ONCE)):
            with bench.busy(server, the.IN_TLS.format(size), note) as tell:
                tell(bench.wrk.run(f"{server.url}/{name}", connections))
        for what, resumes in ((the.FULL, False), (the.RESUMED, True)):
            with bench.busy(server, what, note) as tell:
                tell(clients.anew(f"{server.url}/1k", MAKING, bench.wrk.seconds, resumes=resumes))
        idle(clients, server, note)


def intercepted(bench: Bench, server: Secured, note: Note) -> None:
    """Part 10: the same on connections that are answered in the origin's place, and hosts that are new."""
    clients = SecureReaders(bench.readers.core, proxy=server.proxy)
    with all_hit(bench, server):
        with bench.busy(server, the.INTERCEPTED, note) as tell:
            tell(clients.kept(f"{server.url}/1k", CLIENTS, bench.wrk.seconds))
        with bench.busy(server, the.FULL, note) as tell:
            tell(clients.anew(f"{server.url}/1k", MAKING, bench.wrk.seconds))
    with bench.busy(server, the.MINTS, note) as tell:
        run = clients.named(server.url, MAKING, NAMES, f"h{next(_numbers)}-")
        threading.Event().wait(SETTLE / 10)  # for what a server does behind the client's last word
        tell(run)
    idle(clients, server, note)


@contextmanager
def all_hit(bench: Bench, server: Secured) -> Iterator[None]:
    """Raises RuntimeError if the origin was asked, unless the server is none that keeps anything."""
    before = bench.origin.asked()
    yield
    if server.caches and (asked := bench.origin.asked() - before):
        raise RuntimeError(f"{asked} hits went to the origin")


def idle(clients: SecureReaders, server: Secured, note: Note) -> None:
    """Memory for connections that were used once."""
    threading.Event().wait(SETTLE)
    rest = server.memory()
    with clients.idle(f"{server.url}/1k", IDLE):
        threading.Event().wait(SETTLE)
        note(the.IDLE_IN_TLS, the.EACH, (server.memory() - rest) / IDLE / 1000)
