"""Requests that are kept: so many and so large at most, and each due when it is to be."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from typing import Any, cast

import pytest

from pyproxycache import clock
from pyproxycache.front.gateway.kept_requests import KeptRequest, KeptRequests, RefreshRecord
from pyproxycache.front.gateway.refreshed_route import RefreshedRoute
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.routing.resource import Realm
from pyproxycache.rules.policy import Policies
from pyproxycache.rules.refreshing import RefreshRule
from pyproxycache.rules.urls import parse_url
from pyproxycache.store.values import Uses

URL = parse_url("http://origin.example/x")
SECRET = "secret-of-this-test"
FOR_EVER = 1e12


class Counted:
    """The uses of entries, as the store counts them."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def __call__(self, entry_id: int) -> Uses:
        return Uses(0.0, self.counts[entry_id])


def route(rule: RefreshRule) -> RefreshedRoute:
    nobody = cast(Any, None)  # nothing is asked here
    return RefreshedRoute(rule, Realm(Policies()), nobody, nobody, ())


BY_TIME = RefreshRule(every=10.0)


def kept(rule: RefreshRule = BY_TIME, size: int = 0) -> KeptRequest:
    headers = Headers([("Authorization", SECRET)])
    received = RawRequest("GET", "/x", (1, 1), headers, "192.0.2.1", BytesIO())
    return KeptRequest(route(rule), received, Wanted(URL), URL, bytes(size))


def entry(key: str, number: int = 0, received: float = 1000.0) -> Entry:
    return Entry(key, Head(200), received, received, id=number)


def due(requests: KeptRequests, now: float = FOR_EVER) -> list[str]:
    """The keys of what is due by then, in its order."""
    found = []
    with requests.changed:
        while isinstance(record := requests.take_due(now), RefreshRecord):
            found.append(record.name[0])
    return found


def test_the_oldest_goes_when_there_are_too_many() -> None:
    requests = KeptRequests(Counted(), most=3)
    for key in ("a", "b", "c", "a", "d"):
        requests.keep(entry(key), kept())
    assert sorted(due(requests)) == ["a", "c", "d"]
    assert len(requests) == 3


def test_the_oldest_goes_when_they_are_too_large() -> None:
    requests = KeptRequests(Counted(), most_bytes=300_000)
    for key in ("a", "b", "c", "b", "d"):
        requests.keep(entry(key), kept(size=80_000))
    assert sorted(due(requests)) == ["b", "c", "d"]
    requests.keep(entry("huge"), kept(size=400_000))
    assert len(requests) == 3
    requests.keep(entry("d"), kept(size=250_000))  # in place of a smaller one
    assert len(requests) == 1


def test_only_the_newest_request_is_kept_and_due_once() -> None:
    requests = KeptRequests(Counted())
    for _ in range(20_000):
        requests.keep(entry("a"), kept())
    assert due(requests) == ["a"]
    assert due(requests) == []


def test_what_is_dropped_is_not_due() -> None:
    requests = KeptRequests(Counted())
    requests.keep(entry("a", 1), kept())
    with requests.changed:
        record = requests.take_due(FOR_EVER)
    assert isinstance(record, RefreshRecord)
    requests.drop(record)
    requests.schedule(record, 0.0)
    requests.accessed(1, 0.0)
    assert (due(requests), len(requests)) == ([], 0)


@pytest.mark.parametrize("hits", [1, 3])
def test_enough_hits_make_it_due_and_count_from_each_response(hits: int) -> None:
    counted = Counted()
    counted.counts[1] = 100  # of the responses before
    requests, rule = KeptRequests(counted), RefreshRule(hits=hits)

    def given_often_enough() -> None:
        for _ in range(hits):
            assert due(requests, clock.steady()) == []
            counted.counts[1] += 1
            requests.accessed(1, clock.wall())

    requests.keep(entry("a", 1, 1000.0), kept(rule))
    given_often_enough()
    with requests.changed:
        record = requests.take_due(clock.steady())
    assert isinstance(record, RefreshRecord)
    assert requests.learn(record, entry("a", 1, 1000.0)) == hits
    counted.counts[1] += 5
    requests.accessed(1, clock.wall())  # while it runs
    assert requests.learn(record, entry("a", 1, 2000.0)) == 0
    requests.schedule(record, FOR_EVER)
    given_often_enough()
    assert due(requests, clock.steady()) == ["a"]


def test_a_clock_that_is_set_back_keeps_nothing_from_being_due(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = KeptRequests(Counted())
    requests.keep(entry("a"), kept())
    before = clock.wall() - 86400.0
    monkeypatch.setattr(clock, "wall", lambda: before)
    assert due(requests, clock.steady()) == []
    assert due(requests, clock.steady() + 10.0) == ["a"]


def test_nothing_shows_what_a_request_has() -> None:
    request = kept()
    requests = KeptRequests(Counted())
    requests.keep(entry("a"), request)
    with requests.changed:
        record = requests.take_due(FOR_EVER)
    assert SECRET not in repr(request) + repr(record)


def test_it_tells_how_many_others_had_to_go() -> None:
    requests = KeptRequests(Counted(), most=2, most_bytes=300_000)
    gone = [requests.keep(entry(f"http://a/{number}"), kept()) for number in range(3)]
    assert gone == [0, 0, 1]
    assert requests.keep(entry("http://a/2"), kept()) == 0
    assert requests.keep(entry("http://a/large"), kept(size=250_000)) == 1
    assert requests.keep(entry("http://a/next"), kept(size=250_000)) == 2
    assert requests.keep(entry("http://a/larger"), kept(size=400_000)) == 0
