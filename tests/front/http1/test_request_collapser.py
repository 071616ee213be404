"""Who waits for the answer to another one's request."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from pyproxycache.front.http1.request_collapser import RequestCollapser
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.requests.ingress import PLAIN, SECURED, redirected_from, standing_in_for
from pyproxycache.net.stream import PlainStream
from pyproxycache.url import Authority, Url

HEAD = b"GET http://o/ HTTP/1.1\r\nHost: o\r\n\r\n"
OTHER = b"GET http://o/other HTTP/1.1\r\nHost: o\r\n\r\n"
CONDITIONAL = b"GET http://o/ HTTP/1.1\r\nHost: o\r\nIf-None-Match: x\r\n\r\n"


Asking = Callable[..., Transaction]


@pytest.fixture
def asking() -> Asking:
    """Makes a request of a client's; its socket is of no use."""

    def ask(head: bytes = HEAD, client: str = "127.0.0.1") -> Transaction:
        with socket.socket() as sock:
            return Transaction(ClientConnection(PlainStream(sock), (client, 1)), head)

    return ask


def released(collapser: RequestCollapser, transaction: Transaction) -> list[Transaction]:
    return list(collapser.release(transaction).waiting)


def test_the_same_head_waits_for_the_first(asking: Asking) -> None:
    collapser = RequestCollapser()
    first, second, third, other = (asking(head) for head in (HEAD, HEAD, HEAD, OTHER))
    assert [collapser.park(one, 0.0) for one in (first, second, third)] == [False, True, True]
    assert not collapser.park(other, 0.0)
    assert released(collapser, second) == []
    assert released(collapser, other) == []
    assert collapser.is_waited_for(first)
    assert not collapser.is_waited_for(second)
    assert released(collapser, first) == [second, third]
    assert released(collapser, first) == []


def test_the_next_after_that_is_a_first_again(asking: Asking) -> None:
    collapser = RequestCollapser()
    first = asking(HEAD)
    collapser.park(first, 0.0)
    collapser.release(first)
    assert not collapser.park(asking(HEAD), 0.0)
    assert collapser.park(asking(HEAD), 0.0)


def test_who_has_gone_meanwhile_is_not_released(asking: Asking) -> None:
    collapser = RequestCollapser()
    first, second, third = (asking(HEAD) for _ in range(3))
    for transaction in (first, second, third):
        collapser.park(transaction, 0.0)
    collapser.leave(second)
    assert released(collapser, first) == [third]


@pytest.mark.parametrize("head", [CONDITIONAL, None], ids=["conditional", "none"])
def test_nobody_waits_where_more_than_the_url_decides(asking: Asking, head: bytes) -> None:
    collapser = RequestCollapser()
    assert [collapser.park(asking(head), 0.0) for _ in range(4)] == [False] * 4


def test_a_head_means_something_else_by_each_ingress(asking: Asking) -> None:
    collapser = RequestCollapser()
    by_ingress = [asking(HEAD) for _ in range(3)]
    origin = Url("https", "o", 443, "/")
    for transaction, ingress in zip(by_ingress, (PLAIN, SECURED, standing_in_for(origin)), strict=True):
        transaction.connection.ingress = ingress
    assert [collapser.park(one, 0.0) for one in by_ingress] == [False] * 3
    again = asking(HEAD)
    again.connection.ingress = standing_in_for(Url("https", "o", 443, "/"))
    assert collapser.park(again, 0.0)
    assert released(collapser, by_ingress[2]) == [again]
    collapser.release(by_ingress[0])
    collapser.avoid(asking(by_ingress[1]), 0.0)
    assert [collapser.park(asking(HEAD), 1.0) for _ in range(2)] == [False, True], "the other is avoided"


def test_nobody_waits_on_redirected_connections(asking: Asking) -> None:
    collapser, destination = RequestCollapser(), Authority("192.0.2.1", 443)
    for ingress in (
        redirected_from(destination),
        standing_in_for(Url("https", "o", 443, "/"), destination=destination),
    ):
        for _ in range(3):
            transaction = asking(HEAD)
            transaction.connection.ingress = ingress
            assert not collapser.park(transaction, 0.0)


def test_nobody_waits_for_a_while_for_what_is_for_one_alone(asking: Asking) -> None:
    collapser = RequestCollapser()
    collapser.avoid(asking(HEAD), 1000.0)
    first = asking(HEAD)
    assert [collapser.park(one, 1000.5) for one in (first, asking(HEAD))] == [False, False]
    assert released(collapser, first) == []
    later = 10_000.0
    collapser.sweep(later)
    assert [collapser.park(asking(HEAD), later) for _ in range(2)] == [False, True]


def test_a_successor_leads_the_others(asking: Asking) -> None:
    collapser = RequestCollapser()
    first, second, third, fourth = (asking(HEAD) for _ in range(4))
    for transaction in (first, second, third):
        collapser.park(transaction, 0.0)
    wait = collapser.release(first)
    assert not wait.is_second
    assert collapser.wait_again(wait.waiting) is second
    assert collapser.park(fourth, 0.0)
    again = collapser.release(second)
    assert (list(again.waiting), again.is_second) == ([third, fourth], True)


def test_nobody_waits_for_another_clients_turn(asking: Asking) -> None:
    collapser = RequestCollapser()
    first, second, third = (asking(client="192.0.2.1") for _ in range(3))
    others = [asking(client=f"192.0.2.{number}") for number in (2, 2, 3)]
    for transaction in (first, second):
        collapser.park(transaction, 0.0)
    assert collapser.hold_up(first) is None
    assert collapser.park(third, 0.0)
    assert [collapser.park(one, 0.0) for one in others] == [False, True, True]
    assert collapser.hold_up(first) is None  # it leads nobody any more
    assert collapser.hold_up(others[0]) is second
    assert collapser.hold_up(second) is others[1]
    assert released(collapser, first) == []
    assert released(collapser, others[1]) == [third, others[2]]


def test_what_is_avoided_is_bounded(asking: Asking) -> None:
    collapser = RequestCollapser()
    heads = [HEAD.replace(b"o/", b"o/%d" % number) for number in range(20_000)]
    for head in heads:
        collapser.avoid(asking(head), 0.0)
    waits = [[collapser.park(asking(head), 1.0) for _ in range(2)] for head in (heads[0], heads[-1])]
    assert waits == [[False, True], [False, False]]
