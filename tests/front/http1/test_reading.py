"""What a connection's requests come to when its client closes its side behind them."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from pyproxycache.front.http1.first_step import FirstStep
from pyproxycache.front.http1.reading import Reading
from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.net.stream import PlainStream

END = select.EPOLLIN | select.EPOLLRDHUP
FIRST, SECOND = b"GET http://o/1 HTTP/1.1\r\nHost: o\r\n\r\n", b"GET http://o/2 HTTP/1.1\r\nHost: o\r\n\r\n"


class Answering(Activity):
    """Stands for a thread at work on a request."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__()
        self._connection = connection

    def on_event(self, event: int) -> Activity:
        self._connection.note(event)
        return self


class ThreadsOnly:
    """A first step that finds nothing in memory, and notes the heads that threads are to answer."""

    def __init__(self) -> None:
        self.heads: dict[bytes, Any] = {}
        self.submitted: list[bytes | None] = []

    def respond(self, _connection: ClientConnection, _known: Any) -> Activity:
        raise AssertionError("memory knows nothing")

    def from_memory(self, _connection: ClientConnection, _head: bytes) -> Activity | None:
        return None

    def submit(self, connection: ClientConnection, head: bytes | None) -> Activity:
        self.submitted.append(head)
        connection.buffer = connection.buffer[len(head or b"") :]
        return Answering(connection)


class Reader:
    """A connection that waits for requests, in a loop without a poller; `client` is its far end."""

    def __init__(self) -> None:
        posted: deque[Callable[[], None]] = deque()
        self.loop = ClientLoop(posted.append, lambda _fd: None, 1000.0)
        self.client, here = socket.socketpair()
        self.connection = ClientConnection(PlainStream(here), ("192.0.2.7", 1))
        self.threads = ThreadsOnly()
        self.connection.reading = Reading(self.connection, self.loop, cast(FirstStep, self.threads))
        self.loop.add(self.connection)

    def answered(self) -> None:
        """The thread has sent its answer: the connection waits for the next request."""
        self.loop.turn_to(self.connection, self.connection.reading)

    def close(self) -> None:
        self.client.close()
        self.loop.close(self.connection)


@pytest.fixture
def reader() -> Iterator[Reader]:
    one = Reader()
    yield one
    one.close()


@pytest.mark.parametrize("is_told_first", [True, False], ids=["event first", "turn first"])
def test_requests_that_are_there_are_answered_although_the_client_says_no_more(
    reader: Reader, is_told_first: bool
) -> None:
    """Whether the loop hears of the end before the connection has its turn, or the other way round."""
    reader.client.send(FIRST + SECOND)
    reader.loop.on_event(reader.connection, select.EPOLLIN)
    reader.client.shutdown(socket.SHUT_WR)
    reader.answered()
    if is_told_first:
        reader.loop.on_event(reader.connection, END)
    reader.loop.take_turns()
    assert reader.threads.submitted == [FIRST, SECOND]
    if not is_told_first:
        reader.loop.on_event(reader.connection, END)
    reader.answered()
    reader.loop.take_turns()
    assert reader.connection.activity is CLOSED


@pytest.mark.parametrize("begun", [b"", FIRST[:-2], b"\r\n"])
def test_what_is_no_whole_request_at_the_end_is_none(reader: Reader, begun: bytes) -> None:
    reader.client.send(FIRST + begun)
    reader.loop.on_event(reader.connection, select.EPOLLIN)
    reader.client.shutdown(socket.SHUT_WR)
    reader.answered()
    reader.loop.on_event(reader.connection, END)
    reader.loop.take_turns()
    assert reader.threads.submitted == [FIRST]
    assert reader.connection.activity is CLOSED


def test_a_body_that_is_passed_over_hides_no_request_behind_it(reader: Reader) -> None:
    reader.client.send(FIRST + b"body!" + SECOND)
    reader.loop.on_event(reader.connection, select.EPOLLIN)
    reader.connection.unread = 5
    reader.client.shutdown(socket.SHUT_WR)
    reader.answered()
    reader.loop.on_event(reader.connection, END)
    assert reader.threads.submitted == [FIRST, SECOND]


@pytest.mark.parametrize("target", [b"http://o/1", b"/\xe9", b"http://o/\x80a?\xff"])
def test_a_request_line_that_is_there_first_waits_for_the_rest(reader: Reader, target: bytes) -> None:
    """Also one with bytes that are not ASCII, which are encoded once the head is whole."""
    head = b"GET " + target + b" HTTP/1.1\r\nHost: o\r\n\r\n"
    for place in range(1, len(head)):
        reader.client.send(head[place - 1 : place])
        reader.loop.on_event(reader.connection, select.EPOLLIN)
    assert reader.threads.submitted == []
    reader.client.send(head[-1:])
    reader.loop.on_event(reader.connection, select.EPOLLIN)
    assert reader.threads.submitted == [head]
