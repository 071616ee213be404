"""Interim heads on their way to whoever asked, and heads that switch protocols."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from certificates import Certificate
from scripted import OK, Scripted, get, until_gone, upstream

from pyproxycache.errors import Forbidden, LoopDetected, UpstreamMalformed, UpstreamUnreachable
from pyproxycache.facts import Facts, OriginConnected
from pyproxycache.messages import Head, Request
from pyproxycache.net.stream import Stream
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.upstream.far_end import Switched

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX: 1\r\nX: 2\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\n"


def noting(request: Request) -> tuple[Request, list[Head]]:
    seen: list[Head] = []
    return replace(request, interim=seen.append), seen


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (OK, []),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, []),
        (HINTS + OK, [103]),
        (b"HTTP/1.1 102 Processing\r\n\r\n" + HINTS + b"HTTP/1.1 199 Own\r\n\r\n" + OK, [102, 103, 199]),
    ],
)
def test_they_come_before_the_answer(raw: bytes, statuses: list[int]) -> None:
    with Scripted([raw]) as origin:
        request, seen = noting(get(origin.url()))
        exchange = upstream().send(request, Facts())
        assert [head.status for head in seen] == statuses
        assert b"".join(exchange) == b"right"
        assert len(seen) == len(statuses)


def test_they_come_with_their_fields() -> None:
    with Scripted([HINTS + OK]) as origin:
        request, seen = noting(get(origin.url()))
        upstream().send(request, Facts()).close()
    assert (seen[0].reason, seen[0].headers.fields) == (
        "Early Hints",
        (("Link", "</a>"), ("X", "1"), ("X", "2"), ("Via", "1.1 test")),
    )


def test_they_come_while_a_body_is_sent() -> None:
    def hint(connection: socket.socket) -> None:
        connection.sendall(HINTS)
        until_hinted(connection)
        connection.sendall(OK)

    def until_hinted(connection: socket.socket) -> None:
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(1 << 16)

    def body() -> Iterator[bytes]:
        for _ in range(1000):  # until it is there, and no longer
            if seen:
                return
            yield b"x" * 65536

    with Scripted([hint]) as origin:
        request, seen = noting(get(origin.url(), "POST", body()))
        assert b"".join(upstream().send(request, Facts())) == b"right"
    assert [head.status for head in seen] == [103]


def asked(client: Upstream, request: Request, facts: Facts | None = None) -> Exchange | Switched:
    return client.upgrade(request, "chat, other", facts or Facts())


def test_a_change_of_protocols_is_asked_for_and_taken() -> None:
    with Scripted([SWITCHING + b"hello", OK]) as origin:
        client, facts = upstream(), Facts()
        request, seen = noting(get(origin.url()))
        switched = asked(client, request, facts)
        assert isinstance(switched, Switched)
        assert (switched.head.status, switched.head.headers.get("upgrade")) == (101, "chat")
        assert switched.early == b"hello"
        assert (facts.noted(), seen) == ((OriginConnected("127.0.0.1", through_parent=False),), [])
        switched.close()
    lines = origin.heads[0].decode().split("\r\n")
    assert {"Connection: upgrade", "Upgrade: chat, other", "Via: 1.1 test"} <= set(lines)


def test_a_change_takes_a_connection_of_its_own() -> None:
    with Scripted([OK], [SWITCHING]) as origin:
        client = upstream()
        assert b"".join(client.send(get(origin.url()), Facts())) == b"right"
        asked(client, get(origin.url())).close()
        assert origin.accepted == 2


def test_an_origin_may_stay_with_http() -> None:
    with Scripted([OK, OK]) as origin:
        client = upstream()
        exchange = asked(client, get(origin.url()))
        assert isinstance(exchange, Exchange)
        assert (exchange.head.status, b"".join(exchange)) == (200, b"right")
        # The connection is one like any other then.
        assert b"".join(client.send(get(origin.url()), Facts())) == b"right"
        assert origin.accepted == 1


@pytest.mark.parametrize("named", [b"CHAT", b"other", b"chat, tls/1.0"])
def test_the_protocol_is_one_of_those_that_were_asked_for(named: bytes) -> None:
    """In any case, and with what lies above it."""
    with Scripted([SWITCHING.replace(b"chat", named)]) as origin:
        asked(upstream(), get(origin.url())).close()


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", UpstreamMalformed),
        (SWITCHING.replace(b"chat", b"h2c"), UpstreamMalformed),
        (SWITCHING.replace(b"chat", b"h2c, chat"), UpstreamMalformed),
        (SWITCHING.replace(b"chat", b""), UpstreamMalformed),
        (b"nonsense\r\n", UpstreamMalformed),
        (b"", UpstreamUnreachable),
    ],
)
def test_what_is_no_answer_to_it(raw: bytes, error: type[Exception]) -> None:
    with Scripted([raw]) as origin, pytest.raises(error):
        asked(upstream(), get(origin.url()))


def test_a_change_over_tls(certificate: Certificate) -> None:
    def echo(connection: socket.socket) -> None:
        connection.sendall(SWITCHING + b"first")
        connection.sendall(connection.recv(100))
        until_gone(connection)

    with Scripted([echo], tls=certificate.server()) as origin:
        switched = asked(upstream(ca_file=certificate.certificate), get(origin.url()))
        assert isinstance(switched, Switched)
        received = switched.early
        while len(received) < 5:
            received += waited_for(switched.stream)
        assert switched.stream.send(b"again") == 5
        assert (received, waited_for(switched.stream)) == (b"first", b"again")
        switched.close()


def waited_for(stream: Stream) -> bytes:
    """The next bytes, at most 100."""
    while True:
        with contextlib.suppress(BlockingIOError):
            return stream.recv(100)
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        assert poll.poll(10_000)


def test_who_may_not_go_there_does_not() -> None:
    def admit(_client: str, address: str, _port: int) -> None:
        raise Forbidden(address)

    with Scripted() as origin, pytest.raises(Forbidden):
        asked(upstream(admit=admit), get(origin.url()))


def test_a_loop_ends_at_its_second_round() -> None:
    with Scripted() as origin:
        request = get(origin.url(), "GET", None, "Via: 1.1 other, 1.1 test (comment)")
        with pytest.raises(LoopDetected):
            asked(upstream(), request)
        assert origin.accepted == 0


def test_nothing_of_this_is_kept() -> None:
    """Letting go of what was switched closes its connection."""
    gone: list[bytes] = []

    def watch(connection: socket.socket) -> None:
        connection.sendall(SWITCHING)
        gone.append(connection.recv(1))

    with Scripted([watch]) as origin:
        switched = asked(upstream(), get(origin.url()))
        del switched
    assert gone == [b""]
