"""What a route answers while its upstream is maintained."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.body import BytesBody
from pyproxycache.messages import Head, Headers
from pyproxycache.response import Response


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The answer to all requests meanwhile; Retry-After has `retry_after` seconds, unless that is None."""

    status: int
    content: bytes
    content_type: str
    retry_after: int | None

    def answer(self, method: str) -> Response:
        """The answer to a request with this method."""
        fields = [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.content))),
            ("Cache-Control", "no-store"),
            *([("Retry-After", str(self.retry_after))] if self.retry_after is not None else ()),
        ]
        body = BytesBody(b"" if method == "HEAD" else self.content)
        return Response(Head(self.status, "", Headers(fields)), body, len(self.content))
