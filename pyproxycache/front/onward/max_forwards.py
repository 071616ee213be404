"""Max-Forwards: how often a TRACE or OPTIONS request may still be forwarded (RFC 9110 section 7.6.2)."""

from __future__ import annotations

from pyproxycache.body import BytesBody
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Head, Headers, Request
from pyproxycache.response import Response
from pyproxycache.rules.grammar import delta_seconds

# Fields that the answer to a TRACE must not repeat (RFC 9110 section 9.3.8).
_SECRETS = ("Authorization", "Cookie", "Proxy-Authorization")


def counted_down(request: Request, received: RawRequest) -> Request | Response:
    """The request with Max-Forwards counted down, or the cache's own answer if that is 0 already.

    `received` is the request as the client sent it: what is added to it on the way is not for the client.
    """
    text = request.headers.get("max-forwards")
    left = delta_seconds(text) if text is not None else None
    if request.method not in ("TRACE", "OPTIONS") or left is None:
        return request
    if left > 0:
        return request.with_headers(request.headers.with_field("Max-Forwards", str(left - 1)))
    if request.method == "OPTIONS":
        return Response(Head(200, "OK", Headers((("Content-Length", "0"),))))
    body = _reflected(received)
    fields = (("Content-Type", "message/http"), ("Content-Length", str(len(body))))
    return Response(Head(200, "OK", Headers(fields)), BytesBody(body), len(body))


def _reflected(received: RawRequest) -> bytes:
    """The head of the request as it came in, without its secrets."""
    major, minor = received.version
    lines = [f"{received.method} {received.target} HTTP/{major}.{minor}"]
    lines += [f"{name}: {value}" for name, value in received.headers.without(*_SECRETS)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
