"""A body that has to have ended at some time."""

from __future__ import annotations

import pytest
from origin import Origin
from scripted import get, upstream
from waiting import until

from pyproxycache import clock
from pyproxycache.errors import UpstreamTimeout
from pyproxycache.facts import Facts
from pyproxycache.rules.urls import parse_url

BODY = b"x" * 100


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_has_not_ended_by_then_is_given_up(chunked: bool) -> None:
    with Origin() as origin:
        origin.put("/a", BODY, chunked=chunked)
        gate = origin.gate("/a", 50)
        exchange = upstream().send(get(parse_url(origin.url("/a"))), Facts())
        gate.wait_reached()
        exchange.end_by(clock.steady() + 0.1)
        with pytest.raises(UpstreamTimeout):
            b"".join(exchange)
        gate.open()


def test_the_next_body_on_the_connection_has_all_its_time() -> None:
    with Origin() as origin:
        origin.put("/a", BODY)
        client, end = upstream(), clock.steady() + 0.2
        first = client.send(get(parse_url(origin.url("/a"))), Facts())
        first.end_by(end)
        assert b"".join(first) == BODY
        gate = origin.gate("/a", 50)
        second = client.send(get(parse_url(origin.url("/a"))), Facts())
        until(lambda: clock.steady() > end)
        gate.open()
        assert b"".join(second) == BODY
        assert origin.accepted == 1
        assert client.close_idle()
