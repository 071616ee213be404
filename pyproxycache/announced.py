"""What a route has of a request for the event that is made of it, besides the request's record."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from pyproxycache.messages import Headers

REQUEST_ID = "X-Request-Id"
"""The field with the id by which a request is found in logs and events."""


class EventTerms(Struct, frozen=True):
    """What is the same in all events of a route: its name, its routing key, and what they never tell.

    `redact` has names of fields, `redact_query` those of query parameters, all in lower case.
    """

    route: str
    routing_key: str = ""
    redact: frozenset[str] = frozenset()
    redact_query: frozenset[str] = frozenset()


class Announced(Struct, frozen=True):
    """What an event tells of a request that is in no other record, yet with all its secrets.

    `url` is the one that the client asked for. `content` is the beginning of the request's content;
    `is_cut`: there was more of it.
    """

    terms: EventTerms
    url: str
    headers: Headers
    content: bytes = b""
    is_cut: bool = False

    @property
    def request_id(self) -> str:
        """The id that the client has sent, in the last line of that field; "" if there is none."""
        lines = self.headers.lines(REQUEST_ID)
        return lines[-1] if lines else ""

    @property
    def size(self) -> int:
        """About how many bytes it holds."""
        fields = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.url) + len(self.content) + fields

    def again(self, headers: Headers) -> Announced:
        """The same of a request for the same URL with these fields and no content."""
        return replace(self, headers=headers, content=b"", is_cut=False)
