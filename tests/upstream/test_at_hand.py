"""Small bodies that come soon after their heads are taken whole, and nothing is lost of others."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Certificate
from scripted import Scripted, get, upstream

from pyproxycache.errors import BrokenOff
from pyproxycache.facts import Facts
from pyproxycache.upstream.exchange import Exchange

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
BODY = b"0123456789"
LONG = 20.0


class Later:
    """Says the pieces one after the other, a moment apart; `released` lets it begin with the second."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.released = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        first, *others = self._pieces
        connection.sendall(first)
        assert self.released.wait(30)
        for piece in others:
            time.sleep(0.02)
            connection.sendall(piece)


def exchange_with(origin: Scripted, certificate: Certificate) -> Exchange:
    return upstream(ca_file=Path(certificate.certificate)).send(get(origin.url()), Facts())


@pytest.mark.parametrize(
    "pieces",
    [(HEAD, BODY), (HEAD, BODY[:1], BODY[1:]), (HEAD + BODY[:4], BODY[4:])],
    ids=["behind", "in two", "begun"],
)
def test_a_body_that_comes_in_time_is_whole(
    pieces: tuple[bytes, ...], tls: ssl.SSLContext | None, certificate: Certificate
) -> None:
    later = Later(*pieces)
    with Scripted([later], tls=tls) as origin:
        exchange = exchange_with(origin, certificate)
        assert exchange.at_hand(100) is None
        later.released.set()
        assert exchange.at_hand(100, LONG) == BODY
        assert exchange.read() == b""


@pytest.mark.parametrize("pieces", [(HEAD, BODY), (HEAD + BODY[:4], BODY[4:])], ids=["none", "begun"])
def test_nothing_is_lost_of_one_that_does_not_come_in_time(
    pieces: tuple[bytes, ...], tls: ssl.SSLContext | None, certificate: Certificate
) -> None:
    later = Later(*pieces)
    with Scripted([later], tls=tls) as origin:
        exchange = exchange_with(origin, certificate)
        assert exchange.at_hand(100, 0.05) is None
        later.released.set()
        assert drained(exchange.read) == BODY


def test_one_that_breaks_off_is_not_waited_for(
    tls: ssl.SSLContext | None, certificate: Certificate
) -> None:
    later = Later(HEAD, BODY[:4])
    later.released.set()
    with Scripted([later], tls=tls) as origin:
        exchange, began = exchange_with(origin, certificate), time.monotonic()
        assert exchange.at_hand(100, LONG) is None
        assert time.monotonic() - began < LONG / 2
        with pytest.raises(BrokenOff):
            drained(exchange.read)


def drained(read: Callable[[], bytes]) -> bytes:
    return b"".join(iter(read, b""))


def test_one_that_is_too_long_is_not_waited_for(certificate: Certificate) -> None:
    later = Later(HEAD, BODY)
    with Scripted([later]) as origin:
        exchange, began = exchange_with(origin, certificate), time.monotonic()
        assert exchange.at_hand(9, LONG) is None
        assert time.monotonic() - began < LONG / 2
        later.released.set()
        assert drained(exchange.read) == BODY


def test_a_body_is_whole_wherever_head_and_body_are_cut(
    tls: ssl.SSLContext | None, certificate: Certificate
) -> None:
    whole = HEAD + BODY
    for cut in range(1, len(whole)):
        later = Later(whole[:cut], whole[cut:])
        later.released.set()
        with Scripted([later], tls=tls) as origin:
            assert exchange_with(origin, certificate).at_hand(100, LONG) == BODY, cut
