"""Leading a flight: ask the origin, decide, and have the body brought in."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from pyproxycache import clock
from pyproxycache.download.abandoned import Abandoned
from pyproxycache.download.advice import Advice
from pyproxycache.download.kept_threads import KeptThreads
from pyproxycache.download.surroundings import Limit, Surroundings
from pyproxycache.download.transfer import Source, Transfer, give_up
from pyproxycache.errors import BrokenOff, ClientGone, ProxyError, StoreError, UpstreamError
from pyproxycache.messages import Entry, Request, without_query
from pyproxycache.options import FetchOptions
from pyproxycache.outcome import Forward, Outcome
from pyproxycache.rules import decide, decisions
from pyproxycache.rules.digests import expected_digests
from pyproxycache.rules.extents import as_part
from pyproxycache.rules.policy import Policies
from pyproxycache.rules.ranges import continues, range_text
from pyproxycache.rules.representation import is_unmarked_part, resumption_validator
from pyproxycache.rules.validation import (
    complete_length,
    strip_conditionals,
    strip_validators,
)
from pyproxycache.store.ports import DownloadWriter, EntryIndex, Flight, Room
from pyproxycache.store.store_errors import logging_store_errors
from pyproxycache.store.values import End
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange

log = logging.getLogger("pyproxycache.download")

_SMALL = 64 << 10
"""Bytes of a body that is stored by the thread that asked for it, if it is there already."""


Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Downloading:
    """The flight has the head; the body comes in once `start` is called, which has to be done.

    That of a small body is over already. `own` are fields that only the one who asked gets.
    """

    start: Callable[[], None]
    own: Fields = ()


@dataclass(frozen=True, slots=True)
class Passed:
    """Not to be stored: the answer belongs to the one who asked, and so does closing it."""

    exchange: Exchange
    reason: str


@dataclass(frozen=True, slots=True)
class Freshened:
    """The stored response was validated, and with it the parts that belong to it; `own` as above."""

    entry: Entry
    siblings: tuple[Entry, ...]
    own: Fields = ()


@dataclass(frozen=True, slots=True)
class Stale:
    """The origin failed; the stored response stands in for it."""

    entry: Entry
    detail: str


@dataclass(frozen=True, slots=True)
class WholeInstead:
    """A part was asked for and the whole is coming: it goes into that flight, and this one is to be ended.

    `request` is the one that was sent, at the time `asked`.
    """

    exchange: Exchange
    store: decisions.Store
    request: Request
    asked: float


Led = Downloading | Passed | Freshened | Stale | WholeInstead


class Downloader:
    """Leads flights; bodies come in on threads of their own, which no client's leaving disturbs.

    `_running` is guarded by `_idle`.
    """

    def __init__(
        self,
        options: FetchOptions,
        upstream: Upstream,
        policies: Policies,
        room: Room,
        index: EntryIndex,
        surroundings: Surroundings,
        count_received: Callable[[int], None],
    ) -> None:
        self._count_received = count_received
        self._options = options
        self._upstream = upstream
        self._policies = policies
        self._room = room
        self._index = index
        self._advice = Advice()
        self._surroundings = surroundings
        self._stopping = threading.Event()
        self._idle = threading.Condition()
        self._running = 0
        self._threads = KeptThreads("download")
        self._abandoned = Abandoned(options)

    def lead(
        self, writer: DownloadWriter, request: Request, fetch: decisions.Fetch, outcome: Outcome
    ) -> Led:
        """Ask the origin and act on the head of its answer; the flight ends if nothing is to come of it.

        Raises the ProxyError that everyone gets who waits for this flight.
        """
        try:
            with _while_wanted(request, writer.flight):
                return self._lead(writer, request, fetch, outcome)
        except ClientGone:
            if not writer.ended:
                give_up(writer, End.LOST, None)  # who has come in this moment asks for itself
            raise
        except BaseException as error:
            if not writer.ended:
                give_up(writer, End.FAILED, _as_known(error))
            raise

    def _lead(
        self, writer: DownloadWriter, request: Request, fetch: decisions.Fetch, outcome: Outcome
    ) -> Led:
        plain = request.with_headers(fetch.headers)
        asked = clock.wall()
        patience = self._options.stale_after if fetch.stale else None
        try:
            exchange, resumes = self._ask(writer, plain, outcome, patience)
        except UpstreamError as error:
            stand_in = decide.on_error(
                fetch.stale, self._policies.about(request.url), clock.wall(), request
            )
            if stand_in is None:
                raise
            give_up(writer, End.STALE, error)
            return Stale(stand_in.entry, stand_in.detail)
        outcome.forward_status = exchange.head.status
        try:
            if resumes and writer.entry is not None:
                return self._go_on(writer, plain, writer.entry, _rest(exchange, writer.entry))
            return self._decide(writer, plain, fetch, exchange, asked, outcome)
        except BaseException:
            exchange.close()
            raise

    def _ask(
        self, writer: DownloadWriter, request: Request, outcome: Outcome, patience: float | None = None
    ) -> tuple[Exchange, bool]:
        """The rest of the body (then true) where it can be asked for and comes; else the plain answer."""
        resuming = _resuming(request, writer.entry, writer.size)
        if resuming is not None and writer.entry is not None:
            exchange = self._upstream.send(resuming, outcome, patience=patience)
            if _goes_on(exchange, writer.entry, writer.size):
                return exchange, True
            if exchange.head.status not in (206, 416) and not is_unmarked_part(exchange.head):
                return exchange, False
            exchange.close()
        return self._upstream.send(request, outcome, patience=patience), False

    def _decide(
        self,
        writer: DownloadWriter,
        request: Request,
        fetch: decisions.Fetch,
        exchange: Exchange,
        asked: float,
        outcome: Outcome,
    ) -> Led:
        now = clock.wall()
        rules = self._policies.about(request.url)
        match decide.on_response(request, exchange.head, fetch, rules, asked, now):
            case decisions.Freshen(entry, siblings, kept, own):
                exchange.close()
                self._note_fresh(kept)
                writer.finish(End.FRESHENED if kept else End.PASSED)
                return Freshened(entry, siblings, own)
            case decisions.FetchAnew(anew):
                exchange.close()
                return self._lead(writer, request, anew, outcome)
            case decisions.ServeStale(entry, detail):
                exchange.close()
                give_up(writer, End.STALE, None)
                return Stale(entry, detail)
            case decisions.Pass(reason, remember):
                return self._pass(writer, exchange, reason, remember=remember)
            case decisions.Store() as store:
                try:
                    is_admitted = self.admits(exchange, store)
                except StoreError as error:
                    log.warning(
                        "%s is served but not stored: %s", without_query(writer.key.cache_key), error
                    )
                    return self._pass(writer, exchange, "", remember=False)
                if not is_admitted:
                    return self._pass(writer, exchange, "size", remember=True)
                if exchange.head.status == 200 and "range" in request.headers:
                    plain = request.with_headers(strip_conditionals(request.headers))
                    return WholeInstead(exchange, store, plain, asked)
                self._note_fresh(store.siblings)
                if store.outdated is not None:
                    with logging_store_errors("forget what was stored of", writer.key.cache_key):
                        self._index.forget(store.outdated)
                return self.adopt(writer, request, exchange, store, asked)

    def admits(self, exchange: Exchange, store: decisions.Store) -> bool:
        """Whether there may be room for the answer, as far as its length is known. Raises StoreError."""
        length = exchange.length if store.part is None else store.part.length
        return self._room.admits(length or 0, store.head.size)

    def adopt(
        self,
        writer: DownloadWriter,
        request: Request,
        exchange: Exchange,
        store: decisions.Store,
        asked: float,
    ) -> Downloading | Passed:
        """Store the answer in hand; `request` is the one that was sent, at the time `asked`.

        The answer is closed and the flight ended where that fails inside the cache, but for the lack of a
        file, in which case it is passed on.
        """
        try:
            body = self._at_hand(writer, exchange, store)
            entry = self._entry(writer, request, exchange, store, asked, body)
            if body is not None:
                self._store_at_once(writer, entry, body)
                return Downloading(_nothing, store.own)
            length = _length(exchange, entry)
            if writer.size:
                writer.begin_anew(entry, length)
            else:
                writer.begin(entry, length)
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(writer.key.cache_key), error)
            writer.finish(End.PASSED)
            return Passed(exchange, "")
        except BaseException as error:
            exchange.close()
            if not writer.ended:
                give_up(writer, End.FAILED, _as_known(error))
            raise
        return replace(self._downloading(writer, request, Source(exchange, length)), own=store.own)

    def _at_hand(self, writer: DownloadWriter, exchange: Exchange, store: decisions.Store) -> bytes | None:
        """The body where all of it has come with its head and nothing is to be checked or resumed."""
        if writer.size or store.groups or expected_digests(store.head):
            return None
        if exchange.length is None and not self._room.admits(_SMALL):
            return None  # it may be larger than what may be stored
        if store.part is not None and store.part.length != exchange.length:
            return None
        return exchange.at_hand(_SMALL)

    def _store_at_once(self, writer: DownloadWriter, entry: Entry, body: bytes) -> None:
        """Commit a body that is here, without a file that grows or a thread that waits."""
        try:
            writer.store_at_once(entry, body)
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(writer.key.cache_key), error)

    def _note_fresh(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            with logging_store_errors("note the freshness of", entry.key):
                self._index.freshen(entry)

    def _entry(
        self,
        writer: DownloadWriter,
        request: Request,
        exchange: Exchange,
        store: decisions.Store,
        asked: float,
        body: bytes | None = None,
    ) -> Entry:
        return Entry(
            key=writer.key.cache_key,
            head=store.head,
            request_time=asked,
            response_time=clock.wall(),
            vary=store.vary,
            digest="" if body is None else hashlib.sha256(body).hexdigest(),
            size=len(body or b""),
            ttl=request.ttl if store.head.status in (200, 206) else None,
            peer=exchange.peer,
            part=store.part,
            groups=store.groups,
            search=store.search,
        )

    def _pass(self, writer: DownloadWriter, exchange: Exchange, reason: str, *, remember: bool) -> Passed:
        self._advice.give(writer.key, reason)
        if remember:
            writer.finish(End.PASSED, not_storable_until=clock.wall() + self._options.not_storable_for)
        else:
            # It says nothing about the next answer, so what there is to resume stays.
            give_up(writer, End.PASSED, None)
        return Passed(exchange, reason)

    def _go_on(self, writer: DownloadWriter, request: Request, entry: Entry, source: Source) -> Downloading:
        writer.begin(entry, source.end)
        return self._downloading(writer, request, source)

    def _downloading(self, writer: DownloadWriter, request: Request, source: Source) -> Downloading:
        # What is asked for again is what a GET gets, and no client waits for hints of it any more.
        headers = strip_validators(request.headers)
        plain = replace(request, headers=headers, interim=None, interest=None, login=None)
        return Downloading(lambda: self._start(writer, plain, source))

    # The body.

    def _start(self, writer: DownloadWriter, request: Request, source: Source) -> None:
        # The body may outlast the request that began it, whose outcome is reported by then.
        received = Outcome()
        source.exchange.count_in(received)

        def again() -> Source | None:
            return self._continue(writer, request, received)

        like = as_part(writer.entry) if writer.entry is not None else None
        limit = None if like is None else Limit(self._surroundings, writer.key, like)
        transfer = Transfer(self._options, self._room, self._stopping, writer, source, again, limit)
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
            self._threads.run(partial(self._run, transfer, flight, received))
        except RuntimeError:  # there are no more threads, so this one has to do it
            self._run(transfer, flight, received)

    def _run(self, transfer: Transfer, flight: Flight, received: Outcome) -> None:
        try:
            transfer.run()
        finally:
            flight.tell_of_readers(None)
            self._abandoned.forget(flight)
            self._count_received(received.bytes_received)
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _continue(self, writer: DownloadWriter, request: Request, outcome: Outcome) -> Source | None:
        """The rest of the body, or the body again where no client has any of it; None when neither."""
        assert writer.entry is not None, "a body follows a head"
        asked = clock.wall()
        exchange, resumes = self._ask(writer, request, outcome)
        try:
            if resumes:
                return _rest(exchange, writer.entry)
            fetch = decisions.Fetch(request.headers, None, Forward.MISS)
            now = clock.wall()
            rules = self._policies.about(request.url)
            found = decide.on_response(request, exchange.head, fetch, rules, asked, now)
            old = writer.entry
            fits = isinstance(found, decisions.Store) and (found.vary, found.part) == (old.vary, old.part)
            if not fits or exchange.head.status != old.status:
                raise UpstreamError(f"the origin has another answer now ({exchange.head.status})")
            assert isinstance(found, decisions.Store), "nothing else fits"
            entry = self._entry(writer, request, exchange, found, asked)
            if writer.begin_anew(entry, _length(exchange, entry)):
                return Source(exchange, _length(exchange, entry))
        except BaseException:
            exchange.close()
            raise
        exchange.close()
        writer.finish(End.BROKEN, error=BrokenOff("the origin broke off and cannot go on where it did"))
        return None

    # Stopping.

    def drain(self, seconds: float) -> int:
        """Let running downloads finish for so long; gives how many have not."""
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0, timeout=max(0.0, seconds))
            self._stopping.set()
            return self._running


def _while_wanted(request: Request, flight: Flight) -> contextlib.AbstractContextManager[None]:
    """The client's leaving ends what is asked for it, unless others wait for the flight."""
    if request.interest is None:
        return contextlib.nullcontext()
    return request.interest.shared(flight.is_awaited)


def _nothing() -> None:
    """There is nothing left to be done."""


def _as_known(error: BaseException) -> ProxyError:
    if isinstance(error, StoreError) or not isinstance(error, ProxyError):
        return UpstreamError("the cache failed")  # what it says is for the log alone
    return error


def _resuming(request: Request, entry: Entry | None, size: int) -> Request | None:
    """The request for the rest of a body (RFC 9110 section 13.1.5); None where it cannot be asked for."""
    validator = resumption_validator(entry.head) if entry is not None and size else None
    if entry is None or validator is None or (entry.part is not None and size >= entry.part.length):
        return None
    wanted = range_text(entry.first_byte + size, None if entry.part is None else entry.part.end)
    headers = strip_validators(request.headers).with_field("Range", wanted)
    return request.with_headers(headers.with_field("If-Range", validator))


def _goes_on(exchange: Exchange, entry: Entry, size: int) -> bool:
    """Whether it is the rest of the body from this offset on, and says where the whole ends."""
    offset = entry.first_byte + size
    return continues(exchange.head, entry.head, offset) and _rest(exchange, entry).end is not None


def _rest(exchange: Exchange, entry: Entry) -> Source:
    if entry.part is not None:
        return Source(exchange, entry.part.length)
    end = complete_length(exchange.head)
    return Source(exchange, complete_length(entry.head) if end is None else end)


def _length(exchange: Exchange, entry: Entry) -> int | None:
    """Bytes of the body that the entry will have; None where its end will tell."""
    return exchange.length if entry.part is None else entry.part.length
