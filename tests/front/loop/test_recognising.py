"""How a redirected connection begins: any other protocol than HTTP/1 is passed on unread."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from splits import everywhere

from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import LINGER_SECONDS
from pyproxycache.front.loop.recognising import Recognising
from pyproxycache.front.requests.refusals import begins_request
from pyproxycache.net.stream import PlainStream


class Opened:
    """A new redirected connection, in a loop without a poller; `client` is its far end."""

    def __init__(self) -> None:
        posted: deque[Callable[[], None]] = deque()
        self.loop = ClientLoop(posted.append, lambda _fd: None, 1000.0)
        self.client, here = socket.socketpair()
        self.connection = ClientConnection(PlainStream(here), ("192.0.2.7", 1))
        self.reading, self.passing = Activity(), Activity()
        self.connection.reading = self.reading
        self.loop.add(self.connection)
        activity = Recognising(self.connection, self.loop, begins_request, lambda: self.passing)
        self.loop.turn_to(self.connection, activity)

    @property
    def activity(self) -> Activity:
        return self.connection.activity

    def send(self, data: bytes) -> None:
        self.client.send(data)
        self.loop.on_event(self.connection, select.EPOLLIN)

    def close(self) -> None:
        self.client.close()
        self.loop.close(self.connection)


@pytest.fixture
def opened() -> Iterator[Opened]:
    one = Opened()
    yield one
    one.close()


@pytest.mark.parametrize(
    ("data", "is_request"),
    [
        (b"GET / HTTP/1.1\r\n", True),
        (b"\r\nGET /a?b HTTP/1.0\r\nHost: a", True),
        (b"M-SEARCH * HTTP/1.1\r\n", True),
        (b"GET /\xc3\xa9 HTTP/1.1\n", True),
        (b"CONNECT a.test:443 HTTP/1.1\r\n", True),
        (b"PRI * HTTP/2.0\r\n", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"EHLO mail.test\r\n", False),
        (b"GET /\r\n", False),
        (b"GET / HTTP/1.10\r\n", False),
        (b"\x16\x03\x01\x02\x00\x01", False),
        (b"\x05\x01\x00", False),
        (b"\x00", False),
        (b"\r\n\r\nx", False),
    ],
)
def test_in_any_pieces(data: bytes, is_request: bool) -> None:
    for pieces in everywhere(data):
        opened = Opened()
        for piece in pieces:
            if opened.activity in (opened.reading, opened.passing):
                break  # who follows reads the rest
            opened.send(piece)
        assert opened.activity is (opened.reading if is_request else opened.passing)
        assert data.startswith(opened.connection.buffer)
        opened.close()


def test_a_line_without_end_is_no_request(opened: Opened) -> None:
    opened.send(b"GET /")
    for _ in range(100):
        if opened.activity is opened.passing:
            break
        opened.send(b"a" * 1000)
    assert opened.activity is opened.passing
    assert len(opened.connection.buffer) < 70_000


def test_who_says_nothing_is_idle_and_closed_in_time(opened: Opened) -> None:
    assert opened.activity.is_idle
    opened.loop.now += 74
    opened.loop.tick()
    assert opened.connection.is_open
    opened.loop.now += 2
    opened.loop.tick()
    assert opened.activity is CLOSED


@pytest.mark.parametrize(("said", "following"), [(b"", "closed"), (b"GE", "passing")])
def test_who_says_no_more(said: bytes, following: str) -> None:
    opened = Opened()
    if said:
        opened.send(said)
        assert not opened.activity.is_idle
    opened.client.shutdown(socket.SHUT_WR)
    opened.loop.on_event(opened.connection, select.EPOLLIN | select.EPOLLRDHUP)
    assert opened.activity is (CLOSED if following == "closed" else opened.passing)
    opened.close()


def test_who_is_gone_is_closed(opened: Opened) -> None:
    opened.loop.on_event(opened.connection, select.EPOLLHUP)
    assert opened.activity is CLOSED


def test_a_worker_that_stops_waits_no_longer_than_for_others(opened: Opened) -> None:
    opened.loop.stop()
    opened.loop.now += LINGER_SECONDS + 0.1
    opened.loop.tick()
    assert opened.activity is CLOSED
