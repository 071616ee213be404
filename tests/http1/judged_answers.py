"""Answers of origins, as our reader reads them and as h11 does, and where the two may differ."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import h11
from splits import cpu_within

from pyproxycache.errors import UpstreamMalformed
from pyproxycache.http1.response_bodies import FramedBody, head_and_body
from pyproxycache.http1.response_heads import Heads
from pyproxycache.messages import Head
from pyproxycache.net.reader import Reader

MOST_READS = 100_000


@dataclass(frozen=True)
class Read:
    """What was read: the heads as (status, fields), the body, and in which way it went wrong ("" if not).

    Of a body that went wrong `body` is what came before.
    """

    interim: tuple[tuple[int, tuple[tuple[str, str], ...]], ...] = ()
    head: tuple[int, tuple[tuple[str, str], ...]] | None = None
    body: bytes = b""
    wrong: str = ""


@dataclass(frozen=True)
class Hooks:
    """What real use sets on a reader: a call before waits, a time limit, and looks at what is there."""

    before_wait: bool = False
    deadline: bool = False
    at_hand: int = 0
    looks: bool = False


def read(sock: object, method: str, hooks: Hooks) -> Read:
    """Read one answer; raises AssertionError where that does not end."""
    reader = Reader(sock, 5.0)  # type: ignore[arg-type]
    interim: list[Head] = []
    head, body, wrong = None, b"", ""
    if hooks.looks:
        reader.is_ready()
        reader.holds(20)
    if hooks.before_wait:
        reader.before_wait = lambda: None
    try:
        with cpu_within(5.0), reader.within(20.0 if hooks.deadline else 1e6):
            received = Heads(reader, 5.0, interim.append, may_switch=method == "UPGRADE").final()
            switches = received.head.status == 101
            its, framing = (received.head, None) if switches else head_and_body(received, method, reader)
            head = (its.status, its.headers.fields)
            body = _rest(reader) if framing is None else _body(framing, hooks)
    except _Short as short:
        body, wrong = short.args[0], "broken off"
    except (UpstreamMalformed, EOFError, OSError) as error:
        wrong = "malformed" if isinstance(error, UpstreamMalformed) else "incomplete"
    return Read(tuple((one.status, one.headers.fields) for one in interim), head, body, wrong)


class _Short(Exception):
    """A body that went wrong, with what came of it."""


def _body(body: FramedBody, hooks: Hooks) -> bytes:
    whole = body.at_hand(hooks.at_hand) if hooks.at_hand else None
    if whole is not None:
        return whole
    pieces: list[bytes] = []
    try:
        for _ in range(MOST_READS):
            if body.ended or not (data := body.read()):
                return b"".join(pieces)
            pieces.append(data)
    except (UpstreamMalformed, EOFError, OSError) as error:
        raise _Short(b"".join(pieces)) from error
    raise AssertionError("the body does not end")


def _rest(reader: Reader) -> bytes:
    """What comes in the other protocol."""
    data = reader.take_buffered()
    try:
        while more := reader.some(1 << 16):
            data += more
    except OSError as error:
        raise _Short(data) from error
    return data


def judge(raw: bytes, method: str, *, ends: bool) -> Read:
    """The same by h11."""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    if ends:
        client.receive_data(b"")
    interim, head, body = [], None, b""
    try:
        while True:
            event = client.next_event()
            if isinstance(event, h11.InformationalResponse):
                if event.status_code != 100:
                    interim.append((event.status_code, _fields(event)))
            elif isinstance(event, h11.Response):
                head = (event.status_code, _fields(event))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Read(tuple(interim), head, body)
            else:
                return Read(tuple(interim), head, body, "incomplete")
    except h11.RemoteProtocolError:
        return Read(tuple(interim), head, body, "malformed")


def _fields(event: h11.Response | h11.InformationalResponse) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items()
    )


_FRAMING = {"content-length", "transfer-encoding"}
_STRICT_STATUS = re.compile(rb"HTTP/[0-9]\.[0-9] [0-9]{3}(?: [\t -~\x80-\xff]*)?\r?")
_LENIENT_STATUS = re.compile(rb"(?m)^HTTP/1\.[0-9][ \t]+[1-9][0-9]{2}(?=[ \t\r\n])[^\n]*")
_OLD_AND_CODED = rb"^HTTP/1\.0[^\n]*\n([^\n]+\n)*transfer-encoding"
_CODED = rb"^transfer-encoding[ \t]*:"

Explains = Callable[[bytes, Read, Read], bool]
"""Whether a difference is this one: the input, what we read, what h11 read."""


def _matches(pattern: bytes) -> Explains:
    compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE | re.DOTALL)
    return lambda raw, _ours, _theirs: compiled.search(raw) is not None


def _are_trailers(_raw: bytes, ours: Read, theirs: Read) -> bool:
    return _compared(ours) == _compared(theirs)


def _are_folds(_raw: bytes, ours: Read, theirs: Read) -> bool:
    """The same but for the number of blanks in a field."""
    return _compared(ours, " ") == _compared(theirs, " ")


def _status_line_is_lenient(raw: bytes, _ours: Read, _theirs: Read) -> bool:
    return any(_STRICT_STATUS.fullmatch(line) is None for line in _LENIENT_STATUS.findall(raw))


_CONTROLS = _matches(rb"[\x01-\x08\x0b-\x1f\x7f][^\n]")

WE_READ: tuple[tuple[str, str, Explains], ...] = (
    ("words of the status line apart by blanks, any reason", "RFC 9112 section 4", _status_line_is_lenient),
    ("blanks before a colon are taken away", "RFC 9112 section 5.1", _matches(rb"^[^\s:]+[ \t]+:")),
    ("blanks before a chunk's extension", "RFC 9112 section 7.1.1", _matches(rb"^[0-9a-f]+[ \t]+;")),
    ("a character in a field that is for control and a blank to h11", "RFC 9110 section 5.5", _CONTROLS),
    ("trailers are dropped, whatever they say", "RFC 9112 section 7.1.2", _are_trailers),
    (
        "a body in codings of no name ends with the connection",
        "RFC 9112 section 6.3",
        _matches(_CODED),
    ),
)
"""What we read and h11 refuses."""

WE_REFUSE: tuple[tuple[str, str, Explains], ...] = (
    (
        "a coding in HTTP/1.0",
        "RFC 9112 section 6.1",
        _matches(_OLD_AND_CODED),
    ),
    ("another HTTP", "RFC 9112 section 2.3", _matches(rb"^HTTP/[02-9]")),
    (
        "a carriage return alone in the line of a chunk",
        "RFC 9112 section 2.2",
        _matches(rb"^[0-9a-f]+[ \t]*;[^\n]*\r[^\n]"),
    ),
)
"""What we refuse and h11 reads."""

BOTH_READ: tuple[tuple[str, str, Explains], ...] = (
    ("a blank for a control character in a field", "RFC 9110 section 5.5", _CONTROLS),
    ("one blank for a folded line", "RFC 9112 section 5.2", _are_folds),
)
"""What both read, and not the same."""


def unexplained(raw: bytes, ours: Read, theirs: Read) -> bool:
    """Whether the two differ, and no row says why."""
    if ours.wrong and theirs.wrong:
        return False
    if bool(ours.wrong) == bool(theirs.wrong):
        same = _compared(ours) == _compared(theirs)
        rows = BOTH_READ
    else:
        same = False
        rows = WE_REFUSE if ours.wrong else WE_READ
    return not same and not any(explains(raw, ours, theirs) for _what, _section, explains in rows)


def _compared(read: Read, blanks: str | None = None) -> object:
    """All but the fields of framing, of which each keeps what is in force.

    `blanks` stands for any number of them.
    """
    heads = []
    for status, fields in (*read.interim, *((read.head,) if read.head else ())):
        kept = [(name, value) for name, value in fields if name.lower() not in _FRAMING]
        if blanks is not None:
            kept = [(name, re.sub(r"[ \t]+", blanks, value)) for name, value in kept]
        heads.append((status, kept))
    return heads, read.body
