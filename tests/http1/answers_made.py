"""Answers of origins, valid and nearly valid, as hypothesis makes them."""

from __future__ import annotations

from hypothesis import strategies as st
from messages_made import DATA, chunked, damaged

STATUS_LINES = [
    *[b"HTTP/1.1 200 OK"] * 6,
    *(b"HTTP/1.0 200 OK", b"HTTP/1.1 206 Partial Content", b"HTTP/1.1 404 Not  Found", b"HTTP/1.1 200"),
    *(b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 200 ", b"HTTP/1.2 200 \xe9"),
]
FIELDS = [
    *(b"X: y", b"x:  y \t", b"Server: a/1 (b)", b"Empty:", b"Latin: \xe9\xff", b"Tab: a\tb"),
    *(b"Odd~name!: 1", b"Connection: close", b"Connection: keep-alive"),
    *(b"Folded: a\r\n b", b"Folded: a \r\n\t\tb\r\n c"),
]
_fields = st.lists(st.sampled_from(FIELDS), max_size=5)


@st.composite
def counted(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """The same with a length, which is right most of the time."""
    body = draw(DATA)
    length = len(body) + draw(st.sampled_from([*[0] * 8, -1, 1, 100]))
    texts = [b"Content-Length: %d", b"content-length:%d", b"Content-Length: 0%d", b"Content-Length: %d \t"]
    line = draw(st.sampled_from(texts)) % max(0, length)
    return [line] * draw(st.sampled_from([1, 1, 1, 2])), body


def _until_close() -> st.SearchStrategy[tuple[list[bytes], bytes]]:
    return st.tuples(st.just([]), DATA)


@st.composite
def valid(draw: st.DrawFn) -> bytes:
    """A whole answer; interim ones may come before it, and something behind it."""
    heads = b""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        lines = [b"HTTP/1.1 103 Early Hints", *draw(_fields)]
        heads += b"\r\n".join(lines) + b"\r\n\r\n"
    framing, body = draw(chunked(FIELDS) | counted() | _until_close())
    fields = draw(_fields)
    place = draw(st.integers(0, len(fields)))
    lines = [draw(st.sampled_from(STATUS_LINES)), *fields[:place], *framing, *fields[place:]]
    return heads + b"\r\n".join(lines) + b"\r\n\r\n" + body


ANSWERS = valid() | damaged(valid())
