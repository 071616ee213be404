"""Answers as they come over the wire: what is taken, how much of it is the body, and what is refused."""

from __future__ import annotations

import socket
import time

import pytest
from scripted import OK, Scripted, get, until_gone, upstream

from pyproxycache.errors import BrokenOff, UpstreamMalformed, UpstreamTimeout, UpstreamUnreachable
from pyproxycache.facts import Facts
from pyproxycache.http1.response_bodies import Chunked
from pyproxycache.net.reader import Reader

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MANY = b"".join(b"X-%d: value\r\n" % number for number in range(300))

REUSED = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "the same length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4, 4\r\n\r\nbody",
    "chunked": CHUNKED + b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
    "chunk extension": CHUNKED + b'4;a="b;c"\r\nbody\r\n0;last\r\n\r\n',
    "padded chunk size": CHUNKED + b"4  \r\nbody\r\n0\r\n\r\n",
    "leading zeros": CHUNKED + b"0004\r\nbody\r\n000\r\n\r\n",
    "trailers": CHUNKED + b"4\r\nbody\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
    "HTTP/1.0 that keeps": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody",
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
    b"Link: </s>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "300 fields": b"HTTP/1.1 200 OK\r\n" + MANY + b"Content-Length: 4\r\n\r\nbody",
    "line feeds alone": b"HTTP/1.1 200 OK\nContent-Length: 4\n\nbody",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nbody",
    "blank before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nbody",
    "later minor version": b"HTTP/1.9 200 OK\r\nContent-Length: 4\r\n\r\nbody",
}
NOT_REUSED = {
    "until close": b"HTTP/1.1 200 OK\r\n\r\nbody",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    "close": b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 4\r\n\r\nbody",
    "chunked with a length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"4\r\nbody\r\n0\r\n\r\n",
    "an answer behind the answer": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody" + OK,
    "no end of the trailers": CHUNKED + b"4\r\nbody\r\n0\r\n",
    "coding that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nbody",
    "unknown codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x-own; a=b, y-own\r\n\r\nbody",
    "no coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\nbody",
    "coding that is none beside a length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Identity\r\n"
    b"Content-Length: 4\r\n\r\nbody",
    "coding that is none in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: identity\r\n"
    b"Connection: keep-alive\r\nContent-Length: 4\r\n\r\nbody",
    "unknown coding beside a length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x-own\r\n"
    b"Content-Length: 3\r\n\r\nbody",
    "unknown coding beside a wrong length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x-own\r\n"
    b"Content-Length: 3, 9\r\n\r\nbody",
    "half of a trailer": CHUNKED + b"4\r\nbody\r\n0\r\nX-Sum: 1",
    "trailers without end": CHUNKED + b"4\r\nbody\r\n0\r\n" + b"X: y\r\n" * 20_000,
    "chunked beside a wrong length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n"
    b"Content-Length: x\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("raw", [*REUSED.values(), *NOT_REUSED.values()], ids=[*REUSED, *NOT_REUSED])
def test_the_body_is_what_the_framing_says(raw: bytes) -> None:
    reused = raw in REUSED.values()
    facts = Facts()
    with Scripted([raw, OK] if reused else [raw], [OK]) as origin:
        client = upstream()
        exchange = client.send(get(origin.url()), facts)
        codings = exchange.head.headers.get("transfer-encoding")
        assert codings is None or (codings.lower(), exchange.length) == ("chunked", None)
        assert (exchange.head.status, b"".join(exchange)) == (200, b"body")
        assert facts.received.total == 4
        assert b"".join(client.send(get(origin.url()), Facts())) == b"right"
        assert origin.accepted == (1 if reused else 2)


@pytest.mark.parametrize(
    ("method", "raw", "reused"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n", False),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", True),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 400\r\n\r\n", False),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", True),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
    ],
)
def test_what_has_no_body(method: str, raw: bytes, reused: bool) -> None:
    with Scripted([raw, OK] if reused else [raw], [OK]) as origin:
        client = upstream()
        exchange = client.send(get(origin.url(), method), Facts())
        assert (exchange.length, exchange.read()) == (0, b"")
        # Nobody has to close an exchange without a body to have its connection go on.
        assert b"".join(client.send(get(origin.url()), Facts())) == b"right"
        assert origin.accepted == (1 if reused else 2)


@pytest.mark.parametrize("head", [b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified"])
def test_a_body_that_must_not_be_there_poisons_nothing(head: bytes) -> None:
    with Scripted([head + b"\r\nContent-Length: 4\r\n\r\nbody"], [OK]) as origin:
        client = upstream()
        assert client.send(get(origin.url()), Facts()).read() == b""
        assert b"".join(client.send(get(origin.url()), Facts())) == b"right"


def test_fields_come_as_they_were_sent() -> None:
    """But for folds and control characters, which become blanks (RFC 9110 section 5.5)."""
    raw = b"HTTP/1.1 200 Fine  by me\r\nX-One: 1\r\nx-one:  2\t\r\nX-Folded: a\r\n \t b\r\n\tc\r\n"
    raw += b"X-Empty:\r\nX-Latin: \xe9\r\nX-Control: \x01a\x1bb\x7f\r\nContent-Length: 4, 4\r\n\r\nbody"
    with Scripted([raw]) as origin:
        exchange = upstream().send(get(origin.url()), Facts())
        exchange.close()
    assert exchange.head.reason == "Fine  by me"
    assert exchange.head.headers.fields == (
        ("X-One", "1"),
        ("x-one", "2"),
        ("X-Folded", "a b c"),
        ("X-Empty", ""),
        ("X-Latin", "é"),
        ("X-Control", "a b"),
        ("Via", "1.1 test"),
        ("Content-Length", "4"),
    )


def test_a_length_beside_chunks_is_taken_away() -> None:
    with Scripted([NOT_REUSED["chunked with a length"]]) as origin:
        exchange = upstream().send(get(origin.url()), Facts())
        exchange.close()
    assert exchange.length is None
    assert "content-length" not in exchange.head.headers


MALFORMED = {
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "HTTP/0.9": b"<html>hello</html>\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "another name": b"ICY 200 OK\r\n\r\n",
    "status of letters": b"HTTP/1.1 2OO OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 99 Low\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nnot a field\r\n\r\n",
    "blank in a name": b"HTTP/1.1 200 OK\r\nnot a: field\r\n\r\n",
    "no name": b"HTTP/1.1 200 OK\r\n: value\r\n\r\n",
    "folded first line": b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
    "carriage return": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n",
    "control character in a length": b"HTTP/1.1 200 OK\r\nContent-Length: 4\x1b\r\n\r\nbody",
    "control character in a coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "lengths that differ": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
    "lengths that differ in a line": b"HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\n",
    "empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    "length of letters": b"HTTP/1.1 200 OK\r\nContent-Length: 0x4\r\n\r\n",
    "length beyond all": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "coding that is none beside lengths that differ": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n"
    b"Content-Length: 3, 9\r\n\r\nbody",
    "more fields than anyone needs": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1001 + b"\r\n",
    "head without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
    "interim answers without end": b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000,
    "more interim answers than anyone needs": b"HTTP/1.1 102 Processing\r\n\r\n" * 101 + OK,
}


UNASKED = (
    *("gzip", "X-GZIP", "deflate", "compress", "x-compress", "gzip; q=1", "x-own, gzip", "gzip, chunked"),
    *("x-own, chunked", "chunked, gzip", "chunked, chunked", "chunked, identity", "chunked; a=b"),
)


@pytest.mark.parametrize("codings", UNASKED)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_codings_that_nobody_asked_for_are_refused(method: str, codings: str) -> None:
    raw = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {codings}\r\n\r\n0\r\n\r\n".encode()
    with Scripted([raw]) as origin, pytest.raises(UpstreamMalformed, match="not asked for") as refused:
        upstream().send(get(origin.url(), method), Facts())
    assert refused.value.proxy_error == "http_response_transfer_coding"


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_http_is_refused(raw: bytes) -> None:
    with Scripted([raw]) as origin, pytest.raises(UpstreamMalformed):
        upstream().send(get(origin.url()), Facts())


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_a_head_that_ends_short(raw: bytes) -> None:
    with Scripted([raw]) as origin, pytest.raises(UpstreamUnreachable):
        upstream().send(get(origin.url()), Facts())


BROKEN = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbody",
    "nothing": CHUNKED,
    "no last chunk": CHUNKED + b"4\r\nbody\r\n",
    "cut within a chunk": CHUNKED + b"40\r\nbody",
    "chunk longer than its size": CHUNKED + b"4\r\nbodybody\r\n0\r\n\r\n",
    "chunk without its end": CHUNKED + b"4\r\nbody0\r\n\r\n",
    "prefixed size": CHUNKED + b"0x4\r\nbody\r\n0\r\n\r\n",
    "negative size": CHUNKED + b"-4\r\nbody\r\n0\r\n\r\n",
    "signed size": CHUNKED + b"+4\r\nbody\r\n0\r\n\r\n",
    "grouped size": CHUNKED + b"0_4\r\nbody\r\n0\r\n\r\n",
    "indented size": CHUNKED + b" 4\r\nbody\r\n0\r\n\r\n",
    "empty size": CHUNKED + b"\r\n4\r\nbody\r\n0\r\n\r\n",
    "size of other letters": CHUNKED + b"G\r\nbody\r\n0\r\n\r\n",
    "size beyond all": CHUNKED + b"F" * 16 + b"\r\nbody",
    "size behind a line feed alone": CHUNKED + b"4\nbody\r\n0\r\n\r\n",
    "extension with a carriage return": CHUNKED + b"4;a\rb\r\nbody\r\n0\r\n\r\n",
    "extension without end": CHUNKED + b"4;" + b"a" * 20_000,
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_a_body_that_is_not_framed_as_it_says_breaks_off(raw: bytes) -> None:
    with Scripted([raw]) as origin:
        exchange = upstream().send(get(origin.url()), Facts())
        with pytest.raises(BrokenOff):
            list(exchange)


@pytest.mark.parametrize("size", [1, 7, 300])
def test_chunks_that_are_here_are_read_at_once(size: int) -> None:
    """Each by itself, a million chunks of a byte would take the processor for seconds."""
    count = 40_000 // (size + 6)
    raw = (b"%x\r\n%b\r\n" % (size, b"x" * size)) * count + b"0\r\n\r\n"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(raw)
        body = Chunked(Reader(ours, 5.0))
        pieces = list(iter(body.read, b""))
    assert b"".join(pieces) == b"x" * size * count
    assert len(pieces) < 10
    assert body.ended
    assert not body.awaits_trailers


def test_many_small_chunks_in_large_and_small_reads() -> None:
    pieces = [bytes([number % 256]) * (number % 700 + 1) for number in range(2000)]
    raw = CHUNKED + b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    with Scripted([raw]) as origin:
        assert b"".join(upstream().send(get(origin.url()), Facts())) == b"".join(pieces)


@pytest.mark.parametrize(
    "raw",
    [
        CHUNKED + b"4\r\nbody\r\n0\r\n",
        CHUNKED + b"4\r\nbody\r\n0\r\nX-Sum: 1\r\n",
        NOT_REUSED["coding that is none beside a length"],
    ],
    ids=["no end of the trailers", "trailers that do not end", "coding that is none beside a length"],
)
def test_the_end_of_the_body_is_not_waited_for(raw: bytes) -> None:
    """The origin keeps the connection open and sends no more; only the client's leaving ends it."""

    def keeps_open(connection: socket.socket) -> None:
        connection.sendall(raw)
        until_gone(connection)

    with Scripted([keeps_open], [OK]) as origin:
        client = upstream()
        assert b"".join(client.send(get(origin.url()), Facts())) == b"body"
        assert b"".join(client.send(get(origin.url()), Facts())) == b"right"


DRIPPED = {
    "status line": b"HTTP/1.1 20",
    "field": b"HTTP/1.1 200 OK\r\nX: ",
    "interim head": b"HTTP/1.1 103 Early Hints\r\nX: ",
    "behind an interim head": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX: ",
}


@pytest.mark.parametrize("begin", DRIPPED.values(), ids=DRIPPED)
def test_a_head_that_drips_is_given_up(begin: bytes) -> None:
    def drips(connection: socket.socket) -> None:
        connection.sendall(begin)
        while True:
            connection.sendall(b"y")
            time.sleep(0.05)

    with Scripted([drips]) as origin, pytest.raises(UpstreamTimeout):
        upstream(silence=10.0, head_timeout=0.5).send(get(origin.url()), Facts())


def test_time_for_a_head_begins_with_its_first_byte() -> None:
    def thinks_first(connection: socket.socket) -> None:
        for _ in range(3):
            time.sleep(0.4)
            connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(0.4)
        connection.sendall(OK)

    with Scripted([thinks_first]) as origin:
        assert b"".join(upstream(head_timeout=0.3).send(get(origin.url()), Facts())) == b"right"
