"""The answer to one request, to the end of which the request is reported."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyproxycache import clock
from pyproxycache.body import Body
from pyproxycache.errors import ProxyError
from pyproxycache.facts import AnswerBroken, AnswerSent, ClientLeft, Facts, RequestEnded
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.requests.raw_request import Present
from pyproxycache.messages import Response, without_query
from pyproxycache.outcome import Outcome
from pyproxycache.report.folding import outcome_of

log = logging.getLogger("pyproxycache")

Report = Callable[[Outcome], None]
"""Takes the record of a request that has ended, once."""


class Answer:
    """The answer to one request; closing it is the end of the request.

    `outcome` is the record of the request as it was when the head was made. Behind the head of an answer
    with a `tunnel`, the connection is the tunnel's. `present` made its head, and makes those of others who
    are given the same.
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
        self.facts = facts
        self._report = report

    @property
    def body(self) -> Body:
        return self.response.body

    def sent(self, head_bytes: int, body_bytes: int) -> None:
        """How much of the answer the client was sent."""
        self.facts.note(AnswerSent(head_bytes, body_bytes))

    def aborted(self) -> None:
        """It did not get to its end, for the client went away."""
        self.facts.note(ClientLeft())

    def failed(self, error: ProxyError) -> None:
        """It ended short, and the client was told so by breaking the connection."""
        log.info("broke off %s: %s", without_query(outcome_of(self.facts).key), error)
        self.facts.note(AnswerBroken())

    def close(self) -> None:
        self.body.close()
        report_ended(self.facts, self._report)


def report_ended(facts: Facts, report: Report) -> None:
    """Report a request, which ends now."""
    facts.note(RequestEnded(clock.steady()))
    report(outcome_of(facts))
