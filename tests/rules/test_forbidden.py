"""Whatever comes: what is answered from the store is never what RFC 9111 section 4 forbids (judge.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from exchanges import ELAPSED, EXCHANGES, NOT_MODIFIED, REQUESTS
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from judge import (
    Stored,
    against_the_clients_wish,
    age_of,
    fields_not_to_reuse,
    forbidden,
    not_for,
    not_of_the_same,
    promises_more,
)
from plain_grammar import parse_date
from sample import NOW, URL, at, get, head

from pyproxycache.messages import Entry, Head, Request
from pyproxycache.rules import decide, decisions
from pyproxycache.rules.policy import Policies

TARGETS = ("cdn-cache-control",)
POLICIES = Policies(targets=TARGETS).about(URL)
MANY = settings(max_examples=600, suppress_health_check=[HealthCheck.filter_too_much])
MORE = settings(MANY, max_examples=3000)


def stored(*lines: str, request: Request | None = None, status: int = 200, age: float = 0) -> Stored:
    """A response that came `age` seconds before NOW."""
    return Stored(request or get(), head(*lines, status=status, date=-age), NOW - age, NOW - age)


# The judge itself, by example.

LAST_WEEK = f"Last-Modified: {at(-7 * 86400)}"


@pytest.mark.parametrize(
    ("response", "age", "request_lines"),
    [
        (["Cache-Control: max-age=60"], 59, []),
        (["Cache-Control: Max-Age=60"], 59, []),
        (['Cache-Control: max-age="60"'], 59, []),
        (["Cache-Control: max-age=1, s-maxage=60"], 59, []),
        (["Cache-Control: s-maxage=60", f"Expires: {at(-100)}"], 59, []),
        (["Cache-Control: max-age=60, max-age=1"], 59, []),
        (["Cache-Control: max-age=99999999999"], 2.0**31 - 1, []),
        ([f"Expires: {at(20)}"], 19, []),
        (["Expires: Friday, 15-Jan-27 08:01:00 GMT"], 30, []),
        (["Expires: Fri Jan 15 08:01:00 2027"], 30, []),
        ([LAST_WEEK], 60, []),
        (["Cache-Control: max-age=60", "Age: abc"], 59, []),
        (["Cache-Control: max-age=60", "Age: 0, 7200"], 59, []),
        (["Cache-Control: max-age=60", "Vary: Foo"], 0, []),
        (["Cache-Control: max-age=60", "Pragma: no-cache"], 0, []),
        (['Cache-Control: max-age=60, no-cache="foo"'], 0, []),
        (['Cache-Control: max-age=60, private="foo"'], 0, []),
        (['Cache-Control: max-age=60, foo="no-store, a"'], 0, []),
        (["Cache-Control: max-age=60, no-store, must-understand"], 0, []),
        (["Cache-Control: max-age=60, must-revalidate"], 0, []),
        (["Cache-Control: max-age=60"], 99, ["Cache-Control: max-stale"]),
        (["Cache-Control: max-age=60"], 99, ["Cache-Control: max-stale=40"]),
        (["Cache-Control: max-age=60, stale-while-revalidate=40"], 99, []),
        (["Cache-Control: no-store", "CDN-Cache-Control: max-age=60"], 0, []),
        (["Cache-Control: max-age=60", "CDN-Cache-Control: no-store, &"], 0, []),
    ],
)
def test_the_judge_allows(response: list[str], age: float, request_lines: list[str]) -> None:
    assert forbidden(get(*request_lines), stored(*response, age=age), NOW, TARGETS) is None


@pytest.mark.parametrize(
    ("response", "age", "reason"),
    [
        (["Cache-Control: max-age=60"], 60, "stale"),
        (["Cache-Control: max-age=60, s-maxage=1"], 1, "stale"),
        (["Cache-Control: max-age=0", f"Expires: {at(60)}"], 0, "stale"),
        (["Cache-Control: max-age=abc", LAST_WEEK], 0, "stale"),
        (["Cache-Control: max-age=60.5"], 0, "stale"),
        (["Cache-Control: max-age"], 0, "stale"),
        (["Cache-Control: max-age=1, max-age=60"], 59, "stale"),
        (["Expires: 0"], 0, "stale"),
        (["Expires: Fri, 15 Jan 2027 08:01:00 UTC"], 0, "stale"),
        (["Expires: 15 Jan 2027 08:01:00 GMT"], 0, "stale"),
        (["Cache-Control: max-age=60", "Age: 60"], 0, "stale"),
        (["Cache-Control: max-age=60", "Age: 7200, 0"], 0, "stale"),
        (["Cache-Control: max-age=2147483648", "Age: 99999999999"], 0, "stale"),
        (["Cache-Control: no-cache, max-age=60"], 0, "no-cache"),
        (["Cache-Control: NO-STORE, max-age=60"], 0, "no-store"),
        (["Cache-Control: private, max-age=60"], 0, "private"),
        (['Cache-Control: max-age=60, private="a", private'], 0, "private"),
        (["Cache-Control: max-age=60", "Vary: *"], 0, "Vary"),
        (["Cache-Control: max-age=60", "Vary: Foo, *"], 0, "Vary"),
        (["CDN-Cache-Control: no-store", "Cache-Control: max-age=60"], 0, "no-store"),
        (["CDN-Cache-Control: max-age=1", f"Expires: {at(60)}"], 1, "stale"),
        (['CDN-Cache-Control: max-age="60"', "Cache-Control: no-store"], 0, "stale"),
    ],
)
def test_the_judge_forbids(response: list[str], age: float, reason: str) -> None:
    assert (forbidden(get(), stored(*response, age=age), NOW, TARGETS) or "").startswith(reason)


@pytest.mark.parametrize(
    ("directive", "failed", "answer"),
    [
        ("", False, "stale"),
        ("", True, None),
        ("stale-if-error=39", True, None),
        ("stale-if-error=38", True, "stale"),
        ("stale-if-error=39", False, "stale"),
        ("stale-while-revalidate=38", False, "stale"),
        ("must-revalidate, stale-while-revalidate=99", False, "stale"),
        ("must-revalidate", True, "stale"),
        ("proxy-revalidate", True, "stale"),
        ("s-maxage=60", True, "stale"),
        ("no-cache", True, "no-cache"),
    ],
)
def test_the_judge_on_stale_ones(directive: str, failed: bool, answer: str | None) -> None:
    kept = stored(f"Cache-Control: max-age=60, {directive}", age=99)
    reason = forbidden(get(), kept, NOW, failed=failed)
    assert (reason and reason.split()[0]) == answer


@pytest.mark.parametrize(
    ("status", "lines", "allowed"),
    [
        (200, [], True),
        (404, [], True),
        (302, [], False),
        (302, ["Cache-Control: public"], True),
        (302, ["Cache-Control: max-age=60"], True),
        (599, ["Cache-Control: max-age=60"], True),
        (599, ["Cache-Control: max-age=60, must-understand"], False),
        (304, ["Cache-Control: max-age=60"], False),
        (103, ["Cache-Control: max-age=60"], False),
        (206, ["Cache-Control: max-age=60", "Content-Range: bytes 0-1/2"], False),
    ],
)
def test_the_judge_on_statuses(status: int, lines: list[str], allowed: bool) -> None:
    assert (forbidden(get(), stored(LAST_WEEK, *lines, status=status), NOW) is None) is allowed


@pytest.mark.parametrize(
    ("was", "asked", "allowed"),
    [
        (get("Foo: 1"), get("Foo: 1"), True),
        (get("Foo: 1"), get("Foo: 2"), False),
        (get("Foo: 1"), get(), False),
        (get(), get("Foo: "), False),
        (get("Foo: 1,2"), get("Foo: 1", "Foo:  2 "), True),
        (get('Foo: "1,2"'), get('Foo: "1, 2"'), False),
        (get("Foo: a"), get("Foo: A"), False),
        (get("Accept-Language: en, de"), get("Accept-Language: DE;q=1.0,en"), True),
        (get("Accept-Language: en, de"), get("Accept-Language: de;q=0.9, en"), False),
        (get("Cookie: a, b"), get("Cookie: a,b"), False),
        (get(method="GET"), get(method="HEAD"), True),
        (get(method="HEAD"), get(method="GET"), False),
        (get(), get(method="POST"), False),
        (get(method="POST"), get(), False),
        (get("Authorization: a"), get(), False),
        (get("Authorization: a"), get("Authorization: a"), False),
        (get(), get("Authorization: a"), True),
    ],
)
def test_the_judge_on_requests(was: Request, asked: Request, allowed: bool) -> None:
    kept = stored("Cache-Control: max-age=60", "Vary: Foo, Accept-Language, Cookie", request=was)
    assert (forbidden(asked, kept, NOW) is None) is allowed


@pytest.mark.parametrize(
    ("range_", "allowed"),
    [("2-5", True), ("3-4", True), ("0-3", False), ("4-", False), ("-3", False), ("90-", True)],
)
def test_the_judge_on_parts(range_: str, allowed: bool) -> None:
    part = stored("Cache-Control: max-age=60", "Content-Range: bytes 2-5/10", status=206)
    assert (forbidden(get(f"Range: bytes={range_}"), part, NOW) is None) is allowed


# The decisions.

FAILURES = [None, 500, 502, 503, 504, 599, 404, 410, 429, 403]


@dataclass(frozen=True)
class Kept:
    """A stored response, and what it was made of."""

    exchange: Stored
    entry: Entry


def keep(exchange: Stored, number: int = 1) -> Kept | None:
    """The exchange as the cache stores it; None if it does not."""
    request, asked, received = exchange.request, exchange.asked, exchange.received
    match decide.on_request(request, [], POLICIES, asked):
        case decisions.Fetch() as fetch:
            pass
        case decisions.Bypass(reason):
            fetch = decisions.Fetch(request.headers, None, reason)
        case _:
            return None
    sent = request.with_headers(fetch.headers)
    decision = decide.on_response(sent, exchange.head, fetch, POLICIES, asked, received)
    if not isinstance(decision, decisions.Store):
        return None
    entry = Entry(
        str(URL),
        decision.head,
        asked,
        received,
        vary=decision.vary,
        size=4 if decision.part else 10,
        part=decision.part,
        groups=decision.groups,
        search=decision.search,
        id=number,
    )
    return Kept(exchange, entry)


def kept_of(exchanges: Sequence[Stored]) -> dict[int, Kept]:
    kept = (keep(exchange, number) for number, exchange in enumerate(exchanges, 1))
    return {one.entry.id: one for one in kept if one is not None}


@MORE
@given(st.lists(EXCHANGES, min_size=1, max_size=3), REQUESTS, ELAPSED)
def test_nothing_forbidden_is_served(found: list[Stored], request: Request, elapsed: float) -> None:
    kept = kept_of(found)
    now = max(exchange.received for exchange in found) + elapsed
    decision = decide.on_request(request, [one.entry for one in kept.values()], POLICIES, now)
    event(type(decision).__name__)
    for entry in used(decision):
        exchange = kept[entry.id].exchange
        assert forbidden(request, exchange, now, TARGETS) is None
        assert against_the_clients_wish(request, exchange, now, TARGETS) is None


def used(decision: object) -> Sequence[Entry]:
    """The stored responses that the decision answers with."""
    match decision:
        case decisions.Serve(entry) | decisions.ServeStale(entry):
            return [entry]
        case decisions.Assemble(plan):
            return plan.used
    return []


@MANY
@given(st.lists(EXCHANGES, min_size=1, max_size=2), REQUESTS, ELAPSED, st.sampled_from(FAILURES))
def test_nothing_forbidden_stands_in(
    found: list[Stored], request: Request, elapsed: float, status: int | None
) -> None:
    kept = kept_of(found)
    now = max(exchange.received for exchange in found) + elapsed
    fetch = decide.on_request(request, [one.entry for one in kept.values()], POLICIES, now)
    assume(isinstance(fetch, decisions.Fetch))
    if status is None:
        decision = decide.on_error(fetch.stale, POLICIES, now, request)
    else:
        sent = request.with_headers(fetch.headers)
        decision = decide.on_response(sent, Head(status), fetch, POLICIES, now, now)
    event(f"{status}: {type(decision).__name__}")
    for entry in used(decision):
        # 429 by our configuration's default, which section 4.2.4 leaves to the operator.
        assert status is None or status == 429 or 500 <= status < 600
        assert forbidden(request, kept[entry.id].exchange, now, TARGETS, failed=True) is None


@MANY
@given(EXCHANGES, REQUESTS, ELAPSED, NOT_MODIFIED)
def test_a_304_of_something_else_freshens_nothing(
    exchange: Stored, request: Request, elapsed: float, not_modified: Head
) -> None:
    kept, now = keep(exchange), exchange.received + elapsed
    assume(kept is not None)
    fetch = decide.on_request(request, [kept.entry], POLICIES, now)
    assume(isinstance(fetch, decisions.Fetch) and fetch.stale is not None)
    sent = request.with_headers(fetch.headers)
    decision = decide.on_response(sent, not_modified, fetch, POLICIES, now, now)
    event(type(decision).__name__)
    if isinstance(decision, decisions.Freshen) and decision.kept:
        assert not_of_the_same(kept.entry.head, not_modified, now) is None
        assert not promises_more(kept.entry.head, decision.entry.head)
        # The response is to both requests now: what one of them alone may not have, the other may.
        both = request if "authorization" in exchange.request.headers else exchange.request
        again = Stored(both, decision.entry.head, now, now)
        served = decide.on_request(request, [decision.entry], POLICIES, now)
        for _entry in used(served):
            # Whether it may be stored at all was judged when it came (section 3).
            assert forbidden(request, again, now, TARGETS) in (None, "nothing says that it can be stored")


@MANY
@given(EXCHANGES, REQUESTS, st.sampled_from(['"1"', 'W/"1"']))
def test_a_304_makes_no_variant_the_answer_that_is_not(
    exchange: Stored, request: Request, tag: str
) -> None:
    tagged = replace(exchange.head, headers=exchange.head.headers.with_field("ETag", tag))
    kept = keep(replace(exchange, head=tagged))
    fetch = decide.on_request(request, [], POLICIES, exchange.received)
    if kept is None or not isinstance(fetch, decisions.Fetch):
        return
    fetch = decide.with_variants(request, fetch, [kept.entry])
    # As an origin says it whose tag is the same for all variants.
    answer = head('ETag: "1"', status=304)
    sent = request.with_headers(fetch.headers)
    decision = decide.on_response(sent, answer, fetch, POLICIES, exchange.received, exchange.received)
    event(type(decision).__name__)
    if isinstance(decision, decisions.Freshen):
        assert not_for(request, kept.exchange) is None


@pytest.mark.parametrize(
    ("request_", "response", "not_modified"),
    [
        # A modification a second before is no strong validator, and the 304 has one (section 4.3.4).
        (get(), [f"Last-Modified: {at(-1)}"], [f"Last-Modified: {at(-1)}", 'ETag: "1"']),
        # What allowed an answer to credentials to be shared is gone (section 3.5).
        (get("Authorization: Basic YTpi"), ["Cache-Control: s-maxage=60", 'ETag: "1"'], ['ETag: "1"']),
    ],
    ids=["weak-date", "no-longer-shared"],
)
def test_a_304_makes_nothing_reusable_that_must_not_be(
    request_: Request, response: list[str], not_modified: list[str]
) -> None:
    kept, now = keep(Stored(request_, head(*response), NOW, NOW)), NOW + 99
    assert kept is not None
    fetch = decide.on_request(request_, [kept.entry], POLICIES, now)
    assert isinstance(fetch, decisions.Fetch)
    new = head("Cache-Control: max-age=60", *not_modified, status=304, date=99)
    decision = decide.on_response(request_.with_headers(fetch.headers), new, fetch, POLICIES, now, now)
    kept_anew = isinstance(decision, decisions.Freshen) and decision.kept
    entry = decision.entry if kept_anew else kept.entry
    assert used(decide.on_request(get(), [entry], POLICIES, now)) == []


@MANY
@given(EXCHANGES)
def test_all_fields_are_stored_but_those_that_must_not(exchange: Stored) -> None:
    kept = keep(exchange)
    assume(kept is not None)
    dropped, optional = fields_not_to_reuse(exchange, TARGETS)
    # The cache may make its own of these.
    optional |= {"date", "content-range"}
    for name in exchange.head.headers.names() | kept.entry.headers.names():
        stored_lines = kept.entry.headers.lines(name)
        if name in dropped:
            assert stored_lines == ()
        elif name not in optional:
            assert stored_lines == exchange.head.headers.lines(name)


@MANY
@given(EXCHANGES, REQUESTS, ELAPSED)
def test_age_is_the_current_age(exchange: Stored, request: Request, elapsed: float) -> None:
    kept, now = keep(exchange), exchange.received + elapsed
    assume(kept is not None)
    decision = decide.on_request(request, [kept.entry], POLICIES, now)
    assume(isinstance(decision, decisions.Serve))
    date = parse_date(exchange.head.headers.get("date"), exchange.received)
    # A Date of our own has whole seconds.
    apparent = max(0, exchange.received - (exchange.received // 1 if date is None else date)) + elapsed
    least = age_of(exchange, now)
    assert decision.age in (pytest.approx(least), pytest.approx(max(least, apparent)))


@MANY
@given(st.lists(EXCHANGES, max_size=2), REQUESTS, ELAPSED)
def test_only_if_cached_asks_nobody(found: list[Stored], request: Request, elapsed: float) -> None:
    wish = request.headers.with_line("Cache-Control", "only-if-cached")
    entries = [one.entry for one in kept_of(found).values()]
    decision = decide.on_request(request.with_headers(wish), entries, POLICIES, NOW + 5 + elapsed)
    if request.method in ("GET", "HEAD"):
        assert isinstance(decision, decisions.Serve | decisions.Assemble | decisions.Refuse)
    if isinstance(decision, decisions.Refuse):
        assert decision.status == 504


# And the other way: what may be served is.

PLAIN_LIFETIMES = st.sampled_from(
    [
        (60, ["Cache-Control: max-age=60"]),
        (60, ["Cache-Control: public, max-age=60"]),
        (60, ["Cache-Control: max-age=1, s-maxage=60"]),
        (60, ["Cache-Control: must-revalidate, MAX-AGE=60"]),
        (60, [f"Expires: {at(60)}"]),
        (60, ["Cache-Control: max-age=60", f"Expires: {at(-60)}"]),
        (60, ["CDN-Cache-Control: max-age=60", "Cache-Control: no-store"]),
        (2**31, ["Cache-Control: max-age=99999999999"]),
    ]
)
PLAIN_REQUESTS = st.sampled_from(
    [
        [],
        ["Cache-Control: max-age=2147483648"],
        ["Cache-Control: max-stale"],
        ["Cache-Control: min-fresh=0"],
        ["Cache-Control: only-if-cached"],
        ["Cache-Control: no-transform, foo"],
        ["Authorization: Basic YTpi"],
        ["Cookie: a=b"],
        ["Pragma: foo"],
    ]
)


@MANY
@given(
    PLAIN_LIFETIMES,
    PLAIN_REQUESTS,
    st.sampled_from(["GET", "HEAD"]),
    st.sampled_from([200, 203, 204, 299, 301, 302, 307, 308, 399, 404, 405, 410, 414, 501]),
    st.floats(0, 0.99),
    st.sampled_from([[], ["Vary: Foo"], ["Vary: Foo, bar"], ['ETag: "1"']]),
)
def test_a_fresh_response_is_served(
    lifetime: tuple[int, list[str]],
    wishes: list[str],
    method: str,
    status: int,
    fraction: float,
    more: list[str],
) -> None:
    seconds, lines = lifetime
    request = get("Foo: 1")
    kept = keep(Stored(request, head(*lines, *more, status=status), NOW, NOW))
    assert kept is not None
    now = NOW + seconds * fraction
    decision = decide.on_request(get("Foo: 1", *wishes, method=method), [kept.entry], POLICIES, now)
    assert used(decision) == [kept.entry]


@given(st.permutations(range(4)), st.lists(st.sampled_from(["", "Vary: Foo"]), min_size=4, max_size=4))
def test_the_newest_with_vary_is_served(order: list[int], varies: list[str]) -> None:
    kept = []
    for number, offset in enumerate(order):
        made = head("Cache-Control: max-age=3600", *filter(None, [varies[number]]), date=offset)
        kept.append(keep(Stored(get("Foo: 1"), made, NOW + 5, NOW + 5), number))
    entries = [one.entry for one in kept if one is not None]
    assert len(entries) == 4
    decision = decide.on_request(get("Foo: 1"), entries, POLICIES, NOW + 6)
    with_vary = [number for number in range(4) if varies[number]] or range(4)
    assert [entry.id for entry in used(decision)] == [max(with_vary, key=lambda number: order[number])]
