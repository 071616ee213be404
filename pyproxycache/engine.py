"""The life of one request: look up, decide, and serve, fetch or forward."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.errors import ClientGone, Fault, ProxyError
from pyproxycache.fetching.fetch_job import FetchJob
from pyproxycache.fetching.fetcher import Fetched, Fetcher
from pyproxycache.fetching.forwarder import Forwarder
from pyproxycache.fetching.refresher import Refresher
from pyproxycache.fetching.reuse_terms import reuse_terms_of
from pyproxycache.messages import Entry, Request, Response
from pyproxycache.outcome import Forward, Outcome, Result
from pyproxycache.routing.resource import Resource
from pyproxycache.rules import decide, decisions
from pyproxycache.rules.variants import of_same_content
from pyproxycache.serving import responses
from pyproxycache.serving.delivery import Delivery
from pyproxycache.serving.lookup import Lookup, LookupResult, with_content_key
from pyproxycache.steps import Asks, Steps
from pyproxycache.store.ports import EntryIndex
from pyproxycache.upstream.client import Upstream

_ATTEMPTS = 6
_VARIANTS = 8


@dataclass(frozen=True, slots=True)
class Components:
    """The parts that the engine looks up, serves, fetches and forwards with."""

    upstream: Upstream
    index: EntryIndex
    lookup: Lookup
    delivery: Delivery
    fetcher: Fetcher
    forwarder: Forwarder
    refresher: Refresher


class Engine:
    """Answers requests; safe to call from any number of threads."""

    def __init__(self, components: Components) -> None:
        self._components = components

    def handle(self, resource: Resource, request: Request, outcome: Outcome) -> Steps[Response]:
        """The answer, whatever happens; `outcome` is filled in."""
        try:
            self._components.upstream.refuse_loop(request)
            if request.body is not None:  # which may have to be waited for
                yield Asks(request.url.authority)
            response = yield from self._answer(resource, with_content_key(request), outcome)
        except ProxyError as error:
            response = failed(error, outcome)
        outcome.status = response.head.status
        return response

    def purge(self, resource: Resource) -> bool:
        """Purge what is stored for the resource; tells whether there was anything. Raises StoreError."""
        return self._components.index.purge([resource.key]) > 0

    def _answer(self, resource: Resource, request: Request, outcome: Outcome) -> Steps[Response]:
        components = self._components
        outcome.key = resource.key
        varies: tuple[str, ...] = ()
        lost: list[Entry] = []  # what was found, and could not be served
        # A follower whose flight turns out not to be for it asks again: the one bounded loop.
        for _ in range(_ATTEMPTS):
            _begin_again(outcome)
            looked_up = components.lookup.find(resource, request)
            found = looked_up.entries
            if lost and found == lost:
                break  # nor can it be forgotten now
            match decide.on_request(request, found, resource.rules, clock.wall()):
                case decisions.Refuse(status, text):
                    outcome.result = Result.REFUSED
                    return responses.from_text(status, text)
                case decisions.Bypass(reason):
                    yield Asks(request.url.authority)
                    return components.forwarder.forward(resource, request, outcome, reason, found)
                case decisions.Serve() as serve:
                    response, lost = self._serve(resource, request, looked_up, serve, outcome), found
                case decisions.Assemble(plan, ttl):
                    response, lost = components.delivery.assembled(request, plan, outcome), found
                    outcome.result, outcome.ttl = Result.HIT, ttl
                case decisions.Fetch() as fetch:
                    response, varies = yield from self._fetch(
                        FetchJob(resource, request, outcome, looked_up, fetch, varies)
                    )
            if response is not None:
                return response
        yield Asks(request.url.authority)
        return components.forwarder.forward(resource, request, outcome, Forward.MISS, found)

    def _serve(
        self,
        resource: Resource,
        request: Request,
        looked_up: LookupResult,
        serve: decisions.Serve,
        outcome: Outcome,
    ) -> Response | None:
        response = self._components.delivery.stored(request, serve.entry, outcome, serve.ttl)
        outcome.result = Result.STALE if serve.stale else Result.HIT
        if response is None:
            return None
        if serve.refresh:
            outcome.detail = "stale-while-revalidate"
            self._refresh(resource, request, looked_up, serve.entry)
        if serve.stale or looked_up.stamp is None or serve.entry.key != resource.key:
            return response
        reuse_terms = reuse_terms_of(
            request, serve.entry, resource.rules, looked_up.stamp, looked_up.varies
        )
        return replace(response, reuse_terms=reuse_terms)

    def _refresh(self, resource: Resource, request: Request, looked_up: LookupResult, entry: Entry) -> None:
        plain = replace(request, interim=None, cancellation=None, login=None)
        if request.method == "HEAD":  # whose answer would have nothing to store
            plain = replace(plain, method="GET")
        fetch = decide.validating(plain, entry, Forward.STALE)
        varies = tuple(name for name, _value in entry.vary)
        job = FetchJob(resource, plain, Outcome(), looked_up, fetch, varies)
        self._components.refresher.start(resource.key, lambda: self._components.fetcher.refresh(job))

    def _fetch(self, job: FetchJob) -> Steps[Fetched]:
        """Fetch, with what is known of other variants of the response."""
        known = job.fetch.stale or next(iter(job.looked_up.entries), None)
        if known is None and job.looked_up.is_known:
            variants = self._components.index.variants(job.resource.key, _VARIANTS)
            alike = [entry for entry in variants if of_same_content(entry, job.request)]
            job = replace(job, fetch=decide.with_variants(job.request, job.fetch, alike))
            known = next(iter(alike), None)
        if known is not None and not job.varies:
            job = replace(job, varies=tuple(name for name, _value in known.vary))
        return self._components.fetcher.fetch(job)


def failed(error: ProxyError, outcome: Outcome) -> Response:
    """The answer in place of one that the error prevented."""
    refused = error.fault is Fault.CLIENT
    outcome.result = Result.REFUSED if refused else Result.FAILED
    outcome.stored = False
    outcome.aborted = isinstance(error, ClientGone)
    outcome.detail = outcome.detail if refused else type(error).__name__
    return responses.from_error(error)


def _begin_again(outcome: Outcome) -> None:
    """Forget what an attempt that came to nothing said of itself."""
    outcome.forward = outcome.forward_status = outcome.ttl = None
    outcome.stored = outcome.collapsed = False
    outcome.detail = ""
