"""Events by POST: in order, confirmed by 2xx, and never to be lost for an answer that may change."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from certificates import Certificate
from origin import Origin
from scripted import Scripted

from pyproxycache import clock
from pyproxycache.report.events.carrier import Undelivered
from pyproxycache.report.events.webhook_carrier import WebhookCarrier
from pyproxycache.route_options.events import WebhookOptions

EVENTS = [b'{"id":"%d"}' % number for number in range(25)]


def never() -> bool:
    return False


class Made:
    """A carrier with what it counts."""

    def __init__(self, url: str, **options: Any) -> None:
        self.counts: Counter[str] = Counter()
        options = {"batch": 10, **options}
        of_webhook = WebhookOptions(url=url, **options)
        self.carrier = WebhookCarrier(of_webhook, threading.Event(), self.counts.update)


@pytest.fixture
def made(origin: Origin) -> Iterator[Callable[..., Made]]:
    carriers = []

    def make(url: str = "", **options: Any) -> Made:
        one = Made(url or origin.url("/hook"), **options)
        carriers.append(one.carrier)
        return one

    yield make
    for carrier in carriers:
        carrier.close()


def bodies(origin: Origin) -> list[list[bytes]]:
    return [asked.body.splitlines() for asked in origin.asked("/hook")]


def test_events_are_posted_as_lines_in_batches(made: Callable[..., Made], origin: Origin) -> None:
    origin.put("/hook", b"thanks")
    made().carrier.deliver(EVENTS, never)
    assert bodies(origin) == [EVENTS[:10], EVENTS[10:20], EVENTS[20:]]
    (first, *_others) = origin.asked("/hook")
    assert (first.method, first.get("content-type")) == ("POST", "application/x-ndjson")
    assert origin.accepted == 1  # one connection


@pytest.mark.parametrize("status", [301, 401, 404, 429, 500, 503])
def test_any_other_answer_is_no_confirmation(
    made: Callable[..., Made], origin: Origin, status: int
) -> None:
    origin.put("/hook", b"", status=status, headers=[("Location", origin.url("/hook"))])
    with pytest.raises(Undelivered, match=f"the webhook answers {status}") as failure:
        made().carrier.deliver(EVENTS, never)
    assert (failure.value.delivered, len(origin.asked("/hook"))) == (0, 1)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_is_sent_one_by_one_and_given_up(
    made: Callable[..., Made], origin: Origin, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    origin.put("/hook", b"", status=status)
    one = made()
    one.carrier.deliver(EVENTS[:3], never)
    assert bodies(origin) == [EVENTS[:3], *[[event] for event in EVENTS[:3]]]
    assert one.counts == {"events.refused": 3}
    assert f"refuses an event (status {status}), which is given up" in caplog.text


def test_nobody_is_there(made: Callable[..., Made], origin: Origin) -> None:
    url = origin.url("/hook?key=s3cret")
    origin.stop()
    with pytest.raises(Undelivered, match="the webhook cannot be reached: ConnectionError") as failure:
        made(url).carrier.deliver(EVENTS, never)
    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
def test_an_answer_that_drips_ends_in_time(
    made: Callable[..., Made], certificate: Certificate, is_secure: bool
) -> None:
    with Origin(tls=certificate.server() if is_secure else None) as origin:
        one = made(origin.url("/hook"), timeout=0.5, ca_file=certificate.certificate if is_secure else None)
        # Its status is there, and says it all.
        origin.put("/hook", b"thanks" * 100, rate=10.0)
        begun = clock.steady()
        one.carrier.deliver(EVENTS[:1], never)
        one.carrier.deliver(EVENTS[1:2], never)
        assert clock.steady() - begun < 10.0
        assert bodies(origin) == [EVENTS[:1], EVENTS[1:2]]


def test_a_head_that_drips_ends_in_time(made: Callable[..., Made]) -> None:
    def drip(connection: socket.socket) -> None:
        for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100:
            connection.sendall(bytes([letter]))
            time.sleep(0.1)

    with Scripted([drip]) as origin:
        one = made(str(origin.url("/hook")), timeout=0.5)
        begun = clock.steady()
        with pytest.raises(Undelivered, match="the webhook cannot be reached") as failure:
            one.carrier.deliver(EVENTS[:1], never)
        assert failure.value.delivered == 0
        assert clock.steady() - begun < 10.0


def test_a_kept_connection_that_was_closed_costs_a_try(made: Callable[..., Made], origin: Origin) -> None:
    origin.put("/hook", b"thanks")
    one = made()
    one.carrier.deliver(EVENTS[:10], never)
    origin.stop()
    origin.start()
    try:
        one.carrier.deliver(EVENTS[10:20], never)
    except Undelivered:
        one.carrier.deliver(EVENTS[10:20], never)
    assert bodies(origin)[-1] == EVENTS[10:20]


def test_no_time_is_left(made: Callable[..., Made], origin: Origin) -> None:
    origin.put("/hook", b"thanks")
    answers = iter([False, True])
    with pytest.raises(Undelivered, match="there is no time left") as failure:
        made().carrier.deliver(EVENTS, lambda: next(answers))
    assert failure.value.delivered == 10


def test_a_token_is_sent_and_its_authority_is_trusted(
    made: Callable[..., Made], certificate: Certificate
) -> None:
    with Origin(tls=certificate.server()) as origin:
        origin.put("/hook", b"thanks")
        made(origin.url("/hook"), token="t0ken", ca_file=certificate.certificate).carrier.deliver(
            EVENTS[:1], never
        )
        assert origin.asked("/hook")[0].get("authorization") == "Bearer t0ken"
        with pytest.raises(Undelivered, match="SSLError"):
            made(origin.url("/hook")).carrier.deliver(EVENTS[:1], never)


def test_no_proxy_of_the_surroundings_is_asked(
    made: Callable[..., Made], origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    origin.put("/hook", b"thanks")
    made().carrier.deliver(EVENTS[:1], never)
    assert bodies(origin) == [EVENTS[:1]]
