"""The life of one request: look up, decide, and serve, lead, follow or pass."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache import answer
from pyproxycache.download.leading import Downloader, Downloading, Freshened, Passed, Stale
from pyproxycache.errors import Fault, LoopDetected, ProxyError, StoreError, UpstreamError
from pyproxycache.follow import Follower
from pyproxycache.messages import Entry, Head, Part, Request, Response, without_query
from pyproxycache.options import FetchOptions
from pyproxycache.outcome import Forward, Outcome, Result
from pyproxycache.rules import decide
from pyproxycache.rules.grammar import end_to_end, split_list
from pyproxycache.rules.keys import cache_key, flight_key, select_variant, vary_values
from pyproxycache.rules.policy import Policies
from pyproxycache.rules.ranges import select_range
from pyproxycache.rules.validation import invalidated_urls
from pyproxycache.store.claims import NotStorable
from pyproxycache.store.database import going_on_unwritten
from pyproxycache.store.flight import End, Flight, Orphaned, Progress
from pyproxycache.store.flights import Flights, Lead, Permit
from pyproxycache.store.index import Index
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange

log = logging.getLogger("pyproxycache.engine")

_ATTEMPTS = 6


@dataclass(frozen=True, slots=True)
class Parts:
    """What the engine joins; `name` is this cache's in Via and Cache-Status."""

    name: str
    policies: Policies
    index: Index
    flights: Flights
    downloader: Downloader
    follower: Follower
    upstream: Upstream
    admit_peer: Callable[[str, str], None]
    """Client address and the address an entry came from; raises Forbidden."""
    note_access: Callable[[int, float], None]


class Engine:
    """Answers requests; safe to call from any number of threads."""

    def __init__(self, options: FetchOptions, parts: Parts) -> None:
        self._options = options
        self._parts = parts

    def handle(self, request: Request, outcome: Outcome) -> Response:
        """The answer, whatever happens; `outcome` is filled in."""
        try:
            self._refuse_loop(request)
            response = self._answer(request, outcome)
        except ProxyError as error:
            refused = error.fault is Fault.CLIENT
            outcome.result = Result.REFUSED if refused else Result.FAILED
            outcome.stored = False
            outcome.detail = outcome.detail if refused else type(error).__name__
            response = answer.from_error(error)
        outcome.status = response.head.status
        return response

    def _refuse_loop(self, request: Request) -> None:
        for via in split_list(request.headers.get("via") or ""):
            if via.split()[1:2] == [self._parts.name]:
                raise LoopDetected(f"{request.url} has been through this proxy already (Via)")

    def _answer(self, request: Request, outcome: Outcome) -> Response:
        key = cache_key(request.url, self._parts.policies.query_mode(request.url))
        outcome.key = key
        varies: tuple[str, ...] = ()
        # A follower whose flight turns out not to be for it asks again: the one bounded loop.
        for _ in range(_ATTEMPTS):
            _begin_again(outcome)
            entries = self._parts.index.lookup(key)
            match decide.on_request(request, entries, self._parts.policies, time.time()):
                case decide.Refuse(status, text):
                    outcome.result = Result.REFUSED
                    return answer.from_text(status, text)
                case decide.Bypass(reason):
                    return self._pass(request, outcome, reason)
                case decide.Serve(entry, _age, ttl, stale):
                    response = self._serve(request, entry, outcome, ttl)
                    outcome.result = Result.STALE if stale else Result.HIT
                case decide.Fetch() as fetch:
                    varies = varies or tuple(name for entry in entries[:1] for name, _ in entry.vary)
                    response, varies = self._fetch(request, key, entries, varies, fetch, outcome)
            if response is not None:
                return response
        return self._pass(request, outcome, Forward.MISS)

    # From the store.

    def _serve(self, request: Request, entry: Entry, outcome: Outcome, ttl: int | None) -> Response | None:
        """The answer out of a stored entry; None when its blob has gone in this moment."""
        self._parts.admit_peer(request.client, entry.peer)
        now = time.time()

        def open_body(start: int, stop: int | None) -> answer.Body:
            return self._parts.follower.stored_body(entry, start, stop)

        try:
            response = answer.from_entry(request, entry, entry.size, now, open_body)
        except FileNotFoundError:
            return None
        if request.ttl is not None and (entry.ttl is None or request.ttl < entry.ttl):
            with going_on_unwritten("shorten the life of", entry.key):
                self._parts.index.shorten(entry, request.ttl)
        self._parts.note_access(entry.id, now)
        outcome.ttl = ttl
        return response

    def _serve_stale(
        self, request: Request, entry: Entry, outcome: Outcome, detail: str
    ) -> Response | None:
        response = self._serve(request, entry, outcome, None)
        outcome.result, outcome.detail = Result.STALE, detail
        return response

    # From the origin, once for all who ask.

    def _fetch(
        self,
        request: Request,
        key: str,
        entries: list[Entry],
        varies: tuple[str, ...],
        fetch: decide.Fetch,
        outcome: Outcome,
    ) -> tuple[Response | None, tuple[str, ...]]:
        """The answer to a miss; None to look again, then with what the response varies on."""
        outcome.forward = fetch.reason
        try:
            joined = self._parts.flights.join(flight_key(key, varies, request))
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(key), error)
            return self._pass(request, outcome, fetch.reason), varies
        if isinstance(joined, NotStorable):
            outcome.detail = "not-storable"
            return self._pass(request, outcome, fetch.reason), varies
        if isinstance(joined, Lead):
            if self._is_outdated(joined.permit, key, entries):
                return None, varies
            return self._lead(request, joined.permit, fetch, outcome), varies
        outcome.collapsed = True
        progress = joined.flight.wait_head()
        if progress.entry is None:
            return self._after(request, key, progress, fetch, outcome), varies
        varies = tuple(name for name, _ in progress.entry.vary)
        if progress.entry.vary != vary_values(varies, request):
            return None, varies
        return self._follow(request, joined.flight, progress, outcome), varies

    def _is_outdated(self, permit: Permit, key: str, entries: list[Entry]) -> bool:
        """Whether another leader finished between our look and our claim, which is given up then."""
        try:
            outdated = self._parts.index.lookup(key) != entries
        except BaseException:
            permit.finish(End.LOST)
            raise
        if outdated:
            permit.finish(End.LOST)
        return outdated

    def _lead(
        self, request: Request, permit: Permit, fetch: decide.Fetch, outcome: Outcome
    ) -> Response | None:
        match self._parts.downloader.lead(permit, request, fetch, outcome):
            case Downloading(start):
                outcome.stored, outcome.result = True, Result.FETCHED
                progress = permit.flight.progress()
                if self._is_far(request, progress):
                    start()
                    return self._pass(request, outcome, Forward.PARTIAL)
                try:
                    return self._join(request, permit.flight, progress, outcome)
                finally:
                    start()  # from here on the body may be over at any moment
            case Passed(exchange, reason):
                outcome.result, outcome.detail = Result.PASSED, reason
                return self._relay_passed(request, exchange, fetch, outcome)
            case Freshened(entry):
                response = self._serve(request, entry, outcome, None)
                outcome.result = Result.REVALIDATED
                return response
            case Stale(entry, detail):
                return self._serve_stale(request, entry, outcome, detail)

    def _follow(
        self, request: Request, flight: Flight, progress: Progress, outcome: Outcome
    ) -> Response | None:
        if self._is_far(request, progress):
            return self._pass(request, outcome, Forward.PARTIAL)
        outcome.result = Result.COLLAPSED
        return self._join(request, flight, progress, outcome)

    def _is_far(self, request: Request, progress: Progress) -> bool:
        """Whether a part is asked for that this flight will not reach soon."""
        assert progress.entry is not None, "the head is known"
        wanted = select_range(request.headers, progress.entry.head, progress.length)
        return isinstance(wanted, Part) and wanted.start > progress.size + self._options.range_ahead

    def _join(
        self, request: Request, flight: Flight, progress: Progress, outcome: Outcome
    ) -> Response | None:
        """The answer out of a flight whose head fits; None when it was over before it could be read."""
        entry = progress.entry
        assert entry is not None, "the head is known"
        self._parts.admit_peer(request.client, entry.peer)

        def open_body(start: int, stop: int | None) -> answer.Body:
            return self._parts.follower.body(request, outcome, flight, progress, start, stop)

        try:
            return answer.from_entry(request, entry, progress.length, time.time(), open_body)
        except Orphaned:
            return None

    def _after(
        self, request: Request, key: str, progress: Progress, fetch: decide.Fetch, outcome: Outcome
    ) -> Response | None:
        """What a flight that ended without a body means for those who waited; None to look again."""
        match progress.end:
            case End.FRESHENED:
                entry = select_variant(self._parts.index.lookup(key), request)
                if entry is None:
                    return None
                response = self._serve(request, entry, outcome, None)
                outcome.result = Result.REVALIDATED
                return response
            case End.PASSED:
                return self._pass(request, outcome, fetch.reason)
            case End.STALE:
                stand_in = decide.on_error(
                    fetch.stale, self._parts.policies, request.url, time.time(), request
                )
                if stand_in is not None:
                    return self._serve_stale(request, stand_in.entry, outcome, stand_in.detail)
            case End.FAILED | End.BROKEN:
                error = progress.error or UpstreamError("the download failed")
                if error.fault is not Fault.CLIENT:
                    raise type(error)(str(error))  # of its own: one is not raised in many threads
        # What the leader was refused, or may not have, this client may.
        return None

    # From the origin, for this client alone.

    def _pass(self, request: Request, outcome: Outcome, reason: Forward) -> Response:
        """Send the request on as it is; nothing of the answer is stored."""
        outcome.result, outcome.forward = Result.PASSED, reason
        outcome.stored = outcome.collapsed = False
        outgoing = request.with_headers(end_to_end(request.headers))
        exchange = self._parts.upstream.send(outgoing, outcome)
        outcome.forward_status = exchange.head.status
        changed = invalidated_urls(request.method, request.url, exchange.head)
        if changed:
            mode = self._parts.policies.query_mode
            with going_on_unwritten("purge what was changed under", outcome.key):
                self._parts.index.purge(cache_key(url, mode(url)) for url in changed)
        return _relay(exchange)

    def _relay_passed(
        self, request: Request, exchange: Exchange, fetch: decide.Fetch, outcome: Outcome
    ) -> Response:
        """Hand a not storable answer on, unless this client's own request was another one."""
        if end_to_end(request.headers) == fetch.headers:
            return _relay(exchange)
        exchange.close()
        return self._pass(request, outcome, fetch.reason)


def _relay(exchange: Exchange) -> Response:
    head = exchange.head
    return Response(Head(head.status, head.reason, end_to_end(head.headers)), exchange, exchange.length)


def _begin_again(outcome: Outcome) -> None:
    """Forget what an attempt that came to nothing said of itself."""
    outcome.forward = outcome.forward_status = outcome.ttl = None
    outcome.stored = outcome.collapsed = False
    outcome.detail = ""
