"""All that a route does around a request: before its gates, behind them, and with its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pyproxycache.announced import REQUEST_ID
from pyproxycache.facts import Facts, Identified
from pyproxycache.front.around.body_limit import LimitedInput, exceeds, too_large
from pyproxycache.front.around.compression import Compression
from pyproxycache.front.around.cross_origin import CrossOrigin
from pyproxycache.front.around.header_changes import UNCHANGED, HeaderChanges
from pyproxycache.front.around.maintenance import Maintenance
from pyproxycache.front.around.request_ids import with_request_id, with_trace
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.handlers.upgrade import wanted_protocols
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Head, Headers
from pyproxycache.response import Response, ReuseTerms


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a route does around its requests; without any of it, they and the answers stay as they are."""

    has_ids: bool = False
    has_traces: bool = False
    cross_origin: CrossOrigin | None = None
    compression: Compression | None = None
    maintenance: Maintenance | None = None
    content_limit: int | None = None
    of_requests: HeaderChanges = UNCHANGED
    of_answers: HeaderChanges = UNCHANGED

    def enter(self, received: RawRequest, facts: Facts) -> Visit:
        """The request as it goes on to the route's gates."""
        headers, identity = received.headers, ""
        if self.has_ids:
            headers, identity = with_request_id(headers)
            facts.note(Identified(identity))
        if self.has_traces:
            headers = with_trace(headers)
        body = (
            received.body if self.content_limit is None else LimitedInput(received.body, self.content_limit)
        )
        return Visit(self, replace(received, headers=headers, body=body), identity)

    @property
    def selecting(self) -> frozenset[str]:
        """The request fields that select what a client gets, beside those that its Vary names."""
        pages = {"origin"} if self.cross_origin is not None else set()
        codings = {"accept-encoding"} if self.compression is not None else set()
        return frozenset({*pages, *codings, *self.of_requests.rename})


@dataclass(frozen=True, slots=True)
class Visit:
    """One request on its way through a route, and back; `identity` is its id, "" for none."""

    around: Surroundings
    received: RawRequest
    identity: str

    def preflight(self) -> Response | None:
        """The answer to a preflight request, which is given as it is; None for others."""
        pages = self.around.cross_origin
        return None if pages is None else pages.preflight(self.received)

    def refusal(self) -> Response | None:
        """What is answered in place of the route; None if it is the route's to answer.

        Raises ContentTooLarge.
        """
        around, received = self.around, self.received
        if around.maintenance is not None:
            return around.maintenance.answer(received.method)
        if around.content_limit is not None and exceeds(received.headers, around.content_limit):
            raise too_large(around.content_limit)
        return None

    def onward(self, headers: Headers) -> Headers:
        """The fields, as the gates have left them, as they go on to the engine and the upstream."""
        around, received = self.around, self.received
        if around.cross_origin is not None:
            switches = bool(wanted_protocols(received))
            headers = around.cross_origin.onward(headers, received.method, switches=switches)
        headers = around.of_requests.made(headers)
        if around.compression is not None and not wanted_protocols(received):
            headers = around.compression.onward(headers, around.compression.chosen(received.headers))
        return headers

    def interim(self) -> Callable[[Head], None] | None:
        """What sends interim heads to the client, as they are for it; None if nothing does."""
        send = self.received.interim
        if send is None or self.around == NOTHING:
            return send
        return lambda head: send(self._shown(head))

    def left(self, answered: Answered) -> Answered:
        """The answer as it is for this client; memory gives it to those for whom it is the same."""
        if self.around == NOTHING:
            return answered
        response = answered.response
        if (compression := self.around.compression) is not None:
            sent = self.received.headers
            response = compression.coded(sent, compression.chosen(sent), self.received.method, response)
        terms, refusal_terms = response.reuse_terms, response.refusal_terms
        if self.identity:
            terms = refusal_terms = None  # no other request has this id
        elif terms is not None and not self.around.of_answers.spare(_readmitted(terms)):
            terms = None  # memory would add what is changed here
        elif terms is not None:
            varies = tuple(sorted({*terms.varies, *self.around.selecting}))
            terms = replace(terms, varies=varies)
        response = replace(response, reuse_terms=terms, refusal_terms=refusal_terms)
        return replace(
            answered, response=response, present=lambda head: self._shown(answered.present(head))
        )

    def _shown(self, head: Head) -> Head:
        around = self.around
        if self.identity:
            head = head.with_headers(head.headers.with_field(REQUEST_ID, self.identity))
        if around.cross_origin is not None:
            head = around.cross_origin.shown(self.received, head)
        if around.compression is not None:
            head = around.compression.shown(head)
        return head.with_headers(around.of_answers.made(head.headers))


def _readmitted(terms: ReuseTerms) -> frozenset[str]:
    """The fields that memory makes for each request."""
    return frozenset() if terms.readmission is None else terms.readmission.names


NOTHING = Surroundings()
"""Requests and their answers stay as they are."""
