"""The configuration as pages of the operator show it: where secrets are, and none that is in plain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pyproxycache.configuration.loading import parse
from pyproxycache.configuration.shown import shown_config, shown_routes
from pyproxycache.errors import ConfigError

UPSTREAM = "http://api.test/"
PLAIN = "s3cret-in-plain"


def route(**options: Any) -> dict[str, Any]:
    return {"routes": {"/a/": {"upstream": UPSTREAM, **options}}}


def events(**to: Any) -> dict[str, Any]:
    return {"routes": {"/a/": {"upstream": UPSTREAM, "events": {}}}, "events": to}


def endpoint(**options: Any) -> dict[str, Any]:
    return route(introspect={"endpoint": {"url": "https://idp.test/introspect", **options}})


def jwt(jwks: str) -> dict[str, Any]:
    return {"jwt": {"jwks": jwks, "issuer": "i", "audience": ["a"]}}


def as_json(body: str) -> dict[str, Any]:
    return endpoint(body=body, content_type="application/json")


def texts(config: dict[str, Any]) -> str:
    """All that both pages show."""
    read = parse(yaml.safe_dump(config), "test")
    return shown_config(read) + shown_routes(read)


@pytest.mark.parametrize(
    "config",
    [
        {"admin": {"listen": "127.0.0.1:9", "token": "${file:/etc/admin-token}"}},
        {"admin": {"listen": "127.0.0.1:9", "token": "${env:ADMIN_TOKEN}"}},
        {"parent": {"url": "http://parent.test:3128", "credentials": "/etc/parent"}},
        {"proxy_auth": {"users": "/etc/users"}},
        {
            "listen": [
                {"address": "127.0.0.1:3129", "tls": {"certificate": "/etc/c.pem", "key": "/etc/k.pem"}}
            ]
        },
        {
            "mirrors": {
                "m": {
                    "ecosystem": "pypi",
                    "upstream": [{"url": "https://index.test/", "credentials": "env:INDEX"}],
                }
            }
        },
        events(rabbitmq={"url": "amqps://me:${file:/etc/broker}@broker.test/v"}),
        events(webhook={"url": "https://hook.test/${env:PATH}?key=${env:HOOK}", "token": "${env:HOOK}"}),
        endpoint(credentials="me:${env:CLIENT}"),
        endpoint(credentials="${file:/etc/token}"),
        endpoint(url="https://idp.test/?key=${env:KEY}"),
        endpoint(headers={"X-Api-Key": "${env:KEY}", "X-Auth": "key ${file:/etc/key}"}),
        endpoint(body="token={token}&client_secret=${env:KEY}"),
        as_json('{"token": "{token}", "client_secret": "${env:KEY}"}'),
        route(headers={"request": {"set": {"Authorization": "Basic ${file:/etc/basic}"}}}),
        route(headers={"request": {"set": {"X-Api-Key": "${env:KEY}"}}}),
    ],
)
def test_where_secrets_are_is_shown(config: dict[str, Any]) -> None:
    found = texts(config)
    for place in yaml.safe_dump(config, width=9999).replace("'", "").split():
        for mark in ("${", "/etc/", "env:"):
            if mark in place:
                assert place.strip("[]{},") in found.replace("\\", ""), place
    assert "***" not in found


@pytest.mark.parametrize(
    "config",
    [
        events(webhook={"url": f"https://hook.test/services/{PLAIN}"}),
        events(webhook={"url": f"https://hook.test/?sig={PLAIN}"}),
        events(webhook={"url": "https://hook.test/" + PLAIN + "/${env:HOOK}"}),
        endpoint(url=f"https://idp.test/introspect?api_key={PLAIN}"),
        endpoint(headers={"X-Api-Key": PLAIN}),
        endpoint(headers={"X-Tenant-Secret": PLAIN}),
        endpoint(body="token={token}&client_secret=" + PLAIN),
        endpoint(body="client_secret=" + PLAIN + "&token={token}"),
        as_json('{"token": "{token}", "client_secret": "' + PLAIN + '"}'),
        route(
            introspect={
                "jwt": {"jwks": f"https://idp.test/jwks?key={PLAIN}", "issuer": "i", "audience": ["a"]}
            }
        ),
        route(headers={"request": {"set": {"X-Api-Key": PLAIN}}}),
        route(headers={"request": {"set": {"x-session": PLAIN}}}),
        route(headers={"response": {"set": {"x-token": PLAIN}}}),
        route(pool={"health": f"/health?key={PLAIN}"}),
        route(pool={"health": {"path": f"/health?key={PLAIN}"}}),
        {"hosts": {"h.test": route(headers={"request": {"set": {"X-Api-Key": PLAIN}}})}},
        {
            "routes": {
                "/a/": {
                    "upstream": UPSTREAM,
                    "headers": {"request": {"set": {"X-Api-Key": PLAIN}}},
                    "routes": {"deep/": {}},
                }
            }
        },
    ],
)
def test_what_may_be_a_secret_in_plain_is_not_shown(config: dict[str, Any]) -> None:
    found = texts(config)
    assert PLAIN not in found
    assert "***" in found


def test_what_is_no_secret_is_shown_as_it_is(tmp_path: Path) -> None:
    config = {
        **route(
            headers={
                "response": {"set": {"x-frame-options": "DENY"}},
                "request": {"set": {"x-team": "build"}},
            },
            introspect={
                "endpoint": {"url": "https://idp.test/introspect", "headers": {"Accept-Language": "de"}},
                "token": [{"header": "x-access-token"}, {"query": "key"}],
            },
            events={"routing_key": "V1"},
            cache={"key": {"headers": ["x-team"]}},
        ),
        "events": {"file": str(tmp_path / "events.jsonl")},
    }
    read = parse(yaml.safe_dump(config), "test")
    assert parse(shown_config(read), "shown") == read


@pytest.mark.parametrize(
    "config",
    [
        {"parent": f"http://me:{PLAIN}@parent.test:3128"},
        {"upstream": f"http://me:{PLAIN}@api.test/"},
        {"routes": {"/a/": {"upstream": f"http://me:{PLAIN}@api.test/"}}},
        {"mirrors": {"m": {"ecosystem": "pypi", "upstream": f"https://me:{PLAIN}@index.test/"}}},
        events(rabbitmq={"url": f"amqps://me:{PLAIN}@broker.test/v"}),
        events(webhook={"url": f"https://me:{PLAIN}@hook.test/"}),
        events(webhook={"url": "https://hook.test/", "token": PLAIN}),
        endpoint(url=f"https://me:{PLAIN}@idp.test/"),
        endpoint(credentials=f"me:{PLAIN}"),
        route(
            introspect={
                "jwt": {"jwks": f"https://me:{PLAIN}@idp.test/jwks", "issuer": "i", "audience": ["a"]}
            }
        ),
        route(headers={"request": {"set": {"Authorization": f"Basic {PLAIN}"}}}),
        {"admin": {"listen": "127.0.0.1:9", "token": PLAIN}},
    ],
)
def test_passwords_and_tokens_in_plain_are_refused_and_not_quoted(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(yaml.safe_dump(config), "test")
    assert PLAIN not in str(refused.value)
