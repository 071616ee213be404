"""How much content a route's requests may have."""

from __future__ import annotations

from pyproxycache.errors import ContentTooLarge
from pyproxycache.front.requests.request_body import Input
from pyproxycache.messages import Headers


class LimitedInput:
    """A request's content, which ends by ContentTooLarge once it has more than `most` bytes."""

    def __init__(self, source: Input, most: int) -> None:
        self._source = source
        self._most = most
        self._left = most

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end. Raises ContentTooLarge, and BadRequest as the source does."""
        data = self._source.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._most)
        return data


def exceeds(headers: Headers, most: int) -> bool:
    """Whether the content is longer by its Content-Length."""
    length = headers.get("content-length") or ""
    return length.isdecimal() and int(length[:20]) > most


def too_large(most: int) -> ContentTooLarge:
    """The error for content of more than `most` bytes."""
    return ContentTooLarge(f"this route takes up to {most} bytes of content")
