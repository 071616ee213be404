"""Facts of a request folded into its record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pyproxycache.announced import Announced, EventTerms
from pyproxycache.errors import Fault
from pyproxycache.facts import (
    AnswerBroken,
    AnswerSent,
    Attempted,
    AttemptFailed,
    BeingStored,
    Came,
    ClientLeft,
    Collapsed,
    EventDue,
    Fact,
    Facts,
    Forwarded,
    ForwardedAlone,
    HeadMade,
    Identified,
    Located,
    NotStored,
    OriginConnected,
    OriginReplied,
    RequestEnded,
    ServedAs,
)
from pyproxycache.messages import Headers
from pyproxycache.outcome import Forward, Outcome, Result
from pyproxycache.report.folding import folded, outcome_of
from pyproxycache.url import Url

URL, OTHER = Url("http", "h", 80, "/p"), Url("http", "h", 80, "/o")
ANNOUNCED = Announced(EventTerms("/api/"), "http://h/api/p", Headers())
KNOWN = Outcome(method="GET", target="http://h/p", client="192.0.2.1", started=5e8, begun=100.0)
OVER = Outcome(
    Result.HIT, status=200, ttl=9, key="k", url=URL, content_type="text/css", head_bytes=7, bytes_sent=70
)
"""The record of a request that was answered before."""

FULL = Outcome(
    result=Result.HIT,
    forward=Forward.MISS,
    forward_status=200,
    stored=True,
    collapsed=True,
    ttl=9,
    detail="d",
    status=206,
    key="k",
    method="GET",
    target="/p",
    url=URL,
    way="mirror",
    route="apt",
    version="HTTP/1.1",
    referer="r",
    user_agent="a",
    content_type="text/css",
    client="192.0.2.1",
    user="ann",
    request_id="7",
    peer="192.0.2.9",
    through_parent=True,
    aborted=True,
    started=5e8,
    begun=100.0,
    seconds=2.0,
    head_bytes=7,
    bytes_sent=70,
    bytes_received=71,
    bytes_uploaded=72,
    announced=ANNOUNCED,
)
"""A record with a value of its own in each field."""

FAILED, REFUSED = Result.FAILED, Result.REFUSED


@pytest.mark.parametrize(
    ("facts", "record"),
    [
        ([], {}),
        ([Located(URL)], {"url": URL}),
        ([Came("tunnel")], {"way": "tunnel", "route": ""}),
        ([Came("own"), Came("mirror", "apt")], {"way": "mirror", "route": "apt"}),
        ([Attempted("k")], {"key": "k"}),
        ([Identified("7"), Attempted("k")], {"request_id": "7", "key": "k"}),
        # From the store.
        ([ServedAs(Result.HIT, 5)], {"result": Result.HIT, "ttl": 5}),
        (
            [ServedAs(Result.STALE, -3, "stale-while-revalidate")],
            {"result": Result.STALE, "ttl": -3, "detail": "stale-while-revalidate"},
        ),
        # From the origin.
        ([Forwarded(Forward.MISS)], {"forward": Forward.MISS}),
        ([OriginReplied(500)], {"forward_status": 500}),
        ([OriginConnected("192.0.2.9", False)], {"peer": "192.0.2.9"}),
        ([OriginConnected("192.0.2.8", True)], {"peer": "192.0.2.8", "through_parent": True}),
        (
            [Forwarded(Forward.MISS), OriginReplied(200), BeingStored(), ServedAs(Result.FETCHED)],
            {"result": Result.FETCHED, "forward": Forward.MISS, "forward_status": 200, "stored": True},
        ),
        (
            [Forwarded(Forward.STALE), OriginReplied(304), ServedAs(Result.REVALIDATED, 60)],
            {"result": Result.REVALIDATED, "forward": Forward.STALE, "forward_status": 304, "ttl": 60},
        ),
        (
            [Forwarded(Forward.MISS), Collapsed(), ServedAs(Result.COLLAPSED)],
            {"result": Result.COLLAPSED, "forward": Forward.MISS, "collapsed": True},
        ),
        ([ForwardedAlone(Forward.BYPASS)], {"result": Result.PASSED, "forward": Forward.BYPASS}),
        (
            [Forwarded(Forward.MISS), Collapsed(), ForwardedAlone(Forward.PARTIAL)],
            {"result": Result.PASSED, "forward": Forward.PARTIAL},
        ),
        (
            [ForwardedAlone(Forward.MISS), BeingStored()],
            {"result": Result.PASSED, "forward": Forward.MISS, "stored": True},
        ),
        (
            [ForwardedAlone(Forward.MISS), NotStored("not-storable")],
            {"result": Result.PASSED, "forward": Forward.MISS, "detail": "not-storable"},
        ),
        (
            [ForwardedAlone(Forward.MISS), BeingStored(), NotStored("not-storable")],
            {"result": Result.PASSED, "forward": Forward.MISS, "stored": True},
        ),
        (
            [NotStored("no-store"), ForwardedAlone(Forward.STALE)],
            {"result": Result.PASSED, "forward": Forward.STALE, "detail": "no-store"},
        ),
        (
            [Forwarded(Forward.METHOD), OriginReplied(200), ServedAs(Result.TUNNELLED)],
            {"result": Result.TUNNELLED, "forward": Forward.METHOD, "forward_status": 200},
        ),
        # Errors in place of an answer.
        (
            [Forwarded(Forward.STALE), BeingStored(), AttemptFailed("UpstreamTimeout", Fault.ORIGIN)],
            {"result": FAILED, "forward": Forward.STALE, "detail": "UpstreamTimeout"},
        ),
        ([AttemptFailed("StoreError", Fault.CACHE)], {"result": FAILED, "detail": "StoreError"}),
        (
            [BeingStored(), ServedAs(Result.FETCHED), AttemptFailed("Forbidden", Fault.CLIENT)],
            {"result": REFUSED, "detail": "Forbidden"},
        ),
        ([NotStored("x"), AttemptFailed("Forbidden", Fault.CLIENT)], {"result": REFUSED, "detail": "x"}),
        # The answer, and its end.
        ([HeadMade(404, "text/html")], {"status": 404, "content_type": "text/html"}),
        ([HeadMade(500)], {"status": 500}),
        ([AnswerSent(300, 4000)], {"head_bytes": 300, "bytes_sent": 4000}),
        ([ClientLeft()], {"aborted": True}),
        (
            [ServedAs(Result.HIT, 5), AnswerBroken()],
            {"result": FAILED, "ttl": 5, "aborted": True},
        ),
        ([RequestEnded(102.5)], {"seconds": 2.5}),
        # What is said twice.
        ([Located(OTHER), Located(URL)], {"url": URL}),
        ([EventDue(ANNOUNCED)], {"announced": ANNOUNCED}),
        ([HeadMade(200, "text/css"), HeadMade(304)], {"status": 304}),
        ([OriginConnected("192.0.2.8", True), OriginConnected("192.0.2.9", False)], {"peer": "192.0.2.9"}),
        ([OriginReplied(502), OriginReplied(200)], {"forward_status": 200}),
    ],
)
def test_facts_make_the_record(facts: list[Fact], record: dict[str, Any]) -> None:
    assert folded(KNOWN, facts) == replace(KNOWN, **record)


OF_AN_ATTEMPT: list[Fact] = [
    Forwarded(Forward.STALE),
    ForwardedAlone(Forward.REQUEST),
    OriginReplied(503),
    Collapsed(),
    BeingStored(),
    NotStored("size"),
    ServedAs(Result.STALE, -9, "origin-503"),
    AttemptFailed("UpstreamTimeout", Fault.ORIGIN),
    AttemptFailed("Forbidden", Fault.CLIENT),
]


def test_without_facts_each_field_stays_as_it_was() -> None:
    """So that no field is lost in an answer from memory, whose record is known before its first fact."""
    usual = [name for name in Outcome.__struct_fields__ if getattr(FULL, name) == getattr(Outcome(), name)]
    assert usual == [], "a new field needs a value in FULL"
    assert folded(FULL, ()) == FULL


@pytest.mark.parametrize("fact", OF_AN_ATTEMPT)
def test_an_attempt_begins_with_nothing_of_the_one_before(fact: Fact) -> None:
    again: list[Fact] = [Attempted("k"), ServedAs(Result.HIT, 5)]
    assert folded(KNOWN, [Attempted("other"), fact, *again]) == folded(KNOWN, again)


OF_THE_REQUEST: list[Fact] = [
    Came("proxy"),
    Located(URL),
    OriginConnected("192.0.2.9", True),
    HeadMade(200, "text/css"),
    AnswerSent(300, 4000),
    ClientLeft(),
    RequestEnded(109.0),
]


@pytest.mark.parametrize("fact", OF_THE_REQUEST)
def test_what_is_said_of_the_request_holds_for_all_attempts(fact: Fact) -> None:
    before, behind = folded(KNOWN, [fact, Attempted("k")]), folded(KNOWN, [Attempted("k"), fact])
    assert before == behind != folded(KNOWN, [Attempted("k")])


def test_an_answer_given_again_keeps_its_record() -> None:
    """All but what is noted of this request itself."""
    assert folded(OVER, []) == OVER
    assert folded(OVER, [AnswerSent(7, 30), ClientLeft()]) == replace(OVER, bytes_sent=30, aborted=True)
    assert folded(OVER, [AnswerBroken()]) == replace(OVER, result=FAILED, aborted=True)


ANY = st.lists(st.sampled_from([*OF_AN_ATTEMPT, *OF_THE_REQUEST, Attempted("k"), AnswerBroken()]))


@given(ANY, ANY, st.integers(0, 99), st.integers(0, 99))
def test_a_record_can_be_folded_on(before: list[Fact], behind: list[Fact], early: int, late: int) -> None:
    at_once = folded(KNOWN, [*before, *behind], early + late)
    assert folded(folded(KNOWN, before, early), behind, late) == at_once


def test_bytes_of_origins_are_counted_beside_the_facts() -> None:
    facts = Facts(KNOWN)
    facts.note(Attempted("k"))
    facts.received.add(700)
    facts.note(Attempted("k"), OriginReplied(200))
    facts.received.add(77)
    facts.uploaded.add(5)
    told = replace(KNOWN, key="k", forward_status=200, bytes_received=777, bytes_uploaded=5)
    assert outcome_of(facts) == told


def test_facts_are_only_added() -> None:
    facts = Facts()
    facts.note(Attempted("k"), Forwarded(Forward.MISS))
    so_far, record = facts.noted(), outcome_of(facts)
    facts.note(ForwardedAlone(Forward.REQUEST))
    assert so_far == (Attempted("k"), Forwarded(Forward.MISS))
    assert facts.noted() == (*so_far, ForwardedAlone(Forward.REQUEST))
    assert (record.forward, outcome_of(facts).forward) == (Forward.MISS, Forward.REQUEST)
