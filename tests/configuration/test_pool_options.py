"""Several upstreams of a route in the configuration: how they are written, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pyproxycache.configuration.loading import dump, parse
from pyproxycache.errors import ConfigError
from pyproxycache.route_options.pooling import HealthOptions, MemberOptions, PoolOptions
from pyproxycache.route_options.route import RouteOptions
from pyproxycache.rules.urls import parse_url

A, B = "http://10.0.0.5:8000/", "https://b.test/"


def routes_of(route: dict[str, Any], **others: Any) -> dict[str, RouteOptions]:
    document = {"store": {"path": "/srv/cache"}, "routes": {"/a": route}, **others}
    config = parse(yaml.safe_dump(document), "c.yaml")
    assert parse(dump(config), "d.yaml") == config
    return config.routes


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        (A, [(A, 1)]),
        ([A, B], [(A, 1), (B, 1)]),
        ([A, {"url": B, "weight": 3}], [(A, 1), (B, 3)]),
    ],
)
def test_upstreams(upstream: Any, expected: list[tuple[str, int]]) -> None:
    route = routes_of({"upstream": upstream})["/a"]
    members = tuple(MemberOptions(url=parse_url(url), weight=weight) for url, weight in expected)
    assert route.members == members
    assert route.upstream == members[0].url
    assert (route.pooling is None) == (len(members) == 1)


def test_what_is_said_of_a_pool() -> None:
    route = routes_of({"upstream": A, "pool": {"retries": "12.5%", "health": "/health?x"}})["/a"]
    assert route.pooling == PoolOptions(retries=0.125, health=HealthOptions(path="/health?x"))


def test_nested_routes_inherit_members_and_pool() -> None:
    nested = {
        "b": {"upstream": ["+", B], "pool": {"pause": "2s"}},
        "c": {"pool": {"health": None}},
        "d": {"pool": None},
    }
    found = routes_of({"upstream": A, "pool": {"failures": 5, "health": "/h"}, "routes": nested})
    assert [str(one.url) for one in found["/a/b"].members] == [A, B]
    assert found["/a/b"].pool == PoolOptions(failures=5, pause=2.0, health=HealthOptions(path="/h"))
    assert found["/a/c"].pool == PoolOptions(failures=5)
    assert found["/a/d"].pooling is None


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ({"upstream": []}, "routes./a.upstream: [] is not accepted: name a URL at least"),
        ({"upstream": [A, "ftp://x/"]}, "routes./a.upstream[1]: 'ftp://x/' is not"),
        ({"upstream": [A, f"{B}x/"]}, "routes./a.upstream[1]: 'https://b.test/x/': references and cookies"),
        ({"upstream": [A, A]}, "routes./a.upstream[1]: 'http://10.0.0.5:8000/' is named twice"),
        ({"upstream": [A, {"url": B, "weight": 0}]}, "upstream[1].weight: 0 is not a count"),
        ({"upstream": A, "pool": {"retries": 0.2}}, "pool.retries: 0.2 is not a share of all, as in 20%"),
        ({"upstream": A, "pool": {"retries": "101%"}}, "pool.retries: '101%' is not"),
        ({"upstream": A, "pool": {"choose": "x"}}, "pool.choose: 'x' is not one of least, turns"),
        ({"upstream": A, "pool": {"health": "health"}}, "'health' is not a path from the first slash on"),
        ({"upstream": A, "pool": {"health": "/x y"}}, "'/x y' is not a path"),
        (
            {"upstream": A, "pool": {"pause": "2m"}},
            "pool.max_pause: 60 is not accepted",
        ),
        ({"upstream": A, "pool": {"failures": 0}}, "pool.failures: 0 is not a count"),
        ({"upstream": A, "pool": {"statuses": ["5x"]}}, "pool.statuses[0]: '5x' is not a status"),
    ],
)
def test_what_is_refused(route: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        routes_of(route)
    assert said in str(refused.value)


def test_a_parent_sees_no_other_host() -> None:
    with pytest.raises(ConfigError, match="a parent goes by the URL"):
        routes_of({"upstream": A, "pool": {"host": "keep"}}, parent="http://10.0.0.1:3128")
