"""Requests with remembered tokens, answered from memory: checked, counted and refused as others are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import Front
from introspection_server import IntrospectionServer
from origin import Asked, Origin, Resource
from raw import Conversation

from pyproxycache.configuration.loading import parse

COUNT = 8
BODIES = {
    "ann1": {"sub": "ann", "number": 1},
    "ann2": {"sub": "ann", "number": 2},
    "bob": {"sub": "bob", "number": 1},
    "nobody": {"number": 3},
}
TOKENS = [*BODIES, "invalid", None]


@pytest.fixture(scope="module")
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as running:
        for token, body in BODIES.items():
            running.issue(token, **body)
        yield running


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    def answer(asked: Asked) -> Resource:
        return Resource((asked.get("X-User") or "anybody").encode())

    with Origin() as running:
        for path in ("/own/item", "/same/item"):
            running.put(path, handler=answer)
        yield running


def routes(origin: Origin, server: IntrospectionServer, remember: str = "1h") -> Any:
    text = f"""
    routes:
      /:
        upstream: {origin.url("/")}
        introspect:
          endpoint: {{url: "{server.url}"}}
          token: [bearer, {{cookie: session}}, {{query: token}}]
          remember: {remember}
          forward_token: false
          pass_on: {{header: X-User, form: json, without: [active, number]}}
        limits:
          user: {{by: {{token: sub}}, count: {COUNT}, per: 31d}}
          ip: {{by: client, count: 100000, per: 31d}}
        cache: {{ttl: 1h}}
        routes:
          same/: {{introspect: {{pass_on: null}}, cache: {{key: {{headers: []}}}}}}
    """
    return parse(text, "c.yaml").routes


def asked(path: str, place: str, token: str | None, noise: str = "") -> bytes:
    fields = f"X-User: forged\r\nX-Noise: {noise}\r\n" if noise else ""
    if token is not None and place == "bearer":
        fields += f"Authorization: Bearer {token}\r\n"
    if token is not None and place == "cookie":
        fields += f"Cookie: session={token}\r\n"
    query = f"?token={token}" if token is not None and place == "query" else ""
    return f"GET {path}{query} HTTP/1.1\r\nHost: gateway.test\r\n{fields}\r\n".encode()


def told(address: tuple[str, int], sent: bytes) -> tuple[int, bytes, dict[str, str]]:
    """Status, body, and how many requests are left by the limits."""
    with Conversation(address) as client:
        reply = client.send(sent).reply()
    said = ", ".join(value for name, value in reply.headers if name.lower() == "ratelimit")
    return reply.status, reply.body, dict(re.findall(r'"(\w+)";r=(\d+)', said))


ASKED = st.tuples(
    st.sampled_from(["/own/item", "/same/item"]),
    st.sampled_from(["bearer", "cookie", "query"]),
    st.sampled_from(TOKENS),
    st.sampled_from(["", "noise"]),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(ASKED, max_size=60))
def test_who_asks_gets_what_its_token_gives_and_no_more_of_it(
    requests: list[tuple[str, str, str | None, str]],
    origin: Origin,
    server: IntrospectionServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    counted = {"ann": 0, "bob": 0, "ip": 0}
    with Front(tmp_path_factory.mktemp("cache"), routes=routes(origin, server)) as front:
        for path, place, token, noise in requests:
            counted["ip"] += 1  # counts before the token is looked at
            status, body, left = told(front.address, asked(path, place, token, noise))
            assert left["ip"] == str(100_000 - counted["ip"])
            if token not in BODIES:
                assert status == 401
                continue
            user = BODIES[token].get("sub")
            if user is None:
                assert status == 200
            else:
                is_over = counted[user] == COUNT
                counted[user] += not is_over
                assert status == (429 if is_over else 200)
                assert left["user"] == str(COUNT - counted[user])
            if status == 200:
                shown = {"sub": user} if user else {}
                assert body == (
                    json.dumps(shown).encode().replace(b" ", b"") if "own" in path else b"anybody"
                )


@pytest.fixture
def front(origin: Origin, server: IntrospectionServer, tmp_path: Any) -> Iterator[Callable[..., Front]]:
    with ExitStack() as stack:
        yield lambda remember: stack.enter_context(Front(tmp_path, routes=routes(origin, server, remember)))


@pytest.mark.parametrize(("remember", "from_memory"), [("1h", True), ("0s", False)])
def test_memory_answers_if_tokens_are_remembered(
    front: Callable[..., Front], remember: str, from_memory: bool
) -> None:
    running = front(remember)
    for _ in range(6):
        assert told(running.address, asked("/own/item", "bearer", "nobody"))[0] == 200
    running.told(0, 6)
    assert (running.repeated >= 3) is from_memory


def test_bodies_that_differ_in_kind_alone_are_not_equal(
    front: Callable[..., Front], server: IntrospectionServer
) -> None:
    running = front("1h")
    for token, value in (("whole", 1), ("broken", 1.0), ("true", True)):
        server.issue(token, sub=value)
    for _ in range(4):
        for token, shown in (("whole", b"1"), ("broken", b"1.0"), ("true", b"true")):
            assert told(running.address, asked("/own/item", "cookie", token))[1] == b'{"sub":%b}' % shown


def test_what_ends_or_is_revoked_is_refused_by_memory_too(
    front: Callable[..., Front], server: IntrospectionServer
) -> None:
    running = front("1s")
    server.issue("brief", number=4)
    sent = asked("/own/item", "bearer", "brief")
    for _ in range(4):
        assert told(running.address, sent)[0] == 200
    server.revoke("brief")
    with Conversation(running.address) as client:
        replies = []
        while not replies or replies[-1].status == 200:
            replies.append(client.send(sent).reply())
    assert replies[-1].status == 401
    running.told(0, 4 + len(replies))
    assert running.repeated > 0
