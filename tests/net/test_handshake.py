"""Handshakes with clients whose bytes come in any pieces, and with what speaks no TLS."""

from __future__ import annotations

import random
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial

import pytest
from certificates import Certificate, make_certificate
from readable import is_readable

from pyproxycache.net.handshake import HandshakeFailed, NoHandshake, ServerHandshake
from pyproxycache.net.stream import PlainStream

RESET = struct.pack("ii", 1, 0)
GARBAGE = b"\x16\x03\x01\x00\xc8\x01" + bytes(199)  # a record with an empty ClientHello, and more

Cut = Callable[[bytes], list[bytes]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("handshake"), "DNS:localhost")


class Ends:
    """A client, whose bytes are sent by the test, and the server's handshake with it."""

    def __init__(self, certificate: Certificate, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.there, here = socket.socketpair()
        self.there.setblocking(False)
        self._server = certificate.server()
        self.handshake = ServerHandshake(
            PlainStream(here), partial(self._server.wrap_bio, server_side=True)
        )
        context = ssl.create_default_context(cafile=str(certificate.certificate))
        context.maximum_version = version
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        self.is_done = False

    def close(self) -> None:
        self.there.close()
        self.handshake.stream.close()

    def said(self, behind: bytes = b"") -> bytes:
        """What the client sends after all that has come for it; with its last flight comes `behind`."""
        with suppress(BlockingIOError):
            while came := self.there.recv(1 << 16):
                self._incoming.write(came)
        if not self.is_done:
            with suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
                self.is_done = True
                if behind:
                    self.client.write(behind)
        return self._outgoing.read()

    def shaken(self, cut: Cut, behind: bytes = b"") -> None:
        """Lead both through the handshake, the client's bytes cut into pieces."""
        is_over = False
        for _flight in range(10):
            for piece in cut(self.said(behind)):
                self.there.send(piece)
                if not is_over:
                    with suppress(BlockingIOError):
                        self.handshake.advance()
                        is_over = True
            if is_over and self.is_done:
                return
        raise AssertionError("the handshake does not end")


@pytest.fixture
def ends(certificate: Certificate) -> Iterator[Ends]:
    with closing(Ends(certificate)) as made:
        yield made


def at(place: int, raw: bytes) -> list[bytes]:
    return [piece for piece in (raw[:place], raw[place:]) if piece]


def bytewise(raw: bytes) -> list[bytes]:
    return [raw[place : place + 1] for place in range(len(raw))]


CUTS = [*(partial(at, place) for place in (*range(1, 12), *range(12, 700, 23))), bytewise]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_clients_bytes_may_come_in_any_pieces(certificate: Certificate, version: ssl.TLSVersion) -> None:
    for cut in CUTS:
        with closing(Ends(certificate, version)) as ends:
            fd = ends.handshake.stream.fileno()
            ends.shaken(cut, b"GET /")
            assert ends.handshake.stream.fileno() == fd, "the poller knows the connection by it"
            assert ends.client.version() == version.name.replace("_", ".")
            received = b""
            while len(received) < 5:
                received += ends.handshake.stream.recv(100)
            assert received == b"GET /"


def test_nothing_there_has_to_be_waited_for(ends: Ends) -> None:
    for _ in range(3):
        with pytest.raises(BlockingIOError):
            ends.handshake.advance()
    assert not ends.handshake.has_begun
    ends.there.send(ends.said()[:1])
    with pytest.raises(BlockingIOError):
        ends.handshake.advance()
    assert ends.handshake.has_begun


@pytest.mark.parametrize("text", [b"GET / HTTP/1.1\r\n", b"CONNECT h:443 HTTP/1.1\r\n", b"\r\nGET /", b"p"])
def test_text_is_given_to_who_reads_it(ends: Ends, text: bytes) -> None:
    ends.there.send(text)
    with pytest.raises(NoHandshake):
        ends.handshake.advance()
    assert ends.handshake.early == text


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x01\x00\x05hello", id="no-hello"),
        pytest.param(GARBAGE, id="zeros"),
        pytest.param(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(100), id="ssl-2"),
        pytest.param(b"\x05\x01\x00" * 10, id="socks"),
        pytest.param(bytes(100), id="nothing-but-zeros"),
        pytest.param(b"\x17\x03\x03\x00\x05hello", id="data-before-the-handshake"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x28", id="an-alert"),
        pytest.param(b"\x16\x03\x01\xff\xff" + bytes(1000), id="too-long-a-record"),
    ],
)
@pytest.mark.parametrize("cut", [lambda raw: [raw], bytewise], ids=["at-once", "bytewise"])
def test_what_is_no_handshake_fails_with_a_reason(ends: Ends, data: bytes, cut: Cut) -> None:
    told = ""
    for piece in cut(data):
        ends.there.send(piece)
        try:
            ends.handshake.advance()
        except BlockingIOError:
            continue
        except HandshakeFailed as failure:
            told = str(failure)
            break
    assert told
    assert "_ssl.c" not in told


def test_whatever_comes_is_waited_for_or_fails(certificate: Certificate) -> None:
    chance = random.Random(7)
    for _ in range(300):
        with closing(Ends(certificate)) as ends:
            hello = bytearray(ends.said())
            for _ in range(chance.choice((1, 2, 20))):
                hello[chance.randrange(1, len(hello))] = chance.randrange(256)
            ends.there.send(hello[: chance.randrange(1, len(hello) + 1)])
            with suppress(BlockingIOError, HandshakeFailed):
                ends.handshake.advance()
            assert ends.handshake.stream.fileno() >= 0


def test_the_client_gets_the_alert_whatever_it_has_sent_behind(ends: Ends) -> None:
    """A connection that is closed with unread bytes is reset, and what was sent is lost."""
    ends.there.send(GARBAGE * 3)
    with pytest.raises(HandshakeFailed):
        ends.handshake.advance()
    stream = ends.handshake.stream
    ends.there.send(GARBAGE)
    assert stream.recv(1 << 16), "the rest is read as it is"
    stream.half_close()
    assert ends.there.recv(100)[:1] == b"\x15"
    assert ends.there.recv(100) == b""


def test_who_leaves_before_the_first_byte_has_just_gone(ends: Ends) -> None:
    ends.there.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError):
        ends.handshake.advance()


def test_who_leaves_in_the_midst_of_it_is_told_of(ends: Ends) -> None:
    ends.there.send(ends.said()[:20])
    ends.there.shutdown(socket.SHUT_WR)
    with pytest.raises(HandshakeFailed, match="the client broke it off"):
        ends.handshake.advance()


@pytest.mark.parametrize("first", [0, 1, 20, 10_000])
@pytest.mark.parametrize("looks_before", [False, True])
def test_a_reset_is_a_failure_of_this_connection_alone(
    certificate: Certificate, first: int, looks_before: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, closing(Ends(certificate)) as ends:
        there = socket.create_connection(listener.getsockname())
        here = listener.accept()[0]
        server = certificate.server()
        handshake = ServerHandshake(PlainStream(here), partial(server.wrap_bio, server_side=True))
        there.sendall(ends.said()[:first])
        if looks_before:
            with suppress(BlockingIOError):
                handshake.advance()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        there.close()
        assert is_readable(handshake.stream.fileno(), 10)
        with pytest.raises((ConnectionError, HandshakeFailed)):
            handshake.advance()
        handshake.stream.close()
