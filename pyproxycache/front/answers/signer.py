"""Signs answers: adds Via, Cache-Status, Date and the framing to their heads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from pyproxycache import clock
from pyproxycache.facts import Facts, HeadMade
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.http1.answer_heads import with_content_length
from pyproxycache.messages import Head
from pyproxycache.outcome import Outcome, Result
from pyproxycache.report.folding import outcome_of
from pyproxycache.response import Response
from pyproxycache.serving import responses
from pyproxycache.serving.status_fields import cache_status


class Signed(NamedTuple):
    """A response as it is sent, and the record of its request at that time."""

    response: Response
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs answers with the cache's `name`; `tells_key`: whether they tell of what is behind it."""

    name: str
    tells_key: bool = True

    def signed(self, answered: Answered, facts: Facts) -> Signed:
        """The response as the client gets it; its status and Content-Type are noted as a fact."""
        response = answered.response
        if not self.tells_key:
            response = responses.without_places(response)
        head = answered.present(response.head)
        facts.note(HeadMade(head.status, head.headers.get("content-type") or ""))
        outcome = outcome_of(facts)
        said = cache_status(outcome, self.name, with_key=self.tells_key) if answered.is_of_cache else ""
        error = response.error if isinstance(response, responses.Failure) else None
        headers = responses.signed(head, self.name, said, clock.wall(), error)
        headers = with_content_length(outcome.method, head.status, headers, response.length)
        if _ends_connection(outcome):
            headers = headers.with_line("Connection", "close")
        return Signed(replace(response, head=Head(head.status, head.reason, headers)), outcome)


def _ends_connection(outcome: Outcome) -> bool:
    """Whether the client's next bytes may not be the request that they look like."""
    if outcome.method == "CONNECT":
        return outcome.status >= 300  # they may have been sent for the tunnel, before the answer
    # After an invalid request, it is not certain where the next one begins.
    return outcome.result is Result.REFUSED and outcome.status in (400, 501)
