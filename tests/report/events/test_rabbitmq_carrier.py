"""Events at a real RabbitMQ: in order, confirmed, and never lost for what may change there."""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificate, make_certificate
from rabbitmq import LONGEST, Broker, needed
from waiting import until

from pyproxycache.report.events.carrier import Undelivered
from pyproxycache.report.events.event import marked_as_resent
from pyproxycache.route_options.events import RabbitmqOptions

pytestmark = pytest.mark.timeout(300)  # an Erlang that starts on a busy machine takes its time

EVENTS = [b'{"id":"w-%d","routing_key":"V1"}' % number for number in range(1000)]
names = (f"q{number}" for number in count())


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    needed()
    return make_certificate(tmp_path_factory.mktemp("certificate"), "DNS:localhost")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker"), certificate) as running:
        yield running


class Made:
    """A carrier with an exchange and a queue of its own."""

    def __init__(self, broker: Broker, **options: Any) -> None:
        from pyproxycache.report.events.rabbitmq_carrier import RabbitmqCarrier

        self.broker = broker
        self.name = next(names)
        self.counts: Counter[str] = Counter()
        self.stopped = threading.Event()
        options = {"url": broker.url, "exchange": self.name, **options}
        self.carrier = RabbitmqCarrier(RabbitmqOptions(**options), self.stopped, self.counts.update)

    def bodies(self) -> list[bytes]:
        return [body for _method, _properties, body in self.broker.taken(self.name)]


@pytest.fixture
def made(broker: Broker) -> Iterator[Callable[..., Made]]:
    carriers = []

    def make(queue: dict[str, Any] | None = None, keys: tuple[str, ...] = ("#",), **options: Any) -> Made:
        one = Made(broker, **options)
        broker.queue(one.name, one.name, keys, **(queue or {}))
        carriers.append(one.carrier)
        return one

    yield make
    for carrier in carriers:
        carrier.close()


def test_events_arrive_in_order(made: Callable[..., Made]) -> None:
    one = made()
    for first in range(0, 1000, 100):
        one.carrier.deliver(EVENTS[first : first + 100], never)
    assert one.bodies() == EVENTS
    assert one.counts == {}


@pytest.mark.parametrize("persistent", [True, False])
def test_what_a_message_has_besides(made: Callable[..., Made], persistent: bool) -> None:
    one = made(persistent=persistent)
    one.carrier.deliver([EVENTS[0], marked_as_resent(EVENTS[1])], never)
    (method, first, _body), (_method, second, body) = one.broker.taken(one.name)
    assert (method.exchange, method.routing_key) == (one.name, "V1")
    assert (first.message_id, first.content_type, first.headers) == ("w-0", "application/json", None)
    assert first.delivery_mode == (2 if persistent else 1)
    assert (second.message_id, second.headers) == ("w-1", {"resent": True})
    assert body == b'{"resent":true,"id":"w-1","routing_key":"V1"}'


def test_what_no_queue_takes_is_counted_and_said_once(
    made: Callable[..., Made], caplog: pytest.LogCaptureFixture
) -> None:
    one = made(keys=("V2",))
    for _time in range(3):
        one.carrier.deliver(EVENTS[:10], never)
    assert one.counts == {"events.unroutable": 30}
    assert [record.message for record in caplog.records] == [
        "no queue takes some events: their exchange has no binding for the routing key"
    ]
    one.carrier.deliver([b'{"id":"w-1","routing_key":"V2"}'], never)
    assert len(one.bodies()) == 1


def test_a_wrong_password_is_said_and_nowhere_told(
    made: Callable[..., Made], broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = made(url=broker.url.replace("guest:guest", "guest:s3cret"))
    with pytest.raises(Undelivered, match="ACCESS_REFUSED") as failure:
        one.carrier.deliver(EVENTS[:1], never)
    assert "s3cret" not in str(failure.value)
    assert "s3cret" not in caplog.text


def test_an_exchange_that_is_made_later(made: Callable[..., Made], broker: Broker) -> None:
    one = made(exchange="later")
    with pytest.raises(Undelivered, match="no exchange 'later'"):
        one.carrier.deliver(EVENTS[:5], never)
    broker.queue(one.name, "later")
    one.carrier.deliver(EVENTS[:5], never)
    assert one.bodies() == EVENTS[:5]


def test_nobody_listens(made: Callable[..., Made], broker: Broker) -> None:
    one = made(url=broker.url.replace(str(broker.port), "1"))
    with pytest.raises(Undelivered, match="Connection refused"):
        one.carrier.deliver(EVENTS[:5], never)


def test_in_tls_the_broker_is_verified(
    made: Callable[..., Made], broker: Broker, certificate: Certificate, tmp_path: Path
) -> None:
    named = broker.tls_url.replace("127.0.0.1", "localhost")
    one = made(url=named, ca_file=certificate.certificate)
    one.carrier.deliver(EVENTS[:5], never)
    assert one.bodies() == EVENTS[:5]
    with pytest.raises(Undelivered, match="self-signed certificate"):
        made(url=named).carrier.deliver(EVENTS[:1], never)
    with pytest.raises(Undelivered, match="IP address mismatch"):
        made(url=broker.tls_url, ca_file=certificate.certificate).carrier.deliver(EVENTS[:1], never)
    with pytest.raises(Undelivered, match="the files of TLS cannot be used"):
        made(url=named, ca_file=tmp_path / "none.pem").carrier.deliver(EVENTS[:1], never)


def test_what_full_queues_refuse_is_sent_again_from_there(made: Callable[..., Made]) -> None:
    one = made(queue={"x-max-length": 3, "x-overflow": "reject-publish"})
    with pytest.raises(Undelivered, match="refuses messages, as its queues are full") as failure:
        one.carrier.deliver(EVENTS[:10], never)
    delivered = failure.value.delivered
    first = one.bodies()
    assert 0 < delivered < 10
    assert first[:delivered] == EVENTS[:delivered]
    one.carrier.deliver(EVENTS[delivered : delivered + 2], never)
    assert one.bodies() == EVENTS[delivered : delivered + 2]


def test_what_is_too_long_for_the_broker_is_given_up_and_holds_up_nothing(
    made: Callable[..., Made], caplog: pytest.LogCaptureFixture
) -> None:
    one = made()
    too_long = b'{"id":"w-0","routing_key":"V1","body":"%s"}' % (b"x" * LONGEST)
    left = [*EVENTS[:20], too_long, *EVENTS[20:40], too_long, too_long, EVENTS[40]]
    tries = 0
    while left:
        tries += 1
        assert tries < 10
        try:
            one.carrier.deliver(left, never)
            left = []
        except Undelivered as why:
            left = left[why.delivered :]
    assert list(dict.fromkeys(one.bodies())) == EVENTS[:41]
    assert one.counts["events.refused"] == 3
    said = [record.getMessage() for record in caplog.records if "given up" in record.getMessage()]
    assert len(said) == 3
    assert "larger than" in said[0]


def test_a_broker_that_blocks_is_waited_for(
    made: Callable[..., Made], broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    one, over, outcomes = made(), threading.Event(), []

    def deliver(first: int) -> None:
        try:
            one.carrier.deliver(EVENTS[first : first + 10], over.is_set)
            outcomes.append("all")
        except Undelivered as failure:
            outcomes.append(str(failure))

    one.carrier.deliver(EVENTS[:10], never)
    with broker.blocking():
        sender = threading.Thread(target=deliver, args=(10,))
        sender.start()
        until(lambda: "the broker takes none" in caplog.text)
    sender.join(60)
    assert outcomes == ["all"]
    assert one.bodies() == EVENTS[:20]
    assert caplog.records[-1].message == "the broker takes events again"
    with broker.blocking():
        sender = threading.Thread(target=deliver, args=(20,))
        sender.start()
        until(lambda: caplog.text.count("the broker takes none") == 2)
        over.set()
        sender.join(60)
    assert outcomes == ["all", "there is no time left"]


def test_a_broker_that_falls_silent_is_found_out_by_heartbeats(
    made: Callable[..., Made], broker: Broker
) -> None:
    one = made(heartbeat=1.0)
    one.carrier.deliver(EVENTS[:5], never)
    broker.signal(signal.SIGSTOP)
    try:
        with pytest.raises(Undelivered, match="heartbeat"):
            one.carrier.deliver(EVENTS[5:10], never)
    finally:
        broker.signal(signal.SIGCONT)
    one.carrier.deliver(EVENTS[5:10], never)
    bodies = one.bodies()
    assert bodies[:5] == EVENTS[:5]
    assert bodies[-5:] == EVENTS[5:10]


def test_a_connection_that_is_closed_meanwhile_is_made_anew(
    made: Callable[..., Made], broker: Broker
) -> None:
    one = made()
    one.carrier.deliver(EVENTS[:5], never)
    broker.control("close_all_connections", "maintenance")
    one.carrier.rest(0.2)
    one.carrier.deliver(EVENTS[5:10], never)
    assert one.bodies() == EVENTS[:10]
