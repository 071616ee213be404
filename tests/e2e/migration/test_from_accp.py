"""docs/migration-accp.md by the real server: no option is missing, and each row has its effect."""

from __future__ import annotations

import json
import os
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from asked_admin import reserved
from certificates import Certificate
from harness import Proxy, Reply
from introspection_server import IntrospectionServer
from migration.row_checks import Checks
from migration.told_tables import example, one_each, rows
from origin import Asked, Origin, Resource
from rabbitmq import Broker, needed
from raw import Conversation, request
from waiting import until

PAGE = "migration-accp.md"
INTROSPECTION = "/oauth2/introspect"
OPTIONS = one_each("""
    logger.nocoloredoutput logger.withtrace logger.level captcha.tokenttl captcha.tokensign
    captcha.verifyurl captcha.key captcha.header captcha.cookie captcha.pool.size
    captcha.pool.timeout introspector.dsn introspector.endpoint introspector.contenttype
    introspector.method introspector.validmarker introspector.bodytemplate introspector.trimmedfilds
    introspector.cookiename introspector.queryparamname introspector.headername
    introspector.pool.size introspector.pool.timeout redis.dsn redis.minidleconnections
    redis.maxopenedconnections redis.maxconnectionlifetime rabbitmq.dsn rabbitmq.backoffpolicy
    rabbitmq.exchangename admin.listen admin.pprof proxy.listen proxy.requestid proxy.routes
    proxy.excluded routes.parameters routes.routes routes.excluded parameters.dsn parameters.ttl
    parameters.methods parameters.routekey parameters.notcaptcha parameters.notintrospect
    parameters.ignorecapchakey parameters.introspecthydration parameters.mergestrategy
    parameters.pool.size parameters.pool.timeout parameters.limits.NAME.header
    parameters.limits.NAME.cookie parameters.limits.NAME.maxcounter parameters.limits.NAME.ttl
    parameters.refresh.maxcount parameters.refresh.time parameters.cache.disabled
    parameters.cache.memory.ttl parameters.cache.memory.ttlerr parameters.cache.external.keyprefix
    parameters.cache.external.ttl parameters.cache.external.ttlerr
""")
"""Every one that accp reads, by the fields of its configuration's types."""


def test_no_option_is_missing() -> None:
    told = [setting for row in rows(PAGE) for setting in row.settings]
    assert sorted(told) == sorted([*OPTIONS, "serve --config", "-c"])


class Accp:
    """Servers by the page's example, before a backend, an introspection server and a broker of the test."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder, self._number = stack, folder, 0
        self.backend = stack.enter_context(Origin())
        self.second = stack.enter_context(Origin())
        self.server = stack.enter_context(IntrospectionServer())
        self.server.origin.put(INTROSPECTION, handler=self.server.answer)
        self.admin = stack.enter_context(reserved())
        self.broker_port = 1
        for origin in (self.backend, self.second):
            for path in ("users", "other", "coded", "open", "live", "posted", "put", "both", "slow"):
                origin.put(f"/api/v1/{path}", handler=_seen)

    def start(self, **changes: Any) -> Proxy:
        """A server by the example; `changes` are of keys of its routes, the parts joined by `__`."""
        config = example(PAGE)
        del config["listen"]  # which the test chooses
        config["admin"]["listen"] = f"{self.admin[0]}:{self.admin[1]}"
        url = config["events"]["rabbitmq"]["url"]
        config["events"]["rabbitmq"]["url"] = url.replace("rabbitmq:5672", f"127.0.0.1:{self.broker_port}")
        route = config["routes"]["/api/v1/"]
        route["upstream"] = self.backend.url("/")
        route["introspect"]["endpoint"]["url"] = self.server.origin.url(INTROSPECTION)
        # What the notes of the table say of nested routes.
        route["routes"] |= {
            "coded": {"introspect": {"pass_on": {"form": "base64"}}},
            "open": {"introspect": None, "cache": {"ttl": "1h"}},
            "live": {"exclude": True},
            "posted": {"methods": ["+", "POST"]},
            "put": {"methods": ["PUT"]},
            "both": {"upstream": [self.backend.url("/"), self.second.url("/")]},
            "slow": {"timeout": "1s"},
        }
        for place, value in changes.items():
            at, *parts = place.split("__")
            inside = route["routes"][at] if at != "route" else route
            for part in parts[:-1]:
                inside = inside[part]
            inside[parts[-1]] = value
        self._number += 1
        os.environ["RABBITMQ_PASSWORD"] = "guest"
        proxy = Proxy(self._folder / str(self._number), config=config)
        self._stack.callback(proxy.close)
        return proxy.start()

    def ask(self, proxy: Proxy, path: str = "users", token: str = "t", **options: Any) -> Reply:
        fields = [("Authorization", f"Bearer {token}"), *options.pop("fields", ())]
        return proxy.get(f"/api/v1/{path}", fields if token else fields[1:], **options)

    def asked(self, path: str = "users") -> list[Asked]:
        return self.backend.asked(f"/api/v1/{path}")


def _seen(asked: Asked) -> Resource:
    return Resource(b"answer", headers=[("Cache-Control", "no-cache")])


@pytest.fixture
def accp(tmp_path: Path) -> Iterator[Accp]:
    with ExitStack() as stack:
        made = Accp(stack, tmp_path)
        made.server.issue("t", sub="ann", exp=2_000_000_000, iat=1)
        yield made


CHECKS = Checks[Accp]()
shows = CHECKS.shows


@shows("logger.level")
def _level(accp: Accp) -> None:
    proxy = accp.start()
    accp.ask(proxy)
    until(lambda: "[DEBUG]" in proxy.log())


@shows("introspector.dsn")
@shows("introspector.contenttype")
@shows("introspector.bodytemplate")
def _question(accp: Accp) -> None:
    accp.server.issue("a/b+c", sub="ann")
    assert accp.ask(accp.start(), token="a/b+c").status == 200
    (asked,) = accp.server.origin.asked(INTROSPECTION)
    assert (asked.method, asked.get("Content-Type")) == ("POST", "application/x-www-form-urlencoded")
    assert asked.body == b"token_type_hint=access_token&token=a%2Fb%2Bc"


@shows("introspector.validmarker")
def _valid(accp: Accp) -> None:
    proxy = accp.start()
    accp.server.tokens["no"] = {"active": False}
    assert [accp.ask(proxy, token=token).status for token in ("t", "no", "")] == [200, 401, 401]


@shows("introspector.trimmedfilds")
@shows("parameters.introspecthydration")
def _passed_on(accp: Accp) -> None:
    proxy = accp.start()
    assert accp.ask(proxy, fields=[("X-Introspection", "forged")]).status == 200
    assert accp.ask(proxy, "coded").status == 200
    plain, coded = accp.asked()[0].get("X-Introspection"), accp.asked("coded")[0].get("X-Introspection")
    assert plain is not None
    assert coded is not None
    assert json.loads(plain) == json.loads(b64decode(coded)) == {"active": True, "sub": "ann"}


@shows("introspector.headername")
def _places(accp: Accp) -> None:
    proxy = accp.start()
    assert accp.ask(proxy, token="", fields=[("Cookie", "access-token=t")]).status == 200
    assert accp.ask(proxy, "users?access_token=t", token="").status == 200
    assert accp.ask(proxy, "users?access_token=t", token="invalid").status == 401


@shows("introspector.pool.timeout")
def _slow_introspector(accp: Accp) -> None:
    proxy = accp.start(route__introspect__endpoint__timeout="1s")
    accp.server.origin.gate(INTROSPECTION)
    assert accp.ask(proxy).status == 503


@shows("parameters.notintrospect")
def _open(accp: Accp) -> None:
    assert accp.ask(accp.start(), "open", token="").status == 200
    assert accp.server.origin.requests == []


@shows("admin.listen")
@shows("admin.pprof")
def _admin(accp: Accp) -> None:
    accp.start()
    for path, part in (("/metrics", b"pyproxycache_"), ("/debug/stacks", b"thread")):
        with Conversation(accp.admin) as client:
            asked = request(f"GET {path}", "Host: 127.0.0.1", "Connection: close")
            assert part in client.send(asked).reply().body.lower()


@shows("proxy.listen")
@shows("proxy.routes")
def _routes(accp: Accp) -> None:
    proxy = accp.start()
    assert accp.ask(proxy).body == accp.ask(proxy, "other").body == b"answer"
    assert proxy.get("/api/v2/users").status == 404


@shows("proxy.requestid")
def _request_id(accp: Accp) -> None:
    proxy = accp.start()
    reply = accp.ask(proxy, fields=[("X-Request-Id", "mine")])
    made = accp.ask(proxy, "other")
    assert reply.get("X-Request-Id") == accp.asked()[0].get("X-Request-Id") == "mine"
    assert made.get("X-Request-Id") == accp.asked("other")[0].get("X-Request-Id") is not None


@shows("proxy.excluded")
@shows("parameters.cache.disabled")
def _uncached(accp: Accp) -> None:
    proxy = accp.start()
    for path in ("live", "other", "users"):
        assert [accp.ask(proxy, path).status for _ in range(3)] == [200] * 3
    assert [len(accp.asked(path)) for path in ("live", "other", "users")] == [3, 3, 1]


@shows("parameters.dsn")
def _balanced(accp: Accp) -> None:
    proxy = accp.start()
    assert {accp.ask(proxy, "both").status for _ in range(10)} == {200}
    assert accp.asked("both")
    assert accp.second.asked("/api/v1/both")


@shows("parameters.ttl")
@shows("parameters.cache.memory.ttl")
@shows("parameters.cache.memory.ttlerr")
def _lifetimes(accp: Accp) -> None:
    proxy = accp.start(users__cache={"ttl": "2s", "ttl_error": "1s"}, users__refresh=None)
    accp.backend.put("/api/v1/users/bad", b"broken", status=500)
    for path, lives in (("users", 2), ("users/bad", 1)):
        begun = time.monotonic()
        # At a pace that the example's limits allow.
        until(lambda path=path: accp.ask(proxy, path) and len(accp.asked(path)) == 2)  # type: ignore[misc]
        assert lives - 1 <= time.monotonic() - begun < lives + 3


@shows("parameters.methods")
@shows("parameters.mergestrategy")
def _methods(accp: Accp) -> None:
    proxy = accp.start()
    by_path = {
        path: [accp.ask(proxy, path, method=method).status for method in ("GET", "POST", "PUT")]
        for path in ("users", "posted", "put")
    }
    assert by_path == {"users": [200, 405, 405], "posted": [200, 200, 405], "put": [405, 405, 200]}


@shows("parameters.pool.timeout")
def _slow_backend(accp: Accp) -> None:
    accp.backend.gate("/api/v1/slow")
    assert accp.ask(accp.start(), "slow").status == 504


@shows("parameters.limits.NAME.header")
@shows("parameters.limits.NAME.maxcounter")
def _limits(accp: Accp) -> None:
    """Each of the example's limits alone, with a smaller count than its 1000."""
    accp.server.issue("u", sub="bob")
    ways: dict[str, list[dict[str, Any]]] = {
        "token": [{}, {"fields": [("Device-Id", "a")]}],
        "ip": [{}, {"token": "u"}],
        "deviceid": [{"fields": [("Device-Id", "a")]}, {"fields": [("Cookie", "device-id=a")]}],
    }
    for name, (one, other) in ways.items():
        proxy = accp.start(**{f"users__limits__{name}__count": 3, f"users__limits__{name}__per": "2s"})
        statuses = [accp.ask(proxy, **way).status for way in (one, other) * 2]
        assert statuses == [200, 200, 200, 429]
        until(lambda proxy=proxy, way=one: accp.ask(proxy, **way).status == 200)
        proxy.terminate()


@shows("parameters.refresh.maxcount")
def _refreshed(accp: Accp) -> None:
    proxy = accp.start()
    for _ in range(12):
        accp.ask(proxy)
    until(lambda: len(accp.asked()) == 2)
    proxy.terminate()
    accp.backend.forget()
    proxy = accp.start(users__refresh={"every": "1s"})
    for _ in range(2):
        accp.ask(proxy)
    until(lambda: len(accp.asked()) >= 2)


@shows("serve --config")
def _command(accp: Accp) -> None:
    command = accp.start().command
    assert command[command.index("serve") :][1] == "-c"


OF_THE_BROKER = {"rabbitmq.dsn", "parameters.routekey"}


@pytest.mark.parametrize("check", CHECKS.different(), ids=lambda check: check.__name__)
def test_rows_have_the_effects_that_they_claim(check: Callable[[Accp], None], accp: Accp) -> None:
    check(accp)


def test_each_row_with_a_counterpart_is_tried() -> None:
    told = {row.name: row.has_counterpart for row in rows(PAGE)}
    with_one = {name for name, has_one in told.items() if has_one}
    assert with_one <= {*CHECKS.by_setting, *OF_THE_BROKER} <= {*told}


@pytest.mark.timeout(400)
def test_the_rows_of_the_broker(accp: Accp, tmp_path: Path, certificate: Certificate) -> None:
    needed()
    with Broker(tmp_path / "broker", certificate) as broker:
        accp.broker_port = broker.port
        broker.queue("all", "accp.events", ("V1",))
        proxy = accp.start()
        assert [accp.ask(proxy).status for _ in range(5)] == [200] * 5
        taken: list[Any] = []

        def came() -> bool:
            taken.extend(broker.taken("all"))
            return len(taken) >= 5

        until(came, 60)
    assert {method.routing_key for method, _properties, _body in taken} == {"V1"}
    assert [json.loads(body)["status"] for _method, _properties, body in taken] == [200] * 5


def test_the_example_stands_a_load(accp: Accp) -> None:
    """As it is: its limits of 1000 pass 300 requests of a client at once, of which the backend sees one."""
    proxy = accp.start(users__refresh=None)
    with ThreadPoolExecutor(30) as clients:
        statuses = list(clients.map(lambda _: accp.ask(proxy).status, range(300)))
    assert statuses == [200] * 300
    assert len(accp.asked()) == 1
