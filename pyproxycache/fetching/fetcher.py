"""From the origin, once for all who ask: lead a flight, follow one, or go alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.download.leading import Downloader, Downloading, Freshened, Passed, Stale, Whole
from pyproxycache.download.surroundings import Surroundings
from pyproxycache.errors import Fault, StoreError, UpstreamError
from pyproxycache.fetching.forwarder import Forwarder, with_own
from pyproxycache.fetching.repeatable import repeatable_of
from pyproxycache.lookup import LookUp
from pyproxycache.messages import Entry, Head, Part, Request, Response, without_query
from pyproxycache.options import FetchOptions
from pyproxycache.outcome import Forward, Outcome, Result
from pyproxycache.rules import decide, decisions
from pyproxycache.rules.extents import are_of_one, as_part, extent_of, first_ahead
from pyproxycache.rules.keys import fits, flight_key, newest, part_key, select, vary_values
from pyproxycache.rules.policy import Policies
from pyproxycache.rules.ranges import if_range_holds, range_specs, range_text, select_ranges
from pyproxycache.serving.delivery import Delivery
from pyproxycache.steps import Asks, Steps, finished, until_there
from pyproxycache.store.claims import Claim, NotStorable
from pyproxycache.store.flight import End, Flight, Progress
from pyproxycache.store.flights import Flights, Follow, Lead, Permit
from pyproxycache.store.versions import Stamp

log = logging.getLogger("pyproxycache.fetching")


@dataclass(frozen=True, slots=True)
class Miss:
    """A request that needs the origin: what was found, and what is to be fetched.

    `varies` are the fields that the response varies on, as far as that is known; `stamp` is the key's
    version before it was looked up, `is_known` whether anything was stored under it then.
    """

    request: Request
    key: str
    found: list[Entry]
    fetch: decisions.Fetch
    outcome: Outcome
    varies: tuple[str, ...] = ()
    stamp: Stamp | None = None
    is_known: bool = True


Fetched = tuple[Response | None, tuple[str, ...]]
"""The answer, None where it is to be looked again, and the fields that the response varies on."""


class Fetcher:
    """Answers misses, one download for all who ask for the same."""

    def __init__(
        self,
        options: FetchOptions,
        policies: Policies,
        look_up: LookUp,
        flights: Flights,
        surroundings: Surroundings,
        downloader: Downloader,
        delivery: Delivery,
        forwarder: Forwarder,
    ) -> None:
        self._options = options
        self._policies = policies
        self._look_up = look_up
        self._flights = flights
        self._surroundings = surroundings
        self._downloader = downloader
        self._delivery = delivery
        self._forwarder = forwarder

    def fetch(self, miss: Miss) -> Steps[Fetched]:
        """The answer; None to look again, then with the fields that the response varies on."""
        outcome = miss.outcome
        outcome.forward = miss.fetch.reason
        try:
            joined = yield from self._join(miss)
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(miss.key), error)
            return self._forward(miss), miss.varies
        if isinstance(joined, NotStorable):
            return self._not_storable(miss), miss.varies
        if isinstance(joined, Lead):
            if self._is_outdated(joined.permit, miss):
                return None, miss.varies
            return (yield from self._lead(self._up_to_others(miss), joined.permit))
        return (yield from self._follow(miss, joined.flight))

    def refresh(self, miss: Miss) -> None:
        """Fetch for nobody in particular; raises ProxyError where the origin fails."""
        joined = finished(self._join(miss))
        if isinstance(joined, Lead) and not self._is_outdated(joined.permit, miss):
            match self._downloader.lead(joined.permit, miss.request, miss.fetch, miss.outcome):
                case Downloading(start):
                    start()
                case Passed(exchange):
                    exchange.close()

    def _join(self, miss: Miss) -> Steps[Lead | Follow | NotStorable]:
        flight = _flight_of_the_whole(miss)
        if "range" not in miss.fetch.headers:
            return (yield from self._join_in_turn(miss, flight))
        # A download of the whole that runs already has the part, or will have it soon.
        running = self._flights.follow(flight) if miss.fetch.plan is None else None
        if running is not None:
            yield from until_there(running.flight)
            progress = running.flight.progress()
            if progress.entry is not None and self._comes_soon(miss.request, progress):
                return running
        start = _first_missing(miss)
        nearby = None if start is None else self._surroundings.soon_at(start, self._running(miss))
        shared = None if nearby is None else self._flights.follow(nearby)
        return shared or (yield from self._join_in_turn(miss, part_key(flight, miss.fetch.headers)))

    def _running(self, miss: Miss) -> list[tuple[Claim, Entry]]:
        """The downloads of parts of what the request asks for, as far as is known."""
        known = miss.fetch.plan.parts[0] if miss.fetch.plan is not None else None
        return [
            (claim, part)
            for claim, part in self._surroundings.running(miss.key)
            if (are_of_one(known, part) if known is not None else fits(part, miss.request))
        ]

    def _up_to_others(self, miss: Miss) -> Miss:
        """The same without what is being downloaded already behind what it lacks."""
        start = _first_missing(miss)
        ahead = None
        if start is not None:
            ahead = first_ahead(start, [extent_of(part) for _claim, part in self._running(miss)])
        if start is None or ahead is None:
            return miss
        (_first, last), *_others = range_specs(miss.fetch.headers)
        if last is not None and last < ahead:
            return miss
        headers = miss.fetch.headers.with_field("Range", range_text(start, ahead - 1))
        return replace(miss, fetch=replace(miss.fetch, headers=headers))

    def _join_in_turn(self, miss: Miss, flight: str) -> Steps[Lead | Follow | NotStorable]:
        """Join, with the right to ask the origin where nobody here does so already."""
        if not self._flights.runs_here(flight):
            yield Asks(miss.request.url.authority)
        joined = self._flights.join(flight)
        if isinstance(joined, NotStorable) and miss.request.ttl is not None:
            # What has no freshness of its own can be stored for those who bring one.
            return self._flights.join(f"{flight} ttl")
        return joined

    def _is_outdated(self, permit: Permit, miss: Miss) -> bool:
        """Whether another leader finished between our look and our claim, which is given up then."""
        try:
            outdated = self._has_changed(miss)
        except BaseException:
            permit.finish(End.LOST)
            raise
        if outdated:
            permit.finish(End.LOST)
        return outdated

    def _has_changed(self, miss: Miss) -> bool:
        """Whether what is stored now asks for something else than this fetch."""
        if self._look_up.is_unchanged(miss.key, miss.stamp):
            return False
        found = self._look_up(miss.key, miss.request)
        if found == miss.found:
            return False
        now = decide.on_request(miss.request, found, self._policies, clock.wall())
        headers = miss.fetch.headers.without("If-None-Match") if miss.fetch.variants else miss.fetch.headers
        return not (isinstance(now, decisions.Fetch) and now.headers == headers)

    def _lead(self, miss: Miss, permit: Permit) -> Steps[Fetched]:
        request, outcome = miss.request, miss.outcome
        match self._downloader.lead(permit, request, miss.fetch, outcome):
            case Downloading() as begun:
                response = self._begin(miss, permit, begun)
            case Whole() as whole:
                return (yield from self._lead_whole(miss, permit, whole))
            case Passed() as passed:
                response = self._passed(miss, passed)
            case Freshened(entry, siblings, own):
                if miss.fetch.plan is not None:
                    plan = miss.fetch.plan.with_entries((entry, *siblings))
                    response = self._delivery.assembled(request, plan, outcome)
                else:
                    response = self._delivery.stored(request, entry, outcome, self._ttl(request, entry))
                response = with_own(response, own)
                outcome.result = Result.REVALIDATED
            case Stale(entry, detail):
                response = self._stale(miss, entry, detail)
        return response, miss.varies

    def _passed(self, miss: Miss, passed: Passed) -> Response:
        miss.outcome.result, miss.outcome.detail = Result.PASSED, passed.reason
        return self._forwarder.relay(miss.request, passed.exchange, miss.fetch, miss.outcome)

    def _begin(
        self, miss: Miss, permit: Permit, begun: Downloading, *, however_far: bool = False
    ) -> Response | None:
        """The answer to the one who leads; the body comes in whatever becomes of this client."""
        miss.outcome.stored, miss.outcome.result = True, Result.FETCHED
        progress = permit.flight.progress()
        if not self._suits(miss, progress, however_far=however_far):
            begun.start()  # first: an origin may take one request at a time
            return self._forward(miss, reason=Forward.PARTIAL)
        try:
            return with_own(self._arriving(miss, permit.flight, progress), begun.own)
        finally:
            begun.start()  # from here on the body may be over at any moment

    def _lead_whole(self, miss: Miss, permit: Permit, whole: Whole) -> Steps[Fetched]:
        """Where the origin gives the whole instead of a part: all who asked for parts share it."""
        exchange = whole.exchange
        try:
            joined = self._flights.join(_flight_of_the_whole(miss))
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(miss.key), error)
            return self._forwarder.relay(miss.request, exchange, miss.fetch, miss.outcome), miss.varies
        finally:
            permit.finish(End.LOST)  # those who wait look again, and find it
        if isinstance(joined, Lead):
            begun = self._downloader.adopt(joined.permit, whole.request, exchange, whole.store, whole.asked)
            if isinstance(begun, Passed):
                return self._passed(miss, begun), miss.varies
            return self._begin(miss, joined.permit, begun, however_far=True), miss.varies
        exchange.close()
        if isinstance(joined, NotStorable):
            return self._not_storable(miss), miss.varies
        return (yield from self._follow(miss, joined.flight, however_far=True))

    def _follow(self, miss: Miss, flight: Flight, *, however_far: bool = False) -> Steps[Fetched]:
        miss.outcome.collapsed = True
        waits = flight.progress().entry is None
        yield from until_there(flight)
        progress = flight.progress()
        if progress.entry is None:
            if progress.end is End.PASSED:
                yield Asks(miss.request.url.authority)
            return self._after(miss, progress), miss.varies
        varies = tuple(name for name, _ in progress.entry.vary)
        if progress.entry.vary != vary_values(varies, miss.request):
            return None, varies
        entry, now = progress.entry, clock.wall()
        # Who waited for the head shares it; who came later gets only what may be used again.
        shares = waits and not flight.head_was_known
        if not shares and not decide.is_usable(miss.request, entry, self._policies, now):
            yield Asks(miss.request.url.authority)
            other = self._forwarder.confirm(miss.request, entry, miss.outcome)
            if other is not None:
                return other, varies
        miss.outcome.result = Result.COLLAPSED
        if not self._suits(miss, progress, however_far=however_far):
            yield Asks(miss.request.url.authority)
            return self._forward(miss, reason=Forward.PARTIAL), varies
        return self._arriving(miss, flight, progress), varies

    def _suits(self, miss: Miss, progress: Progress, *, however_far: bool) -> bool:
        """Whether the client's answer can be made of a flight whose head fits the request's fields."""
        entry = progress.entry
        assert entry is not None, "the head is known"
        if entry.part is None:
            return however_far or not self._is_far(miss.request, progress)
        plan = miss.fetch.plan
        if plan is not None and plan.missing:
            return plan.is_continued_by(entry)
        # A part is for who asked for it as such, and for none whose own copy is of something else.
        if not if_range_holds(miss.request.headers, entry.head):
            return False
        if as_part(entry) is None:
            return _is_asked_for(miss.request, entry.head, entry.part)
        return bool(range_specs(miss.request.headers))

    def _arriving(self, miss: Miss, flight: Flight, progress: Progress) -> Response | None:
        """The answer out of a flight that suits."""
        entry, plan = progress.entry, miss.fetch.plan
        if entry is not None and plan is not None and plan.is_continued_by(entry):
            renewed = plan.renewed_by(entry)
            return self._delivery.assembled(miss.request, renewed, miss.outcome, (flight, progress))
        response = self._delivery.arriving(miss.request, miss.outcome, flight, progress)
        if response is None or progress.end is not None:
            return response
        return self._with_others(response, miss, flight, progress)

    def _with_others(self, response: Response, miss: Miss, flight: Flight, progress: Progress) -> Response:
        """The answer, which others who send the same request may get as well while it arrives."""
        entry, stamp, now = progress.entry, miss.stamp, clock.wall()
        if entry is None or stamp is None or entry.part is not None or entry.key != miss.key:
            return response
        if miss.request.body is not None:
            return response  # which only this client has sent
        if response.head.status != entry.status:
            return response  # it answers a condition, or a range, whose distance was judged for now

        def again(client: str, outcome: Outcome) -> Response | None:
            current = flight.progress()
            if current.generation != progress.generation or not self._flights.is_current(flight):
                return None
            request = replace(miss.request, client=client, interim=None, interest=None, login=None)
            outcome.key, outcome.forward = miss.key, miss.fetch.reason
            outcome.collapsed, outcome.result = True, Result.COLLAPSED
            return self._delivery.arriving(request, outcome, flight, current)

        varies = tuple(name for name, _value in entry.vary)
        repeatable = repeatable_of(miss.request, entry, self._policies, stamp, varies)
        is_usable = decide.is_usable(miss.request, entry, self._policies, now)
        until = repeatable.until if is_usable else now
        return replace(response, repeatable=replace(repeatable, until=until, again=again))

    def _comes_soon(self, request: Request, progress: Progress) -> bool:
        """Whether this download of the whole will sooner have what is asked for than a new one."""
        entry = progress.entry
        assert entry is not None, "the head is known"
        places = _starts(request, progress)
        return all(self._surroundings.comes_soon(start, entry, progress.size) for start in places)

    def _is_far(self, request: Request, progress: Progress) -> bool:
        """Whether something is asked for that is not to be waited for in any case."""
        ahead = self._options.range_ahead
        return any(start > progress.size + ahead for start in _starts(request, progress))

    def _after(self, miss: Miss, progress: Progress) -> Response | None:
        """What a flight that ended without a body means for those who waited; None to look again."""
        request, outcome = miss.request, miss.outcome
        match progress.end:
            case End.FRESHENED:
                found = select(self._look_up(miss.key, request), miss.key, request)
                entry = newest([entry for entry in found if entry.part is None])
                if entry is None or miss.fetch.plan is not None:
                    return None
                response = self._delivery.stored(request, entry, outcome, self._ttl(request, entry))
                outcome.result = Result.REVALIDATED
                return response
            case End.PASSED:
                return self._forward(miss)
            case End.STALE:
                stale = miss.fetch.stale
                stand_in = decide.on_error(stale, self._policies, request.url, clock.wall(), request)
                if stand_in is not None:
                    return self._stale(miss, stand_in.entry, stand_in.detail)
            case End.FAILED | End.BROKEN:
                error = progress.error or UpstreamError("the download failed")
                if error.fault is not Fault.CLIENT:
                    raise error.another()
        # What the leader was refused, or may not have, this client may.
        return None

    def _stale(self, miss: Miss, entry: Entry, detail: str) -> Response | None:
        """The stored answer in place of one that the origin failed to give; `detail` says how."""
        request, outcome, plan = miss.request, miss.outcome, miss.fetch.plan
        if plan is None:
            response = self._delivery.stored(request, entry, outcome, self._ttl(request, entry))
        else:
            now = clock.wall()
            allowed = [decide.on_error(e, self._policies, request.url, now, request) for e in plan.used]
            if None in allowed:
                raise UpstreamError("the origin failed, and not all stored parts may stand in for it")
            response = self._delivery.assembled(request, plan, outcome)
        outcome.result, outcome.detail = Result.STALE, detail
        return response

    def _ttl(self, request: Request, entry: Entry) -> int:
        return decide.time_to_live(request, entry, self._policies, clock.wall())

    def _forward(self, miss: Miss, *, reason: Forward | None = None) -> Response:
        reason = reason or miss.fetch.reason
        return self._forwarder.forward(miss.request, miss.outcome, reason, miss.found)

    def _not_storable(self, miss: Miss) -> Response:
        """Nobody waits for what could not be stored a while ago, but perhaps it can be now."""
        flight = _flight_of_the_whole(miss)
        response = self._forwarder.forward(
            miss.request, miss.outcome, miss.fetch.reason, miss.found, flight
        )
        if not miss.outcome.stored:
            miss.outcome.detail = "not-storable"
        return response


def _first_missing(miss: Miss) -> int | None:
    """Where the part begins that is to be fetched; None where that is not known or nothing is missing."""
    plan = miss.fetch.plan
    if plan is not None:
        return plan.missing[0].start if plan.missing else None
    specs = range_specs(miss.fetch.headers)
    return specs[0][0] if len(specs) == 1 else None


def _starts(request: Request, progress: Progress) -> list[int]:
    """Where the parts begin that the request asks for of a whole."""
    assert progress.entry is not None, "the head is known"
    wanted = select_ranges(request.headers, progress.entry.head, progress.length)
    return [part.start for part in wanted] if isinstance(wanted, tuple) else []


def _is_asked_for(request: Request, head: Head, part: Part) -> bool:
    """Whether the part is just what the request asks for."""
    if part.total is None:
        return range_specs(request.headers) == ((part.start, part.end),)
    return select_ranges(request.headers, replace(head, status=200), part.total) == (part,)


def _flight_of_the_whole(miss: Miss) -> str:
    return flight_key(miss.key, miss.varies, miss.request)
