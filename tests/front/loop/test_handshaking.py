"""A connection in its handshake: how long it may take, what follows, and what it costs others."""

from __future__ import annotations

import logging
import random
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from certificates import Certificate, make_certificate
from splits import somewhere

from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.handshaking import HANDSHAKE_SECONDS, Handshaking, tell_of_failure
from pyproxycache.front.loop.lingering import LINGER_SECONDS, Lingering
from pyproxycache.front.requests.ingress import PLAIN
from pyproxycache.net.handshake import ServerHandshake
from pyproxycache.net.stream import PlainStream

IN = select.EPOLLIN


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("handshaking"), "DNS:localhost")


class Opened:
    """A connection in its handshake, in a loop without a poller; `client` is its far end."""

    def __init__(self, certificate: Certificate, *, stops: bool = False) -> None:
        posted: deque[Callable[[], None]] = deque()
        self.loop = ClientLoop(posted.append, lambda _fd: None, 1000.0)
        self.loop.is_stopping = stops
        self.client, here = socket.socketpair()
        self.client.setblocking(False)
        server = certificate.server()
        handshake = ServerHandshake(PlainStream(here), partial(server.wrap_bio, server_side=True))
        self.connection = ClientConnection(handshake.stream, ("192.0.2.7", 1))
        self.reading, self.refusing = Activity(), Activity()
        self.connection.reading = self.reading
        self.loop.add(self.connection)
        failed = partial(tell_of_failure, "192.0.2.7")
        activity = Handshaking(
            self.connection, handshake, self.loop, lambda: self.reading, lambda: self.refusing, failed
        )
        self.loop.turn_to(self.connection, activity)
        trusting = ssl.create_default_context(cafile=str(certificate.certificate))
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trusting.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    @property
    def activity(self) -> Activity:
        return self.connection.activity

    def said(self) -> bytes:
        """What the client says next in its handshake."""
        with suppress(BlockingIOError):
            while came := self.client.recv(1 << 16):
                self._incoming.write(came)
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    def encrypted(self, data: bytes) -> bytes:
        """What the client sends of this once its handshake is over."""
        self._tls.write(data)
        return self._outgoing.read()

    def send(self, data: bytes) -> None:
        """Have the bytes come, and whatever is due then be done."""
        self.client.send(data)
        self.loop.on_event(self.connection, IN)
        self.loop.take_turns()

    def shake(self, seed: int = 1) -> None:
        for flight in range(3):
            data = self.said()
            for piece in somewhere(data, seed + flight) if data else ():
                self.send(piece)

    def pass_time(self, seconds: float) -> None:
        self.loop.now += seconds
        self.loop.tick()


@pytest.fixture
def opened(certificate: Certificate, caplog: pytest.LogCaptureFixture) -> Iterator[Opened]:
    caplog.set_level(logging.INFO, "pyproxycache")
    made = Opened(certificate)
    yield made
    made.client.close()
    made.loop.close(made.connection)


@pytest.mark.parametrize("seed", range(20))
def test_then_the_connection_reads_in_tls(opened: Opened, seed: int) -> None:
    assert opened.connection.ingress is PLAIN
    fd = opened.connection.fd
    opened.shake(seed)
    assert opened.activity is opened.reading
    connection = opened.connection
    assert (connection.fd, connection.stream.fileno()) == (fd, fd)
    assert not connection.readable, "all has been read that came"
    with pytest.raises(BlockingIOError):
        connection.recv(100)
    assert connection.send(b"answer") == 6


def test_what_came_with_the_last_bytes_has_no_event_of_its_own(opened: Opened) -> None:
    opened.send(opened.said())
    opened.send(opened.said() + opened.encrypted(b"request"))
    assert opened.activity is opened.reading
    assert opened.connection.readable
    assert opened.connection.recv(100) == b"request"


def test_nor_has_the_end(opened: Opened) -> None:
    opened.send(opened.said())
    opened.client.send(opened.said())
    opened.client.shutdown(socket.SHUT_WR)
    opened.loop.on_event(opened.connection, IN | select.EPOLLRDHUP)
    opened.loop.take_turns()
    assert opened.activity is opened.reading
    assert opened.connection.readable


def test_others_have_their_turn_first(opened: Opened) -> None:
    """A handshake takes as long as many answers from memory."""
    opened.client.send(opened.said())
    for _ in range(3):
        opened.loop.on_event(opened.connection, IN)
    with pytest.raises(BlockingIOError):
        opened.client.recv(1)
    assert len(opened.loop.turns) == 1
    opened.loop.take_turns()
    assert opened.client.recv(1) == b"\x16"


def test_who_is_silent_is_not_waited_for(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    opened.pass_time(HANDSHAKE_SECONDS)
    assert opened.connection.is_open
    opened.pass_time(0.1)
    assert not opened.connection.is_open
    assert opened.client.recv(1) == b""
    assert caplog.messages == ["a TLS handshake with 192.0.2.7 failed: it was not finished in time"]


def test_who_is_slow_gains_no_time(opened: Opened) -> None:
    for byte in opened.said()[:11]:
        assert opened.connection.is_open
        opened.send(bytes((byte,)))
        opened.pass_time(1.0)
    assert not opened.connection.is_open


def test_only_who_has_said_nothing_yet_is_closed_for_others(opened: Opened) -> None:
    assert opened.activity.is_idle
    opened.send(b"\x16")
    assert not opened.activity.is_idle
    assert not opened.loop.close_idle()
    assert opened.connection.is_open


def test_a_stop_leaves_little_time(opened: Opened) -> None:
    opened.send(opened.said())
    opened.loop.stop()
    opened.pass_time(LINGER_SECONDS)
    assert opened.connection.is_open
    opened.pass_time(0.1)
    assert not opened.connection.is_open


def test_text_is_answered_by_others(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    opened.send(b"GET / HTTP/1.1\r\n")
    assert opened.activity is opened.refusing
    assert opened.connection.ingress is PLAIN
    assert opened.connection.buffer == b"GET / HTTP/1.1\r\n"
    assert caplog.messages == []


def test_a_failure_costs_a_line(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    opened.send(b"\x16\x03\x01\x00\x05hello" * 10)
    assert isinstance(opened.activity, Lingering)
    assert opened.client.recv(100)[:1] == b"\x15", "an alert"
    (message,) = caplog.messages
    assert message.startswith("a TLS handshake with 192.0.2.7 failed: ")
    opened.client.shutdown(socket.SHUT_WR)
    opened.loop.on_event(opened.connection, IN | select.EPOLLRDHUP)
    assert not opened.connection.is_open


def test_who_only_looks_whether_somebody_listens_costs_nothing(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    opened.client.close()
    opened.loop.on_event(opened.connection, IN | select.EPOLLRDHUP)
    opened.loop.take_turns()
    assert opened.activity is CLOSED
    assert caplog.messages == []


def test_whatever_comes_ends(certificate: Certificate) -> None:
    chance = random.Random(3)
    for _ in range(100):
        opened = Opened(certificate)
        data = bytearray(opened.said())
        data[chance.randrange(len(data))] = chance.randrange(256)
        for piece in somewhere(bytes(data), chance.randrange(1000)):
            if opened.connection.is_open:
                opened.send(piece)
        opened.client.close()
        for _ in range(3):
            if opened.connection.is_open and opened.activity is not opened.refusing:
                opened.loop.on_event(opened.connection, IN | select.EPOLLRDHUP | select.EPOLLHUP)
                opened.loop.take_turns()
        assert not opened.connection.is_open or opened.activity is opened.refusing
        opened.loop.close(opened.connection)


def test_one_that_begins_once_the_worker_stops_takes_no_longer_than_others(
    certificate: Certificate,
) -> None:
    opened = Opened(certificate, stops=True)
    assert opened.activity.deadline == opened.loop.now + LINGER_SECONDS
    opened.loop.close(opened.connection)
    opened.client.close()
