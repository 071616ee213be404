"""Announces requests for a route, so that each of them becomes an event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pyproxycache.announced import Announced, EventTerms
from pyproxycache.facts import EventDue, Facts
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.request_body import Input
from pyproxycache.steps import Steps


class Announcing:
    """Announces requests by these terms, with up to `content` bytes of what they bring."""

    def __init__(self, terms: EventTerms, content: int) -> None:
        self._terms = terms
        self._content = content

    def answer(
        self, received: RawRequest, facts: Facts, answer: Callable[[RawRequest], Steps[Answered]]
    ) -> Steps[Answered]:
        """The answer to the request, which is announced whatever becomes of it."""
        copy = ContentCopy(received.body, self._content)
        try:
            return (yield from answer(replace(received, body=copy) if self._content else received))
        finally:
            # Not before: only now is it known what the request has brought.
            announced = Announced(
                self._terms,
                _url(received),
                received.headers,
                bytes(copy.beginning),
                copy.is_cut,
            )
            facts.note(EventDue(announced))


class ContentCopy:
    """A request's content, of whose beginning a copy is kept as it is read."""

    def __init__(self, content: Input, limit: int) -> None:
        self._content = content
        self._limit = limit
        self.beginning = bytearray()
        self.is_cut = False

    def read(self, size: int) -> bytes:
        data = self._content.read(size)
        room = self._limit - len(self.beginning)
        self.beginning += data[:room]
        self.is_cut |= len(data) > room
        return data


def _url(received: RawRequest) -> str:
    """The URL that the client has asked for."""
    if not received.target.startswith("/"):
        return received.target
    return f"{received.ingress.scheme}://{received.field('host')}{received.target}"
