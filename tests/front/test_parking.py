"""Who waits for the answer to another one's request."""

from __future__ import annotations

import socket

import pytest

from pyproxycache.front.http1.connection import ClientConnection, State
from pyproxycache.front.http1.request_collapser import RequestCollapser

HEAD = b"GET http://o/ HTTP/1.1\r\nHost: o\r\n\r\n"
OTHER = b"GET http://o/other HTTP/1.1\r\nHost: o\r\n\r\n"
CONDITIONAL = b"GET http://o/ HTTP/1.1\r\nHost: o\r\nIf-None-Match: x\r\n\r\n"


@pytest.fixture
def clients() -> list[ClientConnection]:
    """Their sockets are of no use."""
    made = []
    for number in range(4):
        with socket.socket() as sock:
            made.append(ClientConnection(sock, ("127.0.0.1", number), 0.0))
    return made


def parked(
    collapser: RequestCollapser, connection: ClientConnection, head: bytes, now: float = 0.0
) -> bool:
    """As the poller does it."""
    waits = collapser.park(connection, head, now)
    connection.state = State.PARKED if waits else State.WORKING
    return waits


def released(
    collapser: RequestCollapser, connection: ClientConnection, head: bytes
) -> list[ClientConnection]:
    return collapser.release(connection, head).waiting


def test_the_same_head_waits_for_the_first(clients: list[ClientConnection]) -> None:
    collapser = RequestCollapser()
    first, second, third, other = clients
    assert [parked(collapser, client, HEAD) for client in (first, second, third)] == [False, True, True]
    assert not parked(collapser, other, OTHER)
    assert released(collapser, second, HEAD) == []
    assert released(collapser, first, OTHER) == []
    assert released(collapser, first, HEAD) == [second, third]
    assert released(collapser, first, HEAD) == []


def test_the_next_after_that_is_a_first_again(clients: list[ClientConnection]) -> None:
    collapser = RequestCollapser()
    parked(collapser, clients[0], HEAD)
    collapser.release(clients[0], HEAD)
    assert not parked(collapser, clients[1], HEAD)
    assert parked(collapser, clients[2], HEAD)


def test_who_has_gone_meanwhile_is_not_released(clients: list[ClientConnection]) -> None:
    collapser = RequestCollapser()
    for client in clients[:3]:
        parked(collapser, client, HEAD)
    clients[1].state = State.CLOSED
    assert released(collapser, clients[0], HEAD) == [clients[2]]


def test_nobody_waits_where_more_than_the_url_decides(clients: list[ClientConnection]) -> None:
    collapser = RequestCollapser()
    assert [parked(collapser, client, CONDITIONAL) for client in clients] == [False] * 4


def test_nobody_waits_for_a_while_for_what_is_for_one_alone(clients: list[ClientConnection]) -> None:
    collapser = RequestCollapser()
    collapser.avoid(HEAD, 1000.0)
    assert [parked(collapser, client, HEAD, 1000.5) for client in clients[:2]] == [False, False]
    assert released(collapser, clients[0], HEAD) == []
    later = 10_000.0
    collapser.sweep(later)
    assert [parked(collapser, client, HEAD, later) for client in clients[:2]] == [False, True]


def test_a_successor_leads_the_others(clients: list[ClientConnection]) -> None:
    collapser = RequestCollapser()
    for client in clients[:3]:
        parked(collapser, client, HEAD)
    first = collapser.release(clients[0], HEAD)
    assert not first.is_second
    assert collapser.wait_again(HEAD, first.waiting) is clients[1]
    assert parked(collapser, clients[3], HEAD)
    again = collapser.release(clients[1], HEAD)
    assert (again.waiting, again.is_second) == (clients[2:], True)


def test_what_is_avoided_is_bounded() -> None:
    collapser = RequestCollapser()
    for number in range(20_000):
        collapser.avoid(b"%d" % number, float(number) / 1000)
    assert len(collapser._avoided) <= 10_000
