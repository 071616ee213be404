"""What h11 reads of a client's requests, and where we may differ from it."""

from __future__ import annotations

import re
from collections.abc import Callable

import h11
from split_front import Asked, Seen


def judge(raw: bytes) -> tuple[Asked, ...]:
    """The requests that come whole."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(raw)
    server.receive_data(b"")
    found: list[Asked] = []
    request, body = None, b""
    try:
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None, "it has an end"
                found.append(_asked(request, bytes(body)))
                server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                server.send(h11.EndOfMessage())
                if server.our_state is not h11.DONE or server.their_state is not h11.DONE:
                    return tuple(found)
                server.start_next_cycle()
            else:
                return tuple(found)
    except h11.RemoteProtocolError:
        return tuple(found)


def _asked(request: h11.Request, body: bytes) -> Asked:
    fields = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in request.headers)
    return Asked(request.method.decode(), request.target.decode("latin-1"), fields, body)


Explains = Callable[[bytes, tuple[int, ...]], bool]
"""Whether a difference is this one: what was sent, and the statuses that we gave."""


def _matches(pattern: bytes, status: int | None = 400) -> Explains:
    compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    return lambda raw, given: (status is None or status in given) and compiled.search(raw) is not None


_CONTENT_OF_GET = (
    rb"^(?:GET|HEAD) [^\n]*\n(?:[^\r\n]+\r\n)*(?:Content-Length:[ \t]*0*[1-9]|Transfer-Encoding:)"
)

WE_READ: tuple[tuple[str, str, Explains], ...] = (
    ("an empty line before the request", "RFC 9112 section 2.2", _matches(rb"^\r\n[A-Z]+ ", None)),
    ("blanks before a chunk's extension", "RFC 9112 section 7.1.1", _matches(rb"^[0-9a-f]+[ \t]+;", None)),
)
"""What we read and h11 refuses."""

WE_REFUSE: tuple[tuple[str, str, Explains], ...] = (
    ("content of GET and HEAD", "RFC 9110 section 9.3.1", _matches(_CONTENT_OF_GET)),
    ("another expectation", "RFC 9110 section 10.1.1", _matches(rb"^Expect:", 417)),
    (
        "a path that is none of the ways in",
        "RFC 9112 section 3.2",
        _matches(rb"^[^ \n]+ (?!http://)", None),
    ),
)
"""What we refuse, with all that comes behind it, and h11 reads."""


def unexplained(raw: bytes, ours: Seen, theirs: tuple[Asked, ...]) -> bool:
    """Whether the two differ, and no row says why."""
    us = [_compared(one) for one in ours.requests]
    them = [_compared(one) for one in theirs if one.target.startswith("http://")]
    if us == them:
        return False
    if us == them[: len(us)]:
        rows = WE_REFUSE
    elif them == us[: len(them)]:
        rows = WE_READ
    else:
        return True
    return not any(explains(raw, ours.statuses) for _what, _section, explains in rows)


def _compared(one: Asked) -> object:
    """All but the letters of the coding; how the target's host is written is ours to say."""
    fields = [(name, value.lower() if name == "transfer-encoding" else value) for name, value in one.fields]
    return one.method, fields, one.body
