"""Rate limits as they are written: read, written back, refused."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct

from pyproxycache.configuration.notations.limit_notation import limit_problems
from pyproxycache.configuration.sections import Refused, read_section, written
from pyproxycache.route_options.limits import LimitedBy, LimitName, RateLimitOptions

SMALLEST = {"by": "client", "count": 100, "per": "1s"}


def read(limit: dict[str, Any]) -> RateLimitOptions:
    options: RateLimitOptions = read_section(RateLimitOptions, limit, ("limits", "ip"))
    return options


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("client", (LimitedBy("client"),)),
        ({"header": "X-Api-Key"}, (LimitedBy("header", "x-api-key"),)),
        ({"cookie": "Session"}, (LimitedBy("cookie", "Session"),)),
        ({"query": "api key"}, (LimitedBy("query", "api key"),)),
        ({"token": "sub"}, (LimitedBy("token", "sub"),)),
        (
            [{"header": "authorization"}, {"cookie": "access-token"}],
            (LimitedBy("header", "authorization"), LimitedBy("cookie", "access-token")),
        ),
    ],
)
def test_what_is_counted_by(by: Any, expected: tuple[LimitedBy, ...]) -> None:
    options = read(SMALLEST | {"by": by})
    assert options.by == expected
    assert read(written(RateLimitOptions, options)) == options


def test_all_of_it() -> None:
    limit = {"by": "client", "count": "10", "per": 90, "kind": "bucket", "burst": 5, "keys": 1000}
    options = read(limit)
    assert (options.count, options.per, options.burst, options.keys) == (10, 90, 5, 1000)
    assert read(written(RateLimitOptions, options)) == options
    assert (read(SMALLEST).kind, read(SMALLEST).burst) == ("fixed", None)


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"by": "everybody"}, "by"),
        ({"by": {"header": "a b"}}, "by"),
        ({"by": {"cookie": ""}}, "by"),
        ({"by": {"header": "a", "cookie": "b"}}, "by"),
        ({"by": {"body": "a"}}, "by"),
        ({"by": {"token": "a\nb"}}, "by"),
        ({"count": 0}, "count"),
        ({"count": True}, "count"),
        ({"count": 1.5}, "count"),
        ({"count": 1_000_001}, "count"),
        ({"per": ""}, "per"),
        ({"per": 0.5}, "per"),
        ({"per": "32d"}, "per"),
        ({"per": True}, "per"),
        ({"kind": "leaky"}, "kind"),
        ({"burst": 0}, "burst"),
        ({"keys": 0}, "keys"),
        ({"window": "1m"}, "window"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], where: str) -> None:
    with pytest.raises(Refused) as refused:
        read(SMALLEST | changed)
    assert [path[2] for path, _text in refused.value.problems] == [where]


def test_what_is_missing() -> None:
    with pytest.raises(Refused) as refused:
        read({})
    assert [path[2] for path, _text in refused.value.problems] == ["by", "count", "per"]


@pytest.mark.parametrize("name", ["", "ü", "a\tb", "a" * 65])
def test_names_that_no_field_can_have(name: str) -> None:
    with pytest.raises(Refused):
        read_section(_Limits, {"limits": {name: SMALLEST}}, ())


class _Limits(Struct, frozen=True, kw_only=True):
    limits: dict[LimitName, RateLimitOptions] = {}


def test_what_is_wrong_with_limits_together() -> None:
    limit = read(SMALLEST)
    bucket = read(SMALLEST | {"kind": "bucket", "burst": 5})
    assert list(limit_problems({"ip": limit, "token": bucket})) == []
    (problem,) = limit_problems({"ip": read(SMALLEST | {"burst": 5})})
    assert problem[0] == ("ip", "burst")
    (problem,) = limit_problems({"ip": read(SMALLEST | {"by": []})})
    assert problem[0] == ("ip", "by")
    (problem,) = limit_problems({str(number): limit for number in range(17)})
    assert problem[0] == ()
