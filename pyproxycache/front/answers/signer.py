"""What this cache adds to the head of each answer: Via, Cache-Status, Date and the framing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.http1.answer_heads import framed
from pyproxycache.messages import Response
from pyproxycache.outcome import Outcome, Result
from pyproxycache.serving import answer
from pyproxycache.serving.status_fields import cache_status


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs answers with the cache's `name`; `tells_key`: whether Cache-Status has the cache key."""

    name: str
    tells_key: bool = True

    def signed(self, answered: Answered, outcome: Outcome) -> Response:
        """The response as the client gets it; notes status and content type in the outcome."""
        response = replace(answered.response, head=answered.present(answered.response.head))
        outcome.status = response.head.status
        said = cache_status(outcome, self.name, with_key=self.tells_key) if answered.is_of_cache else ""
        response = answer.signed(response, self.name, said, clock.wall())
        outcome.content_type = response.head.headers.get("content-type") or ""
        headers = framed(outcome.method, response)
        if outcome.result is Result.REFUSED and outcome.status in (400, 501):
            # What was misunderstood once can be so again: the next request comes on another connection.
            headers = headers.with_line("Connection", "close")
        return replace(response, head=replace(response.head, headers=headers))
