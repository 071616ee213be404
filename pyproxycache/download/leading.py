"""Leading a flight: ask the origin, decide, and have the body brought in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache.download.transfer import Source, Transfer, give_up
from pyproxycache.errors import BrokenOff, ProxyError, UpstreamError
from pyproxycache.messages import Entry, Request
from pyproxycache.options import FetchOptions
from pyproxycache.outcome import Outcome
from pyproxycache.rules import decide, ranges
from pyproxycache.rules.policy import Policies
from pyproxycache.rules.validation import complete_length, strong_validator
from pyproxycache.store.database import going_on_unwritten
from pyproxycache.store.flight import End
from pyproxycache.store.flights import Permit
from pyproxycache.store.space import Space
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Downloading:
    """The flight has the head; the body comes in once `start` is called, which has to be done."""

    start: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Passed:
    """Not to be stored: the answer belongs to the one who asked, and so does closing it."""

    exchange: Exchange
    reason: str


@dataclass(frozen=True, slots=True)
class Freshened:
    """The stored response was validated."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Stale:
    """The origin failed; the stored response stands in for it."""

    entry: Entry
    detail: str


Led = Downloading | Passed | Freshened | Stale


class Downloader:
    """Leads flights; bodies come in on threads of their own, which no client's leaving disturbs.

    `_running` is guarded by `_idle`.
    """

    def __init__(
        self,
        options: FetchOptions,
        upstream: Upstream,
        policies: Policies,
        space: Space,
        freshen: Callable[[Entry], bool],
        count_received: Callable[[int], None],
    ) -> None:
        self._count_received = count_received
        self._options = options
        self._upstream = upstream
        self._policies = policies
        self._space = space
        self._freshen = freshen
        self._stopping = threading.Event()
        self._idle = threading.Condition()
        self._running = 0

    def lead(self, permit: Permit, request: Request, fetch: decide.Fetch, outcome: Outcome) -> Led:
        """Ask the origin and act on the head of its answer; the flight ends unless a body follows.

        Raises the ProxyError that everyone gets who waits for this flight.
        """
        try:
            return self._lead(permit, request, fetch, outcome)
        except BaseException as error:
            if not permit.ended:
                known = error if isinstance(error, ProxyError) else UpstreamError("the cache failed")
                give_up(permit, End.FAILED, known)
            raise

    def _lead(self, permit: Permit, request: Request, fetch: decide.Fetch, outcome: Outcome) -> Led:
        plain = request.with_headers(fetch.headers)
        asked = time.time()
        patience = self._options.stale_after if fetch.stale else None
        try:
            exchange, resumes = self._ask(permit, plain, outcome, patience)
        except UpstreamError as error:
            stand_in = decide.on_error(fetch.stale, self._policies, request.url, time.time(), request)
            if stand_in is None:
                raise
            give_up(permit, End.STALE, error)
            return Stale(stand_in.entry, stand_in.detail)
        outcome.forward_status = exchange.head.status
        try:
            if resumes and permit.entry is not None:
                return self._begin(permit, plain, permit.entry, _rest(exchange, permit.entry))
            return self._decide(permit, request, fetch, exchange, asked)
        except BaseException:
            exchange.close()
            raise

    def _ask(
        self, permit: Permit, request: Request, outcome: Outcome, patience: float | None = None
    ) -> tuple[Exchange, bool]:
        """The rest of the body (then true) where it can be asked for and comes; else the plain answer."""
        resuming = _resuming(request, permit.entry, permit.size)
        if resuming is not None and permit.entry is not None:
            exchange = self._upstream.send(resuming, outcome, patience=patience)
            if _goes_on(exchange, permit.entry, permit.size):
                return exchange, True
            if exchange.head.status not in (206, 416):
                return exchange, False
            exchange.close()
        return self._upstream.send(request, outcome, patience=patience), False

    def _decide(
        self,
        permit: Permit,
        request: Request,
        fetch: decide.Fetch,
        exchange: Exchange,
        asked: float,
    ) -> Led:
        now = time.time()
        match decide.on_response(request, exchange.head, fetch.stale, self._policies, asked, now):
            case decide.Freshen(entry):
                exchange.close()
                with going_on_unwritten("note the freshness of", entry.key):
                    self._freshen(entry)
                permit.finish(End.FRESHENED)
                return Freshened(entry)
            case decide.ServeStale(entry, detail):
                exchange.close()
                give_up(permit, End.STALE, None)
                return Stale(entry, detail)
            case decide.Pass(reason, remember):
                return self._pass(permit, exchange, reason, remember=remember)
            case decide.Store(vary):
                if not self._may_store(request, exchange):
                    return self._pass(permit, exchange, "size", remember=True)
                entry = self._entry(permit, request, exchange, vary, asked, now)
                plain = request.with_headers(fetch.headers)
                return self._begin(permit, plain, entry, Source(exchange, exchange.length))

    def _entry(
        self,
        permit: Permit,
        request: Request,
        exchange: Exchange,
        vary: tuple[tuple[str, str | None], ...],
        asked: float,
        now: float,
    ) -> Entry:
        head = exchange.head
        policy = self._policies.for_head(request.url, head)
        return Entry(
            key=permit.key.partition(" ")[0],
            head=decide.stored_head(head, policy, now),
            request_time=asked,
            response_time=now,
            vary=vary,
            ttl=request.ttl if head.status == 200 else None,
            peer=exchange.peer,
        )

    def _may_store(self, request: Request, exchange: Exchange) -> bool:
        limit = self._options.range_whole
        asked_for_part = "range" in request.headers
        if asked_for_part and limit is not None and (exchange.length or 0) > limit:
            return False
        return self._space.admits(exchange.length or 0)

    def _pass(self, permit: Permit, exchange: Exchange, reason: str, *, remember: bool) -> Passed:
        if remember:
            permit.finish(End.PASSED, not_storable_until=time.time() + self._options.not_storable_for)
        else:
            # It says nothing about the next answer, so what there is to resume stays.
            give_up(permit, End.PASSED, None)
        return Passed(exchange, reason)

    def _begin(self, permit: Permit, plain: Request, entry: Entry, source: Source) -> Downloading:
        if permit.size and source.exchange.head.status != 206:
            permit.begin_anew(entry, source.end)
        else:
            permit.begin(entry, source.end)
        whole = plain.with_headers(plain.headers.without("If-None-Match", "If-Modified-Since"))
        return Downloading(lambda: self._start(permit, whole, source))

    # The body.

    def _start(self, permit: Permit, request: Request, source: Source) -> None:
        # The body may outlast the request that began it, whose outcome is reported by then.
        received = Outcome()
        source.exchange.count_in(received)

        def again() -> Source | None:
            return self._continue(permit, request, received)

        transfer = Transfer(self._options, self._space, self._stopping, permit, source, again)
        with self._idle:
            self._running += 1
        try:
            run = threading.Thread(
                target=self._run, args=(transfer, received), name="download", daemon=True
            )
            run.start()
        except RuntimeError:  # there are no more threads, so this one has to do it
            self._run(transfer, received)

    def _run(self, transfer: Transfer, received: Outcome) -> None:
        try:
            transfer.run()
        finally:
            self._count_received(received.bytes_received)
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _continue(self, permit: Permit, request: Request, outcome: Outcome) -> Source | None:
        """The rest of the body, or the body again where no client has any of it; None when neither."""
        assert permit.entry is not None, "a body follows a head"
        asked = time.time()
        exchange, resumes = self._ask(permit, request, outcome)
        try:
            if resumes:
                return _rest(exchange, permit.entry)
            now = time.time()
            found = decide.on_response(request, exchange.head, None, self._policies, asked, now)
            if exchange.head.status != permit.entry.status or found != decide.Store(permit.entry.vary):
                raise UpstreamError(f"the origin has another answer now ({exchange.head.status})")
            entry = self._entry(permit, request, exchange, permit.entry.vary, asked, now)
            if permit.begin_anew(entry, exchange.length):
                return Source(exchange, exchange.length)
        except BaseException:
            exchange.close()
            raise
        exchange.close()
        permit.finish(End.BROKEN, error=BrokenOff("the origin broke off and cannot go on where it did"))
        return None

    # Stopping.

    def drain(self, seconds: float) -> int:
        """Let running downloads finish for so long; gives how many have not."""
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0, timeout=max(0.0, seconds))
            self._stopping.set()
            return self._running


def _resuming(request: Request, entry: Entry | None, size: int) -> Request | None:
    """The request for the rest of a body (RFC 9110 section 13.1.5); None where it cannot be asked for."""
    validator = strong_validator(entry.head) if entry is not None and size else None
    if validator is None:
        return None
    headers = request.headers.without("If-None-Match", "If-Modified-Since")
    return request.with_headers(
        headers.with_field("Range", f"bytes={size}-").with_field("If-Range", validator)
    )


def _goes_on(exchange: Exchange, entry: Entry, size: int) -> bool:
    """Whether it is the rest of the body from this offset on, and says where the whole ends."""
    return ranges.continues(exchange.head, entry.head, size) and _rest(exchange, entry).end is not None


def _rest(exchange: Exchange, entry: Entry) -> Source:
    end = complete_length(exchange.head)
    return Source(exchange, complete_length(entry.head) if end is None else end)
