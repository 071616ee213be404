"""What h11 reads of a client's requests, and where we may differ from it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import h11
from split_front import Asked, Seen


def judge(raw: bytes) -> tuple[Asked, ...]:
    """The requests that come whole; an empty line before one is passed over (RFC 9112 section 2.2)."""
    found: list[Asked] = []
    rest: bytes | None = raw
    while rest is not None:
        server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        server.receive_data(rest.removeprefix(b"\r\n"))
        server.receive_data(b"")
        asked, rest = _first(server)
        if asked is not None:
            found.append(asked)
    return tuple(found)


def _first(server: h11.Connection) -> tuple[Asked | None, bytes | None]:
    """The next request, where it comes whole, and what comes behind it, where that can be another one."""
    request, body = None, b""
    with contextlib.suppress(h11.RemoteProtocolError):
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                server.send(h11.EndOfMessage())
                goes_on = server.our_state is h11.DONE and server.their_state is h11.DONE
                return _asked(request, bytes(body)), bytes(server.trailing_data[0]) if goes_on else None
            else:
                break
    return None, None


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

_OLD_AND_KEPT = rb"HTTP/1\.0\r\n(?:[^\r\n]+\r\n)*Connection:[^\n]*keep-alive"

WE_READ: tuple[tuple[str, str, Explains], ...] = (
    ("blanks before a chunk's extension", "RFC 9112 section 7.1.1", _matches(rb"^[0-9a-f]+[ \t]+;", None)),
    ("behind one in HTTP/1.0 that keeps alive", "RFC 9112 appendix C.2.2", _matches(_OLD_AND_KEPT, None)),
)
"""What we read and h11 refuses."""

WE_REFUSE: tuple[tuple[str, str, Explains], ...] = (
    ("content of GET and HEAD", "RFC 9110 section 9.3.1", _matches(_CONTENT_OF_GET)),
    ("a line feed alone", "RFC 9112 section 2.2", _matches(rb"(?<!\r)\n")),
    ("a field's line that goes on in the next", "RFC 9112 section 5.2", _matches(rb"\n[ \t]")),
    (
        "a chunk's extension without a name",
        "RFC 9112 section 7.1.1",
        _matches(rb"^[0-9a-f]+[ \t]*;[ \t]*\r?\n"),
    ),
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
