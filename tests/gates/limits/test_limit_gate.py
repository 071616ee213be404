"""The gate: what of a request counts, what answers tell of limits, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

import http_sf
import pytest

from pyproxycache.errors import BadRequest
from pyproxycache.gates.access import Access
from pyproxycache.gates.limits.client_behind import client_behind, peer_itself
from pyproxycache.gates.limits.counters import MOST_CHARGES, Charge, CountedLimit
from pyproxycache.gates.limits.fixed_window import FixedWindow
from pyproxycache.gates.limits.limit_gate import (
    MOST_LIMITS,
    MOST_VALUES,
    LimitGate,
    OverLimit,
    RouteLimit,
    WithinLimits,
)
from pyproxycache.gates.limits.limit_rule import SECOND, LimitRule, Ruling
from pyproxycache.gates.limits.limit_tally import LimitTally
from pyproxycache.gates.limits.limited_values import LimitedRequest, values_by
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.gates.limits.token_bucket import TokenBucket
from pyproxycache.messages import Headers
from pyproxycache.route_options.limits import LimitedBy

CLIENT = LimitedBy("client")
KEY = LimitedBy("header", "x-key")


def request(
    *fields: tuple[str, str],
    client: str = "192.0.2.1",
    query: str | None = None,
    token: Mapping[str, Any] | None = None,
) -> LimitedRequest:
    return LimitedRequest(client, Headers(fields), query, token or {})


def values(by: LimitedBy, asked: LimitedRequest) -> list[str]:
    return list(values_by(by, peer_itself)(asked))


class Watch:
    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


def gate(*limits: tuple[str, LimitedBy, LimitRule], watch: Watch | None = None) -> LimitGate:
    made = [RouteLimit(name, (by,), CountedLimit(f"/ {name}", rule, 64)) for name, by, rule in limits]
    counters = SharedCounters([one.counted for one in made], watch or Watch())
    return LimitGate(made, counters, counters.secret)


def fields_of(result: WithinLimits | OverLimit) -> dict[str, str]:
    return dict(result.response.head.headers if isinstance(result, OverLimit) else result.fields)


@pytest.mark.parametrize(
    ("by", "asked", "expected"),
    [
        (CLIENT, request(), ["192.0.2.1"]),
        (LimitedBy("header", "x-key"), request(("X-Key", " a ")), ["a"]),
        (LimitedBy("header", "x-key"), request(("X-Key", "a"), ("x-key", "b")), ["a", "b"]),
        (LimitedBy("header", "x-key"), request(), []),
        (LimitedBy("header", "authorization"), request(("Authorization", "Bearer abc")), ["abc"]),
        (LimitedBy("header", "authorization"), request(("Authorization", "bEaReR   abc ")), ["abc"]),
        (LimitedBy("header", "authorization"), request(("Authorization", "BASIC abc")), ["basic abc"]),
        (LimitedBy("header", "authorization"), request(("Authorization", "abc")), ["abc "]),
        (LimitedBy("cookie", "t"), request(("Cookie", 'x=1; t=abc; t="abc"')), ["abc", "abc"]),
        (LimitedBy("cookie", "t"), request(("Cookie", "x=1"), ("Cookie", " t = abc;T=d; tt=e")), ["abc"]),
        (LimitedBy("cookie", "t"), request(("Cookie", "t")), []),
        (LimitedBy("query", "key"), request(query="a=1&key=x&k%65y=y&KEY=z&key"), ["x", "y", ""]),
        (LimitedBy("query", "key"), request(query="key=a%62c&key=a+b"), ["abc", "a b"]),
        (LimitedBy("query", "a b"), request(query="a+b=1&a%20b=2"), ["1", "2"]),
        (LimitedBy("query", "key"), request(query=None), []),
        (LimitedBy("token", "sub"), request(token={"sub": "u1"}), ["u1"]),
        (LimitedBy("token", "sub"), request(token={"sub": 5}), ["5"]),
        (LimitedBy("token", "aud"), request(token={"aud": {"b": 1, "a": [2]}}), ['{"a": [2], "b": 1}']),
        (LimitedBy("token", "sub"), request(token={"sub": None}), []),
        (LimitedBy("token", "sub"), request(), []),
    ],
)
def test_what_a_limit_counts_by(by: LimitedBy, asked: LimitedRequest, expected: Sequence[str]) -> None:
    assert values(by, asked) == expected


def test_addresses_of_one_customer_are_one_client() -> None:
    one, other = (values(CLIENT, request(client=f"2001:db8:1:2:{rest}")) for rest in ("3:4:5:6", ":1"))
    (neighbour,) = values(CLIENT, request(client="2001:db8:1:3::1"))
    assert one == other != [neighbour]


TRUSTED = client_behind(Access((ip_network("10.0.0.0/8"), ip_network("fd00::/8"))).admits)


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("192.0.2.9", ["198.51.100.1"], "192.0.2.9"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        # What the client wrote itself stands before what a trusted proxy saw.
        ("10.0.0.1", ["203.0.113.7, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.7", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::1]:4711, fd00::2"], "2001:db8::1"),
        ("fd00::1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.1, 1.2.3.4.5"], "10.0.0.1"),
    ],
)
def test_the_client_behind_trusted_proxies(peer: str, lines: Sequence[str], client: str) -> None:
    assert TRUSTED(peer, Headers([("X-Forwarded-For", line) for line in lines])) == client


def test_what_passes_and_what_is_refused_tells_of_the_limit() -> None:
    watch = Watch()
    limited = gate(("token", KEY, FixedWindow(2, 60 * SECOND)), watch=watch)
    passed = limited.check(request(("X-Key", "a")))
    assert passed == WithinLimits(
        (("RateLimit-Policy", '"token";q=2;w=60'), ("RateLimit", '"token";r=1;t=60'))
    )
    watch.now += 10.5
    assert fields_of(limited.check(request(("X-Key", "a"))))["RateLimit"] == '"token";r=0;t=50'
    watch.now += 20
    refused = limited.check(request(("X-Key", "a")))
    assert isinstance(refused, OverLimit)
    assert refused.response.head.status == 429
    assert fields_of(refused) == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(refused.response.length),
        "Cache-Control": "no-store",
        "Retry-After": "30",
        "RateLimit-Policy": '"token";q=2;w=60',
        "RateLimit": '"token";r=0;t=30',
    }
    assert isinstance(limited.check(request(("X-Key", "b"))), WithinLimits)
    assert limited.check(request()) == WithinLimits()


def test_the_fields_are_structured_ones() -> None:
    policies = (FixedWindow(1000, 90 * SECOND), TokenBucket(7, SECOND, 9))
    limited = gate(('a "\\b', CLIENT, policies[0]), ("c", KEY, policies[1]))
    fields = fields_of(limited.check(request(("X-Key", "a"))))
    parsed = {name: http_sf.parse(value.encode(), tltype="list") for name, value in fields.items()}
    assert parsed["RateLimit-Policy"] == [('a "\\b', {"q": 1000, "w": 90}), ("c", {"q": 7, "w": 1})]
    assert parsed["RateLimit"] == [("c", {"r": 8, "t": 1}), ('a "\\b', {"r": 999, "t": 90})]


def test_the_strictest_answers_and_the_others_count_nothing() -> None:
    watch = Watch()
    limited = gate(
        ("minute", KEY, FixedWindow(5, 60 * SECOND)),
        ("second", CLIENT, FixedWindow(1, SECOND)),
        watch=watch,
    )
    assert isinstance(limited.check(request(("X-Key", "a"))), WithinLimits)
    for _ in range(9):
        refused = limited.check(request(("X-Key", "a")))
        assert fields_of(refused)["Retry-After"] == "1"
        assert fields_of(refused)["RateLimit"] == '"second";r=0;t=1, "minute";r=4;t=60'
    for left in (3, 2, 1, 0):
        watch.now += 1
        passed = fields_of(limited.check(request(("X-Key", "a"))))
        assert f'"minute";r={left};' in passed["RateLimit"]
    watch.now += 0.5
    refused = limited.check(request(("X-Key", "a")))
    assert fields_of(refused)["Retry-After"] == "56"
    assert fields_of(refused)["RateLimit"] == '"minute";r=0;t=56, "second";r=0;t=1'


def test_every_value_of_a_request_counts() -> None:
    """A client that puts others' values, or invented ones, around its own has used its own all the same."""
    limited = gate(("key", LimitedBy("query", "key"), FixedWindow(2, 60 * SECOND)))
    for invented in range(2):
        assert isinstance(limited.check(request(query=f"key={invented}&key=mine")), WithinLimits)
    for query in ("key=mine", "key=new&key=mine", "key=mine&key=new", "key=m%69ne", "key=mine&key=mine"):
        assert isinstance(limited.check(request(query=query)), OverLimit), query
    assert fields_of(limited.check(request(query="key=new")))["RateLimit"] == '"key";r=1;t=60'
    assert isinstance(limited.check(request(query="key=0&key=1&key=2")), WithinLimits)
    assert fields_of(limited.check(request(query="key=2&key=3")))["RateLimit"] == '"key";r=0;t=60'


def test_too_many_values_are_no_request() -> None:
    limited = gate(("key", LimitedBy("query", "key"), FixedWindow(2, 60 * SECOND)))
    many = "&".join(f"key={number}" for number in range(MOST_VALUES + 1))
    with pytest.raises(BadRequest):
        limited.check(request(query=many))
    assert isinstance(limited.check(request(query=many.rpartition("&")[0])), WithinLimits)


def test_a_limit_by_several_things_counts_by_each_that_is_there() -> None:
    by = (LimitedBy("header", "authorization"), LimitedBy("cookie", "token"))
    limit = RouteLimit("token", by, CountedLimit("/", FixedWindow(2, 60 * SECOND), 64))
    counters = SharedCounters([limit.counted], Watch())
    limited = LimitGate([limit], counters, counters.secret)
    assert isinstance(limited.check(request(("Authorization", "Bearer abc"))), WithinLimits)
    assert isinstance(limited.check(request(("Cookie", "token=abc"))), WithinLimits)
    assert isinstance(limited.check(request(("Cookie", "token=abc; token=new"))), OverLimit)
    both = (("Authorization", "Bearer new"), ("Cookie", "token=abc"))
    assert isinstance(limited.check(request(*both)), OverLimit)


def test_a_request_never_causes_more_charges_than_counters_take() -> None:
    assert MOST_LIMITS * MOST_VALUES <= MOST_CHARGES


class Noted:
    """Counters that keep what they are asked."""

    def __init__(self) -> None:
        self.charges: list[Charge] = []

    def take(self, charges: Sequence[Charge]) -> list[Ruling]:
        self.charges += charges
        return [Ruling((0,), 1, 1, 0) for _ in charges]


def test_values_are_hashed_with_a_secret() -> None:
    limit = RouteLimit("token", (KEY,), CountedLimit("/", FixedWindow(2, 60 * SECOND), 64))
    keys = set()
    for secret in (b"a" * 32, b"b" * 32):
        counters = Noted()
        LimitGate([limit], counters, secret).check(request(("X-Key", "secret-token-value")))
        (charge,) = counters.charges
        assert len(charge.key) == 16
        assert b"secret" not in charge.key
        keys.add(charge.key)
    assert len(keys) == 2


def test_of_several_values_the_strictest_is_told() -> None:
    limited = gate(
        ("key", LimitedBy("query", "key"), FixedWindow(9, 60 * SECOND)),
        ("ip", CLIENT, FixedWindow(8, 60 * SECOND)),
    )
    for _ in range(3):
        limited.check(request(query="key=a"))
    told = fields_of(limited.check(request(query="key=a&key=b")))
    assert told["RateLimit"] == '"ip";r=4;t=60, "key";r=5;t=60'
    told = fields_of(limited.check(request(query="key=b&key=a", client="192.0.2.2")))
    assert told["RateLimit"] == '"key";r=4;t=60, "ip";r=7;t=60'
    assert told["RateLimit-Policy"] == '"ip";q=8;w=60, "key";q=9;w=60'


WIDE, NARROW = TokenBucket(10, 100 * SECOND, 10), FixedWindow(2, 100 * SECOND)


@pytest.mark.parametrize(
    ("limits", "requests", "admitted", "refused"),
    [
        ((("narrow", CLIENT, NARROW),), [request()] * 5, {"narrow": 2}, {"narrow": 3}),
        # A limit that would have let it in has not counted what the other one refuses.
        (
            (("wide", CLIENT, WIDE), ("narrow", CLIENT, NARROW)),
            [request()] * 5,
            {"wide": 2, "narrow": 2},
            {"narrow": 3},
        ),
        # One request of several values is one request.
        ((("keyed", KEY, WIDE),), [request(("X-Key", "a"), ("X-Key", "b"))] * 3, {"keyed": 3}, {}),
        (
            (("keyed", KEY, NARROW),),
            [request(("X-Key", "a"), ("X-Key", "b"))] * 3,
            {"keyed": 2},
            {"keyed": 1},
        ),
        # What a limit does not apply to is none of its requests.
        ((("keyed", KEY, NARROW), ("wide", CLIENT, WIDE)), [request()] * 3, {"wide": 3}, {}),
    ],
)
def test_each_limit_tells_what_it_decides(
    limits: Sequence[tuple[str, LimitedBy, LimitRule]],
    requests: Sequence[LimitedRequest],
    admitted: dict[str, int],
    refused: dict[str, int],
) -> None:
    found: dict[str, Counter[str]] = {"admitted": Counter(), "refused": Counter()}

    def tally(name: str) -> LimitTally:
        return LimitTally(
            lambda amount: found["admitted"].update({name: amount}),
            lambda amount: found["refused"].update({name: amount}),
        )

    made = [RouteLimit(name, (by,), CountedLimit(f"/ {name}", rule, 64)) for name, by, rule in limits]
    counters = SharedCounters([one.counted for one in made], Watch())
    tallies = {one.name: tally(one.name) for one in made}
    counted = LimitGate(made, counters, counters.secret, tallies=tallies)
    for one in requests:
        counted.check(one)
    assert found == {"admitted": admitted, "refused": refused}
