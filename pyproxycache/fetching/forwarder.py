"""Sends requests to the origin for one client alone, and acts on what the answers mean for the store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from pyproxycache import clock
from pyproxycache.body import Body
from pyproxycache.cancellation import Cancellation
from pyproxycache.errors import StoreError, UpstreamError
from pyproxycache.facts import BeingStored, Forwarded, ForwardedAlone, OriginReplied, ServedAs
from pyproxycache.fetching.leader import Leader, Passed, ToStore
from pyproxycache.fetching.leading import Leading
from pyproxycache.fetching.transfers.source import ClosedOnError
from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.outcome import Forward, Result
from pyproxycache.response import Response
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.routing.inquiry import Inquiry
from pyproxycache.routing.resource import Resource
from pyproxycache.rules import decide, decisions
from pyproxycache.rules.grammar import end_to_end
from pyproxycache.rules.groups import invalidated_groups
from pyproxycache.rules.ranges import part_length
from pyproxycache.rules.validation import (
    invalidated_urls,
    is_not_modified,
    matches_304,
    strip_conditionals,
    validators,
)
from pyproxycache.rules.variants import newest, preferred, select
from pyproxycache.serving import responses
from pyproxycache.serving.delivery import Delivery
from pyproxycache.store.ports import EntryIndex, Flights
from pyproxycache.store.store_errors import logging_store_errors
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.forwarding")

_REPRESENTATION = ("Content-Type", "Content-Length", "Content-Encoding", "Content-Language")


class Forwarder:
    """Forwards requests for one client alone, whose answers are stored in few cases only."""

    def __init__(
        self,
        index: EntryIndex,
        flights: Flights,
        leader: Leader,
        delivery: Delivery,
        upstream: Upstream,
    ) -> None:
        self._index = index
        self._flights = flights
        self._leader = leader
        self._delivery = delivery
        self._upstream = upstream

    def forward(
        self,
        inquiry: Inquiry,
        reason: Forward,
        found: Sequence[Entry] = (),
        *,
        not_storable: FlightKey | None = None,
    ) -> Response:
        """The origin's answer to this very request; `found` are the entries stored for it.

        `not_storable` is the request's flight key, if that is remembered as not storable: the answer is
        stored if it turns out to be storable now.
        """
        resource, request, facts = inquiry.resource, inquiry.request, inquiry.facts
        facts.note(ForwardedAlone(reason))
        outgoing = request.with_headers(end_to_end(request.headers))
        asked = clock.wall()
        try:
            exchange = self._upstream.send(outgoing, facts)
        except UpstreamError:
            if (stale := self._standing_in(inquiry, found)) is None:
                raise
            return stale
        facts.note(OriginReplied(exchange.head.status))
        has_failed = exchange.head.status >= 500 or exchange.head.status == 429
        if has_failed and (stale := self._standing_in(inquiry, found)) is not None:
            exchange.close()
            return stale
        with ClosedOnError(exchange):
            self._invalidate(resource, request, exchange.head)
            if request.method == "HEAD" and exchange.head.status == 200:
                self._update(resource, outgoing, found, exchange.head, asked)
            to_keep = self._to_keep(resource, outgoing, exchange, asked, not_storable)
        kept = None if to_keep is None else self._kept(inquiry, *to_keep)
        return kept or relayed(exchange, request)

    def _standing_in(self, inquiry: Inquiry, found: Sequence[Entry]) -> Response | None:
        """What is stored, in place of an answer to HEAD that the origin failed to give; None: nothing may.

        A GET is validated, and does not come here while something is stored.
        """
        resource, request = inquiry.resource, inquiry.request
        if request.method != "HEAD":
            return None
        entry = newest([one for one in select(found, resource.key, request) if one.part is None])
        stand_in = decide.on_error(entry, resource.rules, clock.wall(), request)
        if stand_in is None or (response := self._delivery.stored(request, stand_in.entry)) is None:
            return None
        inquiry.facts.note(ServedAs(Result.STALE, detail=stand_in.detail))
        return response

    def confirm(self, inquiry: Inquiry, entry: Entry) -> Response | None:
        """Validate an entry that is still arriving; None if it is valid, else the origin's other answer."""
        request, facts = inquiry.request, inquiry.facts
        fields = validators(entry.head)
        if not fields:
            return self.forward(inquiry, Forward.STALE)
        headers = Headers((*strip_conditionals(end_to_end(request.headers)), *fields))
        exchange = self._upstream.send(request.with_headers(headers), facts)
        facts.note(Forwarded(Forward.STALE), OriginReplied(exchange.head.status))
        if exchange.head.status == 304 and matches_304(entry, exchange.head):
            exchange.close()
            return None
        facts.note(ForwardedAlone(Forward.STALE))
        return self.relay(inquiry, exchange, decisions.Fetch(headers, None, Forward.STALE))

    def relay(self, inquiry: Inquiry, exchange: Exchange, fetch: decisions.Fetch) -> Response:
        """Hand on an answer that is not stored; ask again if it does not suit the client's own request."""
        request, head = inquiry.request, exchange.head
        if end_to_end(request.headers) == fetch.headers or head.status not in (206, 304, 416):
            if fetch.headers.get("if-none-match") != request.headers.get(
                "if-none-match"
            ) and is_not_modified(request.headers, head, clock.wall()):
                exchange.close()
                return Response(responses.not_modified(head))
            return relayed(exchange, request)
        exchange.close()
        return self.forward(inquiry, fetch.reason)

    def _invalidate(self, resource: Resource, request: Request, head: Head) -> None:
        """Forget what an unsafe request changed (RFC 9111 section 4.4, RFC 9875 section 2.2.2)."""
        urls = invalidated_urls(request.method, request.url, head)
        groups = invalidated_groups(request.method, head)
        with logging_store_errors("purge what was changed under", resource.key):
            if urls:
                self._index.purge(resource.realm.resource(url).key for url in urls)
            for group in groups:
                self._index.purge_group(group, resource.url.origin)

    def _update(
        self, resource: Resource, request: Request, found: Sequence[Entry], head: Head, asked: float
    ) -> None:
        """Freshen or forget the stored answer to a GET by the answer to a HEAD (RFC 9111 section 4.3.5)."""
        entry = newest([entry for entry in preferred([*found]) if entry.part is None])
        if entry is None or entry.status != 200:
            return
        with logging_store_errors("bring up to date", entry.key):
            match decide.on_head(request, head, entry, resource.rules, asked, clock.wall()):
                case decisions.Forget(outdated):
                    self._index.forget(outdated)
                case decisions.Freshen(kept=kept):
                    for updated in kept:
                        self._index.freshen(updated)

    def _to_keep(
        self,
        resource: Resource,
        request: Request,
        exchange: Exchange,
        asked: float,
        not_storable: FlightKey | None,
    ) -> tuple[Leading, ToStore] | None:
        """An answer that turns out to be worth storing, and the flight for it; None if it is not.

        A POST's that is what a GET would get (RFC 9110 section 9.3.3), and one under a flight key that was
        taken for `not_storable`, unless it may be too large.
        """
        is_new = not_storable is not None and exchange.length is not None and "range" not in request.headers
        if not is_new and request.method != "POST":
            return None
        fetch = decisions.Fetch(request.headers, None, Forward.METHOD)
        now = clock.wall()
        decision = decide.on_response(request, exchange.head, fetch, resource.rules, asked, now)
        if not isinstance(decision, decisions.Store):
            return None
        try:
            if self._leader.why_not_admitted(exchange, decision):
                return None
            joined = self._flights.lead_after_all(not_storable or FlightKey(resource.key))
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(resource.key), error)
            return None
        if joined is None:
            return None
        return self._leader.lead(joined.writer, resource.rules), ToStore(
            exchange, decision, _as_get(request), asked
        )

    def _kept(self, inquiry: Inquiry, leading: Leading, answer: ToStore) -> Response | None:
        """The answer out of the flight that stores it."""
        with leading:
            adopted = self._leader.adopt(leading, answer)
            if isinstance(adopted, Passed):
                return None
            if adopted.is_stored:
                inquiry.facts.note(BeingStored())
            flight = leading.flight
            response = self._delivery.arriving(inquiry, flight, flight.progress())
            return with_own(response, adopted.own)


def _as_get(request: Request) -> Request:
    """The GET whose answer an answer to this request is as well."""
    if request.method != "POST":
        return request
    fields = request.headers.without(*_REPRESENTATION)
    return replace(request, method="GET", body=None, headers=fields)


def with_own(response: Response | None, fields: Sequence[tuple[str, str]]) -> Response | None:
    """The answer with fields that are for the requesting client alone; None if there is no answer."""
    return response if response is None or not fields else response.with_lines(fields)


def relayed(exchange: Exchange, request: Request) -> Response:
    """The origin's answer as it is handed on to the client who asked."""
    head = exchange.head
    if exchange.length is None and (length := part_length(head)) is not None:
        exchange.expect(length)
    body = exchange if request.cancellation is None else _Relayed(exchange, request.cancellation)
    return Response(Head(head.status, head.reason, end_to_end(head.headers)), body, exchange.length)


class _Relayed(Body):
    """An origin's body for one client alone, which is broken off when the client leaves."""

    def __init__(self, exchange: Exchange, cancellation: Cancellation) -> None:
        self._exchange = exchange
        self._cancellation = cancellation

    def __next__(self) -> bytes:
        with self._cancellation.tied(self._exchange.break_off):
            data = self._exchange.read()
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        self._exchange.close()
