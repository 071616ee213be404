"""The gate for tokens as it is built of its options: secrets, requests and keys."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from introspection_server import IntrospectionServer
from jwt_made import CLAIMS, key, key_set, public, token
from scripted import upstream

from pyproxycache import clock
from pyproxycache.configuration.sections import read_section
from pyproxycache.errors import ConfigError
from pyproxycache.gates.introspection.bounded_asking import Send
from pyproxycache.gates.introspection.token_findings import AdmittedRequest, RefusedRequest
from pyproxycache.gates.introspection.token_gate import TokenGate
from pyproxycache.messages import Headers, Request
from pyproxycache.route_options.introspection import IntrospectOptions
from pyproxycache.steps import finished
from pyproxycache.url import Url
from pyproxycache.wiring.routes.introspection import build_token_gate

ENVIRON = {"ID": "gate:way", "SECRET": "s3c&r/t", "TOKEN": "abc", "BAD": "a\nb"}


@pytest.fixture
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as server:
        yield server


def sender() -> Send:
    client = upstream()
    return lambda request, facts, seconds: client.send(request, facts, patience=seconds)


def gate(options: dict[str, Any]) -> TokenGate:
    read: IntrospectOptions = read_section(IntrospectOptions, options, ())
    return build_token_gate(read, "routes./.introspect", sender(), ENVIRON)


def passed(one: TokenGate, text: str) -> AdmittedRequest | RefusedRequest:
    headers = Headers([("Authorization", f"Bearer {text}")])
    return finished(one.checked(Request("GET", Url("http", "api.test", 80, "/"), headers)))


def test_an_endpoint_alone_is_asked_as_rfc_7662_has_it(server: IntrospectionServer) -> None:
    server.issue("t&", sub="me")
    admitted = passed(gate({"endpoint": server.url}), "t&")
    assert isinstance(admitted, AdmittedRequest)
    (asked,) = server.asked
    assert asked.body == b"token=t%26&token_type_hint=access_token"
    assert asked.get("Content-Type") == "application/x-www-form-urlencoded"
    assert asked.get("Authorization") is None


@pytest.mark.parametrize(
    ("credentials", "sent"),
    [
        ("gateway:${env:SECRET}", "Basic gateway:s3c%26r%2Ft"),
        ("${env:ID}", "Basic gate:way"),
        ("${env:TOKEN}", "Bearer abc"),
    ],
)
def test_its_credentials_are_shown(credentials: str, sent: str, server: IntrospectionServer) -> None:
    passed(gate({"endpoint": {"url": server.url, "credentials": credentials}}), "t")
    scheme, _, shown = (server.asked[0].get("Authorization") or "").partition(" ")
    shown = b64decode(shown).decode() if scheme == "Basic" else shown
    assert f"{scheme} {shown}" == sent


def test_secrets_are_put_where_they_belong(server: IntrospectionServer) -> None:
    server.origin.put("/check", b'{"active": true}')
    endpoint = {
        "url": server.origin.url("/check?k=${env:SECRET}"),
        "content_type": "application/json",
        "body": '{"t":"{token}","key":"${env:SECRET}"}',
        "headers": {"X-Key": "k ${env:SECRET}"},
    }
    assert isinstance(passed(gate({"endpoint": endpoint}), 'a"b'), AdmittedRequest)
    (asked,) = server.origin.requests
    assert asked.target == "/check?k=s3c%26r%2Ft"
    assert json.loads(asked.body) == {"t": 'a"b', "key": "s3c&r/t"}
    assert asked.get("X-Key") == "k s3c&r/t"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"credentials": "${env:NONE}"}, "endpoint.credentials: the variable NONE is not set"),
        ({"credentials": "${env:BAD}"}, "endpoint.credentials: is not one line"),
        ({"credentials": "me:${env:BAD}"}, "endpoint.credentials: is not one line"),
        ({"headers": {"x-a": "${env:BAD}"}}, "endpoint.headers.x-a: has a character in it"),
        ({"headers": {"x-a": "${file:/none}"}}, "endpoint.headers.x-a: /none: No such file"),
        ({"body": "{token}${env:NONE}"}, "endpoint.body: the variable NONE is not set"),
        ({"url": "https://idp.test/${env:NONE}"}, "endpoint.url: the variable NONE is not set"),
    ],
)
def test_secrets_that_are_not_there_are_told_of(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=r"routes\./\.introspect\.") as raised:
        gate({"endpoint": {"url": "https://idp.test/", **changed}})
    assert why in str(raised.value)


@pytest.mark.parametrize("at", ["url", "file"])
def test_jwts_are_verified_by_keys_from_a_url_or_a_file(
    at: str, server: IntrospectionServer, tmp_path: Path
) -> None:
    one = key("RSA", 2048)
    document = json.dumps(key_set(public(one, kid="a"))).encode()
    server.origin.put("/jwks", document)
    path = tmp_path / "keys.json"
    path.write_bytes(document)
    jwks = server.origin.url("/jwks") if at == "url" else str(path)
    options = {"jwt": {"jwks": jwks, "issuer": CLAIMS["iss"], "audience": CLAIMS["aud"]}}
    gate_of_jwts = gate(options)
    lasting = {**CLAIMS, "exp": clock.wall() + 60}
    for _ in range(3):
        admitted = passed(gate_of_jwts, token(one, "RS256", lasting, kid="a"))
        assert isinstance(admitted, AdmittedRequest)
        assert admitted.body["sub"] == "me"
    refused = passed(gate_of_jwts, token(one, "RS256", {**lasting, "exp": 5}, kid="a"))
    assert isinstance(refused, RefusedRequest)
    assert server.origin.count("/jwks") == (at == "url")


def test_a_file_of_keys_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"routes\./\.introspect\.jwt\.jwks: /none"):
        gate({"jwt": {"jwks": "/none", "issuer": "i", "audience": "a"}})
