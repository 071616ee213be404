"""Reads the bodies of origins' answers, up to their ends (RFC 9112 section 6.3)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from pyproxycache.errors import UpstreamMalformed
from pyproxycache.http1.response_heads import ParsedHead
from pyproxycache.messages import Head, Headers
from pyproxycache.net.reader import Reader

_LARGEST_READ = 1 << 30
_AT_ONCE = 16 << 10
_LONGEST_LINE = 16 << 10
_TRAILER_LIMIT = 64 << 10
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_CODINGS = {"chunked", "compress", "x-compress", "deflate", "gzip", "x-gzip"}
_NO_CODING = "identity"
_UNASKED = "it comes in a Transfer-Encoding that was not asked for"
_LAST_CHUNK = b"0\r\n\r\n"
_LENGTH = re.compile(r"[0-9]{1,18}")


class FramedBody(ABC):
    """A body being read; `ended` is true once all of it was read.

    `length` is in bytes, None if it is not known before the end. `awaits_trailers`: the body is whole, but
    its trailer section has not arrived, which nobody waits for. Reading raises EOFError if the connection
    ends too early, UpstreamMalformed, TimeoutError or OSError.
    """

    length: int | None = None
    ended = False
    awaits_trailers = False

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @abstractmethod
    def read(self) -> bytes:
        """The next bytes as soon as there are any; b"" at the end."""

    def at_hand(self, _limit: int) -> bytes | None:
        """The whole body if it has arrived and has at most `limit` bytes; else None, with nothing read."""
        return None


class Counted(FramedBody):
    """A body of known length, by Content-Length."""

    def __init__(self, reader: Reader, length: int) -> None:
        super().__init__(reader)
        self.length = self._left = length
        self.ended = length == 0

    def read(self) -> bytes:
        data = self._reader.some(self._left) if self._left else b""
        if self._left and not data:
            raise EOFError(f"{self._left} bytes before the end")
        self._left -= len(data)
        self.ended = self._left == 0
        return data

    def at_hand(self, limit: int) -> bytes | None:
        return self.read() if self._left <= limit and self._reader.holds(self._left) else None


class Chunked(FramedBody):
    """A body in chunks; its trailer section is dropped (RFC 9112 section 7.1)."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self._left: int | None = None  # bytes left of this chunk; None before the first one

    def read(self) -> bytes:
        if not self._left:
            if whole := self._whole_chunks():
                return whole
            self._left = self._next_size()
        if self._left == 0:
            # The body is whole with its last chunk, even if the connection breaks now.
            self.ended = True
            self.awaits_trailers = not self._skip_trailers()
            return b""
        data = self._reader.some(self._left)
        if not data:
            raise EOFError("in the middle of a chunk")
        self._left -= len(data)
        return data

    def at_hand(self, limit: int) -> bytes | None:
        if self._left is not None or not self._reader.holds_end(_LAST_CHUNK, limit):
            return None
        body = _dechunked(self._reader.buffered())
        if body is not None:
            self._reader.take_buffered()
            self.ended = True
        return body

    def _whole_chunks(self) -> bytes:
        """The content of the chunks that are wholly in the buffer; b"" if the next one is not."""
        buffered = self._reader.buffered(_AT_ONCE)
        place = 0 if self._left is None else 2
        if place and not buffered.startswith(b"\r\n"):
            return b""
        chunks, place = _chunks(buffered, place)
        if chunks:
            # The CRLF behind the last one stays, as after a chunk that was read alone.
            self._reader.skip(place - 2)
            self._left = 0
        return b"".join(chunks)

    def _next_size(self) -> int:
        """Read the next chunk's size line, after the end of the chunk before it."""
        if self._left is not None and self._reader.line(_LONGEST_LINE) != b"\r\n":
            raise UpstreamMalformed("a chunk is longer than its size")
        line = self._reader.line(_LONGEST_LINE)
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise UpstreamMalformed(f"{line[:20]!r} is no chunk size")
        return int(match[1], 16)

    def _skip_trailers(self) -> bool:
        """Drop the trailer section as far as it has arrived; returns whether that is all of it."""
        left = _TRAILER_LIMIT
        while line := self._reader.line_at_hand(left):
            if line in (b"\r\n", b"\n"):
                return True
            left -= len(line)
        return False


def _dechunked(data: bytes) -> bytes | None:
    """The content of a complete chunked body with an empty trailer section; None for any other data."""
    chunks, place = _chunks(data, 0)
    match = _CHUNK.match(data, place)
    if match is None or int(match[1], 16) or data[match.end() :] != b"\r\n":
        return None
    return b"".join(chunks)


def _chunks(data: bytes, place: int) -> tuple[list[bytes], int]:
    """The contents of the whole chunks from `place` on, without the last (empty) chunk, and their end."""
    chunks: list[bytes] = []
    while (match := _CHUNK.match(data, place)) is not None:
        start, size = match.end(), int(match[1], 16)
        end = start + size
        if size == 0 or data[end : end + 2] != b"\r\n":
            break
        chunks.append(data[start:end])
        place = end + 2
    return chunks, place


class UntilClose(FramedBody):
    """A body that ends with the connection; with TLS, by its closing message (RFC 9112 section 9.8)."""

    def read(self) -> bytes:
        data = self._reader.some(_LARGEST_READ)
        self.ended = not data
        return data


def head_and_body(received: ParsedHead, method: str, reader: Reader) -> tuple[Head, FramedBody]:
    """The head with only those framing fields that count, and the body to read.

    Raises UpstreamMalformed if the framing is ambiguous or contradictory, or has a coding not asked for.
    """
    head = received.head
    codings = _transfer_codings(received)
    headers, length = head.headers, None
    if codings == [_NO_CODING]:
        headers, codings = headers.without("Transfer-Encoding"), None
    if codings is None:
        length = _content_length(headers)
        headers = headers if length is None else headers.with_field("Content-Length", str(length))
    else:
        # Transfer-Encoding overrides Content-Length even with unknown codings (RFC 9112 section 6.3).
        headers = headers.without("Content-Length", *(() if codings else ("Transfer-Encoding",)))
    body: FramedBody
    if method == "HEAD" or head.status in (204, 304):
        body = Counted(reader, 0)
    elif codings:
        body = Chunked(reader)
    else:
        body = UntilClose(reader) if length is None else Counted(reader, length)
    return head if headers is head.headers else Head(head.status, head.reason, headers), body


def may_persist(received: ParsedHead, method: str, body: FramedBody) -> bool:
    """Whether the connection can carry another request after the body (RFC 9112 section 9.3).

    False after an answer without a body whose head announces one: if the origin sends it all the same, it
    would be read as the next answer.
    """
    if method == "HEAD":
        return False
    head = received.head
    coded = "transfer-encoding" in head.headers
    said = head.headers.get("connection")
    options = {option.strip().lower() for option in said.split(",")} if said else ()
    if isinstance(body, UntilClose) or "close" in options:
        return False
    if coded and (not received.minor or "content-length" in head.headers):
        return False  # both fields may mean response splitting (RFC 9112 section 6.1)
    if head.status in (204, 304) and (coded or _content_length(head.headers)):
        return False
    return received.minor > 0 or "keep-alive" in options


def _transfer_codings(received: ParsedHead) -> list[str] | None:
    """The transfer codings: ["chunked"], [] if the field names only unknown ones, None without the field.

    Raises UpstreamMalformed for other codings, which would have to be decoded. ["identity"] is what old
    origins send for no coding (RFC 2616 section 3.6): then Content-Length counts.
    """
    text = received.head.headers.get("transfer-encoding")
    if text is None:
        return None
    codings = [item.partition(";")[0].strip(" \t").lower() for item in text.split(",")]
    if set(codings) == {_NO_CODING}:
        return [_NO_CODING]
    known = [coding for coding in codings if coding in _CODINGS]
    if not received.minor or (known and text.lower() != "chunked"):
        raise UpstreamMalformed(_UNASKED, "http_response_transfer_coding")
    return known


def _content_length(headers: Headers) -> int | None:
    """Content-Length in bytes, None if absent; raises UpstreamMalformed if invalid or contradictory."""
    lines = headers.lines("content-length")
    if not lines:
        return None
    values = {value.strip(" \t") for line in lines for value in line.split(",")}
    value = values.pop()
    if values or not _LENGTH.fullmatch(value):
        raise UpstreamMalformed("its Content-Length is invalid or contradicts itself")
    return int(value)
