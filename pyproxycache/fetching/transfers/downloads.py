"""The downloads of this process: each body comes in on a thread of its own, whatever its clients do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pyproxycache import clock
from pyproxycache.errors import BrokenOff, UpstreamError
from pyproxycache.facts import ByteCount, Facts
from pyproxycache.fetching.transfers.abandoned import Abandoned
from pyproxycache.fetching.transfers.available_parts import AvailableParts
from pyproxycache.fetching.transfers.inspection import Inspections
from pyproxycache.fetching.transfers.kept_threads import KeptThreads
from pyproxycache.fetching.transfers.meeting_point import MeetingPoint
from pyproxycache.fetching.transfers.source import ClosedOnError, Source, ask, entry_of, length_of
from pyproxycache.fetching.transfers.transfer import Transfer
from pyproxycache.messages import Request
from pyproxycache.options import FetchOptions
from pyproxycache.outcome import Forward
from pyproxycache.rules import decide, decisions
from pyproxycache.rules.extents import as_part
from pyproxycache.rules.policy import UrlRules
from pyproxycache.rules.validation import strip_validators
from pyproxycache.store.ports import DownloadWriter, Flight, Room
from pyproxycache.store.values import End
from pyproxycache.upstream.client import Upstream


class Downloads:
    """Starts transfers and counts them; `_running` is guarded by `_idle`."""

    def __init__(
        self,
        options: FetchOptions,
        upstream: Upstream,
        room: Room,
        available: AvailableParts,
        inspections: Inspections,
        count_received: Callable[[int], None],
    ) -> None:
        self._options = options
        self._upstream = upstream
        self._room = room
        self._available = available
        self._inspections = inspections
        self._count_received = count_received
        self._stopping = threading.Event()
        self._idle = threading.Condition()
        self._running = 0
        self._threads = KeptThreads("download")
        self._abandoned = Abandoned(options)

    def start(self, writer: DownloadWriter, rules: UrlRules, request: Request, source: Source) -> None:
        """Bring in the body that has begun, and end its flight.

        `request` is the one that was sent, `rules` are those for its URL.
        """
        # What is asked for again is what a GET gets, and no client waits for hints of it any more.
        headers = strip_validators(request.headers)
        plain = replace(request, headers=headers, interim=None, cancellation=None, login=None)
        # The body may outlast the request that began it, which is reported by then.
        facts = Facts()
        source.exchange.count_in(facts.received)

        def again() -> Source | None:
            return self._continue(writer, rules, plain, facts)

        like = as_part(writer.entry) if writer.entry is not None else None
        meeting_point = None if like is None else MeetingPoint(self._available, writer.key, like)
        inspection = self._inspections.of(plain, writer.key.cache_key)
        transfer = Transfer(
            self._options, self._room, self._stopping, writer, source, again, meeting_point, inspection
        )
        flight, abandoned = writer.flight, self._abandoned

        def on_change(is_read: bool) -> None:
            if is_read:
                abandoned.forget(flight)
            # Somebody may have come in this moment, who would be left with half a body.
            elif not abandoned.admits(flight) and flight.close_if_left():
                transfer.end()

        flight.tell_of_readers(on_change)
        with self._idle:
            self._running += 1
        try:
            self._threads.run(partial(self._run, transfer, flight, facts.received))
        except RuntimeError:  # there are no more threads, so this one has to do it
            self._run(transfer, flight, facts.received)

    def _run(self, transfer: Transfer, flight: Flight, received: ByteCount) -> None:
        try:
            transfer.run()
        finally:
            flight.tell_of_readers(None)
            self._abandoned.forget(flight)
            self._count_received(received.total)
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _continue(
        self, writer: DownloadWriter, rules: UrlRules, request: Request, facts: Facts
    ) -> Source | None:
        """The rest of the body, or all of it again if no client has any; None if the flight has ended."""
        old = writer.entry
        assert old is not None, "a body follows a head"
        asked = clock.wall()
        answered = ask(self._upstream, writer, request, facts)
        if answered.rest is not None:
            return answered.rest
        exchange = answered.exchange
        with ClosedOnError(exchange):
            fetch = decisions.Fetch(request.headers, None, Forward.MISS)
            now = clock.wall()
            found = decide.on_response(request, exchange.head, fetch, rules, asked, now)
            fits = isinstance(found, decisions.Store) and (found.vary, found.part) == (old.vary, old.part)
            if not fits or exchange.head.status != old.status:
                raise UpstreamError(f"the origin has another answer now ({exchange.head.status})")
            assert isinstance(found, decisions.Store), "nothing else fits"
            entry = entry_of(writer.key, request, exchange, found, asked)
            length = length_of(exchange, entry)
            if writer.begin_anew(entry, length):
                return Source(exchange, length)
        exchange.close()
        writer.finish(End.BROKEN, error=BrokenOff("the origin broke off and cannot go on where it did"))
        return None

    def drain(self, seconds: float) -> int:
        """Let running downloads finish for so many seconds; gives how many have not finished."""
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0, timeout=max(0.0, seconds))
            self._stopping.set()
            return self._running
