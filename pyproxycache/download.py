"""Leading a flight: ask the origin, decide, and bring the body in, whatever breaks on the way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain

from pyproxycache.errors import BrokenOff, NoSpace, ProxyError, StoreError, UpstreamError
from pyproxycache.messages import Entry, Head, Request, without_query
from pyproxycache.options import FetchOptions
from pyproxycache.outcome import Outcome
from pyproxycache.rules import decide, ranges
from pyproxycache.rules.policy import Policies
from pyproxycache.rules.validation import strong_validator
from pyproxycache.store.flight import End
from pyproxycache.store.flights import Permit
from pyproxycache.store.space import Space
from pyproxycache.upstream import Exchange, Upstream

log = logging.getLogger("pyproxycache.download")

_LARGEST_POOL = 4096
_UNPUBLISHED_BYTES = 1 << 20
_UNPUBLISHED_SECONDS = 0.005
_HEADROOM = 64 << 20


@dataclass(frozen=True, slots=True)
class Downloading:
    """The body is coming in; the flight has the head."""


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
    ) -> None:
        self._options = options
        self._upstream = upstream
        self._policies = policies
        self._space = space
        self._freshen = freshen
        self._threads = ThreadPoolExecutor(_LARGEST_POOL, "download")
        self._stopping = threading.Event()
        self._idle = threading.Condition()
        self._running = 0

    def lead(self, permit: Permit, request: Request, fetch: decide.Fetch, outcome: Outcome) -> Led:
        """Ask the origin and act on the head of its answer; the flight ends unless a body follows.

        Raises the ProxyError that everyone gets who waits for this flight.
        """
        try:
            return self._lead(permit, request, fetch, outcome)
        except ProxyError as error:
            if not permit.ended:
                self._give_up(permit, End.FAILED, error)
            raise
        except BaseException:
            if not permit.ended:
                permit.finish(End.FAILED, error=UpstreamError("the download failed inside the cache"))
            raise

    def _lead(self, permit: Permit, request: Request, fetch: decide.Fetch, outcome: Outcome) -> Led:
        plain = request.with_headers(fetch.headers)
        asked = time.time()
        resumed = _resuming(plain, permit.entry, permit.size)
        try:
            exchange = self._send(resumed or plain, fetch.stale)
            if resumed and permit.entry and not _may_follow(exchange, permit.entry, permit.size):
                exchange.close()
                exchange = self._send(plain, fetch.stale)
                resumed = None
        except UpstreamError as error:
            outcome.detail = type(error).__name__
            stand_in = decide.on_error(fetch.stale, self._policies, request.url, time.time(), request)
            if stand_in is None:
                raise
            self._give_up(permit, End.STALE, error)
            return Stale(stand_in.entry, stand_in.detail)
        outcome.forward_status = exchange.head.status
        if resumed and exchange.head.status == 206 and permit.entry is not None:
            length = None if exchange.length is None else exchange.length + permit.size
            self._begin(permit, plain, permit.entry, length, exchange)
            return Downloading()
        return self._decide(permit, plain, request, fetch, exchange, asked)

    def _send(self, request: Request, stale: Entry | None) -> Exchange:
        return self._upstream.send(request, patience=self._options.stale_after if stale else None)

    def _decide(
        self,
        permit: Permit,
        plain: Request,
        request: Request,
        fetch: decide.Fetch,
        exchange: Exchange,
        asked: float,
    ) -> Led:
        now = time.time()
        match decide.on_response(request, exchange.head, fetch.stale, self._policies, asked, now):
            case decide.Freshen(entry):
                exchange.close()
                self._freshen(entry)
                permit.finish(End.FRESHENED)
                return Freshened(entry)
            case decide.ServeStale(entry, detail):
                exchange.close()
                self._give_up(permit, End.STALE, None)
                return Stale(entry, detail)
            case decide.Pass(reason, remember):
                return self._pass(permit, exchange, reason, remember=remember)
            case decide.Store(vary):
                if not self._may_store(request, exchange):
                    return self._pass(permit, exchange, "size", remember=True)
                head = self._stored_head(request, exchange)
                entry = Entry(
                    key=permit.key.partition(" ")[0],
                    head=head,
                    request_time=asked,
                    response_time=now,
                    vary=vary,
                    ttl=request.ttl if head.status == 200 else None,
                    peer=exchange.peer,
                )
                self._begin(permit, plain, entry, exchange.length, exchange)
                return Downloading()

    def _stored_head(self, request: Request, exchange: Exchange) -> Head:
        head = exchange.head
        content_type = head.headers.get("content-type") or ""
        policy = self._policies.for_response(request.url, head.status, content_type)
        return decide.stored_head(head, policy, time.time())

    def _may_store(self, request: Request, exchange: Exchange) -> bool:
        limit = self._options.range_whole
        asked_for_part = "range" in request.headers
        if asked_for_part and limit is not None and (exchange.length or 0) > limit:
            return False
        return self._space.admits(exchange.length or 0)

    def _pass(self, permit: Permit, exchange: Exchange, reason: str, *, remember: bool) -> Passed:
        until = time.time() + self._options.not_storable_for if remember else None
        permit.finish(End.PASSED, not_storable_until=until)
        return Passed(exchange, reason)

    def _begin(
        self, permit: Permit, plain: Request, entry: Entry, length: int | None, exchange: Exchange
    ) -> None:
        if permit.size and exchange.head.status != 206:
            permit.begin_anew(entry, length)
        else:
            permit.begin(entry, length)
        with self._idle:
            self._running += 1
        whole = plain.with_headers(plain.headers.without("If-None-Match", "If-Modified-Since"))
        self._threads.submit(self._run, permit, whole, exchange)

    # The body.

    def _run(self, permit: Permit, request: Request, exchange: Exchange) -> None:
        try:
            current: Exchange | None = exchange
            failed = 0
            while current is not None:
                try:
                    self._bring_in(permit, current)
                    return
                except UpstreamError as error:
                    current, failed = self._go_on(permit, request, error, failed)
        except Exception as error:
            log.exception("the download of %s failed inside the cache", without_query(permit.key))
            exchange.close()
            if not permit.ended:
                permit.finish(End.BROKEN, error=BrokenOff(f"the cache failed: {error}"))
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _bring_in(self, permit: Permit, exchange: Exchange) -> None:
        """Read to the end and store; raises UpstreamError when the body ends short."""
        published = time.monotonic()
        unpublished = 0
        for data in exchange:
            if not self._space.admits_growth(permit.size + len(data)) or not self._write(permit, data):
                self._spill(permit, exchange, data)
                return
            unpublished += len(data)
            late = time.monotonic() - published > _UNPUBLISHED_SECONDS
            if late or unpublished > _UNPUBLISHED_BYTES or not exchange.has_more():
                permit.publish_size()
                published = time.monotonic()
                unpublished = 0
        self._store(permit)

    def _write(self, permit: Permit, data: bytes) -> bool:
        """Append to the file, making room once if there is none; False when there is none to make."""
        try:
            permit.file.write(data)
        except NoSpace:
            self._space.make_room(_HEADROOM)
            try:
                permit.file.write(data)
            except NoSpace:
                return False
        return True

    def _store(self, permit: Permit) -> None:
        assert permit.entry is not None, "a body follows a head"
        try:
            permit.store(replace(permit.entry, digest=permit.file.digest(), size=permit.size))
        except StoreError as error:
            log.warning("%s is served but not stored (%s)", without_query(permit.key), error)
            permit.finish(End.UNSTORED)

    def _spill(self, permit: Permit, exchange: Exchange, first: bytes) -> None:
        """Go on without the file: those who read already get the rest through memory, at their pace."""
        log.warning("no space: %s is served but not stored", without_query(permit.key))
        permit.publish_size()
        permit.unlist(time.time() + self._options.not_storable_for)
        total = permit.size
        try:
            for data in chain((first,), exchange):
                total += len(data)
                if not permit.feed_without_file(data, total):
                    exchange.close()
                    break
            permit.finish(End.UNSTORED, total=total)
        except UpstreamError as error:
            permit.finish(End.BROKEN, error=error, total=total)

    def _go_on(
        self, permit: Permit, request: Request, error: UpstreamError, failed: int
    ) -> tuple[Exchange | None, int]:
        """Another answer to read from, after growing pauses; None when the flight has ended."""
        for tried in range(failed + 1, self._options.tries + 1):
            pause = min(self._options.pause * 2 ** (tried - 1), self._options.max_pause)
            if tried == self._options.tries or self._stopping.wait(pause):
                break
            permit.publish_size()
            log.info(
                "%s broke off at %d bytes (%s), try %d",
                without_query(permit.key),
                permit.size,
                error,
                tried + 1,
            )
            try:
                return self._continue(permit, request), tried
            except UpstreamError as next_error:
                error = next_error
            except ProxyError as refused:
                error = BrokenOff(str(refused))
        self._give_up(permit, End.BROKEN, error)
        return None, failed

    def _continue(self, permit: Permit, request: Request) -> Exchange | None:
        """The rest of the body, or the body again where no client has any of it; None when neither."""
        assert permit.entry is not None, "a body follows a head"
        resumed = _resuming(request, permit.entry, permit.size)
        exchange = self._upstream.send(resumed or request)
        if resumed and exchange.head.status == 206:
            if ranges.continues(exchange.head, permit.entry.head, permit.size):
                return exchange
            exchange.close()
            exchange = self._upstream.send(request)
        if exchange.head.status != permit.entry.status:
            exchange.close()
            raise UpstreamError(f"the origin answered {exchange.head.status} on going on")
        entry = replace(permit.entry, head=self._stored_head(request, exchange))
        if permit.begin_anew(entry, exchange.length):
            return exchange
        exchange.close()
        permit.finish(End.BROKEN, error=BrokenOff("the origin broke off and cannot go on where it did"))
        return None

    def _give_up(self, permit: Permit, end: End, error: ProxyError | None) -> None:
        """End the flight; what a successor can resume is left to it."""
        if permit.entry is not None and permit.size and strong_validator(permit.entry.head):
            permit.leave_for_successor(end, error)
        else:
            permit.finish(end, error=error)

    # Stopping.

    def drain(self, seconds: float) -> int:
        """Let running downloads finish for so long; gives how many have not."""
        deadline = time.monotonic() + seconds
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0, timeout=max(0.0, deadline - time.monotonic()))
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


def _may_follow(exchange: Exchange, entry: Entry, size: int) -> bool:
    """Whether the answer to a resuming request is of use: the rest that fits, or a whole new body."""
    if exchange.head.status == 206:
        return ranges.continues(exchange.head, entry.head, size)
    return exchange.head.status != 416
