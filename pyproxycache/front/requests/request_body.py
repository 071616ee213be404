"""A request's content as gunicorn reads it, with its errors as BadRequest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from gunicorn.http.errors import ParseException

from pyproxycache.errors import BadRequest
from pyproxycache.front.requests.interim import InterimHeads
from pyproxycache.messages import Headers

_DISCARDABLE = 64 << 10
_STEP = 256 << 10
# Content has no defined meaning in these, and many origins leave it unread and take it for the next request
# (RFC 9110 sections 9.3.1, 9.3.2 and 9.3.8).
_WITHOUT_CONTENT = {"GET", "HEAD", "TRACE"}


class Input(Protocol):
    """The protocol of a request's body; read() raises BadRequest if the body breaks off."""

    def read(self, size: int) -> bytes: ...


def content(method: str, headers: Headers, body: Input) -> Iterator[bytes] | None:
    """The request's content in pieces, None if it has none; raises BadRequest if it must have none.

    Of GET, HEAD and TRACE with chunked content the first piece is read here, as it may be empty.
    """
    is_chunked = "transfer-encoding" in headers
    if not is_chunked and (headers.get("content-length") or "0") == "0":
        return None
    pieces = iter(lambda: body.read(_STEP), b"")
    if method not in _WITHOUT_CONTENT:
        return pieces
    if is_chunked and next(pieces, None) is None:
        return None
    raise BadRequest(
        f"{method} with content is not sent on: what it means is not defined, and an origin that ignores "
        "it takes it for the next request; QUERY and POST have content"
    )


class RequestBody:
    """A request's body, whose reading errors are raised as BadRequest.

    `left` is how many bytes by Content-Length are still to be read; `is_untouched`: none was read. A client
    that waits for 100 Continue (RFC 9110 section 10.1.1) is sent that at the first read.
    """

    def __init__(self, req: Any, interim: InterimHeads) -> None:
        self._body = req.body
        self.is_untouched = True
        self._interim = interim
        self.left = next((int(value) for name, value in req.headers if name == "CONTENT-LENGTH"), 0)
        is_coded = self._is_coded = any(name == "TRANSFER-ENCODING" for name, _value in req.headers)
        self._is_held_back = req._expected_100_continue and (is_coded or self.left > 0)

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; b"" at the end. Raises BadRequest if the body is broken or invalid."""
        self.is_untouched = False
        if self._is_held_back:
            self._is_held_back = False
            self._interim.proceed()
        try:
            data: bytes = self._body.read(size)
        except (OSError, ParseException) as error:
            raise BadRequest(f"the request's body could not be read: {type(error).__name__}") from error
        self.left -= len(data)
        if not data and self.left > 0:
            raise BadRequest(f"the request's body ended {self.left} bytes before its Content-Length")
        return data

    @property
    def bars_the_way(self) -> bool:
        """Whether the next request cannot be reached: too much of the body is unread, or may never come."""
        return self._is_held_back or (self._is_coded and self.is_untouched) or self.left > _DISCARDABLE
