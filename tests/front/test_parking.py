"""Who waits for the answer to another one's request."""

from __future__ import annotations

import socket

import pytest

from pyproxycache.front.connection import Connection, State
from pyproxycache.front.parking import Parking

HEAD = b"GET http://o/ HTTP/1.1\r\nHost: o\r\n\r\n"
OTHER = b"GET http://o/other HTTP/1.1\r\nHost: o\r\n\r\n"
CONDITIONAL = b"GET http://o/ HTTP/1.1\r\nHost: o\r\nIf-None-Match: x\r\n\r\n"


@pytest.fixture
def clients() -> list[Connection]:
    """Their sockets are of no use."""
    made = []
    for number in range(4):
        with socket.socket() as sock:
            made.append(Connection(sock, ("127.0.0.1", number), 0.0))
    return made


def parked(parking: Parking, connection: Connection, head: bytes, now: float = 0.0) -> bool:
    """As the poller does it."""
    waits = parking.park(connection, head, now)
    connection.state = State.PARKED if waits else State.WORKING
    return waits


def released(parking: Parking, connection: Connection, head: bytes) -> list[Connection]:
    return parking.release(connection, head).waiting


def test_the_same_head_waits_for_the_first(clients: list[Connection]) -> None:
    parking = Parking()
    first, second, third, other = clients
    assert [parked(parking, client, HEAD) for client in (first, second, third)] == [False, True, True]
    assert not parked(parking, other, OTHER)
    assert released(parking, second, HEAD) == []
    assert released(parking, first, OTHER) == []
    assert released(parking, first, HEAD) == [second, third]
    assert released(parking, first, HEAD) == []


def test_the_next_after_that_is_a_first_again(clients: list[Connection]) -> None:
    parking = Parking()
    parked(parking, clients[0], HEAD)
    parking.release(clients[0], HEAD)
    assert not parked(parking, clients[1], HEAD)
    assert parked(parking, clients[2], HEAD)


def test_who_has_gone_meanwhile_is_not_released(clients: list[Connection]) -> None:
    parking = Parking()
    for client in clients[:3]:
        parked(parking, client, HEAD)
    clients[1].state = State.CLOSED
    assert released(parking, clients[0], HEAD) == [clients[2]]


def test_nobody_waits_where_more_than_the_url_decides(clients: list[Connection]) -> None:
    parking = Parking()
    assert [parked(parking, client, CONDITIONAL) for client in clients] == [False] * 4


def test_nobody_waits_for_a_while_for_what_is_for_one_alone(clients: list[Connection]) -> None:
    parking = Parking()
    parking.avoid(HEAD, 1000.0)
    assert [parked(parking, client, HEAD, 1000.5) for client in clients[:2]] == [False, False]
    assert released(parking, clients[0], HEAD) == []
    later = 10_000.0
    parking.sweep(later)
    assert [parked(parking, client, HEAD, later) for client in clients[:2]] == [False, True]


def test_a_successor_leads_the_others(clients: list[Connection]) -> None:
    parking = Parking()
    for client in clients[:3]:
        parked(parking, client, HEAD)
    first = parking.release(clients[0], HEAD)
    assert not first.is_second
    assert parking.wait_again(HEAD, first.waiting) is clients[1]
    assert parked(parking, clients[3], HEAD)
    again = parking.release(clients[1], HEAD)
    assert (again.waiting, again.is_second) == (clients[2:], True)


def test_what_is_avoided_is_bounded() -> None:
    parking = Parking()
    for number in range(20_000):
        parking.avoid(b"%d" % number, float(number) / 1000)
    assert len(parking._avoided) <= 10_000
