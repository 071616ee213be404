"""A refusal that memory may give again: its bytes, and whom it refuses."""

from __future__ import annotations

from msgspec.structs import replace

from pyproxycache.body import Body, BytesBody
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.outcome import Outcome
from pyproxycache.response import RefusalTerms

_LASTS = 1.0
_OVERHEAD = 1500


class Refusal:
    """An answer that has refused a request with some head, and may refuse others with the same one.

    It is given for a second from `since` on, so that its Date is right, where refuses() says so.
    `data` is what is sent, `length` its size in bytes, `head_size` that of its head. `closes`: the
    connection ends with it. `hits` counts answers that are not reported yet. `announced` is what an event
    of the first request told; None if there are no events. `size` is about how many bytes of memory it
    takes, and `line` is kept here for Memory.
    """

    entry_id = 0
    """No entry was served."""
    user = ""
    file, is_in_memory = None, True
    """All of it is in `data`."""

    __slots__ = (
        *("_body", "_outcome", "_terms", "announced", "closes", "data", "framing"),
        *("head_size", "hits", "length", "line", "renew_at", "since", "size", "until"),
    )

    def __init__(
        self,
        terms: RefusalTerms,
        outcome: Outcome,
        head: bytes,
        framing: Framing,
        body: bytes,
        now: float,
        *,
        closes: bool,
    ) -> None:
        self._terms = terms
        self._outcome = replace(outcome, head_bytes=len(head), bytes_sent=len(body))
        self._body = body
        self.head_size = len(head)
        self.announced = outcome.announced
        self.closes = closes
        self.data = head + body
        self.framing = framing
        self.hits = 0
        self.length = len(self.data)
        self.line = ""
        self.since = now
        self.renew_at = self.until = now + _LASTS
        self.size = _OVERHEAD + 2 * self.length
        if outcome.announced is not None:
            self.size += outcome.announced.size

    def refuses(self, client: str) -> bool:
        """Whether this client's request with the same head gets the same answer, which is noted then."""
        terms = self._terms
        is_same = terms.decide(client) == terms.said
        if is_same:
            terms.note()
        return is_same

    def outcome(self) -> Outcome:
        """The record of a request that gets the answer."""
        return self._outcome

    def body(self) -> Body:
        """The body."""
        return BytesBody(self._body)
