"""Requests of clients, valid and nearly valid, as hypothesis makes them; several on a connection."""

from __future__ import annotations

from hypothesis import strategies as st
from messages_made import DATA, chunked, damaged

LINES = [
    *[b"GET http://h/a HTTP/1.1", b"POST http://h/b?c=d HTTP/1.1"] * 4,
    *(
        b"HEAD http://h/ HTTP/1.1",
        b"PUT http://h HTTP/1.1",
        b"GET http://h/a HTTP/1.0",
        b"OPTIONS * HTTP/1.1",
    ),
    *(b"QUERY http://h/q HTTP/1.1", b"get http://h/ HTTP/1.1", b"GET /a HTTP/1.1"),
]
FIELDS = [
    *(b"X: y", b"x:  y \t", b"User-Agent: a/1 (b)", b"Empty:", b"Latin: \xe9\xff", b"Tab: a\tb"),
    *(b"Odd~name!: 1", b"Connection: close", b"Connection: keep-alive", b"Expect: 100-continue"),
    *(b"TE: trailers", b"Cookie: a=b", b"X_y: 1", b"Upgrade: h2c"),
]
_NAMES = [*[b"Host: h"] * 8, b"host:h:80", b"Host: [::1]"]


@st.composite
def counted(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """A length and so many bytes, most of the time."""
    body = draw(DATA)
    length = len(body) + draw(st.sampled_from([*[0] * 12, 1]))
    return [draw(st.sampled_from([b"Content-Length: %d", b"content-length:%d \t"])) % length], body


@st.composite
def one(draw: st.DrawFn) -> bytes:
    """One request."""
    framing, body = draw(st.just(([], b"")) | counted() | chunked(FIELDS[:6]))
    fields = [
        draw(st.sampled_from(_NAMES)),
        *draw(st.lists(st.sampled_from(FIELDS), max_size=4, unique=True)),
    ]
    place = draw(st.integers(0, len(fields)))
    before = draw(st.sampled_from([b"", b"", b"", b"\r\n"]))
    lines = [before + draw(st.sampled_from(LINES)), *fields[:place], *framing, *fields[place:]]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


_several = st.lists(one(), min_size=1, max_size=3).map(b"".join)
REQUESTS = _several | damaged(_several)
