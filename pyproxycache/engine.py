"""The life of one request: look up, decide, and serve, fetch or forward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from pyproxycache import clock
from pyproxycache.errors import ClientGone, ProxyError
from pyproxycache.facts import Attempted, AttemptFailed, ClientLeft, Facts, ServedAs
from pyproxycache.fetching.fetch_job import FetchJob
from pyproxycache.fetching.fetcher import Fetched, Fetcher
from pyproxycache.fetching.forwarder import Forwarder
from pyproxycache.fetching.refreshes.refresher import Refresher
from pyproxycache.fetching.reuse_terms import reuse_terms_of
from pyproxycache.messages import Entry, Request
from pyproxycache.outcome import Forward, Result
from pyproxycache.response import Response
from pyproxycache.routing.inquiry import Inquiry
from pyproxycache.routing.resource import Resource
from pyproxycache.rules import decide, decisions
from pyproxycache.rules.variants import of_same_content
from pyproxycache.serving import responses
from pyproxycache.serving.delivery import Delivery
from pyproxycache.serving.lookup import Lookup, LookupResult, with_content_key
from pyproxycache.serving.package_indexes import PackageIndexes
from pyproxycache.steps import Asks, Steps
from pyproxycache.store.ports import EntryIndex
from pyproxycache.upstream.client import Upstream

_Decision = decisions.Serve | decisions.Assemble | decisions.Fetch | decisions.Bypass | decisions.Refuse
_Asking = decisions.Fetch | decisions.Bypass

_ATTEMPTS = 6
_VARIANTS = 8
_READING = ("GET", "HEAD")
_HAS_IT = frozenset({200, 206, 304, 416})


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
    indexes: PackageIndexes


class Engine:
    """Answers requests; safe to call from any number of threads."""

    def __init__(self, components: Components) -> None:
        self._components = components

    def handle(self, resource: Resource, request: Request, facts: Facts) -> Steps[Response]:
        """The answer to the request; a ProxyError becomes an answer, too."""
        try:
            self._components.upstream.refuse_loop(request)
            if request.body is not None:  # the client may be slow to send it
                yield Asks(request.url.authority)
            request = self._components.indexes.as_whole(resource, with_content_key(resource, request))
            inquiry = Inquiry(resource, request, facts)
            return (yield from self._by_digest(inquiry)) or (yield from self._answer(inquiry))
        except ProxyError as error:
            return failed(error, facts)

    def purge(self, resource: Resource) -> bool:
        """Purge the entries of what belongs to the resource; returns whether there were any.

        Raises StoreError.
        """
        belonging = self._components.indexes.belonging(resource)
        return self._components.index.purge([one.key for one in belonging]) > 0

    def _by_digest(self, inquiry: Inquiry) -> Steps[Response | None]:
        """The same content by a name that has its digest; None if there is none, or the origin lacks it.

        Memory does not keep it: what the document states next changes nothing under that name.
        """
        request = inquiry.request
        same = self._components.indexes.by_digest(inquiry.resource) if request.method in _READING else None
        if same is None:
            return None
        try:
            response = yield from self._answer(Inquiry(same, replace(request, url=same.url), inquiry.facts))
        except ClientGone:
            raise
        except ProxyError:
            return None
        if response.head.status in _HAS_IT:
            return replace(response, reuse_terms=None)
        response.body.close()
        return None

    def _answer(self, inquiry: Inquiry) -> Steps[Response]:
        components = self._components
        resource, facts = inquiry.resource, inquiry.facts
        varies: tuple[str, ...] = ()
        lost: list[Entry] = []  # entries found in the last attempt, which could not be served
        # A follower whose flight does not fit its request looks again: the only loop, which is bounded.
        for _ in range(_ATTEMPTS):
            inquiry, looked_up = self._looked_up(inquiry)
            request, found = inquiry.request, looked_up.entries
            if lost and found == lost:
                break  # the index still has them, and a further attempt would end the same
            facts.note(Attempted(resource.key))
            match self._decided(resource, request, looked_up):
                case decisions.Refuse(status, text):
                    facts.note(ServedAs(Result.REFUSED))
                    return responses.from_text(status, text)
                case decisions.Bypass(reason):
                    yield Asks(request.url.authority)
                    return components.forwarder.forward(inquiry, reason, found)
                case decisions.Serve() as serve:
                    response, lost = self._serve(inquiry, looked_up, serve), found
                case decisions.Assemble(plan, ttl):
                    response, lost = components.delivery.assembled(inquiry, plan), found
                    facts.note(ServedAs(Result.HIT, ttl))
                case decisions.Fetch() as fetch:
                    response, varies = yield from self._fetch(
                        FetchJob(resource, request, facts, looked_up, fetch, varies)
                    )
            if response is not None:
                return response
        yield Asks(inquiry.request.url.authority)
        facts.note(Attempted(resource.key))
        return components.forwarder.forward(inquiry, Forward.MISS, found)

    def _looked_up(self, inquiry: Inquiry) -> tuple[Inquiry, LookupResult]:
        """What is stored that fits, for a request that says by then which file a mirror is to give."""
        lookup, request = self._components.lookup, inquiry.request
        found = lookup.find(inquiry.resource, request)
        asked = self._components.indexes.as_stated(inquiry.resource, request, found.entries)
        if asked is request:
            return inquiry, found
        return replace(inquiry, request=asked), lookup.find(inquiry.resource, asked)

    def _decided(self, resource: Resource, request: Request, looked_up: LookupResult) -> _Decision:
        """What to do with the request; offline, a variant for other clients is better than none."""
        now = clock.wall()
        decision = decide.on_request(request, looked_up.entries, resource.rules, now)
        if resource.rules.offline and looked_up.is_known and isinstance(decision, _Asking):
            variants = self._components.index.variants(resource.key, _VARIANTS)
            return decide.offline_variant(request, variants, resource.rules, now) or decision
        if not isinstance(decision, decisions.Serve) or decision.stale or resource.rules.offline:
            return decision
        beside = self._components.indexes.beside(resource)
        if not beside or not self._components.indexes.is_behind(decision.entry, beside):
            return decision
        return decide.together(request, decision)

    def _serve(self, inquiry: Inquiry, looked_up: LookupResult, serve: decisions.Serve) -> Response | None:
        resource, request = inquiry.resource, inquiry.request
        response = self._components.delivery.stored(request, serve.entry)
        if response is None:
            return None
        detail = "stale-while-revalidate" if serve.refresh else ""
        inquiry.facts.note(ServedAs(Result.STALE if serve.stale else Result.HIT, serve.ttl, detail))
        if serve.refresh:
            self._refresh(resource, request, looked_up, serve.entry)
        if serve.stale or looked_up.stamp is None or serve.entry not in looked_up.entries:
            return response
        if serve.entry.key != resource.key:
            return response
        if request.repositories and (serve.entry.is_disputed or request.stated is not None):
            return response  # what the mirror states may change without a write to the entry
        if self._components.indexes.beside(resource):
            return response  # how long it is good depends on what changes together with it
        reuse_terms = reuse_terms_of(
            request, serve.entry, resource.rules, looked_up.stamp, looked_up.varies
        )
        return replace(response, reuse_terms=reuse_terms)

    def _refresh(self, resource: Resource, request: Request, looked_up: LookupResult, entry: Entry) -> None:
        plain = replace(request, interim=None, cancellation=None, served=None, login=None)
        if request.method == "HEAD":  # its answer would have no body to store
            plain = replace(plain, method="GET")
        fetch = decide.validating(plain, entry, Forward.STALE)
        varies = tuple(name for name, _value in entry.vary)
        job = FetchJob(resource, plain, Facts(), looked_up, fetch, varies)
        self._components.refresher.start(resource.key, partial(self._components.fetcher.refresh, job))

    def _fetch(self, job: FetchJob) -> Steps[Fetched]:
        """Fetch, with validators and Vary of other stored variants of the response."""
        known = job.fetch.stale or next(iter(job.looked_up.entries), None)
        if known is None and job.looked_up.is_known:
            variants = self._components.index.variants(job.resource.key, _VARIANTS)
            alike = [entry for entry in variants if of_same_content(entry, job.request)]
            job = replace(job, fetch=decide.with_variants(job.request, job.fetch, alike))
            known = next(iter(alike), None)
        if known is not None and not job.varies:
            job = replace(job, varies=tuple(name for name, _value in known.vary))
        return self._components.fetcher.fetch(job)


def failed(error: ProxyError, facts: Facts) -> Response:
    """The answer that tells of the error, which is noted."""
    facts.note(AttemptFailed(type(error).__name__, error.fault))
    if isinstance(error, ClientGone):
        facts.note(ClientLeft())
    return responses.from_error(error)
