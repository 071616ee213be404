"""TLS that is made to cost much and say little: a step over it ends, and so does who sends it."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from certificates import Certificate, make_certificate
from records import Records
from splits import cpu_within

from pyproxycache.net.layered_tls import LayeredTls
from pyproxycache.net.stream import PlainStream

Make = Callable[[Records], bytes]


class Counting(PlainStream):
    """A plain stream that counts the bytes it gives."""

    __slots__ = ("given",)

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.given = 0
        receive = self.recv

        def counted(count: int) -> bytes:
            data = receive(count)
            self.given += len(data)
            return data

        self.recv = counted  # type: ignore[method-assign]


class Attacked:
    """A server's end in TLS, `below` which the bytes that a client makes of its records come."""

    def __init__(self, folder: Path, certificate: Certificate, make: Make) -> None:
        here, there = socket.socketpair()
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        self._here = here
        context = ssl.create_default_context(cafile=str(certificate.certificate))
        self.below = Counting(there)
        self.stream = LayeredTls(self.below, partial(certificate.server().wrap_bio, server_side=True))

        def attack() -> None:
            client = Records(here, context, "localhost", folder / "keys")
            with suppress(OSError):  # the other side ends it
                here.sendall(make(client))

        self._client = threading.Thread(target=attack)
        self._client.start()
        self._patiently(self.stream.shake)

    def receive(self, count: int) -> bytes:
        return self._patiently(partial(self.stream.recv, count)) or b""

    def receive_all(self, limit: int) -> None:
        """Receive to the end, which has to come before so many bytes have come from below."""
        while self.receive(1 << 16):
            assert self.below.given < limit

    def _patiently(self, step: Callable[[], bytes | None]) -> bytes | None:
        while True:
            try:
                return step()
            except BlockingIOError:
                assert self.stream.wait(select.POLLIN, 20), "nothing comes"

    def close(self) -> None:
        self.stream.reset()
        self.stream.close()
        self._client.join(20)
        self._here.close()


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Callable[[Make], Attacked]]:
    certificate, made = make_certificate(tmp_path, "DNS:localhost"), []

    def make(attack: Make) -> Attacked:
        made.append(Attacked(tmp_path, certificate, attack))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _new_keys(client: Records, count: int, *, wants: bool) -> bytes:
    return b"".join(client.key_update(wants_one=wants) for _ in range(count))


@pytest.mark.parametrize(
    "make",
    [
        lambda client: _new_keys(client, 20_000, wants=False),
        lambda client: _new_keys(client, 20_000, wants=True),
        lambda client: b"".join(client.content(b"") for _ in range(5000)),
        lambda client: b"".join(client.content(b"", 15_000) for _ in range(100)),
        lambda client: b"".join(
            _new_keys(client, 50, wants=False) + client.content(b"x") for _ in range(400)
        ),
        lambda client: b"".join(client.content(b"x", 15_000) for _ in range(300)),
    ],
    ids=["keys", "answered keys", "nothing", "padding", "keys and little", "padding and little"],
)
def test_who_sends_next_to_no_content_is_given_up(attacked: Callable[[Make], Attacked], make: Make) -> None:
    server = attacked(make)
    with cpu_within(20), pytest.raises(OSError, match=r"without content|record too small"):
        server.receive_all(limit=1 << 19)
    assert server.below.given < 1 << 19


def test_new_keys_now_and_then_are_welcome(attacked: Callable[[Make], Attacked]) -> None:
    server = attacked(
        lambda client: b"".join(
            client.content(b"x" * 100) + _new_keys(client, 3, wants=True) for _ in range(1000)
        )
    )
    data = b""
    while len(data) < 100_000:
        data += server.receive(1 << 16)
    assert data == b"x" * 100_000


def test_tiny_records_end_a_step_before_it_is_full(attacked: Callable[[Make], Attacked]) -> None:
    """What is left is told of, as no event may tell."""
    server = attacked(lambda client: b"".join(client.content(b"x") for _ in range(20_000)))
    got, is_told = 0, False
    while got < 20_000:
        before = server.below.given
        data = server.receive(1 << 14)
        assert server.below.given - before <= 2 << 16
        assert len(data) < 1 << 14
        got += len(data)
        is_told |= server.stream.pending() > 0
    assert got == 20_000
    assert is_told
