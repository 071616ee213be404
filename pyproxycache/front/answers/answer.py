"""The answer to one request, and the report of the request when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyproxycache import clock
from pyproxycache.body import Body
from pyproxycache.errors import ProxyError
from pyproxycache.facts import AnswerBroken, AnswerSent, ClientLeft, Facts, RequestEnded
from pyproxycache.front.interception.pending_tunnel import PendingTunnel
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.requests.raw_request import Present
from pyproxycache.outcome import Outcome
from pyproxycache.report.folding import outcome_of
from pyproxycache.response import Response
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache")

Report = Callable[[Outcome], None]
"""Called once with the record of each request that has ended."""


class Answer:
    """The answer to one request; closing it ends and reports the request.

    `outcome` is the record of the request as it was when the head was made. If the answer has a `tunnel`,
    that has the connection once the head is sent; of a `pending` one it is decided then. `present`
    has made the head out of the cache's, and makes the heads of other clients that get the same answer.
    """

    def __init__(
        self,
        response: Response,
        outcome: Outcome,
        facts: Facts,
        report: Report,
        present: Present = as_it_is,
    ) -> None:
        self.response = response
        self.outcome = outcome
        self.present = present
        self.tunnel = response.body if isinstance(response.body, Tunnel) else None
        self.pending = response.body if isinstance(response.body, PendingTunnel) else None
        self.facts = facts
        self._report = report

    @property
    def body(self) -> Body:
        return self.response.body

    def sent(self, head_bytes: int, body_bytes: int) -> None:
        """Note how much of the answer the client was sent."""
        self.facts.note(AnswerSent(head_bytes, body_bytes))

    def aborted(self) -> None:
        """Note that the client went away before the end."""
        self.facts.note(ClientLeft())

    def failed(self, error: ProxyError) -> None:
        """Note that the body broke off, which the client sees by its connection being reset."""
        log.info("broke off %s: %s", without_query(outcome_of(self.facts).key), error)
        self.facts.note(AnswerBroken())

    def close(self) -> None:
        """Release the body and report the request."""
        self.body.close()
        report_ended(self.facts, self._report)


def report_ended(facts: Facts, report: Report) -> None:
    """Report a request as ended now."""
    facts.note(RequestEnded(clock.steady()))
    report(outcome_of(facts))
