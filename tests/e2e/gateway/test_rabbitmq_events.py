"""A broker that is stopped, started, killed and held while requests go on: none fails, no event is lost."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from certificates import Certificate
from harness import Proxy
from origin import Origin
from rabbitmq import Broker, needed
from waiting import until

MakeProxy = Callable[..., Proxy]

pytestmark = pytest.mark.timeout(400)  # an Erlang that starts on a busy machine takes its time


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Broker]:
    needed()
    with Broker(tmp_path_factory.mktemp("broker"), certificate) as running:
        yield running


class Clients:
    """Clients that ask again and again, each numbering its requests, until they are stopped."""

    def __init__(self, proxy: Proxy, number: int = 3) -> None:
        self._proxy = proxy
        self._stopped = threading.Event()
        self.asked: list[str] = []
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(name,)) for name in range(number)]
        for thread in self._threads:
            thread.start()

    def _ask(self, name: int) -> None:
        for number in count():
            if self._stopped.is_set():
                return
            request_id = f"{name}-{number}"
            # Every third asks the upstream, the others have their answers from store and memory.
            target = f"/api/{request_id}" if number % 3 == 0 else "/api/x"
            reply = self._proxy.get(target, [("X-Request-Id", request_id)])
            self.asked.append(request_id)
            if reply.status not in (200, 404):
                self.failed.append(f"{request_id}: {reply.status}")

    def ask_more(self, number: int) -> None:
        """Return when so many more requests have been answered."""
        goal = len(self.asked) + number
        until(lambda: len(self.asked) >= goal, 60)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)


def configured(broker: Broker, origin: Origin, exchange: str) -> dict[str, Any]:
    return {
        "routes": {
            "/api/": {
                "upstream": origin.url("/"),
                "cache": {"ttl": "1h"},
                "events": {"routing_key": "V1"},
            }
        },
        "events": {
            "rabbitmq": {"url": f"amqp://127.0.0.1:{broker.port}", "exchange": exchange, "heartbeat": "1s"}
        },
    }


def check(events: list[dict[str, Any]], asked: list[str]) -> None:
    """No event is missing, those of each worker are in order, and what comes twice has the mark."""
    seen: set[str] = set()
    once = []
    for event in events:
        assert event["id"] not in seen or event.get("resent"), event["id"]
        if event["id"] not in seen:
            once.append(event)
        seen.add(event["id"])
    assert sorted(event["request_id"] for event in once) == sorted(asked)
    numbers: dict[str, list[int]] = {}
    for event in once:
        worker, number = event["id"].split("-")
        numbers.setdefault(worker, []).append(int(number))
    for found in numbers.values():
        assert found == list(range(1, len(found) + 1))


def taken(broker: Broker, queue: str, asked: list[str]) -> list[dict[str, Any]]:
    """All events, once there is one of each request."""
    events: list[dict[str, Any]] = []

    def are_there() -> bool:
        events.extend(json.loads(body) for _method, _properties, body in broker.taken(queue))
        return len({event["request_id"] for event in events}) >= len(asked)

    until(are_there, 90)
    return events


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broker_that_comes_and_goes_costs_no_request_and_no_event(
    make_proxy: MakeProxy, origin: Origin, broker: Broker, workers: int
) -> None:
    name = f"under load of {workers}"
    broker.queue(name, name)
    origin.put("/api/x", b"answer")
    proxy = make_proxy(config=configured(broker, origin, name), workers=workers)
    clients = Clients(proxy)
    try:
        clients.ask_more(60)
        broker.stop()
        clients.ask_more(120)
        broker.start()
        clients.ask_more(60)
        broker.signal(signal.SIGSTOP)  # it neither answers nor closes
        clients.ask_more(120)
        broker.signal(signal.SIGCONT)
        clients.ask_more(60)
        if workers == 2:
            broker.kill()
            clients.ask_more(60)
            broker.start()
            clients.ask_more(60)
    finally:
        clients.stop()
    assert clients.failed == []
    check(taken(broker, name, clients.asked), clients.asked)


def test_a_broker_that_is_away_at_the_start_gets_all_in_the_end(
    make_proxy: MakeProxy, origin: Origin, broker: Broker
) -> None:
    """Over a stop and a kill of the gateway, too."""
    name = "away"
    broker.queue(name, name)
    origin.put("/api/x", b"answer")
    broker.stop()
    asked = []
    proxy = make_proxy(config=configured(broker, origin, name))
    try:
        for end in (proxy.terminate, proxy.kill9, None):
            for _request in range(30):
                asked.append(str(len(asked)))
                assert proxy.get("/api/x", [("X-Request-Id", asked[-1])]).status == 200
            until(lambda: spooled(proxy) == len(asked))
            if end is not None:
                end()
                proxy.start()
        assert "events are not delivered, and wait on the disk: " in proxy.log()
    finally:
        broker.start()
    events = taken(broker, name, asked)
    check(events, asked)
    assert [event for event in events if event.get("resent")] == []


def spooled(proxy: Proxy) -> int:
    folder = proxy.cache_dir / "events"
    return sum(path.read_bytes().count(b'"request_id"') for path in folder.glob("*.events"))
