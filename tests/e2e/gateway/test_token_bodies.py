"""Whatever routes, tokens and fields are: each client gets what its own token's body brings."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from itertools import count
from typing import Any

from harness import Proxy
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
    "/by-http/": ({"header": "x-token", **BY_TOKEN}, {}, {}),
}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
BODIES = st.dictionaries(st.sampled_from(["sub", "scope", "a", "exp", "é"]), VALUES, max_size=3)
ASKED = st.tuples(
    st.integers(0, 3),
    st.sampled_from(sorted(ROUTES)),
    st.sampled_from(["bearer", "cookie", "query"]),
    st.sampled_from(["", "text/a", "text/b"]),
    st.sampled_from(["", "x-token", "X_Token"]),
    st.sampled_from([None, b"", b"one", b"two"]),
)


def echo(asked: Asked) -> Resource:
    """Answers with all that an answer may depend on here, as it has come."""
    told = asked.get("X-Token") or ""
    body = json.loads(told if told.startswith("{") else b64decode(told))
    content = json.dumps([asked.path, asked.method, asked.body.decode(), asked.get("Accept"), body])
    fields = [("Vary", "Accept"), ("Cache-Control", "public, max-age=3600")]
    return Resource(content.encode(), headers=fields)


def test_nobody_gets_what_another_token_s_body_has_brought(
    make_proxy: Callable[..., Proxy], origin: Origin
) -> None:
    with IntrospectionServer() as server:
        routes = {
            path: {
                "upstream": origin.url("/"),
                "cache": cache,
                "introspect": {"endpoint": server.url, "pass_on": pass_on, **TOKENS, **more},
            }
            for path, (pass_on, cache, more) in ROUTES.items()
        }
        proxy = make_proxy(config={"routes": routes}, workers=2)
        for path in ROUTES:
            origin.put(f"{path}item", handler=echo)
        numbers = count()

        @settings(
            max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
        )
        @given(st.lists(BODIES, min_size=4, max_size=4), st.lists(ASKED, min_size=4, max_size=12))
        def check(bodies: list[dict[str, Any]], requests: list[Any]) -> None:
            issued = [server.issue(f"t{next(numbers)}", **body) for body in bodies]
            for which, route, place, accept, forged, content in requests:
                asked = as_asked(issued[which], place, accept, forged)
                method = "GET" if content is None else "POST"
                path = f"{route}item{asked[1]}"
                reply = proxy.get(path, asked[0], method=method, body=content or b"")
                assert reply.status == 200
                wanted = [f"{route}item", method, (content or b"").decode(), accept or None, bodies[which]]
                assert as_text(json.loads(reply.body)) == as_text(wanted)

        check()


def as_asked(token: str, place: str, accept: str, forged: str) -> tuple[list[tuple[str, str]], str]:
    """The fields and the query of a request with the token."""
    fields = [("Accept", accept)] if accept else []
    fields += [(forged, '{"sub":"forged"}')] if forged else []
    if place == "bearer":
        fields.append(("Authorization", f"Bearer {token}"))
    elif place == "cookie":
        fields.append(("Cookie", f"session={token}"))
    return fields, f"?t={token}" if place == "query" else ""


def as_text(told: list[Any]) -> str:
    """What an answer depends on, as one text: in JSON 1 is not true."""
    body = {name: value for name, value in told[4].items() if name not in ("exp", "active")}
    return json.dumps([*told[:4], body], sort_keys=True)
