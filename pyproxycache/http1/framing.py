"""Where an answer's body ends (RFC 9112 section 6.3)."""

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
    """A body being read; `ended` once it is whole. `length` (bytes) is None where its end will tell.

    It `trails` where the connection still has to bring something behind it, which nobody waits for.
    Reading raises EOFError where the connection ends too soon, UpstreamMalformed, TimeoutError, OSError.
    """

    length: int | None = None
    ended = False
    trails = False

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @abstractmethod
    def read(self) -> bytes:
        """The next bytes as soon as there are any; b"" at the end."""

    def at_hand(self, _limit: int) -> bytes | None:
        """All of it, if that is here already and no longer than the limit (bytes); else nothing is read."""
        return None


class Counted(FramedBody):
    """So many bytes."""

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
    """Chunks, each with its size, and then a trailer section, which is dropped (RFC 9112 section 7.1)."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self._left: int | None = None  # of this chunk; None before the first one

    def read(self) -> bytes:
        if not self._left:
            if whole := self._whole_chunks():
                return whole
            self._left = self._next_size()
        if self._left == 0:
            # With the last chunk the body is whole, whatever becomes of the connection.
            self.ended = True
            self.trails = not self._skip_trailers()
            return b""
        data = self._reader.some(self._left)
        if not data:
            raise EOFError("in the middle of a chunk")
        self._left -= len(data)
        return data

    def at_hand(self, limit: int) -> bytes | None:
        if self._left is not None or not self._reader.holds_end(_LAST_CHUNK, limit):
            return None
        body = _dechunked(self._reader.ahead())
        if body is not None:
            self._reader.read_ahead()
            self.ended = True
        return body

    def _whole_chunks(self) -> bytes:
        """The content of the small chunks that are wholly here; b"" where the next one is not."""
        ahead = self._reader.ahead(_AT_ONCE)
        place = 0 if self._left is None else 2
        if place and not ahead.startswith(b"\r\n"):
            return b""
        chunks, place = _chunks(ahead, place)
        if chunks:
            # As if each were read by itself: the end of the last one is looked at with the next.
            self._reader.skip(place - 2)
            self._left = 0
        return b"".join(chunks)

    def _next_size(self) -> int:
        if self._left is not None and self._reader.line(_LONGEST_LINE) != b"\r\n":
            raise UpstreamMalformed("a chunk is longer than its size")
        line = self._reader.line(_LONGEST_LINE)
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise UpstreamMalformed(f"{line[:20]!r} is no chunk size")
        return int(match[1], 16)

    def _skip_trailers(self) -> bool:
        """Drop the trailer section; whether all of it was here, for nobody waits for what nobody gets."""
        left = _TRAILER_LIMIT
        while line := self._reader.line_at_hand(left):
            if line in (b"\r\n", b"\n"):
                return True
            left -= len(line)
        return False


def _dechunked(data: bytes) -> bytes | None:
    """The body that the chunks make, where they are that and nothing else."""
    chunks, place = _chunks(data, 0)
    match = _CHUNK.match(data, place)
    if match is None or int(match[1], 16) or data[match.end() :] != b"\r\n":
        return None
    return b"".join(chunks)


def _chunks(data: bytes, place: int) -> tuple[list[bytes], int]:
    """What the whole chunks from `place` on hold, but for the last one of all, and where they end."""
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
    """All that comes until the connection ends, in TLS with its own closing message (section 9.8)."""

    def read(self) -> bytes:
        data = self._reader.some(_LARGEST_READ)
        self.ended = not data
        return data


def framed(received: ParsedHead, method: str, reader: Reader) -> tuple[Head, FramedBody]:
    """The head with no framing but the one in force, and the body.

    Raises UpstreamMalformed where the framing is ambiguous, contradictory or coded unasked.
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
        # It is in force even where it says nothing that is known (RFC 9112 section 6.3).
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

    Not behind an answer that has no body and speaks of one: who sends it all the same sends it into the
    next answer, and when it comes does not tell the two apart.
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
        return False  # whoever sends both may have been made to (RFC 9112 section 6.1)
    if head.status in (204, 304) and (coded or _content_length(head.headers)):
        return False
    return received.minor > 0 or "keep-alive" in options


def _transfer_codings(received: ParsedHead) -> list[str] | None:
    """["chunked"], or [] where only unknown names stand in the field; None without the field.

    What is coded otherwise would go on under a wrong name, with the coding in it and none announced.
    ["identity"] is what old origins write where there is no coding (RFC 2616 section 3.6): beside it the
    length counts, without which a connection that is kept open would have no end of the body.
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
    """The value, which may be repeated but not differ."""
    lines = headers.lines("content-length")
    if not lines:
        return None
    values = {value.strip(" \t") for line in lines for value in line.split(",")}
    value = values.pop()
    if values or not _LENGTH.fullmatch(value):
        raise UpstreamMalformed("its Content-Length is invalid or contradicts itself")
    return int(value)
