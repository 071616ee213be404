"""Limits as routes have them: which are counted together, and what a reload keeps."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pyproxycache.configuration import loading
from pyproxycache.configuration.config import Config
from pyproxycache.errors import ConfigError
from pyproxycache.gates.limits.fixed_window import FixedWindow
from pyproxycache.gates.limits.limit_rule import SECOND
from pyproxycache.gates.limits.sliding_window import SlidingWindow
from pyproxycache.gates.limits.token_bucket import TokenBucket
from pyproxycache.routing.route_table import Route
from pyproxycache.wiring.routes.rate_limits import build_counters, limits_of

IP = {"by": "client", "count": 5, "per": "90s"}


def read(routes: dict[str, Any], **more: Any) -> Config:
    upstream = {"/": {"upstream": "http://origin.test", "routes": routes}}
    return loading.parse(yaml.safe_dump({"routes": upstream, **more}), "c.yaml")


def counted(read_config: Config) -> dict[str, dict[str, str]]:
    """For each route and limit, the name that it is counted under."""
    routes = [Route(*one) for one in read_config.all_routes()]
    return {
        f"{route.host}{route.path}": {limit.name: limit.counted.name for limit in limits_of(route, routes)}
        for route in routes
    }


def test_what_is_inherited_is_counted_together() -> None:
    inner = {
        "same/": {"routes": {"deep/": {}}},
        "other/": {
            "limits": {"ip": {"count": 6}},
            "routes": {"deep/": {}, "back/": {"limits": {"ip": IP}}},
        },
        "none/": {"limits": {"ip": None}, "routes": {"again/": {"limits": {"ip": IP}}}},
    }
    found = counted(read({"a/": {"limits": {"ip": IP}, "routes": inner}, "ab/": {"limits": {"ip": IP}}}))
    assert found == {
        "/": {},
        "/a/": {"ip": " /a/ ip"},
        "/a/same/": {"ip": " /a/ ip"},
        "/a/same/deep/": {"ip": " /a/ ip"},
        "/a/other/": {"ip": " /a/other/ ip"},
        "/a/other/deep/": {"ip": " /a/other/ ip"},
        "/a/other/back/": {"ip": " /a/other/back/ ip"},
        "/a/none/": {},
        "/a/none/again/": {"ip": " /a/none/again/ ip"},
        "/ab/": {"ip": " /ab/ ip"},
    }


def test_hosts_count_for_themselves() -> None:
    route = {"upstream": "http://origin.test", "limits": {"ip": IP}}
    hosts = {"a.test": {"routes": {"/": route}}, "b.test": {"routes": {"/": route}}}
    found = counted(read({"x/": {"limits": {"ip": IP}}}, hosts=hosts))
    assert (found["a.test/"], found["b.test/"]) == ({"ip": "a.test / ip"}, {"ip": "b.test / ip"})


def test_each_kind_has_its_rule() -> None:
    limits = {
        "fixed": IP,
        "sliding": {**IP, "kind": "sliding"},
        "bucket": {**IP, "kind": "bucket"},
        "burst": {**IP, "kind": "bucket", "burst": 9, "keys": 7},
    }
    counters = build_counters(read({"a/": {"limits": limits}}))
    assert counters is not None
    per = 90 * SECOND
    assert {limit.name.split()[1]: (limit.rule, limit.keys) for limit in counters.limits} == {
        "fixed": (FixedWindow(5, per), 65536),
        "sliding": (SlidingWindow(5, per), 65536),
        "bucket": (TokenBucket(5, per, 5), 65536),
        "burst": (TokenBucket(5, per, 9), 7),
    }


def test_counters_stay_while_limits_do() -> None:
    first = build_counters(read({"a/": {"limits": {"ip": IP}}}))
    same = read({"a/": {"limits": {"ip": {**IP, "by": ["client"]}}, "exclude": True}, "b/": {}})
    assert build_counters(same, first) is first
    for changed in ({"a/": {"limits": {"ip": {**IP, "count": 6}}}}, {"b/": {"limits": {"ip": IP}}}):
        assert build_counters(read(changed), first) is not first
    assert build_counters(read({}), first) is None


@pytest.mark.parametrize(
    ("limits", "where"),
    [
        ({"ip": {**IP, "burst": 9}}, "routes./a/.limits.ip.burst"),
        ({"ip": {**IP, "by": []}}, "routes./a/.limits.ip.by"),
        ({"ip": {**IP, "per": 0}}, "routes./a/.limits.ip.per"),
        ({str(number): IP for number in range(17)}, "routes./a/.limits"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(limits: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read({"a/": {"limits": limits}})
    assert f"{where}:" in str(raised.value) or f"{where} " in str(raised.value)
