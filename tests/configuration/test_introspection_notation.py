"""How introspection and local verification are written in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pyproxycache.configuration.notations.introspection_notation import introspection_problems
from pyproxycache.configuration.sections import Refused, read_section, written
from pyproxycache.route_options.introspection import (
    BEARER,
    EndpointOptions,
    IntrospectOptions,
    JwtOptions,
    PassOnOptions,
    TokenPlace,
)
from pyproxycache.url import Url

ENDPOINT = "https://idp.test/i"


def read(text: str) -> IntrospectOptions:
    options: IntrospectOptions = read_section(IntrospectOptions, yaml.safe_load(text), ())
    assert read_section(IntrospectOptions, written(IntrospectOptions, options), ()) == options
    return options


def refused(text: str) -> list[tuple[str, str]]:
    """The keys of all problems, and what is said of each."""
    try:
        problems: Any = introspection_problems(read(text))
    except Refused as error:
        problems = error.problems
    return [(".".join(map(str, path)), why) for path, why in problems]


def test_an_endpoint_alone_is_its_url() -> None:
    options = read(f"endpoint: {ENDPOINT}")
    assert options == IntrospectOptions(endpoint=EndpointOptions(url=ENDPOINT))
    assert options.token == (BEARER,)
    assert options.remember is None
    assert list(introspection_problems(options)) == []


def test_all_of_an_endpoint_is_read() -> None:
    options = read(
        """
        token: [bearer, {header: X-Access-Token}, {cookie: session}, {query: access_token}]
        endpoint:
          url: "https://idp.test/check/{token}?key=${env:KEY}"
          method: GET
          headers: {Accept: application/json, X-Key: "${file:/etc/key}", Authorization: "Bearer {token}"}
          timeout: 2s
          valid: {active: true, data.level: 3, data.state: good}
          invalid: [401, 404]
        remember: 5s
        pass_on: {header: X-Token, form: json, without: [exp], only: [sub, exp], max_size: 4K}
        forward_token: false
        realm: files
        scope: [read, write]
        """
    )
    assert options.token[1:] == (
        TokenPlace("header", "x-access-token"),
        TokenPlace("cookie", "session"),
        TokenPlace("query", "access_token"),
    )
    assert options.endpoint is not None
    assert options.endpoint.valid == {"active": True, "data.level": 3, "data.state": "good"}
    assert options.endpoint.headers["x-key"] == "${file:/etc/key}"
    assert options.pass_on == PassOnOptions(
        header="x-token", form="json", without=("exp",), only=("sub", "exp"), max_size=4096
    )
    assert options.scope == ("read", "write")
    assert list(introspection_problems(options)) == []


@pytest.mark.parametrize(
    ("place", "read_as"),
    [
        ("https://idp.test/jwks", Url("https", "idp.test", 443, "/jwks")),
        ("/etc/keys.json", Path("/etc/keys.json")),
    ],
)
def test_keys_are_at_a_url_or_in_a_file(place: str, read_as: Url | Path) -> None:
    options = read(f"jwt: {{jwks: '{place}', issuer: 'https://idp.test', audience: api}}")
    assert options.jwt == JwtOptions(jwks=read_as, issuer="https://idp.test", audience=("api",))
    assert list(introspection_problems(options)) == []


@pytest.mark.parametrize(
    ("text", "key", "why"),
    [
        ("{}", "", "either 'endpoint' or 'jwt' is needed"),
        (
            f"{{endpoint: {ENDPOINT}, jwt: {{jwks: /k, issuer: i, audience: a}}}}",
            "",
            "either 'endpoint' or 'jwt' is needed",
        ),
        (f"{{endpoint: {ENDPOINT}, token: []}}", "token", "name a place at least"),
        (f"{{endpoint: {ENDPOINT}, token: body}}", "token", "a place of tokens: bearer, "),
        (f"{{endpoint: {ENDPOINT}, token: [{{cookie: 'a b'}}]}}", "token.0", "with a name"),
        (f"{{endpoint: {ENDPOINT}, token: [{{form: a}}]}}", "token.0", "a place of tokens"),
        ("{endpoint: idp.test/introspect}", "endpoint", "a URL, as in https://"),
        ("{endpoint: 'https://{token}.test/'}", "endpoint", "a URL, as in https://"),
        ("{endpoint: 'https://${env:HOST}/'}", "endpoint", "a URL, as in https://"),
        ("{endpoint: 'https://me:secret@idp.test/'}", "endpoint", "user names and passwords"),
        (f"{{endpoint: {{url: '{ENDPOINT}', credentials: 'a:s3cret'}}}}", "endpoint.credentials", "${env:"),
        (f"{{endpoint: {{url: '{ENDPOINT}', body: 'token='}}}}", "endpoint", "write {token}"),
        (f"{{endpoint: {{url: '{ENDPOINT}', method: GET}}}}", "endpoint", "write {token}"),
        (
            f"{{endpoint: {{url: '{ENDPOINT}?{{token}}', method: GET, body: '{{token}}'}}}}",
            "endpoint.body",
            "only with 'method: POST'",
        ),
        (
            f"{{endpoint: {{url: '{ENDPOINT}', headers: {{authorization: x}},"
            " credentials: '${env:A}'}}",
            "endpoint.headers.authorization",
            "leave one of them out",
        ),
        (
            f"{{endpoint: {{url: '{ENDPOINT}', headers: {{Content-Type: x}}}}}}",
            "endpoint.headers.content-type",
            "by this proxy itself",
        ),
        (
            f"{{endpoint: {{url: '{ENDPOINT}', headers: {{x-a: \"a\\0b\"}}}}}}",
            "endpoint.headers.x-a",
            "control character",
        ),
        (f"{{endpoint: {{url: '{ENDPOINT}', valid: {{}}}}}}", "endpoint.valid", "only with 'invalid'"),
        *(
            (
                f"{{endpoint: {{url: '{ENDPOINT}', content_type: application/json, body: '{body}'}}}}",
                "endpoint.body",
                "write {token} in double quotes",
            )
            for body in ("{token}", '{"a": {token}}', "token={token}", '{"a": "{token}"')
        ),
        (
            f"{{endpoint: '{ENDPOINT}', pass_on: {{header: Host}}}}",
            "pass_on.header",
            "name a field of its own",
        ),
        (f"{{endpoint: {{url: '{ENDPOINT}', valid: {{a..b: 1}}}}}}", "endpoint.valid.a..b", "a member of"),
        (f"{{endpoint: {{url: '{ENDPOINT}', valid: {{a: [1]}}}}}}", "endpoint.valid.a", "a value in JSON"),
        (f"{{endpoint: {ENDPOINT}, scope: 'a b'}}", "scope", "a scope"),
        ("{jwt: {jwks: keys.json, issuer: i, audience: a}}", "jwt.jwks", "a key set: a URL"),
        ("{jwt: {jwks: /k, audience: a}}", "jwt.issuer", "is missing"),
        ("{jwt: {jwks: /k, issuer: i, audience: []}}", "jwt.audience", "name this API"),
        ("{jwt: {jwks: /k, issuer: i, audience: a, algorithms: []}}", "jwt.algorithms", "as RS256"),
        ("{jwt: {jwks: /k, issuer: i, audience: a, algorithms: none}}", "jwt.algorithms", "one of RS256"),
        ("{jwt: {jwks: /k, issuer: i, audience: a, algorithms: [HS256]}}", "jwt.algorithms.0", "one of RS"),
        ("{jwt: {jwks: /k, issuer: i, audience: a}, remember: 5s}", "remember", "only with 'endpoint'"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(text: str, key: str, why: str) -> None:
    problems = refused(text)
    assert [path for path, _why in problems] == [key]
    assert why in problems[0][1]
    assert "s3cret" not in problems[0][1]
