"""From the origin, once for all who ask: lead a flight, follow one, or go alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.download.leading import Downloader, Downloading, Freshened, Passed, Stale, WholeInstead
from pyproxycache.download.surroundings import Surroundings
from pyproxycache.errors import Fault, StoreError, UpstreamError
from pyproxycache.fetching.forwarder import Forwarder, with_own
from pyproxycache.fetching.reuse_terms import reuse_terms_of
from pyproxycache.messages import Entry, Head, Part, Request, Response, without_query
from pyproxycache.options import FetchOptions
from pyproxycache.outcome import Forward, Outcome, Result
from pyproxycache.routing.flight_key import FlightKey, flight_key
from pyproxycache.routing.resource import Resource
from pyproxycache.rules import decide, decisions
from pyproxycache.rules.extents import are_of_one, as_part, extent_of, first_ahead
from pyproxycache.rules.keys import fits, newest, select, vary_values
from pyproxycache.rules.ranges import if_range_holds, range_specs, range_text, select_ranges
from pyproxycache.serving.delivery import Delivery
from pyproxycache.serving.lookup import Lookup
from pyproxycache.steps import Asks, Steps, finished, until_there
from pyproxycache.store.ports import DownloadWriter, Flight, Flights, JoinFlight, LeadFlight, NotStorable
from pyproxycache.store.values import End, Progress, RecordedFlight, Stamp

log = logging.getLogger("pyproxycache.fetching")


@dataclass(frozen=True, slots=True)
class FetchJob:
    """A request that needs the origin: what was found, and what is to be fetched.

    `varies` are the fields that the response varies on, as far as that is known; `stamp` is the key's
    version before it was looked up, `is_known` whether anything was stored under it then.
    """

    resource: Resource
    request: Request
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
        lookup: Lookup,
        flights: Flights,
        surroundings: Surroundings,
        downloader: Downloader,
        delivery: Delivery,
        forwarder: Forwarder,
    ) -> None:
        self._options = options
        self._lookup = lookup
        self._flights = flights
        self._surroundings = surroundings
        self._downloader = downloader
        self._delivery = delivery
        self._forwarder = forwarder

    def fetch(self, job: FetchJob) -> Steps[Fetched]:
        """The answer; None to look again, then with the fields that the response varies on."""
        outcome = job.outcome
        outcome.forward = job.fetch.reason
        try:
            joined = yield from self._join(job)
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(job.resource.key), error)
            return self._forward(job), job.varies
        if isinstance(joined, NotStorable):
            return self._not_storable(job), job.varies
        if isinstance(joined, LeadFlight):
            if self._is_outdated(joined.writer, job):
                return None, job.varies
            return (yield from self._lead(self._up_to_others(job), joined.writer))
        return (yield from self._follow(job, joined.flight))

    def refresh(self, job: FetchJob) -> None:
        """Fetch for nobody in particular; raises ProxyError where the origin fails."""
        joined = finished(self._join(job))
        if isinstance(joined, LeadFlight) and not self._is_outdated(joined.writer, job):
            match self._downloader.lead(joined.writer, job.request, job.fetch, job.outcome):
                case Downloading(start):
                    start()
                case Passed(exchange):
                    exchange.close()

    def _join(self, job: FetchJob) -> Steps[LeadFlight | JoinFlight | NotStorable]:
        flight = _flight_of_the_whole(job)
        wanted = job.fetch.headers.get("range")
        if wanted is None:
            return (yield from self._join_in_turn(job, flight))
        # A download of the whole that runs already has the part, or will have it soon.
        running = self._flights.follow(flight) if job.fetch.plan is None else None
        if running is not None:
            yield from until_there(running.flight)
            progress = running.flight.progress()
            if progress.entry is not None and self._comes_soon(job.request, progress):
                return running
        start = _first_missing(job)
        nearby = None if start is None else self._surroundings.soon_at(start, self._running(job))
        shared = None if nearby is None else self._flights.follow(nearby)
        return shared or (yield from self._join_in_turn(job, flight.of_part(wanted)))

    def _running(self, job: FetchJob) -> list[tuple[RecordedFlight, Entry]]:
        """The downloads of parts of what the request asks for, as far as is known."""
        known = job.fetch.plan.parts[0] if job.fetch.plan is not None else None
        return [
            (flight, part)
            for flight, part in self._surroundings.running(job.resource.key)
            if (are_of_one(known, part) if known is not None else fits(part, job.request))
        ]

    def _up_to_others(self, job: FetchJob) -> FetchJob:
        """The same without what is being downloaded already behind what it lacks."""
        start = _first_missing(job)
        ahead = None
        if start is not None:
            ahead = first_ahead(start, [extent_of(part) for _flight, part in self._running(job)])
        if start is None or ahead is None:
            return job
        (_first, last), *_others = range_specs(job.fetch.headers)
        if last is not None and last < ahead:
            return job
        headers = job.fetch.headers.with_field("Range", range_text(start, ahead - 1))
        return replace(job, fetch=replace(job.fetch, headers=headers))

    def _join_in_turn(
        self, job: FetchJob, flight: FlightKey
    ) -> Steps[LeadFlight | JoinFlight | NotStorable]:
        """Join, with the right to ask the origin where nobody here does so already."""
        if not self._flights.runs_here(flight):
            yield Asks(job.resource.url.authority)
        joined = self._flights.join(flight)
        if isinstance(joined, NotStorable) and job.request.ttl is not None:
            # What has no freshness of its own can be stored for those who bring one.
            return self._flights.join(flight.with_ttl())
        return joined

    def _is_outdated(self, writer: DownloadWriter, job: FetchJob) -> bool:
        """Whether another leader finished between our look and our claim, which is given up then."""
        try:
            outdated = self._has_changed(job)
        except BaseException:
            writer.finish(End.LOST)
            raise
        if outdated:
            writer.finish(End.LOST)
        return outdated

    def _has_changed(self, job: FetchJob) -> bool:
        """Whether what is stored now asks for something else than this fetch."""
        if self._lookup.is_unchanged(job.resource.key, job.stamp):
            return False
        found = self._lookup(job.resource, job.request)
        if found == job.found:
            return False
        now = decide.on_request(job.request, found, job.resource.rules, clock.wall())
        headers = job.fetch.headers.without("If-None-Match") if job.fetch.variants else job.fetch.headers
        return not (isinstance(now, decisions.Fetch) and now.headers == headers)

    def _lead(self, job: FetchJob, writer: DownloadWriter) -> Steps[Fetched]:
        request, outcome = job.request, job.outcome
        match self._downloader.lead(writer, request, job.fetch, outcome):
            case Downloading() as begun:
                response = self._begin(job, writer, begun)
            case WholeInstead() as whole:
                return (yield from self._lead_whole(job, writer, whole))
            case Passed() as passed:
                response = self._passed(job, passed)
            case Freshened(entry, siblings, own):
                if job.fetch.plan is not None:
                    plan = job.fetch.plan.with_entries((entry, *siblings))
                    response = self._delivery.assembled(request, plan, outcome)
                else:
                    response = self._delivery.stored(request, entry, outcome, self._ttl(job, entry))
                response = with_own(response, own)
                outcome.result = Result.REVALIDATED
            case Stale(entry, detail):
                response = self._stale(job, entry, detail)
        return response, job.varies

    def _passed(self, job: FetchJob, passed: Passed) -> Response:
        job.outcome.result, job.outcome.detail = Result.PASSED, passed.reason
        return self._forwarder.relay(job.resource, job.request, passed.exchange, job.fetch, job.outcome)

    def _begin(
        self, job: FetchJob, writer: DownloadWriter, begun: Downloading, *, however_far: bool = False
    ) -> Response | None:
        """The answer to the one who leads; the body comes in whatever becomes of this client."""
        job.outcome.stored, job.outcome.result = True, Result.FETCHED
        progress = writer.flight.progress()
        if not self._suits(job, progress, however_far=however_far):
            begun.start()  # first: an origin may take one request at a time
            return self._forward(job, reason=Forward.PARTIAL)
        try:
            return with_own(self._arriving(job, writer.flight, progress), begun.own)
        finally:
            begun.start()  # from here on the body may be over at any moment

    def _lead_whole(self, job: FetchJob, writer: DownloadWriter, whole: WholeInstead) -> Steps[Fetched]:
        """Where the origin gives the whole instead of a part: all who asked for parts share it."""
        exchange = whole.exchange
        try:
            joined = self._flights.join(_flight_of_the_whole(job))
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(job.resource.key), error)
            return self._forwarder.relay(
                job.resource, job.request, exchange, job.fetch, job.outcome
            ), job.varies
        finally:
            writer.finish(End.LOST)  # those who wait look again, and find it
        if isinstance(joined, LeadFlight):
            begun = self._downloader.adopt(joined.writer, whole.request, exchange, whole.store, whole.asked)
            if isinstance(begun, Passed):
                return self._passed(job, begun), job.varies
            return self._begin(job, joined.writer, begun, however_far=True), job.varies
        exchange.close()
        if isinstance(joined, NotStorable):
            return self._not_storable(job), job.varies
        return (yield from self._follow(job, joined.flight, however_far=True))

    def _follow(self, job: FetchJob, flight: Flight, *, however_far: bool = False) -> Steps[Fetched]:
        job.outcome.collapsed = True
        waits = flight.progress().entry is None
        yield from until_there(flight)
        progress = flight.progress()
        if progress.entry is None:
            if progress.end is End.PASSED:
                yield Asks(job.resource.url.authority)
            return self._after(job, progress), job.varies
        varies = tuple(name for name, _ in progress.entry.vary)
        if progress.entry.vary != vary_values(varies, job.request):
            return None, varies
        entry, now = progress.entry, clock.wall()
        # Who waited for the head shares it; who came later gets only what may be used again.
        shares = waits and not flight.head_was_known
        if not shares and not decide.is_usable(job.request, entry, job.resource.rules, now):
            yield Asks(job.resource.url.authority)
            other = self._forwarder.confirm(job.resource, job.request, entry, job.outcome)
            if other is not None:
                return other, varies
        job.outcome.result = Result.COLLAPSED
        if not self._suits(job, progress, however_far=however_far):
            yield Asks(job.resource.url.authority)
            return self._forward(job, reason=Forward.PARTIAL), varies
        return self._arriving(job, flight, progress), varies

    def _suits(self, job: FetchJob, progress: Progress, *, however_far: bool) -> bool:
        """Whether the client's answer can be made of a flight whose head fits the request's fields."""
        entry = progress.entry
        assert entry is not None, "the head is known"
        if entry.part is None:
            return however_far or not self._is_far(job.request, progress)
        plan = job.fetch.plan
        if plan is not None and plan.missing:
            return plan.is_continued_by(entry)
        # A part is for who asked for it as such, and for none whose own copy is of something else.
        if not if_range_holds(job.request.headers, entry.head):
            return False
        if as_part(entry) is None:
            return _is_asked_for(job.request, entry.head, entry.part)
        return bool(range_specs(job.request.headers))

    def _arriving(self, job: FetchJob, flight: Flight, progress: Progress) -> Response | None:
        """The answer out of a flight that suits."""
        entry, plan = progress.entry, job.fetch.plan
        if entry is not None and plan is not None and plan.is_continued_by(entry):
            renewed = plan.renewed_by(entry)
            return self._delivery.assembled(job.request, renewed, job.outcome, (flight, progress))
        response = self._delivery.arriving(job.request, job.outcome, flight, progress)
        if response is None or progress.end is not None:
            return response
        return self._with_others(response, job, flight, progress)

    def _with_others(
        self, response: Response, job: FetchJob, flight: Flight, progress: Progress
    ) -> Response:
        """The answer, which others who send the same request may get as well while it arrives."""
        entry, stamp, now = progress.entry, job.stamp, clock.wall()
        if entry is None or stamp is None or entry.part is not None or entry.key != job.resource.key:
            return response
        if job.request.body is not None:
            return response  # which only this client has sent
        if response.head.status != entry.status:
            return response  # it answers a condition, or a range, whose distance was judged for now

        def again(client: str, outcome: Outcome) -> Response | None:
            current = flight.progress()
            if current.generation != progress.generation or not flight.is_current():
                return None
            request = replace(job.request, client=client, interim=None, interest=None, login=None)
            outcome.key, outcome.forward = job.resource.key, job.fetch.reason
            outcome.collapsed, outcome.result = True, Result.COLLAPSED
            return self._delivery.arriving(request, outcome, flight, current)

        varies = tuple(name for name, _value in entry.vary)
        reuse_terms = reuse_terms_of(job.request, entry, job.resource.rules, stamp, varies)
        is_usable = decide.is_usable(job.request, entry, job.resource.rules, now)
        until = reuse_terms.until if is_usable else now
        return replace(response, reuse_terms=replace(reuse_terms, until=until, again=again))

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

    def _after(self, job: FetchJob, progress: Progress) -> Response | None:
        """What a flight that ended without a body means for those who waited; None to look again."""
        request, outcome = job.request, job.outcome
        match progress.end:
            case End.FRESHENED:
                found = select(self._lookup(job.resource, request), job.resource.key, request)
                entry = newest([entry for entry in found if entry.part is None])
                if entry is None or job.fetch.plan is not None:
                    return None
                response = self._delivery.stored(request, entry, outcome, self._ttl(job, entry))
                outcome.result = Result.REVALIDATED
                return response
            case End.PASSED:
                return self._forward(job)
            case End.STALE:
                stale = job.fetch.stale
                stand_in = decide.on_error(stale, job.resource.rules, clock.wall(), request)
                if stand_in is not None:
                    return self._stale(job, stand_in.entry, stand_in.detail)
            case End.FAILED | End.BROKEN:
                error = progress.error or UpstreamError("the download failed")
                if error.fault is not Fault.CLIENT:
                    raise error.another()
        # What the leader was refused, or may not have, this client may.
        return None

    def _stale(self, job: FetchJob, entry: Entry, detail: str) -> Response | None:
        """The stored answer in place of one that the origin failed to give; `detail` says how."""
        request, outcome, plan = job.request, job.outcome, job.fetch.plan
        if plan is None:
            response = self._delivery.stored(request, entry, outcome, self._ttl(job, entry))
        else:
            now = clock.wall()
            rules = job.resource.rules
            allowed = [decide.on_error(e, rules, now, request) for e in plan.used]
            if None in allowed:
                raise UpstreamError("the origin failed, and not all stored parts may stand in for it")
            response = self._delivery.assembled(request, plan, outcome)
        outcome.result, outcome.detail = Result.STALE, detail
        return response

    def _ttl(self, job: FetchJob, entry: Entry) -> int:
        return decide.time_to_live(job.request, entry, job.resource.rules, clock.wall())

    def _forward(self, job: FetchJob, *, reason: Forward | None = None) -> Response:
        reason = reason or job.fetch.reason
        return self._forwarder.forward(job.resource, job.request, job.outcome, reason, job.found)

    def _not_storable(self, job: FetchJob) -> Response:
        """Nobody waits for what could not be stored a while ago, but perhaps it can be now."""
        flight = _flight_of_the_whole(job)
        response = self._forwarder.forward(
            job.resource, job.request, job.outcome, job.fetch.reason, job.found, flight
        )
        if not job.outcome.stored:
            job.outcome.detail = "not-storable"
        return response


def _first_missing(job: FetchJob) -> int | None:
    """Where the part begins that is to be fetched; None where that is not known or nothing is missing."""
    plan = job.fetch.plan
    if plan is not None:
        return plan.missing[0].start if plan.missing else None
    specs = range_specs(job.fetch.headers)
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


def _flight_of_the_whole(job: FetchJob) -> FlightKey:
    return flight_key(job.resource.key, job.varies, job.request)
