"""Secrets of every kind, in use: nothing that the operator is shown has one, nor has the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asked_admin import BEARER, TOKEN, Admin, config_with, reserved, token_file
from harness import Proxy
from introspection_server import IntrospectionServer
from origin import Origin
from waiting import until

PAGES = ("/config", "/routes", "/debug/stacks", "/metrics", "/health/ready", "/health/live", "/none")
KINDS = ("hook", "hook_query", "hook_token", "idp_header", "idp_body", "idp_client", "idp_query")
MORE_KINDS = ("set_field", "set_basic", "plain")
SECRETS = {kind: f"s3cret-of-{kind.replace('_', '-')}" for kind in (*KINDS, *MORE_KINDS)}
CLIENTS = "s3cret-token-of-a-client"


@pytest.fixture
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as server:
        yield server


def test_no_secret_is_shown_or_logged(
    make_proxy: Callable[..., Proxy],
    origin: Origin,
    server: IntrospectionServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of_file(kind: str, text: str = "{}") -> Path:
        file = tmp_path / f"{kind}.txt"
        file.write_text(text.format(SECRETS[kind]))
        file.chmod(0o600)
        return file

    def there(kind: str) -> str:
        """A reference: every second one to a variable, the others to files."""
        if len(kind) % 2:
            monkeypatch.setenv(f"S_{kind.upper()}", SECRETS[kind])
            return f"${{env:S_{kind.upper()}}}"
        return f"${{file:{of_file(kind)}}}"

    endpoint = {
        "url": f"{server.url}?k={there('idp_query')}",
        "headers": {"X-Api-Key": there("idp_header"), "X-Secret": SECRETS["plain"]},
        "body": f"token={{token}}&client_secret={there('idp_body')}&api_key={SECRETS['plain']}",
        "credentials": f"me:{there('idp_client')}",
    }
    route = {
        "upstream": origin.url("/"),
        "pool": {"health": f"/health?key={SECRETS['plain']}"},
        "introspect": {"endpoint": endpoint},
        "headers": {
            "request": {
                "set": {
                    "authorization": f"Basic {there('set_basic')}",
                    "x-key": there("set_field"),
                    "x-session": SECRETS["plain"],
                }
            }
        },
        "events": {},
        "routes": {"deep/": {}},
    }
    webhook = {
        "url": f"{origin.url('/hooks/')}{there('hook')}/{SECRETS['plain']}?k={there('hook_query')}",
        "token": there("hook_token"),
    }
    with reserved() as address:
        config: dict[str, Any] = {
            **config_with(address, token=token_file(tmp_path)),
            "routes": {"/api/": route},
            "events": {"webhook": webhook},
        }
        asked = Admin(make_proxy(config=config, workers=2), address)
        origin.put("/health", b"well")
        origin.put("/api/x", b"answer")
        server.issue(CLIENTS)
        asked.proxy.get("/api/x", [("Authorization", f"Bearer {CLIENTS}")])
        asked.proxy.get("/api/x", [("Authorization", "Bearer another")])
        sent = server.asked[0]
        # They are in use, and this test would see them.
        for kind in ("idp_header", "idp_body", "plain"):
            assert SECRETS[kind] in f"{sent.headers} {sent.body!r}", kind
        until(lambda: any(one.path.startswith("/hooks/") for one in origin.requests))
        shown = "".join(asked.ask(f"GET {path}", BEARER).body.decode() for path in PAGES)
        text = shown + asked.proxy.log()
    assert [name for name, secret in (*SECRETS.items(), ("client", CLIENTS)) if secret in text] == []
    assert TOKEN not in text
    assert "***" in shown
    assert "${env:" in shown
    assert "${file:" in shown
