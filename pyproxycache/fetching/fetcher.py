"""Answers what is not stored, by one download for all: leads a flight, follows one, or asks alone."""

from __future__ import annotations

import logging
from dataclasses import replace

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.facts import BeingStored, Collapsed, Forwarded, ForwardedAlone, NotStored, ServedAs
from pyproxycache.fetching.dispatch import Alone, Dispatched, Dispatcher, LookAgain
from pyproxycache.fetching.fetch_job import FetchJob
from pyproxycache.fetching.flight_answers import FlightAnswers, Unsuitable
from pyproxycache.fetching.forwarder import Forwarder, with_own
from pyproxycache.fetching.leader import (
    Downloading,
    Freshened,
    Leader,
    Led,
    Passed,
    Stale,
    ToStore,
    WholeInstead,
    close_unused,
)
from pyproxycache.fetching.leading import Leading
from pyproxycache.fetching.transfers.available_parts import AvailableParts
from pyproxycache.fetching.transfers.source import ClosedOnError
from pyproxycache.messages import Entry
from pyproxycache.outcome import Forward, Result
from pyproxycache.response import Response
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules import decide, decisions, reuse
from pyproxycache.rules.extents import are_of_one, extent_of, first_ahead
from pyproxycache.rules.ranges import range_specs, range_text
from pyproxycache.rules.variants import fits, vary_values
from pyproxycache.serving.lookup import Lookup
from pyproxycache.steps import Asks, Steps, finished, until_there
from pyproxycache.store.ports import Flight, Flights, JoinFlight, NotStorable
from pyproxycache.store.values import End, RecordedFlight
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.fetching")

Fetched = tuple[Response | None, tuple[str, ...]]
"""The answer, None if the caller is to look up again, and the fields that the response varies on."""

_Answered = Response | NotStorable | LookAgain | Alone | Unsuitable | None
"""The answer, or why this client has to get another one; None means LookAgain."""


class Fetcher:
    """Answers misses, by one download for all requests of the same."""

    def __init__(
        self,
        lookup: Lookup,
        flights: Flights,
        available: AvailableParts,
        dispatcher: Dispatcher,
        leader: Leader,
        answers: FlightAnswers,
        forwarder: Forwarder,
    ) -> None:
        self._lookup = lookup
        self._flights = flights
        self._available = available
        self._dispatcher = dispatcher
        self._leader = leader
        self._answers = answers
        self._forwarder = forwarder

    def fetch(self, job: FetchJob) -> Steps[Fetched]:
        """Steps that give the answer, None to look up again, and the fields that the response varies on."""
        job.facts.note(Forwarded(job.fetch.reason))
        match (yield from self._dispatch(job)):
            case Leading() as leading:
                with leading:
                    led = self._lead(self._up_to_others(job), leading)
                if isinstance(led, JoinFlight):
                    return (yield from self._follow(job, led.flight, however_far=True))
                return self._otherwise(job, led), job.varies
            case JoinFlight(flight):
                return (yield from self._follow(job, flight))
            case other:
                return self._otherwise(job, other), job.varies

    def refresh(self, job: FetchJob) -> Led | None:
        """Fetch in the background, for no client; None if another thread or process does.

        Raises ProxyError where the origin fails.
        """
        dispatched = finished(self._dispatch(job))
        if isinstance(dispatched, Leading):
            with dispatched as leading:
                led = self._leader.ask(leading, job.request, job.fetch, job.facts)
                close_unused(led)
                return led
        return None

    # Who brings it in.

    def _dispatch(self, job: FetchJob) -> Steps[Dispatched]:
        """Decide who brings in the job's body; each request for itself if the store fails."""
        try:
            return (yield from self._dispatch_part(job))
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(job.resource.key), error)
            return Alone("store-failed")

    def _dispatch_part(self, job: FetchJob) -> Steps[Dispatched]:
        whole = job.flight_of_whole
        wanted = job.fetch.headers.get("range")
        if wanted is None:
            return (yield from self._dispatch_in_turn(job, whole))
        # A download of the whole that runs already has the part, or will have it soon.
        running = self._flights.follow(whole) if job.fetch.plan is None else None
        if running is not None:
            yield from until_there(running.flight)
            progress, entry = running.flight.progress(), running.flight.progress().entry
            if entry is not None and all(
                self._available.comes_soon(start, entry, progress.size) for start in job.starts_in(progress)
            ):
                return running
        start = job.first_missing
        nearby = None if start is None else self._available.soon_at(start, self._running(job))
        shared = None if nearby is None else self._flights.follow(nearby)
        return shared or (yield from self._dispatch_in_turn(job, whole.of_part(wanted)))

    def _dispatch_in_turn(self, job: FetchJob, flight: FlightKey) -> Steps[Dispatched]:
        """Decide who brings in the flight's body; waits for a turn at the origin if nobody here leads."""
        if not self._flights.runs_here(flight):
            yield Asks(job.resource.url.authority)
        # What has no freshness of its own can be stored for those who bring one.
        keys = [flight] if job.request.ttl is None else [flight, flight.with_ttl()]
        return self._dispatcher.decide(keys, job.resource.rules, lambda: self._has_changed(job))

    def _has_changed(self, job: FetchJob) -> bool:
        """Whether another fetch would be needed by now, as something was stored since the look-up."""
        if self._lookup.is_unchanged(job.resource.key, job.looked_up.stamp):
            return False
        found = self._lookup(job.resource, job.request)
        if found == job.looked_up.entries:
            return False
        now = decide.on_request(job.request, found, job.resource.rules, clock.wall())
        headers = job.fetch.headers.without("If-None-Match") if job.fetch.variants else job.fetch.headers
        return not (isinstance(now, decisions.Fetch) and now.headers == headers)

    def _running(self, job: FetchJob) -> list[tuple[RecordedFlight, Entry]]:
        """The running downloads of parts of what the request asks for, each with its part."""
        known = job.fetch.plan.parts[0] if job.fetch.plan is not None else None
        return [
            (flight, part)
            for flight, part in self._available.running(job.resource.key)
            if (are_of_one(known, part) if known is not None else fits(part, job.request))
        ]

    def _up_to_others(self, job: FetchJob) -> FetchJob:
        """The job, asking for missing bytes only up to where a running download has what follows."""
        start = job.first_missing
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

    # Leading.

    def _lead(self, job: FetchJob, leading: Leading) -> _Answered | JoinFlight:
        led = self._leader.ask(leading, job.request, job.fetch, job.facts)
        if isinstance(led, WholeInstead):
            return self._lead_whole(job, led.answer)
        return self._led(job, leading.flight, led)

    def _led(
        self,
        job: FetchJob,
        flight: Flight,
        led: Downloading | Passed | Freshened | Stale,
        *,
        however_far: bool = False,
    ) -> _Answered:
        """The answer to the request that leads, by what its leader did with the origin's answer."""
        match led:
            case Downloading(own, is_stored):
                kept = BeingStored() if is_stored else NotStored("store-failed")
                job.facts.note(ServedAs(Result.FETCHED), kept)
                answered = self._answers.of_flight(job, flight, flight.progress(), however_far=however_far)
                return answered if isinstance(answered, Unsuitable) else with_own(answered, own)
            case Passed(exchange, reason):
                job.facts.note(ForwardedAlone(job.fetch.reason), NotStored(reason))
                return self._forwarder.relay(job, exchange, job.fetch)
            case Freshened(entry, siblings, own):
                return with_own(self._answers.freshened(job, entry, siblings), own)
            case Stale(entry, detail):
                return self._answers.stale(job, entry, detail)

    def _lead_whole(self, job: FetchJob, answer: ToStore) -> _Answered | JoinFlight:
        """Lead the flight of the whole, which the origin sent instead of a part, by its answer."""
        with ClosedOnError(answer.exchange):
            dispatched = self._dispatcher.decide([job.flight_of_whole], job.resource.rules, lambda: False)
        match dispatched:
            case Leading() as leading:
                with leading:
                    adopted = self._leader.adopt(leading, answer)
                    return self._led(job, leading.flight, adopted, however_far=True)
            case Alone(why):
                job.facts.note(ForwardedAlone(job.fetch.reason), NotStored(why))
                return self._forwarder.relay(job, answer.exchange, job.fetch)
        answer.exchange.close()
        return dispatched

    # Following, and going alone.

    def _follow(self, job: FetchJob, flight: Flight, *, however_far: bool = False) -> Steps[Fetched]:
        """The answer out of another request's flight.

        With `however_far` its bytes may lie any distance behind those that have arrived.
        """
        job.facts.note(Collapsed())
        waits = flight.progress().entry is None
        yield from until_there(flight)
        progress = flight.progress()
        if progress.entry is None:
            if progress.end is End.PASSED:
                yield Asks(job.resource.url.authority)
            return self._otherwise(job, self._answers.after(job, progress)), job.varies
        varies = tuple(name for name, _ in progress.entry.vary)
        if progress.entry.vary != vary_values(varies, job.request):
            return None, varies
        entry, now = progress.entry, clock.wall()
        # Who waited for the head shares it; who came later gets only what may be used again.
        shares = waits and not flight.head_was_known
        if not shares and not reuse.is_usable(job.request, entry, job.resource.rules, now):
            yield Asks(job.resource.url.authority)
            other = self._forwarder.confirm(job, entry)
            if other is not None:
                return other, varies
        job.facts.note(ServedAs(Result.COLLAPSED))
        answered = self._answers.of_flight(job, flight, progress, however_far=however_far)
        if isinstance(answered, Unsuitable):
            yield Asks(job.resource.url.authority)
        return self._otherwise(job, answered), varies

    def _otherwise(self, job: FetchJob, answered: _Answered) -> Response | None:
        """The answer, from the origin for this client alone if need be; None to look up again."""
        match answered:
            case NotStorable():
                return self._not_storable(job)
            case Alone(why):
                job.facts.note(NotStored(why))
                return self._forward(job, job.fetch.reason)
            case Unsuitable():
                return self._forward(job, Forward.PARTIAL)
            case LookAgain():
                return None
        return answered

    def _forward(self, job: FetchJob, reason: Forward) -> Response:
        return self._forwarder.forward(job, reason, job.looked_up.entries)

    def _not_storable(self, job: FetchJob) -> Response:
        """The answer to a request whose key counts as not storable, stored if it is storable now."""
        response = self._forwarder.forward(
            job, job.fetch.reason, job.looked_up.entries, not_storable=job.flight_of_whole
        )
        job.facts.note(NotStored("not-storable"))
        return response
