"""Whatever routes, tokens, fields and content are: each client gets what its own request brings.

The judge knows nothing of keys: an answer tells all that the upstream has looked at, and that has to be
what this very request would have shown it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from certificates import Certificate
from harness import Proxy
from http2_clients import Http2Client, tls_proxy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from introspection_server import IntrospectionServer
from origin import Asked, Origin, Resource

BY_TOKEN = {"without": ["active", "exp"]}
TOKENS = {"token": ["bearer", {"cookie": "session"}, {"query": "t"}]}
ROUTES = {
    "/plain/": ({"header": "x-token", "form": "json", **BY_TOKEN}, {"ttl": "1h"}, {}),
    "/coded/": ({"header": "x-token", **BY_TOKEN}, {"ttl": "1h", "key": {"headers": ["accept"]}}, {}),
    "/posted/": ({"header": "x-token", **BY_TOKEN}, {"ttl": "1h", "key": {"body": True}}, {}),
    "/hidden/": ({"header": "x-token", **BY_TOKEN}, {"ttl": "1h"}, {"forward_token": False}),
    "/sorted/": ({"header": "x-token", **BY_TOKEN}, {"ttl": "1h", "key": {"query": "sort"}}, {}),
    "/any/": ({"header": "x-token", **BY_TOKEN}, {"ttl": "1h", "key": {"query": "ignore"}}, {}),
    "/by-http/": ({"header": "x-token", **BY_TOKEN}, {}, {}),
}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
BODIES = st.dictionaries(st.sampled_from(["sub", "scope", "a", "exp", "é"]), VALUES, max_size=3)


@dataclass(frozen=True)
class Request:
    """A request on a route by the token with this number, `forged` is a field that only gates may set."""

    which: int
    route: str
    place: str
    accept: str
    forged: str
    query: str
    content: bytes | None


REQUESTS = st.builds(
    Request,
    st.integers(0, 3),
    st.sampled_from(sorted(ROUTES)),
    st.sampled_from(["bearer", "cookie", "query"]),
    st.sampled_from(["", "text/a", "text/b"]),
    st.sampled_from(["", "x-token", "X_Token"]),
    st.sampled_from(["", "a=1", "a=1&b=2", "b=2&a=1"]),
    st.sampled_from([None, None, b"", b"one", b"two"]),
)


def looked_at(route: str, query: str) -> str:
    """What the upstream of the route looks at in a query."""
    pairs = parse_qsl(query)
    if route == "/sorted/":
        pairs.sort()
    return "" if route == "/any/" else urlencode(pairs)


def echo(asked: Asked) -> Resource:
    """Answers with all that an answer may depend on here, as it has come."""
    told = asked.get("X-Token") or ""
    body = json.loads(told if told.startswith("{") else b64decode(told))
    route = asked.path.removesuffix("item")
    query = looked_at(route, asked.local_target.partition("?")[2])
    content = json.dumps([asked.path, query, asked.method, asked.body.decode(), asked.get("Accept"), body])
    fields = [("Vary", "Accept"), ("Cache-Control", "public, max-age=3600")]
    return Resource(content.encode(), headers=fields)


Ask = Callable[[str, str, list[tuple[str, str]], bytes], tuple[int, bytes]]
"""Sends a request: its method, target, fields and content; gives status and body of the answer."""


@contextmanager
def http1(folder: Path, _certificate: Certificate, config: dict[str, Any]) -> Iterator[Ask]:
    with Proxy(folder, config=config, workers=2) as proxy:

        def ask(
            method: str, target: str, fields: list[tuple[str, str]], content: bytes
        ) -> tuple[int, bytes]:
            reply = proxy.get(target, fields, method=method, body=content)
            return reply.status, reply.body

        yield ask


@contextmanager
def http2(folder: Path, certificate: Certificate, config: dict[str, Any]) -> Iterator[Ask]:
    with (
        tls_proxy(folder, certificate, config=config, workers=2) as proxy,
        Http2Client(proxy.address) as one,
        Http2Client(proxy.address) as other,
    ):
        numbers = count()

        def ask(
            method: str, target: str, fields: list[tuple[str, str]], content: bytes
        ) -> tuple[int, bytes]:
            begin = [(":method", method), (":scheme", "https"), (":authority", "h"), (":path", target)]
            own = [(name.lower(), value) for name, value in fields]
            client = (one, other)[next(numbers) % 2]
            answered = client.get([*begin, *own], content if method == "POST" else None)
            return int(answered.status), bytes(answered.body)

        yield ask


@pytest.mark.parametrize("refresh", [{}, {"hits": 1}], ids=["kept", "refreshed"])
@pytest.mark.parametrize("remember", ["0s", "1h"])
@pytest.mark.parametrize("speaking", [http1, http2])
def test_nobody_gets_what_another_token_s_body_has_brought(
    origin: Origin, tmp_path: Path, certificate: Certificate, speaking: Any, remember: str, refresh: Any
) -> None:
    with IntrospectionServer() as server:
        introspect = {"endpoint": server.url, "remember": remember, **TOKENS}
        routes = {
            path: {
                "upstream": origin.url("/"),
                "cache": cache,
                "introspect": {**introspect, "pass_on": pass_on, **more},
                **({"refresh": refresh} if refresh and cache else {}),
            }
            for path, (pass_on, cache, more) in ROUTES.items()
        }
        for path in ROUTES:
            origin.put(f"{path}item", handler=echo)
        numbers = count()
        with speaking(tmp_path / "proxy", certificate, {"routes": routes}) as ask:

            @settings(
                max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
            )
            @given(st.lists(BODIES, min_size=4, max_size=4), st.lists(REQUESTS, min_size=4, max_size=12))
            def check(bodies: list[dict[str, Any]], requests: list[Request]) -> None:
                issued = [server.issue(f"t{next(numbers)}", **body) for body in bodies]
                for request in requests * 3:  # by the third time what can comes from memory
                    token = issued[request.which]
                    status, body = ask(*as_sent(request, token))
                    assert status == 200
                    expected = as_shown(request, token, bodies[request.which])
                    assert as_text(json.loads(body)) == as_text(expected)

            check()


def query_of(request: Request, token: str, *, with_token: bool) -> str:
    own = f"t={token}" if with_token and request.place == "query" else ""
    return "&".join(filter(None, (request.query, own)))


def as_sent(request: Request, token: str) -> tuple[str, str, list[tuple[str, str]], bytes]:
    """Method, target, fields and content of the request with the token."""
    fields = [("Accept", request.accept)] if request.accept else []
    fields += [(request.forged, '{"sub":"forged"}')] if request.forged else []
    if request.place == "bearer":
        fields.append(("Authorization", f"Bearer {token}"))
    elif request.place == "cookie":
        fields.append(("Cookie", f"session={token}"))
    query = query_of(request, token, with_token=True)
    target = f"{request.route}item{'?' if query else ''}{query}"
    return "GET" if request.content is None else "POST", target, fields, request.content or b""


def as_shown(request: Request, token: str, body: dict[str, Any]) -> list[Any]:
    """What the upstream has to have seen."""
    query = query_of(request, token, with_token=request.route != "/hidden/")
    method = "GET" if request.content is None else "POST"
    content = (request.content or b"").decode()
    shown = looked_at(request.route, query)
    return [f"{request.route}item", shown, method, content, request.accept or None, body]


def as_text(told: list[Any]) -> str:
    """What an answer depends on, as one text: in JSON 1 is not true."""
    *others, whole = told
    body = {name: value for name, value in whole.items() if name not in ("exp", "active")}
    return json.dumps([*others, body], sort_keys=True)
