"""What a client does wrong: which stream or connection ends for it, and by which code (RFC 9113)."""

from __future__ import annotations

import pytest
from strict_http2 import Fields, frame
from wire import RawClient, get

from pyproxycache.front.http2.faults import ErrorCode

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, WITH_PRIORITY = 4, 8, 32
WHOLE = END_STREAM | END_HEADERS
PROTOCOL, FLOW, SIZE = ErrorCode.PROTOCOL_ERROR, ErrorCode.FLOW_CONTROL_ERROR, ErrorCode.FRAME_SIZE_ERROR
CLOSED, CALM = ErrorCode.STREAM_CLOSED, ErrorCode.ENHANCE_YOUR_CALM
COMPRESSION = ErrorCode.COMPRESSION_ERROR


def setting(number: int, value: int) -> bytes:
    return number.to_bytes(2, "big") + value.to_bytes(4, "big")


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


# Behind one open request on stream 1, whose content has not ended.
ENDS_CONNECTION: dict[str, tuple[bytes, ErrorCode]] = {
    "data of no stream": (frame(DATA, 0, 0, b"x"), PROTOCOL),
    "data of a stream that was not opened": (frame(DATA, 0, 3, b"x"), PROTOCOL),
    "data of a stream of the server's": (frame(DATA, 0, 2, b"x"), PROTOCOL),
    "more padding than data": (frame(DATA, PADDED, 1, b"\x05abcd"), PROTOCOL),
    "padding without its length": (frame(DATA, PADDED, 1), PROTOCOL),
    "fields of no stream": (frame(HEADERS, WHOLE, 0, b"\x82"), PROTOCOL),
    "fields of a stream of the server's": (frame(HEADERS, WHOLE, 2, b"\x82"), PROTOCOL),
    "more padding than fields": (frame(HEADERS, WHOLE | PADDED, 3, b"\x09\x82"), PROTOCOL),
    "a priority that is cut off": (frame(HEADERS, WHOLE | WITH_PRIORITY, 3, b"\x00\x00"), SIZE),
    "fields that refer to nothing": (frame(HEADERS, WHOLE, 3, b"\xff\x20"), COMPRESSION),
    "fields that are cut off": (frame(HEADERS, WHOLE, 3, b"\x40\x0aabc"), COMPRESSION),
    "a table that is too large": (frame(HEADERS, WHOLE, 3, b"\x3f\xe1\xff\x03\x82"), COMPRESSION),
    "sizes of the table without end": (frame(HEADERS, WHOLE, 3, b"\x20" * 10), COMPRESSION),
    "a frame within fields": (
        frame(HEADERS, END_STREAM, 3, b"\x82") + frame(PING, 0, 0, bytes(8)),
        PROTOCOL,
    ),
    "an unknown frame within fields": (frame(HEADERS, END_STREAM, 3, b"\x82") + frame(99, 0, 0), PROTOCOL),
    "another stream's continuation": (
        frame(HEADERS, END_STREAM, 3, b"\x82") + frame(CONTINUATION, END_HEADERS, 5, b"\x84"),
        PROTOCOL,
    ),
    "a continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL),
    "continuations without end": (
        frame(HEADERS, END_STREAM, 3, b"\x82") + 40 * frame(CONTINUATION, 0, 3),
        CALM,
    ),
    "fields without end": (
        frame(HEADERS, END_STREAM, 3, bytes(16384)) + 3 * frame(CONTINUATION, 0, 3, bytes(16384)),
        CALM,
    ),
    "a priority of no stream": (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL),
    "a priority of another size": (frame(PRIORITY, 0, 1, bytes(4)), SIZE),
    "a reset of no stream": (frame(RST, 0, 0, bytes(4)), PROTOCOL),
    "a reset of a stream that was not opened": (frame(RST, 0, 3, bytes(4)), PROTOCOL),
    "a reset of another size": (frame(RST, 0, 1, bytes(3)), SIZE),
    "settings of a stream": (frame(SETTINGS, 0, 1), PROTOCOL),
    "settings of another size": (frame(SETTINGS, 0, 0, bytes(5)), SIZE),
    "settings that are agreed to, and sent": (frame(SETTINGS, ACK, 0, bytes(6)), SIZE),
    "pushes neither wanted nor not": (frame(SETTINGS, 0, 0, setting(2, 2)), PROTOCOL),
    "a first window that is too large": (frame(SETTINGS, 0, 0, setting(4, 1 << 31)), FLOW),
    "frames that are too small": (frame(SETTINGS, 0, 0, setting(5, 16383)), PROTOCOL),
    "frames that are too large": (frame(SETTINGS, 0, 0, setting(5, 1 << 24)), PROTOCOL),
    "a window of a stream that grows too large by a setting": (
        frame(WINDOW, 0, 1, number(1 << 20)) + frame(SETTINGS, 0, 0, setting(4, (1 << 31) - 1)),
        FLOW,
    ),
    "a push": (frame(PUSH, END_HEADERS, 1, number(2) + b"\x82"), PROTOCOL),
    "a ping of a stream": (frame(PING, 0, 1, bytes(8)), PROTOCOL),
    "a ping of another size": (frame(PING, 0, 0, bytes(7)), SIZE),
    "a stream that says goodbye": (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    "a goodbye of another size": (frame(GOAWAY, 0, 0, bytes(7)), SIZE),
    "a window that grows by nothing": (frame(WINDOW, 0, 0, bytes(4)), PROTOCOL),
    "a window that grows too much": (frame(WINDOW, 0, 0, number((1 << 31) - 1)), FLOW),
    "a window of another size": (frame(WINDOW, 0, 0, bytes(3)), SIZE),
    "a window of a stream that was not opened": (frame(WINDOW, 0, 3, number(1)), PROTOCOL),
    "a frame that is too large": (frame(DATA, 0, 1, bytes(16385)), SIZE),
}

ENDS_STREAM: dict[str, tuple[bytes, ErrorCode]] = {
    "a window that grows by nothing": (frame(WINDOW, 0, 1, bytes(4)), PROTOCOL),
    "a window that grows too much": (2 * frame(WINDOW, 0, 1, number((1 << 31) - 1)), FLOW),
    "a head within content": (frame(HEADERS, END_HEADERS, 1, b"\x00\x01a\x01b"), PROTOCOL),
    "a pseudo-header field in trailers": (frame(HEADERS, WHOLE, 1, b"\x82"), PROTOCOL),
    "more content than the window allows": (17 * frame(DATA, 0, 1, bytes(16384)), FLOW),
}

GOES_ON = {
    "a priority": frame(PRIORITY, 0, 1, bytes(5)),
    "a priority of a stream that was not opened": frame(PRIORITY, 0, 9, bytes(5)),
    "an unknown frame": frame(99, 0xFF, 1, b"abc") + frame(99, 0, 0),
    "an unknown setting": frame(SETTINGS, 0, 0, setting(0x7777, 5)),
    "empty data": frame(DATA, 0, 1),
    "padding": frame(DATA, PADDED, 1, b"\x03abc" + bytes(3)),
    "padding alone": frame(DATA, PADDED, 1, b"\x03" + bytes(3)),
    "an answer to no ping": frame(PING, ACK, 0, bytes(8)),
    "reserved bits": frame(DATA, 0, 1 | 1 << 31, b"x"),
}

# What is wrong with a request's fields, whose stream ends before anybody sees it.
REQUEST: list[tuple[str, str]] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "h"),
    (":path", "/"),
]


def without(name: str) -> Fields:
    return [one for one in REQUEST if one[0] != name]


MALFORMED: dict[str, Fields] = {
    "no method": without(":method"),
    "no scheme": without(":scheme"),
    "no path": without(":path"),
    "no authority": without(":authority"),
    "an empty method": [(":method", ""), *without(":method")],
    "an empty path": [(":path", ""), *without(":path")],
    "an empty authority": [(":authority", ""), *without(":authority")],
    "a path without a slash": [(":path", "a"), *without(":path")],
    "a whole URL as path": [(":path", "http://h/"), *without(":path")],
    "a space in the path": [(":path", "/a HTTP/1.1"), *without(":path")],
    "a line end in the path": [(":path", "/\r\nx:y"), *without(":path")],
    "a star that is no OPTIONS": [(":path", "*"), *without(":path")],
    "a space in the method": [(":method", "GET /"), *without(":method")],
    "a space in the scheme": [(":scheme", "http "), *without(":scheme")],
    "a path in the authority": [(":authority", "h/x"), *without(":authority")],
    "a user in the authority": [(":authority", "u@h"), *without(":authority")],
    "a line end in the authority": [(":authority", "h\r\nx: y"), *without(":authority")],
    "two methods": [*REQUEST, (":method", "GET")],
    "two paths": [(":path", "/"), *REQUEST],
    "a status": [*REQUEST, (":status", "200")],
    "a protocol": [*REQUEST, (":protocol", "websocket")],
    "a pseudo-header field behind others": [*REQUEST[:3], ("a", "b"), REQUEST[3]],
    "another host": [*REQUEST, ("host", "other")],
    "another second host": [*REQUEST, ("host", "h"), ("host", "other")],
    "two hosts and no authority": [*without(":authority"), ("host", "h"), ("host", "h")],
    "upper case": [*REQUEST, ("X-Y", "z")],
    "a space in a name": [*REQUEST, ("x y", "z")],
    "a colon in a name": [*REQUEST, ("x:y", "z")],
    "an empty name": [*REQUEST, ("", "z")],
    "a line end in a name": [*REQUEST, ("x\r\ny", "z")],
    "a line end in a value": [*REQUEST, ("x", "y\r\nz: w")],
    "a line feed in a value": [*REQUEST, ("x", "y\nz: w")],
    "a NUL in a value": [*REQUEST, ("x", "y\0")],
    "a space before a value": [*REQUEST, ("x", " y")],
    "a tab behind a value": [*REQUEST, ("x", "y\t")],
    "connection": [*REQUEST, ("connection", "close")],
    "proxy-connection": [*REQUEST, ("proxy-connection", "keep-alive")],
    "keep-alive": [*REQUEST, ("keep-alive", "1")],
    "transfer-encoding": [*REQUEST, ("transfer-encoding", "chunked")],
    "upgrade": [*REQUEST, ("upgrade", "websocket")],
    "te": [*REQUEST, ("te", "gzip")],
    "a length of no content": [*REQUEST, ("content-length", "5")],
    "two lengths": [*REQUEST, ("content-length", "0"), ("content-length", "0")],
    "no number as length": [*REQUEST, ("content-length", "0x0")],
    "a signed length": [*REQUEST, ("content-length", "+0")],
    "a list of lengths": [*REQUEST, ("content-length", "0, 0")],
    "a tunnel with a path": [(":method", "CONNECT"), (":authority", "h:1"), (":path", "/")],
    "a tunnel with a scheme": [(":method", "CONNECT"), (":authority", "h:1"), (":scheme", "https")],
    "a tunnel to nowhere": [(":method", "CONNECT")],
}


def uploading() -> RawClient:
    """A client whose request on stream 1 has content, which has not ended."""
    client = RawClient(reads=False, settings=setting(4, 1000))
    client.spoken.engine.reads = False
    client.send(frame(HEADERS, END_HEADERS, 1, client.block(get("/3000", method="POST"))))
    return client


@pytest.mark.parametrize("name", ENDS_CONNECTION)
def test_what_ends_the_connection(name: str) -> None:
    raw, code = ENDS_CONNECTION[name]
    client = uploading()
    client.send(raw)
    assert client.goaways == [(code, client.goaways[0][1])]
    assert client.spoken.wire.is_closed
    assert not client.spoken.loop.connections


@pytest.mark.parametrize("name", ENDS_STREAM)
def test_what_ends_the_stream(name: str) -> None:
    raw, code = ENDS_STREAM[name]
    client = uploading()
    client.send(raw)
    assert (client.resets, client.goaways) == ({1: code}, [])
    client.send(frame(DATA, 0, 1, b"under way") + frame(WINDOW, 0, 1, number(1)))
    client.ask(3, get("/10"))
    assert len(client.body(3)) == 10
    assert (client.resets, client.goaways) == ({1: code}, [])


@pytest.mark.parametrize("name", GOES_ON)
def test_what_does_no_harm(name: str) -> None:
    client = uploading()
    client.send(GOES_ON[name])
    client.send(frame(DATA, END_STREAM, 1, b"z"))
    client.ask(3, get("/10"))
    assert (client.resets, client.goaways, len(client.body(3))) == ({}, [], 10)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests(name: str) -> None:
    client = RawClient()
    client.ask(1, MALFORMED[name])
    assert (client.resets, client.goaways) == ({1: PROTOCOL}, [])
    client.ask(3, get("/10"))
    assert len(client.body(3)) == 10
    assert [one.target for one in client.spoken.engine.asked] == ["http://h/10"]


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
def test_credentials_of_a_connection(scheme: str) -> None:
    """A stream is none: the client is told to log in by HTTP/1.1."""
    client = RawClient()
    client.ask(1, get("/10", ("authorization", f"{scheme} TlRM")))
    assert (client.resets, client.goaways) == ({1: ErrorCode.HTTP_1_1_REQUIRED}, [])


@pytest.mark.parametrize(
    ("length", "raw"),
    [
        (3, frame(DATA, END_STREAM, 1, b"abcd")),
        (3, frame(DATA, 0, 1, b"abcd")),
        (3, frame(DATA, END_STREAM, 1, b"ab")),
        (3, frame(DATA, 0, 1, b"ab") + frame(HEADERS, WHOLE, 1, b"\x00\x01a\x01b")),
    ],
)
def test_content_of_another_length(length: int, raw: bytes) -> None:
    client = RawClient(settings=setting(4, 1000))
    client.spoken.engine.reads = False
    fields = get("/3000", ("content-length", str(length)), method="POST")
    client.send(frame(HEADERS, END_HEADERS, 1, client.block(fields)))
    client.send(raw)
    assert (client.resets, client.goaways) == ({1: PROTOCOL}, [])


def test_frames_on_a_stream_that_the_client_has_ended() -> None:
    for raw in (frame(DATA, 0, 1, b"x"), frame(HEADERS, WHOLE, 1, b"\x00\x01a\x01b")):
        client = RawClient(settings=setting(4, 1000))
        client.ask(1, get("/3000"))
        client.send(raw)
        assert (client.resets, client.goaways) == ({1: CLOSED}, [])
        client = RawClient()
        client.ask(1, get("/10"))
        client.send(raw)
        assert client.goaways == [(CLOSED, 1)], "which is over for both"


def test_a_number_that_was_used() -> None:
    client = RawClient()
    client.ask(5, get("/10"))
    client.ask(3, get("/10"))
    assert client.goaways == [(CLOSED, 5)]


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", b"\x16\x03\x01"]
)
def test_what_is_no_preface(raw: bytes) -> None:
    client = RawClient(preface=b"")
    client.send(raw)
    assert client.goaways == [(PROTOCOL, 0)]


def test_settings_come_first() -> None:
    client = RawClient(preface=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    client.ask(1, get("/10"))
    assert client.goaways == [(PROTOCOL, 0)]


def test_a_settings_frame_and_a_ping_are_answered() -> None:
    client = RawClient()
    client.send(frame(PING, 0, 0, b"abcdefgh"))
    answers = [(one.name, one.frame.flags, getattr(one.frame, "opaque_data", b"")) for one in client.sent]
    assert ("PingFrame", {"ACK"}, b"abcdefgh") in answers
    assert ("SettingsFrame", {"ACK"}, b"") in answers
    assert answers[0][0] == "SettingsFrame"
    assert not answers[0][1]


def test_more_streams_than_are_allowed() -> None:
    client = RawClient(settings=setting(4, 0))
    for number_ in range(102):
        client.ask(2 * number_ + 1, get("/10"))
    refused = ErrorCode.REFUSED_STREAM
    assert (client.resets, client.goaways) == ({201: refused, 203: refused}, [])
    client.send(frame(SETTINGS, 0, 0, setting(4, 10)))
    assert sum(len(client.body(2 * number_ + 1)) for number_ in range(100)) == 1000
    client.ask(205, get("/10"))
    assert len(client.body(205)) == 10
