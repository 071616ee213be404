"""Age, lifetime and what a request accepts: rows of fields and the seconds they come to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import DAY, NOW, at, entry, head

from pyproxycache.messages import Headers
from pyproxycache.rules.cache_control import RequestDirectives
from pyproxycache.rules.freshness import (
    HEURISTICALLY_CACHEABLE,
    UNKNOWN_AGE,
    current_age,
    entry_lifetime,
    freshness_lifetime,
    request_accepts,
    stale_if_error_allowed,
)
from pyproxycache.rules.policy import Policy


@pytest.mark.parametrize(
    ("lines", "date", "delay", "age"),
    [
        pytest.param([], 0, 0, 10, id="resident-time"),
        pytest.param([], -5, 0, 15, id="date-before-it-came"),
        pytest.param([], 5, 0, 10, id="date-ahead"),
        pytest.param([], None, 0, 10, id="no-date"),
        pytest.param([], 0, 3, 13, id="delay-of-the-answer"),
        pytest.param(["Age: 100"], 0, 0, 110, id="age"),
        pytest.param(["Age: 100"], 0, 3, 113, id="age-and-delay"),
        pytest.param(["Age: 2"], -5, 0, 15, id="date-says-more-than-age"),
        pytest.param(["Age: 100, 5"], 0, 0, 110, id="age-list"),
        pytest.param(["Age: 100", "Age: 5"], 0, 0, 110, id="age-lines"),
        pytest.param(["Age: abc"], 0, 0, 10, id="age-not-a-number"),
        pytest.param(["Age: -100"], 0, 0, 10, id="age-negative"),
        pytest.param(["Age: 100.0"], 0, 0, 10, id="age-decimal"),
        pytest.param(["Age:"], 0, 0, 10, id="age-empty"),
    ],
)
def test_current_age_ten_seconds_later(
    lines: list[str], date: float | None, delay: float, age: float
) -> None:
    stored = replace(entry(), head=head(*lines, date=date), request_time=NOW - delay)
    assert current_age(stored, NOW + 10) == age


@pytest.mark.parametrize(
    ("now", "age"),
    [
        pytest.param(-4, 0, id="corrected-a-little"),
        pytest.param(-6, UNKNOWN_AGE, id="set-back"),
        pytest.param(-365 * DAY, UNKNOWN_AGE, id="set-back-a-year"),
        pytest.param(365 * DAY, 365 * DAY, id="set-forward"),
    ],
)
def test_age_after_the_clock_was_set(now: float, age: float) -> None:
    assert current_age(entry(), NOW + now) == age


@pytest.mark.parametrize("policy", [Policy(), Policy(fresh=3650 * DAY)], ids=["plain", "with-a-rule"])
@pytest.mark.parametrize(
    "line",
    [
        "Cache-Control: max-age=2147483647",
        "Cache-Control: s-maxage=99999999",
        "Cache-Control: immutable, max-age=60",
    ],
)
def test_nothing_from_a_time_to_come_is_fresh(line: str, policy: Policy) -> None:
    stored = entry(line)
    assert entry_lifetime(stored, policy) - current_age(stored, NOW - 60) <= 0
    came_some_time = replace(stored, request_time=0, response_time=0)
    assert entry_lifetime(came_some_time, policy) - current_age(came_some_time, NOW) <= 0


PLAIN = Policy()


@pytest.mark.parametrize(
    ("lines", "lifetime"),
    [
        pytest.param([], 0, id="nothing-said"),
        pytest.param(["Cache-Control: max-age=60"], 60, id="max-age"),
        pytest.param(["Cache-Control: s-maxage=60"], 60, id="s-maxage"),
        pytest.param(["Cache-Control: max-age=3600, s-maxage=60"], 60, id="s-maxage-shorter"),
        pytest.param(["Cache-Control: max-age=60, s-maxage=3600"], 3600, id="s-maxage-longer"),
        pytest.param(["Cache-Control: max-age=3600, s-maxage=x"], 0, id="s-maxage-invalid"),
        pytest.param(["Cache-Control: max-age=x", f"Expires: {at(60)}"], 0, id="max-age-invalid"),
        pytest.param(["Cache-Control: max-age=60", "Expires: 0"], 60, id="max-age-before-expires"),
        pytest.param(["Cache-Control: max-age=0", f"Expires: {at(60)}"], 0, id="max-age-0-before-expires"),
        pytest.param(["Cache-Control: max-age=60", f"Last-Modified: {at(-DAY)}"], 60, id="no-heuristic"),
        pytest.param([f"Expires: {at(60)}"], 60, id="expires"),
        pytest.param([f"Expires: {at(-60)}"], -60, id="expires-past"),
        pytest.param(["Expires: 0", f"Last-Modified: {at(-DAY)}"], 0, id="expires-invalid"),
        pytest.param([f"Expires: {at(60)}", f"Expires: {at(60)}"], 60, id="expires-twice"),
        pytest.param([f"Expires: {at(60)}", f"Expires: {at(90)}"], 0, id="expires-differ"),
        pytest.param([f"Last-Modified: {at(-1000)}"], 100, id="heuristic"),
        pytest.param([f"Last-Modified: {at(-1000 * DAY)}"], 7 * DAY, id="heuristic-capped"),
        pytest.param([f"Last-Modified: {at(1000)}"], 0, id="modified-in-the-future"),
        pytest.param(["Last-Modified: x"], 0, id="modified-invalid"),
    ],
)
def test_lifetime(lines: list[str], lifetime: float) -> None:
    assert freshness_lifetime(head(*lines), PLAIN) == lifetime


@pytest.mark.parametrize(
    ("status", "cache_control", "heuristic"),
    [
        *((status, "x", True) for status in sorted(HEURISTICALLY_CACHEABLE)),
        (302, "x", False),
        (302, "public", True),
        (307, "x", False),
        (403, "x", False),
        (500, "x", False),
        (599, "public", True),
    ],
)
def test_heuristic_by_status(status: int, cache_control: str, heuristic: bool) -> None:
    lines = (f"Last-Modified: {at(-1000)}", f"Cache-Control: {cache_control}")
    assert freshness_lifetime(head(*lines, status=status), PLAIN) == (100 if heuristic else 0)


@pytest.mark.parametrize(
    ("line", "date", "received", "lifetime"),
    [
        pytest.param(f"Expires: {at(60)}", -40, None, 100, id="expires-counts-from-date"),
        pytest.param(f"Expires: {at(60)}", None, NOW, 60, id="expires-without-date"),
        pytest.param(f"Expires: {at(60)}", None, None, 0, id="expires-without-any-time"),
        pytest.param(f"Last-Modified: {at(-1000)}", None, NOW, 100, id="heuristic-without-date"),
        pytest.param(f"Last-Modified: {at(-1000)}", None, None, 0, id="heuristic-without-any-time"),
        pytest.param("Cache-Control: max-age=60", None, None, 60, id="max-age-needs-no-date"),
    ],
)
def test_lifetime_and_date(line: str, date: float | None, received: float | None, lifetime: float) -> None:
    assert freshness_lifetime(head(line, date=date), PLAIN, received=received) == lifetime


def test_an_invalid_date_counts_as_none() -> None:
    stated = head("Date: foo", f"Expires: {at(60)}", date=None)
    assert freshness_lifetime(stated, PLAIN, received=NOW) == 60


@pytest.mark.parametrize(
    ("status", "policy", "ttl", "lifetime"),
    [
        pytest.param(200, Policy(fresh=5), None, 5, id="fresh"),
        pytest.param(200, Policy(fresh=0), None, 0, id="fresh-0"),
        pytest.param(503, Policy(fresh=5), None, 5, id="fresh-for-an-error"),
        pytest.param(200, Policy(), 7.0, 7, id="ttl"),
        pytest.param(200, Policy(fresh=5), 7.0, 7, id="ttl-before-fresh"),
        pytest.param(404, Policy(), 7.0, 60, id="ttl-for-200-only"),
        pytest.param(
            200, Policy(ignore=frozenset({"cache-control"})), None, 30, id="cache-control-ignored"
        ),
        pytest.param(200, Policy(ignore=frozenset({"expires"})), None, 60, id="expires-ignored"),
        pytest.param(
            200, Policy(ignore=frozenset({"cache-control", "expires"})), None, 100, id="left-to-heuristic"
        ),
    ],
)
def test_lifetime_overridden(status: int, policy: Policy, ttl: float | None, lifetime: float) -> None:
    lines = ("Cache-Control: max-age=60", f"Expires: {at(30)}", f"Last-Modified: {at(-1000)}")
    assert freshness_lifetime(head(*lines, status=status), policy, ttl) == lifetime


def test_an_entry_knows_when_it_came() -> None:
    undated = replace(entry(age=10), head=head(f"Expires: {at(50)}", date=None))
    assert entry_lifetime(undated, PLAIN) == 60


@pytest.mark.parametrize(
    ("stated", "kept", "asked", "lifetime"),
    [
        ("max-age=60", None, None, 60),
        pytest.param("max-age=60", 7, None, 60, id="what-others-asked-for-is-theirs"),
        ("max-age=60", None, 900, 900),
        ("max-age=60", 7, 900, 7),
        ("max-age=60", 900, 7, 7),
        ("max-age=60, must-revalidate", None, 900, 60),
        ("max-age=60, must-revalidate", None, 7, 7),
        ("max-age=60, proxy-revalidate", 90, 900, 60),
        ("s-maxage=60", None, 900, 60),
        ("no-cache, max-age=60", None, 900, 60),
        ("max-age=0", None, 900, 900),
    ],
)
def test_a_ttl_is_for_requests_that_bring_one(
    stated: str, kept: float | None, asked: float | None, lifetime: float
) -> None:
    assert entry_lifetime(entry(f"Cache-Control: {stated}", ttl=kept), PLAIN, asked) == lifetime


ASK = RequestDirectives


@pytest.mark.parametrize(
    ("asked", "age", "left", "may_be_stale", "accepted"),
    [
        pytest.param(ASK(), 5, 10, True, True, id="fresh"),
        pytest.param(ASK(), 5, 0, True, False, id="just-stale"),
        pytest.param(ASK(no_cache=True), 5, 10, True, False, id="no-cache"),
        pytest.param(ASK(max_age=5), 5, 10, True, True, id="max-age-reached"),
        pytest.param(ASK(max_age=5), 5.1, 10, True, False, id="max-age-passed"),
        pytest.param(ASK(max_age=0), 0, 10, True, False, id="max-age-0"),
        pytest.param(ASK(min_fresh=10), 5, 10, True, True, id="min-fresh-left"),
        pytest.param(ASK(min_fresh=11), 5, 10, True, False, id="min-fresh-not-left"),
        pytest.param(ASK(max_stale=5), 5, -5, True, True, id="max-stale-reached"),
        pytest.param(ASK(max_stale=5), 5, -6, True, False, id="max-stale-passed"),
        pytest.param(ASK(max_stale=5), 5, -5, False, False, id="never-stale"),
        pytest.param(ASK(max_stale=5), 5, 1, False, True, id="never-stale-but-fresh"),
        pytest.param(ASK(max_stale=50, max_age=4), 5, -5, True, False, id="max-age-beside-max-stale"),
        pytest.param(ASK(max_stale=50, min_fresh=1), 5, -5, True, False, id="min-fresh-beside-max-stale"),
    ],
)
def test_what_a_request_accepts(
    asked: RequestDirectives, age: float, left: float, may_be_stale: bool, accepted: bool
) -> None:
    assert request_accepts(asked, age, left, may_be_stale) is accepted


@pytest.mark.parametrize(
    ("cache_control", "policy", "asked", "allowed"),
    [
        pytest.param("max-age=60", Policy(), None, True, id="default"),
        pytest.param("max-age=60, must-revalidate", Policy(), None, False, id="must-revalidate"),
        pytest.param(
            "max-age=100, must-revalidate", Policy(), None, False, id="must-revalidate-just-stale"
        ),
        pytest.param("max-age=60, proxy-revalidate", Policy(), None, False, id="proxy-revalidate"),
        pytest.param("s-maxage=60", Policy(), None, False, id="s-maxage"),
        pytest.param("max-age=60, no-cache", Policy(), None, False, id="no-cache"),
        pytest.param("max-age=3600, no-cache", Policy(), None, False, id="no-cache-while-fresh"),
        pytest.param(
            "max-age=3600, must-revalidate", Policy(), None, True, id="must-revalidate-while-fresh"
        ),
        pytest.param("max-age=60, stale-if-error=40", Policy(), None, True, id="response-limit-reached"),
        pytest.param("max-age=60, stale-if-error=39", Policy(), None, False, id="response-limit-passed"),
        pytest.param("max-age=60", Policy(), ASK(stale_if_error=40), True, id="request-limit-reached"),
        pytest.param("max-age=60", Policy(), ASK(stale_if_error=39), False, id="request-limit-passed"),
        pytest.param("max-age=60", Policy(), ASK(), True, id="request-without-limit"),
        pytest.param(
            "max-age=60, stale-if-error=1", Policy(), ASK(stale_if_error=40), True, id="longer-of-both"
        ),
        pytest.param("max-age=60", Policy(stale_if_error=40), None, True, id="policy-reached"),
        pytest.param("max-age=60", Policy(stale_if_error=39), None, False, id="policy-passed"),
        pytest.param("max-age=60", Policy(stale_if_error=0), None, False, id="policy-0"),
        pytest.param(
            "max-age=60, stale-if-error=90", Policy(stale_if_error=39), None, False, id="policy-first"
        ),
        pytest.param(
            "max-age=60, must-revalidate", Policy(stale_if_error=90), None, False, id="policy-cannot-lift"
        ),
        pytest.param(
            "max-age=60, must-revalidate",
            Policy(fresh=60, ignore=frozenset({"cache-control"})),
            None,
            True,
            id="policy-ignores",
        ),
    ],
)
def test_stale_if_error(
    cache_control: str, policy: Policy, asked: RequestDirectives | None, allowed: bool
) -> None:
    stored = entry(f"Cache-Control: {cache_control}", age=100)
    assert stale_if_error_allowed(stored, policy, NOW, asked) is allowed


NAMES = st.sampled_from(["Date", "Age", "Expires", "Last-Modified", "Cache-Control"])


@given(st.lists(st.tuples(NAMES, st.text())))
def test_no_field_text_raises_or_makes_a_time_negative(lines: list[tuple[str, str]]) -> None:
    stored = replace(entry(), head=replace(head(), headers=Headers(lines)))
    assert current_age(stored, NOW) >= 0
    assert entry_lifetime(stored, PLAIN) >= 0
