"""Nested routes of the configuration: what they inherit, what they replace, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.inheritance import flattened
from pyproxycache.configuration.loading import dump, parse
from pyproxycache.errors import ConfigError

U = "http://10.0.0.5:8000"
BY_TOKEN = {"by": {"token": "sub"}, "count": 9, "per": "1m"}
BY_QUERY = {"token": [{"query": "t"}], "endpoint": U}


def read(document: dict[str, Any]) -> Config:
    return parse(yaml.safe_dump({"store": {"path": "/srv/cache"}, **document}), "c.yaml")


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ({"/a/": {"x": 1}}, {"/a/": {"x": 1}}),
        (
            {"/a/": {"x": 1, "routes": {"b": {"y": 2}}}},
            {"/a/": {"x": 1}, "/a/b": {"x": 1, "y": 2}},
        ),
        (
            {"/a": {"x": 1, "routes": {"/b": {"x": 2, "routes": {"c/": None}}}}},
            {"/a": {"x": 1}, "/a/b": {"x": 2}, "/a/b/c/": {"x": 2}},
        ),
        (
            {"/": {"c": {"k": {"p": 1, "q": 2}}, "routes": {"b": {"c": {"k": {"q": 3}}}}}},
            {"/": {"c": {"k": {"p": 1, "q": 2}}}, "/b": {"c": {"k": {"p": 1, "q": 3}}}},
        ),
        (
            {"/": {"m": ["a", "b"], "routes": {"b": {"m": ["+", "b", "c"]}, "d": {"m": ["e"]}}}},
            {"/": {"m": ["a", "b"]}, "/b": {"m": ["a", "b", "c"]}, "/d": {"m": ["e"]}},
        ),
        ({"/": {"m": "a", "routes": {"b": {"m": ["+", "c"]}}}}, {"/": {"m": "a"}, "/b": {"m": ["a", "c"]}}),
        ({"/": {"m": ["+", "c"]}}, {"/": {"m": ["c"]}}),
        ({"/": {"c": {"x": 1}, "routes": {"b": {"c": None}}}}, {"/": {"c": {"x": 1}}, "/b": {}}),
        ({"/": {"routes": 3}}, {"/": {"routes": 3}}),
        ({"/": 3}, {"/": 3}),
        (3, 3),
    ],
)
def test_nested_routes_have_what_they_inherit(routes: Any, expected: Any) -> None:
    assert flattened(routes) == expected


def test_what_is_inherited_is_read_by_its_whole_path() -> None:
    nested = {
        "/api/v1/": {
            "upstream": U,
            "methods": ["GET", "HEAD"],
            "cache": {"ttl": "30s", "ttl_error": "3s", "key": {"query": "sort", "headers": ["Accept"]}},
            "routes": {
                "users/": {"cache": {"ttl": "5m"}, "methods": ["+", "POST"]},
                "login": {"exclude": True},
            },
        }
    }
    config = read({"routes": nested, "hosts": {"API.example.net": {"routes": {"/": {"upstream": U}}}}})
    found = {(host, path): one for host, path, one in config.all_routes()}
    assert set(found) == {
        ("", "/api/v1/"),
        ("", "/api/v1/users/"),
        ("", "/api/v1/login"),
        ("api.example.net", "/"),
    }
    users, login = found["", "/api/v1/users/"], found["", "/api/v1/login"]
    assert (users.cache.ttl, users.cache.ttl_error, users.cache.key.headers) == (300.0, 3.0, ("accept",))
    assert (users.methods, users.exclude) == (("GET", "HEAD", "POST"), False)
    assert (login.exclude, login.cache.ttl, login.methods) == (True, 30.0, ("GET", "HEAD"))
    assert parse(dump(config), "d.yaml") == config
    assert not config.is_forward


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"routes": {"/a": {}}}, "c.yaml: routes./a.upstream: is missing"),
        ({"routes": {"/a": {"upstream": U, "x": 1}}}, "routes./a.x: unknown key"),
        ({"routes": {"a": {"upstream": U}}}, "'a' is not a path from the first slash on"),
        ({"routes": {"/a?b": {"upstream": U}}}, "a path from the first slash on"),
        ({"routes": {"/a/../b": {"upstream": U}}}, "a path from the first slash on"),
        ({"routes": {"/a%2f": {"upstream": U}}}, "a path from the first slash on"),
        ({"routes": {"/a": {"upstream": U, "methods": ["G T"]}}}, "a request method"),
        ({"routes": {"/a": {"upstream": U, "cache": {"ttl": 0}}}}, "routes./a.cache.ttl: 0"),
        (
            {"routes": {"/a": {"upstream": U, "routes": {"b": {"cache": {"key": {"query": "x"}}}}}}},
            "routes./a/b.cache.key.query: 'x' is not one of",
        ),
        ({"routes": {"/a": {"upstream": U, "cache": {"sliding": True}}}}, "routes./a.cache.sliding: true"),
        (
            {"routes": {"/a": {"upstream": U, "cache": {"ttl": "2d", "sliding": True}}}},
            "routes./a.cache.longest: 86400s is less than the 'ttl' of 172800s",
        ),
        (
            {"routes": {"/a": {"upstream": U, "methods": ["get"]}}},
            "routes./a.methods[0]: 'get' is not a request",
        ),
        ({"routes": {"/a": {"upstream": U, "methods": ["CONNECT"]}}}, "a gateway opens no tunnels"),
        (
            {"routes": {"/a": {"upstream": U}, "/a/": {"upstream": U}}},
            "routes./a/: has the same paths as '/a'",
        ),
        ({"routes": {"/a;b": {"upstream": U}}}, "without ?, #, %, ;, // and .."),
        ({"routes": {"/a": {"upstream": "http://me:s3cret@h"}}}, "headers.request.set has authorization"),
        ({"routes": {"/a": {"upstream": U, "cors": True}}}, "routes./a.cors: true is not a section"),
        (
            {"routes": {"/a": {"upstream": U, "limits": {"t": BY_TOKEN}}}},
            "routes./a.limits.t.by: counts by tokens",
        ),
        (
            {
                "routes": {
                    "/a": {"upstream": U, "introspect": BY_QUERY, "cache": {"key": {"query": "ignore"}}}
                }
            },
            "routes./a.cache.key.query: 'ignore' is not accepted where the upstream gets tokens",
        ),
        (
            {"routes": {"/a": {"upstream": U, "cache": {"ttl": "9s"}, "refresh": {"every": "9s"}}}},
            "routes./a.refresh.every: 9s is not less than the 'ttl' of 9s",
        ),
        ({"routes": {"/a": {"upstream": U, "refresh": {"hits": 0}}}}, "routes./a.refresh.hits: 0"),
        ({"routes": {"/a": {"upstream": U, "refresh": {"every": 0}}}}, "routes./a.refresh.every: 0"),
        ({"routes": 3}, "routes: 3 is not a section"),
        ({"routes": {"/a": {"upstream": U, "routes": 3}}}, "routes./a.routes: unknown key"),
        ({"hosts": {"a:1": {"routes": {"/": {"upstream": U}}}}}, "a host name without a port"),
        ({"hosts": {"a": {"routes": {"/": {}}}}}, "hosts.a.routes./.upstream: is missing"),
        ({"routes": {"/": {"upstream": U}}, "upstream": U}, "upstream: a gateway answers"),
        (
            {"routes": {"/": {"upstream": U}}, "mirrors": {"m": {"ecosystem": "npm", "upstream": U}}},
            "mirrors: a",
        ),
    ],
)
def test_bad_routes_are_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(document)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "route",
    [
        {"introspect": BY_QUERY, "limits": {"t": BY_TOKEN}, "routes": {"b": {"introspect": None}}},
        {"introspect": {**BY_QUERY, "forward_token": False}, "cache": {"key": {"query": "ignore"}}},
        {"introspect": BY_QUERY, "cache": {"key": {"query": "ignore", "headers": []}}},
        {"cache": {"ttl": "2d", "sliding": True, "longest": "2d"}},
        {"methods": ["PROPFIND", "get-it"]},
    ],
)
def test_what_only_looks_wrong_is_accepted(route: dict[str, Any]) -> None:
    assert read({"routes": {"/a": {"upstream": U, **route}}}).routes


def test_what_is_inherited_is_refused_where_it_is_written() -> None:
    nested = {"routes": {"b": {"routes": {"c": {}}}, "d": {"cache": {"ttl": "late"}}}}
    outer = {"upstream": U, "cache": {"ttl": "soon"}, **nested}
    with pytest.raises(ConfigError) as refused:
        read({"routes": {"/a": outer, "/ab": outer}, "hosts": {"h": {"routes": {"/a": outer}}}})
    keys = [line.split(": ")[1] for line in str(refused.value).splitlines()]
    expected = [f"routes.{path}.cache.ttl" for path in ("/a", "/a/d", "/ab", "/ab/d")]
    assert sorted(keys) == sorted([*expected, *(f"hosts.h.{key}" for key in expected[:2])])


def test_a_host_without_routes_is_no_gateway() -> None:
    config = read({"hosts": {"a": {}}})
    assert config.is_forward
    assert config.store.path == Path("/srv/cache")
