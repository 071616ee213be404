"""What every Stream keeps to, plain and in TLS."""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import ssl
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from certificates import Certificate, make_certificate

from pyproxycache.net.layered_tls import LayeredTls
from pyproxycache.net.stream import PlainStream, Stream

DATA = random.Random(1).randbytes(3 << 20)
LAYERS = {"layered": 1, "layered twice": 2}
KINDS = ("plain", *LAYERS)


@pytest.fixture(scope="session")
def stream_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("stream"), "DNS:localhost")


class Ends:
    """Two streams joined, `here` and `there`; `sockets` are below them."""

    def __init__(self, kind: str, certificate: Certificate) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server = listener.accept()[0]
        self.sockets: list[socket.socket] = [client, server]
        self._client = ssl.create_default_context(cafile=str(certificate.certificate))
        self._server = certificate.server()
        for context in (self._client, self._server):
            context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        self.here: Stream = PlainStream(client)
        self.there: Stream = PlainStream(server)
        for _ in range(LAYERS.get(kind, 0)):
            self._put_a_layer()

    def _put_a_layer(self) -> None:
        layered = [
            LayeredTls(self.here, partial(self._client.wrap_bio, server_hostname="localhost")),
            LayeredTls(self.there, partial(self._server.wrap_bio, server_side=True)),
        ]
        _shake(layered)
        self.here, self.there = layered
        with contextlib.suppress(BlockingIOError):
            self.here.recv(1)  # the server's tickets: unread, they would make a reset of an end


def _shake(ends: Iterable[LayeredTls]) -> None:
    """Lead both ends through their handshake."""
    waiting = list(ends)
    while waiting:
        for one in list(waiting):
            with contextlib.suppress(BlockingIOError):
                one.shake()
                waiting.remove(one)


@pytest.fixture(params=KINDS)
def ends(request: pytest.FixtureRequest, stream_certificate: Certificate) -> Iterator[Ends]:
    made = Ends(request.param, stream_certificate)
    yield made
    made.here.close()
    made.there.close()


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "data"
    path.write_bytes(DATA)
    return path


def ready(stream: Stream, events: int) -> bool:
    """Wait for what the stream waits for."""
    poll = select.poll()
    poll.register(stream, events)
    return bool(poll.poll(5000))


def received(stream: Stream, count: int, step: int = 1 << 16) -> bytes:
    """So many bytes, or up to the end."""
    data = b""
    while len(data) < count:
        try:
            piece = stream.recv(min(step, count - len(data)))
        except BlockingIOError:
            assert ready(stream, select.POLLIN), "nothing comes"
            continue
        if not piece:
            break
        data += piece
    return data


def test_nothing_there_would_have_to_be_waited_for(ends: Ends) -> None:
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            ends.here.recv(100)
    assert ends.here.pending() == 0


def test_all_bytes_come_in_whatever_steps_they_are_sent(ends: Ends) -> None:
    sent, got = 0, b""
    while sent < len(DATA):
        try:
            sent += ends.here.send(memoryview(DATA)[sent:])
        except BlockingIOError:
            got += received(ends.there, 1)
            with contextlib.suppress(BlockingIOError):
                got += ends.there.recv(1 << 20)
    got += received(ends.there, len(DATA) - len(got))
    assert got == DATA


@pytest.mark.parametrize("step", [1, 1000, 16384, 50_000])
def test_fewer_bytes_than_asked_for_are_all_there_are(ends: Ends, step: int) -> None:
    """Who watches for edges is told of nothing that lies here already, in the system or in TLS."""
    for first, last in ((0, 10), (10, 17_000), (17_000, 60_000)):
        ends.here.send(DATA[first:last])
    assert ready(ends.there, select.POLLIN)
    data = b""
    while len(data) < 60_000:
        try:
            piece = ends.there.recv(step)
        except BlockingIOError:
            assert ready(ends.there, select.POLLIN)
            continue
        data += piece
        if len(piece) < step:
            assert ends.there.pending() == 0
    assert data == DATA[:60_000]


def test_a_file_is_sent_from_where_it_is_asked_for(ends: Ends, file: Path) -> None:
    fd, offset, got = os.open(file, os.O_RDONLY), 1000, b""
    try:
        while offset < 901_000:
            try:
                offset += ends.here.sendfile(fd, offset, 901_000 - offset)
            except BlockingIOError:
                got += received(ends.there, 50_000)
        got += received(ends.there, 900_000 - len(got))
        assert got == DATA[1000:901_000]
        assert ends.here.sendfile(fd, len(DATA), 10) == 0
    finally:
        os.close(fd)


def test_the_end_is_told_behind_all_that_was_sent(ends: Ends) -> None:
    ends.here.send(b"last words")
    ends.here.half_close()
    assert received(ends.there, 1000) == b"last words"
    assert ends.there.recv(100) == b""
    assert ends.there.recv(100) == b""


def test_who_closes_says_so(ends: Ends) -> None:
    ends.here.send(b"last words")
    ends.here.close()
    assert received(ends.there, 1000) == b"last words"
    assert ends.there.recv(100) == b""


def test_one_direction_ends_alone_where_the_stream_says_so(ends: Ends) -> None:
    ends.here.half_close()
    assert received(ends.there, 1) == b""
    if ends.here.ends_one_way:
        ends.there.send(b"answer")
        assert received(ends.here, 6) == b"answer"


def test_a_reset_is_no_end(ends: Ends) -> None:
    ends.here.send(b"half")
    assert received(ends.there, 4) == b"half"
    ends.here.reset()
    ends.here.close()
    assert ready(ends.there, select.POLLIN)
    with pytest.raises(OSError, match=r"reset|EOF occurred in violation"):
        ends.there.recv(100)


def test_what_came_before_a_failure_is_not_lost(stream_certificate: Certificate) -> None:
    """Nor is the failure: the system tells of it once."""
    ends = Ends("layered", stream_certificate)
    ends.here.send(b"whole")
    ends.sockets[0].send(b"this is no record of TLS")
    assert ready(ends.there, select.POLLIN)
    assert ends.there.recv(100) == b"whole"
    with pytest.raises(ssl.SSLError):
        received(ends.there, 1)
    ends.here.close()
    ends.there.close()


def test_who_is_gone_is_found_out(ends: Ends) -> None:
    ends.there.reset()
    ends.there.close()
    assert ready(ends.here, select.POLLIN)
    with pytest.raises(OSError, match=r"reset|EOF occurred in violation"):
        ends.here.recv(100)
    with pytest.raises(OSError, match=r"[Bb]roken pipe|EOF"):
        ends.here.send(b"more")


def test_a_closed_one_has_no_descriptor(ends: Ends) -> None:
    assert ends.here.fileno() >= 0
    ends.here.close()
    assert ends.here.fileno() == -1
