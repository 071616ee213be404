"""A gateway in front of an API, step by step: `make demo-gateway`.

Starts an API, an introspection server, RabbitMQ (left out where it is not installed) and the gateway, on
ports of their own, sends requests, and prints what each of them did.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))

from certificates import make_certificate
from harness import Proxy, Reply
from introspection_server import IntrospectionServer
from origin import Origin
from rabbitmq import BIN, Broker
from waiting import until

API = "/api/v1/"
QUEUE, EXCHANGE = "demo", "demo.events"


class Demo:
    """The gateway with what is around it, and the steps that are shown."""

    def __init__(
        self, gateway: Proxy, api: Origin, tokens: IntrospectionServer, broker: Broker | None
    ) -> None:
        self._gateway = gateway
        self._api = api
        self._tokens = tokens
        self._broker = broker
        self._failed = 0

    def run(self) -> int:
        """Take all steps; gives how many of them did not do what they are to show."""
        self._prepare()
        self._tokens_are_introspected()
        self._answers_are_shared()
        self._identical_requests_are_one()
        self._limits()
        self._revoked()
        self._events()
        return self._failed

    def _prepare(self) -> None:
        self._api.put(f"{API}users", b'["ada", "grace"]', headers=[("Content-Type", "application/json")])
        self._api.put(f"{API}search", b'{"hits": 2}', headers=[("Content-Type", "application/json")])
        self._tokens.issue("ada-token", sub="ada")
        self._tokens.issue("grace-token", sub="grace")

    def _ask(self, path: str, token: str = "", method: str = "GET", body: bytes = b"") -> Reply:
        fields = [("Authorization", f"Bearer {token}")] if token else []
        return self._gateway.get(f"{API}{path}", fields, method=method, body=body)

    def _show(self, what: str, said: str, *, holds: bool) -> None:
        self._failed += not holds
        print(f"{'ok  ' if holds else 'NOT '} {what}\n       {said}")

    def _tokens_are_introspected(self) -> None:
        reply = self._ask("users")
        self._show(
            "a request without a token is refused",
            f"{reply.status}, WWW-Authenticate: {reply.get('WWW-Authenticate')}",
            holds=reply.status == 401 and not self._api.requests,
        )
        reply = self._ask("users", "ada-token")
        passed = self._api.asked(f"{API}users")[0].get("X-Token")
        self._show(
            "with a valid one it reaches the API, which is told whose it is",
            f"{reply.status} {reply.body.decode()}; the API saw X-Token: {passed}",
            holds=reply.status == 200 and json.loads(passed or "{}").get("sub") == "ada",
        )

    def _answers_are_shared(self) -> None:
        reply, count = self._ask("users", "ada-token"), self._api.count(f"{API}users")
        self._show(
            "the answer is kept for that user",
            f"Cache-Status: {reply.get('Cache-Status')}; the API was asked {count} time",
            holds=count == 1,
        )
        self._ask("users", "grace-token")
        count = self._api.count(f"{API}users")
        self._show(
            "and for nobody else", f"for another user it was asked again: {count} times", holds=count == 2
        )

    def _identical_requests_are_one(self) -> None:
        gate = self._api.gate(f"{API}search")
        with ThreadPoolExecutor(50) as clients:
            asking = [
                clients.submit(self._ask, "search", "ada-token", "POST", b'{"for": "x"}') for _ in range(50)
            ]
            gate.wait_reached()
            gate.open()
            statuses = [one.result().status for one in asking]
        count = self._api.count(f"{API}search")
        self._show(
            "fifty identical POSTs at once are one to the API",
            f"{statuses.count(200)} answers of 200, {count} request to the API",
            holds=statuses.count(200) == 50 and count == 1,
        )

    def _limits(self) -> None:
        replies = [self._ask("limited/x", "grace-token") for _ in range(6)]
        refused = [one for one in replies if one.status == 429]
        told = refused[0].get("Retry-After") if refused else None
        self._show(
            "five requests a minute pass for each token",
            f"of six {len(refused)} was refused with 429, Retry-After: {told}, "
            f"RateLimit: {replies[-1].get('RateLimit')}",
            holds=len(refused) == 1,
        )

    def _revoked(self) -> None:
        self._tokens.revoke("ada-token")
        reply = self._ask("users", "ada-token")
        self._show(
            "a revoked token gets nothing, although the answer is stored",
            f"{reply.status}, WWW-Authenticate: {reply.get('WWW-Authenticate')}",
            holds=reply.status == 401,
        )

    def _events(self) -> None:
        if self._broker is None:
            print("-    events are left out: RabbitMQ is not installed")
            return
        events: list[dict[str, Any]] = []
        broker = self._broker

        def are_there() -> bool:
            events.extend(json.loads(body) for _method, _properties, body in broker.taken(QUEUE))
            return len(events) >= 61

        until(are_there, 60)
        last = events[-1]
        shown = {name: last[name] for name in ("method", "url", "status", "cache", "headers")}
        secret = "ada-token" in json.dumps(events)
        self._show(
            "each request was a message to RabbitMQ, without its token",
            f"{len(events)} of them; the last: {json.dumps(shown)}",
            holds=len(events) == 61 and not secret,
        )


def configuration(api: Origin, tokens: IntrospectionServer, broker: Broker | None) -> dict[str, Any]:
    limit = {"by": {"header": "authorization"}, "count": 5, "per": "1m"}
    route: dict[str, Any] = {
        "upstream": api.url("/"),
        "introspect": {
            "endpoint": {"url": tokens.url},
            "pass_on": {"header": "x-token", "form": "json"},
        },
        "cache": {"ttl": "1m", "ttl_error": "3s", "key": {"body": True}},
        "routes": {"limited/": {"limits": {"token": limit}}},
    }
    found: dict[str, Any] = {"routes": {API: route}}
    if broker is not None:
        route["events"] = {"routing_key": "demo"}
        found["events"] = {
            "rabbitmq": {"url": f"amqp://127.0.0.1:{broker.port}", "exchange": EXCHANGE, "heartbeat": "5s"}
        }
    return found


@contextlib.contextmanager
def running_broker(folder: Path) -> Iterator[Broker | None]:
    if not (BIN / "rabbitmq-server").exists():
        yield None
        return
    folder.mkdir()
    with Broker(folder, make_certificate(folder, "DNS:localhost")) as broker:
        broker.queue(QUEUE, EXCHANGE)
        yield broker


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="gateway-demo-")))
        api, tokens = running.enter_context(Origin()), running.enter_context(IntrospectionServer())
        broker = running.enter_context(running_broker(folder / "broker"))
        said = configuration(api, tokens, broker)
        print(yaml.safe_dump(said, sort_keys=False))
        gateway = running.enter_context(Proxy(folder / "gateway", config=said, workers=2))
        failed = Demo(gateway, api, tokens, broker).run()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
