"""Answers for those who wait for a flight: out of its body, or by the way in which it ended."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.errors import Fault, UpstreamError
from pyproxycache.facts import Attempted, Collapsed, Facts, Forwarded, ServedAs
from pyproxycache.fetching.dispatch import Alone
from pyproxycache.fetching.fetch_job import FetchJob
from pyproxycache.fetching.reuse_terms import reuse_terms_of
from pyproxycache.messages import Entry, Head, Part, Request
from pyproxycache.options import FetchOptions
from pyproxycache.outcome import Result
from pyproxycache.response import Response
from pyproxycache.routing.inquiry import Inquiry
from pyproxycache.rules import decide, reuse
from pyproxycache.rules.extents import as_part
from pyproxycache.rules.ranges import if_range_holds, range_specs, select_ranges
from pyproxycache.rules.variants import newest, select
from pyproxycache.serving.delivery import Delivery
from pyproxycache.serving.lookup import Lookup
from pyproxycache.store.ports import Flight
from pyproxycache.store.values import End, Progress


@dataclass(frozen=True, slots=True)
class Unsuitable:
    """The client's answer cannot be made of the flight, though its head fits the request's fields."""


class FlightAnswers:
    """Makes answers out of flights; each method gives None if what it needs has just gone."""

    def __init__(
        self,
        options: FetchOptions,
        lookup: Lookup,
        delivery: Delivery,
    ) -> None:
        self._options = options
        self._lookup = lookup
        self._delivery = delivery

    def of_flight(
        self, job: FetchJob, flight: Flight, progress: Progress, *, however_far: bool
    ) -> Response | Unsuitable | None:
        """The answer out of the flight's body.

        With `however_far` its bytes may lie any distance behind those that have arrived.
        """
        if not self._suits(job, progress, however_far=however_far):
            return Unsuitable()
        entry, plan = progress.entry, job.fetch.plan
        if entry is not None and plan is not None and plan.is_continued_by(entry):
            renewed = plan.renewed_by(entry)
            return self._delivery.assembled(job, renewed, (flight, progress))
        response = self._delivery.arriving(job, flight, progress)
        if response is None or progress.end is not None:
            return response
        return self._with_others(response, job, flight, progress)

    def _suits(self, job: FetchJob, progress: Progress, *, however_far: bool) -> bool:
        entry = progress.entry
        assert entry is not None, "the head is known"
        if entry.part is None:
            return however_far or not self._is_far(job, progress)
        plan = job.fetch.plan
        if plan is not None and plan.missing:
            return plan.is_continued_by(entry)
        # A part is for who asked for it as such, and for none whose own copy is of something else.
        if not if_range_holds(job.request.headers, entry.head):
            return False
        if as_part(entry) is None:
            return _is_asked_for(job.request, entry.head, entry.part)
        return bool(range_specs(job.request.headers))

    def _is_far(self, job: FetchJob, progress: Progress) -> bool:
        """Whether a part is asked for that is more than `fetch.range_ahead` beyond what has arrived."""
        ahead = self._options.range_ahead
        return any(start > progress.size + ahead for start in job.starts_in(progress))

    def _with_others(
        self, response: Response, job: FetchJob, flight: Flight, progress: Progress
    ) -> Response:
        """The answer, with terms on which equal requests may share it while it arrives."""
        entry, stamp, now = progress.entry, job.looked_up.stamp, clock.wall()
        if entry is None or stamp is None or entry.part is not None or entry.key != job.resource.key:
            return response
        if job.request.body is not None:
            return response  # which only this client has sent
        if response.head.status != entry.status:
            return response  # it answers a condition, or a range, whose distance was judged for now

        def again(client: str, facts: Facts) -> Response | None:
            current = flight.progress()
            is_over = current.end is not None  # what came of it is found by another look
            if is_over or current.generation != progress.generation or not flight.is_current():
                return None
            request = replace(job.request, client=client, interim=None, cancellation=None, login=None)
            facts.note(Attempted(job.resource.key), Forwarded(job.fetch.reason))
            facts.note(Collapsed(), ServedAs(Result.COLLAPSED))
            return self._delivery.arriving(Inquiry(job.resource, request, facts), flight, current)

        varies = tuple(name for name, _value in entry.vary)
        reuse_terms = reuse_terms_of(job.request, entry, job.resource.rules, stamp, varies)
        is_usable = reuse.is_usable(job.request, entry, job.resource.rules, now)
        until = reuse_terms.until if is_usable else now
        return replace(response, reuse_terms=replace(reuse_terms, until=until, again=again))

    def after(self, job: FetchJob, progress: Progress) -> Response | Alone | None:
        """The answer after a flight that ended without a body, or Alone; None to look up again."""
        request = job.request
        match progress.end:
            case End.FRESHENED:
                found = select(self._lookup(job.resource, request), job.resource.key, request)
                entry = newest([entry for entry in found if entry.part is None])
                return None if entry is None or job.fetch.plan is not None else self.freshened(job, entry)
            case End.PASSED:
                return Alone("not-storable")
            case End.STALE:
                stale = job.fetch.stale
                stand_in = decide.on_error(stale, job.resource.rules, clock.wall(), request)
                if stand_in is not None:
                    return self.stale(job, stand_in.entry, stand_in.detail)
            case End.FAILED | End.BROKEN:
                error = progress.error or UpstreamError("the download failed")
                if error.fault is not Fault.CLIENT:
                    raise error.another()
        # What the leader was refused, or may not have, this client may.
        return None

    def freshened(self, job: FetchJob, entry: Entry, siblings: tuple[Entry, ...] = ()) -> Response | None:
        """The answer out of the entry that was validated, with the parts that belong to it."""
        if job.fetch.plan is not None:
            plan = job.fetch.plan.with_entries((entry, *siblings))
            response = self._delivery.assembled(job, plan)
            job.facts.note(ServedAs(Result.REVALIDATED))
            return response
        return self._stored(job, entry, Result.REVALIDATED)

    def stale(self, job: FetchJob, entry: Entry, detail: str) -> Response | None:
        """The answer out of a stale entry, as the origin failed; `detail` (a token) says how."""
        request, plan = job.request, job.fetch.plan
        if plan is None:
            return self._stored(job, entry, Result.STALE, detail)
        now = clock.wall()
        allowed = [decide.on_error(e, job.resource.rules, now, request) for e in plan.used]
        if None in allowed:
            raise UpstreamError("the origin failed, and not all stored parts may stand in for it")
        response = self._delivery.assembled(job, plan)
        job.facts.note(ServedAs(Result.STALE, detail=detail))
        return response

    def _stored(self, job: FetchJob, entry: Entry, result: Result, detail: str = "") -> Response | None:
        ttl = reuse.time_to_live(job.request, entry, job.resource.rules, clock.wall())
        response = self._delivery.stored(job.request, entry)
        job.facts.note(ServedAs(result, ttl, detail))
        return response


def _is_asked_for(request: Request, head: Head, part: Part) -> bool:
    """Whether the part is just what the request asks for."""
    if part.total is None:
        return range_specs(request.headers) == ((part.start, part.end),)
    return select_ranges(request.headers, replace(head, status=200), part.total) == (part,)
