"""Connections: kept, retried, given up, timed out; and requests as they go out."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from itertools import chain

import pytest
from scripted import OK, Scripted, get, read_head, until_gone, upstream

from pyproxycache.errors import (
    BadRequest,
    BrokenOff,
    Forbidden,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pyproxycache.facts import Facts
from pyproxycache.messages import Headers, Request
from pyproxycache.upstream.connection import IDLE_SECONDS, OriginConnection
from pyproxycache.upstream.idle import IdleConnections
from pyproxycache.upstream.next_hops import NextHop
from pyproxycache.url import Url

LOCAL = NextHop("127.0.0.1", 80)


def fetch(client: object, request: Request) -> bytes:
    return b"".join(client.send(request, Facts()))  # type: ignore[attr-defined]


class Falling(socketserver.ThreadingTCPServer):
    """Answers requests on all connections, but for /bad: then it closes the connection without a word."""

    daemon_threads = True

    class RequestHandlerClass(socketserver.BaseRequestHandler):
        server: Falling

        def handle(self) -> None:
            self.server.accepted += 1
            with contextlib.suppress(EOFError):
                while True:
                    target = read_head(self.request).split()[1]
                    self.server.targets.append(target)
                    if target == b"/bad":
                        return
                    self.request.sendall(OK)

    def __init__(self) -> None:
        self.accepted = 0
        self.targets: list[bytes] = []
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        super().__exit__(*exc)

    def url(self, target: str) -> Url:
        return Url("http", "127.0.0.1", self.server_address[1], target)


class TestKept:
    """What goes over a connection that has carried another request."""

    def test_an_origin_that_closes_without_a_word_is_asked_again(self) -> None:
        with Scripted([OK, b""], [OK]) as origin:
            client = upstream()
            assert [fetch(client, get(origin.url())) for _ in range(2)] == [b"right"] * 2
            assert (len(origin.heads), origin.accepted) == (3, 2)

    def test_an_origin_that_a_request_kills_is_asked_twice_at_most(self) -> None:
        """However many connections to it are kept."""
        with Falling() as origin:
            client = upstream()
            exchanges = [client.send(get(origin.url("/good")), Facts()) for _ in range(5)]
            assert [b"".join(exchange) for exchange in exchanges] == [b"right"] * 5
            with pytest.raises(UpstreamUnreachable):
                client.send(get(origin.url("/bad")), Facts())
            assert origin.targets == [b"/good"] * 5 + [b"/bad"] * 2
            # The other connections are as good as before.
            assert fetch(client, get(origin.url("/good"))) == b"right"
            assert origin.accepted == 6

    def test_half_an_answer_is_no_reason_to_ask_again(self) -> None:
        with Scripted([OK, b"HTTP/1.1 2"], [OK]) as origin:
            client = upstream()
            fetch(client, get(origin.url()))
            with pytest.raises(UpstreamUnreachable):
                fetch(client, get(origin.url()))
            assert len(origin.heads) == 2

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_what_changes_something_is_asked_once(self, method: str) -> None:
        with Scripted([OK], [b""]) as origin:
            client = upstream()
            fetch(client, get(origin.url()))
            with pytest.raises(UpstreamUnreachable):
                fetch(client, get(origin.url(), method))
            assert [head.split()[0] for head in origin.heads] == [b"GET", method.encode()]
            assert origin.accepted == 2

    def test_a_client_who_may_not_reach_the_address_does_not_get_it(self) -> None:
        def admit(client: str, address: str, _port: int) -> None:
            if client != "127.0.0.1":
                raise Forbidden(f"not {address}")

        with Scripted([OK, OK]) as origin:
            client = upstream(admit=admit)
            fetch(client, get(origin.url()))
            stranger = Request("GET", origin.url(), client="192.0.2.1")
            with pytest.raises(Forbidden):
                client.send(stranger, Facts())
            assert fetch(client, get(origin.url())) == b"right"
            assert origin.accepted == 1

    def test_an_exchange_given_up_closes_its_connection(self) -> None:
        gone = threading.Event()

        def endless(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome")
            until_gone(connection)
            gone.set()

        with Scripted([endless], [endless], [endless]) as origin:
            client = upstream()
            for way in (0, 1, 2):
                exchange = client.send(get(origin.url()), Facts())
                if way == 1:
                    next(exchange)
                    exchange.close()
                elif way == 2:
                    del exchange
                else:
                    exchange.close()
                assert gone.wait(10)
                gone.clear()
            assert origin.accepted == 3


class TestIdle:
    """The store of kept connections."""

    @pytest.fixture(autouse=True)
    def closing(self) -> Iterator[None]:
        self.made: list[OriginConnection | socket.socket] = []
        yield
        for one in self.made:
            one.close()

    def connection(self, hop: NextHop) -> tuple[OriginConnection, socket.socket]:
        ours, theirs = socket.socketpair()
        connection = OriginConnection(ours, hop, "127.0.0.1", 10.0, 10.0)
        self.made += [connection, theirs]
        connection.set_idle()
        return connection, theirs

    def test_the_newest_of_a_route_comes_first(self) -> None:
        idle = IdleConnections()
        (one, _its_end), (two, _other_end) = self.connection(LOCAL), self.connection(LOCAL)
        idle.put(one)
        idle.put(two)
        assert idle.take(NextHop("127.0.0.1", 80, secured=("127.0.0.1", 80))) is None
        assert [idle.take(LOCAL), idle.take(LOCAL), idle.take(LOCAL)] == [two, one, None]

    @pytest.mark.parametrize("spoiled", ["closed", "surplus", "old"])
    def test_what_is_no_longer_good_is_closed(self, spoiled: str) -> None:
        idle = IdleConnections()
        connection, end = self.connection(LOCAL)
        idle.put(connection)
        if spoiled == "closed":
            end.shutdown(socket.SHUT_WR)
        elif spoiled == "surplus":
            end.sendall(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        else:
            connection.idle_since -= IDLE_SECONDS + 1
        assert idle.take(LOCAL) is None
        end.settimeout(10)
        with contextlib.suppress(ConnectionResetError):  # of what was not read
            assert end.recv(1) == b""

    def test_those_that_nobody_wants_are_closed_in_time(self) -> None:
        idle = IdleConnections()
        other = NextHop("127.0.0.1", 81)
        (old, old_end), (young, _end), (alone, alone_end) = map(self.connection, (LOCAL, LOCAL, other))
        for connection in (old, young, alone):
            idle.put(connection)
        for connection in (old, alone):
            connection.idle_since -= IDLE_SECONDS + 1
        idle.close_unwanted()
        for end in (old_end, alone_end):
            end.settimeout(10)
            assert end.recv(1) == b""
        assert [idle.take(other), idle.take(LOCAL), idle.take(LOCAL)] == [None, young, None]

    def test_there_is_an_end_to_how_many(self) -> None:
        idle = IdleConnections()
        made = [self.connection(NextHop("127.0.0.1", number)) for number in range(300)]
        for connection, _end in made:
            idle.put(connection)
        kept = [number for number in range(300) if idle.take(NextHop("127.0.0.1", number)) is not None]
        assert kept == list(range(300 - len(kept), 300))
        assert 0 < len(kept) < 300


class TestWaiting:
    """Silence ends a wait; progress does not."""

    @pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
    def test_silence_before_the_body(self, said: bytes) -> None:
        def hang(connection: socket.socket) -> None:
            connection.sendall(said)
            until_gone(connection)

        with Scripted([hang]) as origin, pytest.raises(UpstreamTimeout):
            upstream(silence=0.1).send(get(origin.url()), Facts())

    def test_silence_within_the_body(self) -> None:
        def hang(connection: socket.socket) -> None:
            connection.sendall(OK[:-1])
            until_gone(connection)

        with Scripted([hang]) as origin:
            exchange = upstream(silence=0.1).send(get(origin.url()), Facts())
            assert exchange.read() == b"righ"
            with pytest.raises(UpstreamTimeout):
                exchange.read()

    def test_patience_is_for_the_whole_head(self) -> None:
        def drip(connection: socket.socket) -> None:
            ended = threading.Event()
            with contextlib.suppress(OSError):
                while not ended.wait(0.02):
                    connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")

        with Scripted([drip]) as origin, pytest.raises(UpstreamTimeout):
            upstream(silence=5.0).send(get(origin.url()), Facts(), patience=0.2)

    def test_patience_leaves_the_body_its_time(self) -> None:
        with Scripted([OK]) as origin:
            exchange = upstream().send(get(origin.url()), Facts(), patience=5.0)
            assert b"".join(exchange) == b"right"

    def test_a_port_where_nobody_listens(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = Url("http", "127.0.0.1", taken.getsockname()[1], "/")
            with pytest.raises(UpstreamUnreachable, match="no connection to 127"):
                upstream().send(get(url), Facts())

    def test_a_name_that_does_not_resolve(self) -> None:
        with pytest.raises(UpstreamUnreachable, match="does not resolve"):
            upstream().send(get(Url("http", "no-such-host.invalid", 80, "/")), Facts())


class TestRequests:
    """What an origin gets to read."""

    def test_fields_go_as_they_came_but_for_those_of_a_connection(self) -> None:
        request = Request(
            "GET",
            Url("http", "127.0.0.1", 0, "/a?q=%7e[x]"),
            Headers(
                [
                    ("Host", "elsewhere"),
                    ("X-One", "1"),
                    ("Via", "1.0 before"),
                    ("X-One", "é"),
                    ("Expect", "100-continue"),
                    ("Connection", "x"),
                ]
            ),
            version=(1, 0),
        )
        with Scripted([OK]) as origin:
            sent = Request(
                request.method, origin.url("/a?q=%7e[x]"), request.headers, version=request.version
            )
            fetch(upstream(), sent)
            host = f"127.0.0.1:{origin.port}"
        lines = ["GET /a?q=%7e[x] HTTP/1.1", f"Host: {host}", "X-One: 1", "Via: 1.0 before", "X-One: é"]
        assert origin.heads[0].decode("latin-1").split("\r\n") == [*lines, "Via: 1.0 test", "", ""]

    @pytest.mark.parametrize("value", ["a\r\nX: b", "a\nb", "a\x00b", "Ω"])
    def test_a_field_that_would_be_two_is_not_sent(self, value: str) -> None:
        with Scripted([OK]) as origin:
            request = Request("GET", origin.url(), Headers([("X", value)]))
            with pytest.raises(BadRequest):
                upstream().send(request, Facts())
        assert origin.heads == []

    @pytest.mark.parametrize(
        ("fields", "expected"),
        [(["Content-Length: 6"], b"onetwo"), ([], b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")],
        ids=["length", "chunked"],
    )
    def test_a_body_is_framed(self, fields: list[str], expected: bytes) -> None:
        received = b""

        def read(connection: socket.socket) -> None:
            nonlocal received
            while len(received) < len(expected):
                received += connection.recv(1)
            connection.sendall(OK)

        with Scripted([read]) as origin:
            body = iter([b"one", b"", b"two"])
            assert fetch(upstream(), get(origin.url(), "POST", body, *fields)) == b"right"
        assert received == expected
        assert (b"Transfer-Encoding: chunked" in origin.heads[0]) is not bool(fields)


class TestUploads:
    """Requests whose answer does not wait for their end."""

    LARGE = 200

    def pieces(self) -> Iterator[bytes]:
        self.sent = 0
        for _ in range(self.LARGE):
            self.sent += 1
            yield bytes(1 << 20)

    def test_an_early_answer_ends_the_upload(self) -> None:
        def refuse(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            gone.wait(10)  # reads nothing, and does not close

        gone = threading.Event()
        with Scripted([refuse], [OK]) as origin:
            client = upstream()
            exchange = client.send(get(origin.url(), "POST", self.pieces()), Facts())
            assert (exchange.head.status, b"".join(exchange)) == (413, b"big")
            gone.set()
            assert self.sent < self.LARGE
            # What is left of the request must not be taken for another one.
            assert fetch(client, get(origin.url())) == b"right"
            assert origin.accepted == 2

    def test_an_answer_before_a_reset_is_read(self) -> None:
        def refuse(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")

        with Scripted([refuse]) as origin:
            exchange = upstream().send(get(origin.url(), "POST", self.pieces()), Facts())
            assert exchange.head.status == 401
            exchange.close()

    def test_interim_answers_do_not(self) -> None:
        def take(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
            left = self.LARGE << 20
            while left:
                left -= len(connection.recv(1 << 20))
            connection.sendall(OK)

        with Scripted([take]) as origin:
            length = f"Content-Length: {self.LARGE << 20}"
            assert fetch(upstream(), get(origin.url(), "PUT", self.pieces(), length)) == b"right"

    def test_an_origin_that_takes_nothing_is_silent(self) -> None:
        def take_nothing(_connection: socket.socket) -> None:
            gone.wait(10)

        gone = threading.Event()
        with Scripted([take_nothing]) as origin:
            with pytest.raises(UpstreamTimeout):
                upstream(silence=0.2).send(get(origin.url(), "PUT", self.pieces()), Facts())
            gone.set()

    def test_a_client_that_breaks_off_breaks_the_request(self) -> None:
        ended = threading.Event()

        def read(connection: socket.socket) -> None:
            until_gone(connection)
            ended.set()

        def broken() -> Iterator[bytes]:
            yield b"some"
            raise BadRequest("the client left")

        with Scripted([read]) as origin:
            with pytest.raises(BadRequest):
                upstream().send(get(origin.url(), "PUT", broken()), Facts())
            assert ended.wait(10)


def test_each_error_is_one_of_upstreams_own() -> None:
    """Whatever the bytes, in whatever pieces."""
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX: y\r\n\r\n"
    cuts = [[raw[:length]] for length in range(len(raw))]
    with Scripted(*cuts) as origin:
        client = upstream()
        ends = []
        for _ in cuts:
            try:
                ends.append(fetch(client, get(origin.url())))
            except (UpstreamError, BrokenOff) as error:
                ends.append(type(error).__name__.encode())
    whole = raw.index(b"0\r\nX") + 3
    assert set(ends[whole:]) == {b"body"}
    assert b"body" not in ends[:whole]


def test_pieces_of_any_size_make_the_same_answer() -> None:
    raw = b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n"
    raw += b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"

    def by_the_byte(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw:
            connection.send(bytes([byte]))

    with Scripted([by_the_byte], [OK]) as origin:
        client = upstream()
        bodies = list(chain.from_iterable([fetch(client, get(origin.url()))] for _ in range(2)))
    assert bodies == [b"body", b"right"]
