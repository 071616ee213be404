"""Answers that a client takes little by little are whole, and h11 reads of them what was to be said."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from tempfile import NamedTemporaryFile
from typing import Any

import h11
from hypothesis import strategies as st
from made_bodies import Waited
from split_streams import ScriptedStream, layered_stream, plain_stream
from splits import Property, cpu_within

from pyproxycache.body import Body, BytesBody, FileSlice
from pyproxycache.front.loop.answer_writer import AnswerWriter, SendStatus
from pyproxycache.front.loop.relay import Flow
from pyproxycache.http1.answer_heads import framing_of, head_bytes, with_content_length
from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.net.stream import Stream
from pyproxycache.response import Response
from pyproxycache.serving import responses
from pyproxycache.url import Url

NOW = 1000.0
TURNS = 100_000
BODY = random.Random(1).randbytes(3000)


@contextmanager
def client(pieces: list[bytes], chance: random.Random) -> Iterator[tuple[Stream, Callable[[], bytes]]]:
    """The stream of a client that takes little, of a kind drawn by lot, and what that client has got."""
    kind = chance.choice(("scripted", "plain", "tls"))
    if kind == "scripted":
        scripted = ScriptedStream(pieces, chance)
        yield scripted, lambda: scripted.sent
        return
    made = (
        plain_stream(pieces, chance)
        if kind == "plain"
        else layered_stream(b"".join(pieces), chance.randrange(1000), chance)
    )
    with made as (stream, feed):
        yield stream, feed.sent


def sent(method: str, version: tuple[int, int], response: Response, chance: random.Random) -> bytes:
    """What a client gets of it."""
    status, reason = response.head.status, response.head.reason
    head = Head(status, reason, with_content_length(method, status, response.head.headers, response.length))
    framing = framing_of(method, version, head)
    data = head_bytes(head, framing, closes=True)
    with client([], chance) as (stream, got):
        sending = AnswerWriter(stream, data, framing, response.body, lambda: None)
        with cpu_within(10.0):
            for _ in range(TURNS):
                send_status = sending.advance(waits=True)
                if send_status is SendStatus.DONE:
                    return got()
                assert send_status in (SendStatus.FULL, SendStatus.TURN)
                got()
        raise AssertionError("it does not end")


def judged(method: str, raw: bytes) -> tuple[int, Headers, bytes]:
    """Status, fields and body as h11 reads them; it has to read all of it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    client.receive_data(b"")
    head, body = client.next_event(), b""
    assert isinstance(head, h11.Response)
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    fields = Headers((n.decode(), v.decode("latin-1")) for n, v in head.headers)
    return head.status_code, fields, body


def check_pieces(
    pieces: list[bytes], known: bool, method: str, status: int, version: tuple[int, int], seed: int
) -> None:
    """A body in any pieces, with a length or without."""
    length = sum(map(len, pieces)) if known else None
    response = Response(Head(status, "", Headers([("X", "y")])), Waited(pieces), length)
    raw = sent(method, version, response, random.Random(seed))
    has_body = method != "HEAD" and status not in (204, 304)
    assert judged(method, raw)[::2] == (status, b"".join(pieces) if has_body else b"")


def check_ranges(size: int, spans: list[tuple[int, int]], seed: int) -> None:
    """Ranges of a body: each is what it is in the body, one alone or several in parts."""
    body = BODY[:size]
    text = ",".join(f"{first}-{first + count}" for first, count in spans)
    request = Request("GET", Url("http", "h", 80, "/"), Headers([("Range", f"bytes={text}")]))
    fields = Headers([("Content-Type", "text/x"), ("ETag", '"a"')])
    entry = Entry("http://h/", Head(200, "OK", fields), NOW, NOW, size=size)

    def open_body(start: int, stop: int | None) -> Body:
        return BytesBody(body[start:stop])

    response = responses.from_entry(request, entry, size, NOW, open_body)
    status, headers, got = judged("GET", sent("GET", (1, 1), response, random.Random(seed)))
    content_type = headers.get("content-type") or ""
    if status == 206 and content_type.startswith("multipart/byteranges"):
        whole = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + got)
        parts: list[tuple[str | None, Any]] = [
            (part["Content-Range"], part.get_payload(decode=True)) for part in whole.get_payload()
        ]
        assert len(parts) > 1
    else:
        parts = [(headers.get("content-range"), got)] if status == 206 else []
        assert status != 200 or got == body
    for said, content in parts:
        first, last = (said or "").removeprefix("bytes ").partition("/")[0].split("-")
        assert content == body[int(first) : int(last) + 1]


def check_file(spans: list[tuple[int, int]], known: bool, seed: int) -> None:
    """A body out of a file, in any slices."""
    with NamedTemporaryFile() as file:
        file.write(BODY)
        file.flush()
        slices = [FileSlice(file.fileno(), first, count) for first, count in spans]
        whole = b"".join(BODY[first : first + count] for first, count in spans)
        response = Response(Head(200), Waited(slices), len(whole) if known else None)
        assert judged("GET", sent("GET", (1, 1), response, random.Random(seed)))[2] == whole


def check_flow(pieces: list[bytes], early: bytes, seed: int) -> None:
    """What goes through a tunnel."""
    chance = random.Random(seed)
    with client(pieces, chance) as (source, _), client([], chance) as (sink, got):
        flow = Flow(source, sink, early)
        with cpu_within(5.0):
            for _ in range(TURNS):
                flow.move()
                if flow.over:
                    break
        assert got() == early + b"".join(pieces)
        assert flow.passed == len(early) + sum(map(len, pieces))


SEEDS = st.integers(0, 1 << 30)
PIECES = st.lists(st.binary(max_size=200), max_size=5)
METHODS = st.sampled_from(["GET", "GET", "HEAD", "POST"])
STATUSES = st.sampled_from([200, 200, 404, 204, 304])
VERSIONS = st.sampled_from([(1, 1), (1, 0)])
SPANS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 400)), min_size=1, max_size=4)
SLICES = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 1000)), max_size=4)
FULL_PIECES = st.lists(st.binary(min_size=1, max_size=200), max_size=5)
PROPERTIES = (
    Property(check_pieces, (PIECES, st.booleans(), METHODS, STATUSES, VERSIONS, SEEDS)),
    Property(check_ranges, (st.integers(1, 3000), SPANS, SEEDS)),
    Property(check_flow, (FULL_PIECES, st.binary(max_size=50), SEEDS)),
    Property(check_file, (SLICES, st.booleans(), SEEDS)),
)


def test_a_body_arrives_in_any_pieces() -> None:
    PROPERTIES[0].hold(150)


def test_ranges_arrive_as_they_are_in_the_body() -> None:
    PROPERTIES[1].hold(100)


def test_what_goes_through_a_tunnel_arrives() -> None:
    PROPERTIES[2].hold(100)


def test_a_body_out_of_a_file_arrives() -> None:
    PROPERTIES[3].hold(100)
