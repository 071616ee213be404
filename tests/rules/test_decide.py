"""The decisions: every way a request and a response can go has its row."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import DAY, NOW, URL, at, entry, fields, get, head, policies

from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.outcome import Forward
from pyproxycache.rules.decide import on_error, on_request, on_response
from pyproxycache.rules.decisions import (
    Bypass,
    Fetch,
    Freshen,
    Pass,
    Refuse,
    Serve,
    ServeStale,
    Store,
)
from pyproxycache.rules.policy import Match, Policies, Policy, Rule, UrlRules
from pyproxycache.rules.storing import stored_head

NO_POLICY = Policies().about(URL)
TAG = 'ETag: "a"'
FRESH = entry("Cache-Control: max-age=60", TAG, age=10)
DATED = entry("Cache-Control: max-age=60", f"Last-Modified: {at(-7 * DAY)}", TAG, age=10)
STALE = entry("Cache-Control: max-age=60", TAG, age=100)
EXPIRED_AT_ONCE = entry("Cache-Control: max-age=60", age=60)
REVALIDATE = entry("Cache-Control: max-age=60, must-revalidate", TAG, age=100)
UNUSABLE = entry("Cache-Control: max-age=60, no-cache", TAG, age=10)
GERMAN = entry("Cache-Control: max-age=60", age=10, vary=(("accept-language", "de"),))
MATCH = ("If-None-Match", '"a"')
NO_HEAD = Head(200)


def stored(*vary: tuple[str, str | None]) -> Store:
    """The decision to store, whatever the head (test_stored_head has that)."""
    return Store(vary, NO_HEAD)


@pytest.mark.parametrize(
    ("request_", "stored", "served"),
    [
        pytest.param(get(), FRESH, Serve(FRESH, 10, 50, False), id="fresh"),
        pytest.param(get(method="HEAD"), FRESH, Serve(FRESH, 10, 50, False), id="head"),
        pytest.param(get("Range: bytes=0-1"), FRESH, Serve(FRESH, 10, 50, False), id="range"),
        pytest.param(get('If-None-Match: "a"'), FRESH, Serve(FRESH, 10, 50, False), id="client-condition"),
        pytest.param(get("Authorization: x"), FRESH, Serve(FRESH, 10, 50, False), id="authorization"),
        pytest.param(get("Cookie: x"), FRESH, Serve(FRESH, 10, 50, False), id="cookie"),
        pytest.param(
            get("Cache-Control: only-if-cached"), FRESH, Serve(FRESH, 10, 50, False), id="only-cached"
        ),
        pytest.param(
            get("Cache-Control: only-if-cached, no-store"),
            FRESH,
            Serve(FRESH, 10, 50, False),
            id="only-cached-before-no-store",
        ),
        pytest.param(get("Cache-Control: max-age=10"), FRESH, Serve(FRESH, 10, 50, False), id="max-age"),
        pytest.param(get("Cache-Control: max-stale"), STALE, Serve(STALE, 100, -40, True), id="max-stale"),
        pytest.param(
            get("Cache-Control: max-stale=40"), STALE, Serve(STALE, 100, -40, True), id="max-stale-n"
        ),
        pytest.param(get(ttl=20), FRESH, Serve(FRESH, 10, 10, False), id="shorter-ttl"),
        pytest.param(get(ttl=900), STALE, Serve(STALE, 100, 800, False), id="ttl-is-the-lifetime"),
        pytest.param(get("Accept-Language: DE"), GERMAN, Serve(GERMAN, 10, 50, False), id="variant"),
        pytest.param(get('If-Match: "x", "a"'), FRESH, Serve(FRESH, 10, 50, False), id="if-match"),
        pytest.param(get("If-Match: *"), FRESH, Serve(FRESH, 10, 50, False), id="if-match-any"),
        pytest.param(
            get(f"If-Unmodified-Since: {at(-7 * DAY)}", "Range: bytes=0-1"),
            DATED,
            Serve(DATED, 10, 50, False),
            id="if-unmodified-since",
        ),
        pytest.param(
            get("If-Unmodified-Since: x"), FRESH, Serve(FRESH, 10, 50, False), id="no-date-no-condition"
        ),
    ],
)
def test_served_from_the_cache(request_: Request, stored: Entry, served: Serve) -> None:
    assert on_request(request_, [stored], NO_POLICY, NOW) == served


@pytest.mark.parametrize(
    ("request_", "stored", "reason", "validates"),
    [
        pytest.param(get(), None, Forward.URI_MISS, False, id="nothing-stored"),
        pytest.param(get("Accept-Language: fr"), GERMAN, Forward.VARY_MISS, False, id="no-variant"),
        pytest.param(get(), STALE, Forward.STALE, True, id="stale"),
        pytest.param(get(), EXPIRED_AT_ONCE, Forward.STALE, False, id="just-stale-and-no-validator"),
        pytest.param(get(), UNUSABLE, Forward.STALE, True, id="response-no-cache"),
        pytest.param(
            get("Cache-Control: max-stale"), UNUSABLE, Forward.STALE, True, id="no-cache-for-max-stale"
        ),
        pytest.param(
            get("Cache-Control: max-stale"), REVALIDATE, Forward.STALE, True, id="must-revalidate"
        ),
        pytest.param(get("Cache-Control: max-stale=39"), STALE, Forward.STALE, True, id="too-stale"),
        pytest.param(get("Cache-Control: no-cache"), FRESH, Forward.REQUEST, True, id="request-no-cache"),
        pytest.param(get("Pragma: no-cache"), FRESH, Forward.REQUEST, True, id="pragma"),
        pytest.param(get("Cache-Control: no-cache"), STALE, Forward.STALE, True, id="no-cache-and-stale"),
        pytest.param(get("Cache-Control: max-age=9"), FRESH, Forward.REQUEST, True, id="request-max-age"),
        pytest.param(get("Cache-Control: min-fresh=51"), FRESH, Forward.REQUEST, True, id="min-fresh"),
        pytest.param(get(ttl=5), FRESH, Forward.STALE, True, id="ttl-over"),
        pytest.param(get(ttl=900), REVALIDATE, Forward.STALE, True, id="must-revalidate-before-ttl"),
        pytest.param(get(ttl=900), UNUSABLE, Forward.STALE, True, id="no-cache-before-ttl"),
        pytest.param(get(), replace(STALE, ttl=900), Forward.STALE, True, id="ttl-of-another"),
    ],
)
def test_fetched(request_: Request, stored: Entry | None, reason: Forward, validates: bool) -> None:
    entries = [] if stored is None else [stored]
    decision = on_request(request_, entries, NO_POLICY, NOW)
    assert isinstance(decision, Fetch)
    assert decision.reason is reason
    assert (MATCH in decision.headers.fields) is validates
    assert decision.stale == (None if reason is Forward.VARY_MISS else stored)


def test_what_is_sent_upstream() -> None:
    request = get(
        "Host: origin.example",
        "Connection: X-Hop",
        "X-Hop: 1",
        "Proxy-Authorization: x",
        "Accept: */*",
        'If-None-Match: "client"',
        f"If-Modified-Since: {at(-5)}",
        "If-Range: x",
        "Range: bytes=5-",
    )
    stored = entry(TAG, f"Last-Modified: {at(-DAY)}", age=DAY * 9)
    decision = on_request(request, [stored], NO_POLICY, NOW)
    sent = fields(
        "Host: origin.example", "Accept: */*", 'If-None-Match: "a"', f"If-Modified-Since: {at(-DAY)}"
    )
    assert decision == Fetch(sent, stored, Forward.STALE)


@pytest.mark.parametrize(
    ("request_", "stored", "reason"),
    [
        pytest.param(get(method="POST"), FRESH, Forward.METHOD, id="post"),
        pytest.param(get(method="OPTIONS"), FRESH, Forward.METHOD, id="options"),
        pytest.param(get(method="get"), FRESH, Forward.METHOD, id="methods-have-case"),
        pytest.param(
            get("Cache-Control: only-if-cached", method="PUT"),
            FRESH,
            Forward.METHOD,
            id="put-only-if-cached",
        ),
        pytest.param(get("Cache-Control: no-store"), FRESH, Forward.REQUEST, id="no-store"),
        pytest.param(get('If-Match: "b"'), FRESH, Forward.REQUEST, id="if-match-another"),
        pytest.param(get('If-Match: W/"a"'), FRESH, Forward.REQUEST, id="if-match-compares-strongly"),
        pytest.param(get('If-Match: "a"'), STALE, Forward.REQUEST, id="if-match-of-a-stale-one"),
        pytest.param(get('If-Match: "a"'), None, Forward.REQUEST, id="if-match-of-nothing"),
        pytest.param(get("Authorization: NTLM x"), FRESH, Forward.REQUEST, id="login-of-the-connection"),
        pytest.param(
            get(f"If-Unmodified-Since: {at(0)}"), FRESH, Forward.REQUEST, id="if-unmodified-since-undated"
        ),
        pytest.param(
            get(f"If-Unmodified-Since: {at(-8 * DAY)}"), DATED, Forward.REQUEST, id="modified-since"
        ),
        pytest.param(
            get('If-Match: "b"', f"If-Unmodified-Since: {at(0)}"),
            DATED,
            Forward.REQUEST,
            id="if-match-comes-first",
        ),
        pytest.param(get(method="HEAD"), None, Forward.URI_MISS, id="head-miss"),
        pytest.param(get(method="HEAD"), STALE, Forward.STALE, id="head-stale"),
        pytest.param(get(method="HEAD"), GERMAN, Forward.VARY_MISS, id="head-variant"),
    ],
)
def test_bypassed(request_: Request, stored: Entry | None, reason: Forward) -> None:
    entries = [] if stored is None else [stored]
    assert on_request(request_, entries, NO_POLICY, NOW) == Bypass(reason)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "stored", [[], [STALE], [GERMAN], [UNUSABLE]], ids=["none", "stale", "vary", "no-cache"]
)
def test_refused_rather_than_forwarded(method: str, stored: list[Entry]) -> None:
    decision = on_request(get("Cache-Control: only-if-cached", method=method), stored, NO_POLICY, NOW)
    assert isinstance(decision, Refuse)
    assert decision.status == 504


def test_the_policy_of_the_stored_response_counts() -> None:
    rules = Policies(
        (
            Rule(Match(status=frozenset({404})), Policy(fresh=1)),
            Rule(policy=Policy(fresh=365 * DAY)),
        )
    ).about(URL)
    assert isinstance(on_request(get(), [STALE], rules, NOW), Serve)
    missing = entry("Cache-Control: max-age=60", status=404, age=10)
    assert isinstance(on_request(get(), [missing], rules, NOW), Fetch)


def test_cache_control_ignored_makes_no_cache_reusable() -> None:
    ignoring = policies(Policy(fresh=60, ignore=frozenset({"cache-control"})))
    assert isinstance(on_request(get(), [UNUSABLE], ignoring, NOW), Serve)


@pytest.mark.parametrize("asked", ["no-cache", "max-age=0", "min-fresh=99999999"])
@pytest.mark.parametrize("age", [10, 70])
def test_a_rules_fresh_is_for_reloads_too(asked: str, age: int) -> None:
    kept = entry("Cache-Control: max-age=5", age=age)
    decision = on_request(get(f"Cache-Control: {asked}"), [kept], policies(Policy(fresh=60)), NOW)
    assert isinstance(decision, Serve if age < 60 else Fetch)


def test_a_longer_ttl_extends_nothing() -> None:
    kept = entry("Cache-Control: max-age=0", age=100, ttl=1000)
    assert on_request(get(ttl=9000), [kept], NO_POLICY, NOW) == Serve(kept, 100, 900, False)


def response(
    head: Head, request: Request | None = None, stale: Entry | None = None, rules: UrlRules = NO_POLICY
) -> Store | Freshen | ServeStale | Pass:
    request = request or get()
    decision = on_response(request, head, Fetch(request.headers, stale, Forward.STALE), rules, NOW - 1, NOW)
    return replace(decision, head=NO_HEAD, own=()) if isinstance(decision, Store) else decision


LM = f"Last-Modified: {at(-DAY)}"
LARGE = f"X: {'x' * 4096}"
AUTH = get("Authorization: Basic x")
COOKIE = "Set-Cookie: a=b"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        pytest.param(get(), head("Cache-Control: max-age=60"), id="max-age"),
        pytest.param(get(), head("Cache-Control: s-maxage=60"), id="s-maxage"),
        pytest.param(get(), head(f"Expires: {at(60)}"), id="expires"),
        pytest.param(get(), head(LM), id="heuristic"),
        pytest.param(get(), head(TAG), id="only-a-validator"),
        pytest.param(get(), head("Cache-Control: no-cache", TAG), id="no-cache-with-validator"),
        pytest.param(get(), head("Cache-Control: max-age=0", TAG), id="max-age-0-with-validator"),
        pytest.param(get(), head("Cache-Control: max-age=60", status=302), id="explicit-for-302"),
        pytest.param(get(), head("Cache-Control: max-age=60", status=404), id="explicit-for-404"),
        pytest.param(get(), head("Cache-Control: max-age=60", status=299), id="explicit-for-unknown"),
        pytest.param(get(), head("Cache-Control: max-age=60", status=414), id="explicit-for-414"),
        pytest.param(get(LARGE), head("Cache-Control: max-age=60"), id="large-request"),
        pytest.param(get(), head(f"Expires: {at(60)}", status=302), id="expires-for-302"),
        pytest.param(get(), head(LM, status=404), id="heuristic-404"),
        pytest.param(AUTH, head("Cache-Control: max-age=60, public"), id="authorization-public"),
        pytest.param(
            AUTH, head("Cache-Control: max-age=60, must-revalidate"), id="authorization-revalidate"
        ),
        pytest.param(AUTH, head("Cache-Control: s-maxage=60"), id="authorization-s-maxage"),
        pytest.param(get(), head("Cache-Control: max-age=60", COOKIE), id="cookie-max-age"),
        pytest.param(get(), head("Cache-Control: s-maxage=60", COOKIE), id="cookie-s-maxage"),
        pytest.param(get(), head("Cache-Control: public", LM, COOKIE), id="cookie-public"),
        pytest.param(get(), head('Cache-Control: no-cache="Set-Cookie"', LM, COOKIE), id="cookie-withheld"),
        pytest.param(get(), head('Cache-Control: private="x", max-age=60'), id="private-fields"),
        pytest.param(
            get(), head("Cache-Control: no-store, must-understand, max-age=60"), id="must-understand"
        ),
        pytest.param(get(ttl=60), head(), id="ttl"),
        pytest.param(get("Range: bytes=0-1"), head("Cache-Control: max-age=60"), id="whole-for-a-range"),
        pytest.param(
            get(), head("Cache-Control: max-age=60", "Content-Range: a"), id="content-range-of-none"
        ),
        pytest.param(
            get(),
            head("Cache-Control: max-age=60", "Content-Range: bytes 0-8/9"),
            id="content-range-of-all",
        ),
    ],
)
def test_stored(request_: Request, answer: Head) -> None:
    assert response(answer, request_) == stored()


def test_stored_under_the_fields_that_vary_names() -> None:
    request = get("Accept-Encoding: GZIP", "Accept-Language: de")
    answer = head("Cache-Control: max-age=60", "Vary: X, accept-encoding")
    assert response(answer, request) == stored(("accept-encoding", "gzip"), ("x", None))


@pytest.mark.parametrize(
    ("request_", "answer", "reason", "remember"),
    [
        pytest.param(get(), head(), "no-freshness", True, id="nothing-said"),
        pytest.param(get(), head("Cache-Control: max-age=0"), "no-freshness", True, id="max-age-0"),
        pytest.param(
            get(), head("Cache-Control: no-cache, max-age=9"), "no-freshness", True, id="no-cache"
        ),
        pytest.param(get(), head("Expires: 0"), "no-freshness", True, id="expired"),
        pytest.param(get(), head(TAG, status=404), "no-freshness", False, id="404-validator-is-no-use"),
        pytest.param(get(), head(LM, status=302), "status", True, id="302"),
        pytest.param(get(), head(LM, status=403), "status", False, id="403"),
        pytest.param(get(ttl=60), head(LM, status=403), "status", False, id="ttl-is-for-200"),
        pytest.param(get(), head("Cache-Control: max-age=9", status=400), "status", False, id="400"),
        pytest.param(get(), head("Cache-Control: max-age=9", status=413), "status", False, id="413"),
        pytest.param(get(), head("Cache-Control: max-age=9", status=431), "status", False, id="431"),
        pytest.param(
            get(), head("Cache-Control: public", LM, status=403), "status", False, id="public-403"
        ),
        pytest.param(get(), head("Cache-Control: max-age=9", status=599), "status", False, id="599"),
        pytest.param(
            get(LARGE), head("Cache-Control: max-age=9", status=404), "request", False, id="large-404"
        ),
        pytest.param(
            get("X-HTTP-Method-Override: DELETE"),
            head("Cache-Control: max-age=9", status=405),
            "request",
            False,
            id="another-method",
        ),
        pytest.param(get(), head(LM, status=503), "status", False, id="503"),
        pytest.param(get(), head(status=429), "status", False, id="429"),
        pytest.param(
            get(), head("Cache-Control: no-store", status=500), "no-store", False, id="500-no-store"
        ),
        pytest.param(get(), head("Cache-Control: no-store, max-age=9"), "no-store", True, id="no-store"),
        pytest.param(get(), head("Cache-Control: private, max-age=9"), "private", True, id="private"),
        pytest.param(get(ttl=60), head("Cache-Control: private"), "private", True, id="private-before-ttl"),
        pytest.param(
            get(),
            head("Cache-Control: must-understand, max-age=9", status=499),
            "must-understand",
            False,
            id="must-understand",
        ),
        pytest.param(AUTH, head("Cache-Control: max-age=9"), "authorization", False, id="authorization"),
        pytest.param(
            get("Authorization: Negotiate x"),
            head("Cache-Control: max-age=9, public"),
            "authorization",
            False,
            id="login-of-the-connection",
        ),
        pytest.param(
            get(),
            head("Cache-Control: max-age=9, public", "WWW-Authenticate: NTLM", status=401),
            "authorization",
            False,
            id="login-challenge",
        ),
        pytest.param(get(), head("Cache-Control: max-age=9", "Vary: *"), "vary", True, id="vary-star"),
        pytest.param(get(), head(COOKIE, LM), "set-cookie", True, id="cookie"),
        pytest.param(get(), head(COOKIE, f"Expires: {at(9)}"), "set-cookie", True, id="cookie-expires"),
        pytest.param(get(), head("Cache-Control: max-age=9", status=206), "partial", False, id="206"),
        pytest.param(
            get("Range: bytes=10-19"),
            head("Cache-Control: max-age=9", "Content-Range: bytes 110-119/2000", status=206),
            "partial",
            False,
            id="another-part",
        ),
        pytest.param(
            get("Range: bytes=0-9"),
            head("Cache-Control: max-age=9", "Content-Range: bytes 0-9/2000"),
            "partial",
            False,
            id="a-part-that-is-called-200",
        ),
        pytest.param(get(), head("Cache-Control: max-age=9", status=103), "partial", False, id="interim"),
        pytest.param(
            get("Cache-Control: no-store"), head("Cache-Control: max-age=9"), "request", False, id="request"
        ),
        pytest.param(get(method="HEAD"), head("Cache-Control: max-age=9"), "method", False, id="head"),
        pytest.param(get(method="POST"), head("Cache-Control: max-age=9"), "method", False, id="post"),
    ],
)
def test_passed(request_: Request, answer: Head, reason: str, remember: bool) -> None:
    assert response(answer, request_) == Pass(reason, remember)


IGNORING = Policy(ignore=frozenset({"cache-control"}))


@pytest.mark.parametrize(
    ("policy", "answer", "decision"),
    [
        pytest.param(
            Policy(no_store=True), head("Cache-Control: max-age=9"), Pass("policy", True), id="no-store"
        ),
        pytest.param(Policy(fresh=60), head(), stored(), id="fresh"),
        pytest.param(Policy(fresh=60), head(status=403), stored(), id="fresh-for-any-status"),
        pytest.param(Policy(fresh=60), head(status=503), stored(), id="fresh-for-an-error"),
        pytest.param(Policy(fresh=60), head("Cache-Control: max-age=0"), stored(), id="fresh-over-max-age"),
        pytest.param(Policy(fresh=0), head(), Pass("no-freshness", True), id="fresh-0"),
        pytest.param(
            Policy(fresh=60),
            head("Cache-Control: private"),
            Pass("private", True),
            id="fresh-not-over-private",
        ),
        pytest.param(
            Policy(fresh=60),
            head("Cache-Control: no-store"),
            Pass("no-store", True),
            id="nor-over-no-store",
        ),
        pytest.param(
            Policy(fresh=60),
            head("Cache-Control: no-cache"),
            Pass("no-freshness", True),
            id="nor-over-no-cache",
        ),
        pytest.param(
            replace(IGNORING, fresh=60), head("Cache-Control: no-store, private"), stored(), id="ignored"
        ),
        pytest.param(
            IGNORING, head("Cache-Control: max-age=60"), Pass("no-freshness", True), id="ignored-both-ways"
        ),
        pytest.param(
            Policy(ignore=frozenset({"set-cookie"})), head(LM, COOKIE), stored(), id="cookie-ignored"
        ),
        pytest.param(Policy(ignore=frozenset({"vary"})), head(LM, "Vary: *"), stored(), id="vary-ignored"),
    ],
)
def test_the_operator_decides_what_http_leaves_open(policy: Policy, answer: Head, decision: object) -> None:
    assert response(answer, rules=policies(policy)) == decision


def test_the_lifetime_of_an_undated_response_counts_from_its_arrival() -> None:
    assert response(head(f"Expires: {at(60)}", date=None)) == stored()
    assert response(head(f"Expires: {at(-60)}", date=None)) == Pass("no-freshness", True)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_failing_origin_is_stood_in_for(status: int) -> None:
    assert response(head(status=status), stale=STALE) == ServeStale(STALE, f"origin-{status}")


@pytest.mark.parametrize(
    ("stale", "lines", "policy"),
    [
        pytest.param(REVALIDATE, [], Policy(), id="must-revalidate"),
        pytest.param(UNUSABLE, [], Policy(), id="no-cache"),
        pytest.param(STALE, [], Policy(stale_if_error=39), id="policy"),
        pytest.param(STALE, ["Cache-Control: stale-if-error=39"], Policy(), id="request"),
        pytest.param(None, [], Policy(), id="no-copy"),
    ],
)
def test_a_failing_origin_is_not_stood_in_for(
    stale: Entry | None, lines: list[str], policy: Policy
) -> None:
    request = get(*lines)
    rules = policies(policy)
    assert response(head(status=503), request, stale, rules) == Pass("status", False)
    assert on_error(stale, rules, NOW, request) is None


def test_an_answer_that_is_no_failure_replaces_the_copy() -> None:
    assert response(head("Cache-Control: max-age=60"), stale=STALE) == stored()
    assert response(head(status=403), stale=STALE) == Pass("status", False)


@pytest.mark.parametrize(
    ("line", "reason", "remembered"),
    [
        ("Cache-Control: private", "private", False),
        ("Cache-Control: no-store", "no-store", False),
        (COOKIE, "set-cookie", False),
        ("Vary: *", "vary", True),
    ],
)
def test_what_one_client_is_told_says_nothing_about_what_is_stored(
    line: str, reason: str, remembered: bool
) -> None:
    assert response(head(LM, line), stale=STALE) == Pass(reason, remembered)
    assert response(head(LM, line)) == Pass(reason, True)


def test_an_origin_that_gives_no_answer_is_stood_in_for() -> None:
    assert on_error(STALE, NO_POLICY, NOW) == ServeStale(STALE, "origin-failed")
    assert on_error(STALE, NO_POLICY, NOW, get()) == ServeStale(STALE, "origin-failed")
    assert on_error(None, NO_POLICY, NOW) is None


@pytest.mark.parametrize(
    ("vary", "outdated"),
    [("Accept-Language", False), ("accept-language", False), ("", True), ("Accept-Language, X", True)],
)
def test_what_another_vary_takes_the_place_of_is_forgotten(vary: str, outdated: bool) -> None:
    stale = replace(GERMAN, id=7)
    answer = head("Cache-Control: max-age=9", *([f"Vary: {vary}"] if vary else []))
    decision = response(answer, get("Accept-Language: de"), stale)
    assert isinstance(decision, Store)
    assert decision.outdated == (stale if outdated else None)


def test_a_304_freshens_the_copy() -> None:
    answer = head(TAG, "Cache-Control: max-age=90", status=304)
    decision = response(answer, stale=STALE)
    assert isinstance(decision, Freshen)
    kept = decision.entry
    assert (kept.request_time, kept.response_time, kept.status) == (NOW - 1, NOW, 200)
    assert kept.headers == fields(TAG, f"Date: {at(0)}", "Cache-Control: max-age=90")
    assert on_request(get(), [kept], NO_POLICY, NOW) == Serve(kept, 1, 89, False)


@pytest.mark.parametrize(("asked", "kept"), [(None, 10.0), (5.0, 5.0)])
def test_a_304_renews_the_ttl(asked: float | None, kept: float) -> None:
    decision = response(head(TAG, status=304), get(ttl=asked), replace(STALE, ttl=10))
    assert isinstance(decision, Freshen)
    assert decision.entry.ttl == kept


def test_a_304_brings_in_nothing_that_is_withheld() -> None:
    stale = entry(TAG, "X: old", age=DAY)
    answer = head(TAG, 'Cache-Control: no-cache="x"', COOKIE, status=304)
    decision = response(answer, stale=stale, rules=policies(Policy(ignore=frozenset({"set-cookie"}))))
    assert isinstance(decision, Freshen)
    assert decision.entry.headers.names() == {"date", "etag", "cache-control"}


@pytest.mark.parametrize(
    ("stale", "answer"),
    [
        pytest.param(None, head(TAG, status=304), id="no-copy"),
        pytest.param(STALE, head('ETag: "b"', status=304), id="another-copy"),
    ],
)
def test_a_304_that_matches_nothing_is_passed(stale: Entry | None, answer: Head) -> None:
    assert response(answer, stale=stale) == Pass("unmatched-304", False)


@pytest.mark.parametrize(
    ("lines", "policy", "kept"),
    [
        pytest.param(["A: 1", "B: x"], Policy(), ["A: 1", "B: x"], id="everything-else"),
        pytest.param(
            ["Connection: X", "X: 1", "Transfer-Encoding: chunked", "A: 1"],
            Policy(),
            ["A: 1"],
            id="hop-by-hop",
        ),
        pytest.param(
            ['Cache-Control: no-cache="a", private=b', "A: 1", "b: 2", "C: 3"],
            Policy(),
            ['Cache-Control: no-cache="a", private=b', "C: 3"],
            id="withheld",
        ),
        pytest.param(
            ['Cache-Control: no-cache="a"', "A: 1"],
            IGNORING,
            ['Cache-Control: no-cache="a"', "A: 1"],
            id="withheld-but-ignored",
        ),
        pytest.param(
            ["Set-Cookie: x", "Set-Cookie2: y", "A: 1"],
            Policy(ignore=frozenset({"set-cookie"})),
            ["A: 1"],
            id="cookies-ignored",
        ),
        pytest.param(["Vary: x"], Policy(ignore=frozenset({"vary"})), ["Vary: x"], id="ignored-but-kept"),
    ],
)
def test_stored_head(lines: list[str], policy: Policy, kept: list[str]) -> None:
    assert stored_head(head(*lines, date=None), policy).headers == fields(*kept)


@pytest.mark.parametrize(
    ("cache_control", "policy", "is_kept"),
    [
        ("max-age=60", Policy(), False),
        ("s-maxage=60", Policy(), False),
        ("public, max-age=60", Policy(), True),
        ("public", Policy(), True),
        ('public, no-cache="set-cookie"', Policy(), False),
        ("public", Policy(ignore=frozenset({"set-cookie"})), False),
        ("max-age=60", Policy(store_cookies=True), True),
        ("public, max-age=60", Policy(store_cookies=True, ignore=frozenset({"set-cookie"})), False),
    ],
)
def test_a_cookie_is_for_the_one_who_asked(cache_control: str, policy: Policy, is_kept: bool) -> None:
    answer = head(f"Cache-Control: {cache_control}", COOKIE, "Set-Cookie: c=d", TAG)
    decision = on_response(
        get(), answer, Fetch(Headers(), None, Forward.MISS), policies(policy), NOW - 1, NOW
    )
    assert isinstance(decision, Store)
    cookies = (("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"))
    assert decision.head.headers.lines("set-cookie") == (("a=b", "c=d") if is_kept else ())
    assert decision.own == (() if is_kept else cookies)


def test_the_rule_stores_cookies_without_any_lifetime_too() -> None:
    assert response(head(COOKIE, TAG), rules=policies(Policy(store_cookies=True))) == stored()


@pytest.mark.parametrize(
    "line", ["Cache-Control: max-age=60", 'Cache-Control: max-age=60, private="set-cookie"']
)
def test_a_304s_cookie_is_for_the_one_who_asked(line: str) -> None:
    decision = response(head(TAG, line, COOKIE, status=304), stale=STALE)
    assert isinstance(decision, Freshen)
    assert decision.own == (("Set-Cookie", "a=b"),)
    assert all("set-cookie" not in entry.headers for entry in (decision.entry, *decision.kept))


@pytest.mark.parametrize(
    ("lines", "received", "dates"),
    [
        pytest.param([], NOW, (at(0),), id="added"),
        pytest.param(["Date: foo"], NOW, (at(0),), id="replaced"),
        pytest.param([f"Date: {at(-9)}"], NOW, (at(-9),), id="kept"),
        pytest.param([], None, (), id="unknown"),
    ],
)
def test_stored_head_has_a_date(lines: list[str], received: float | None, dates: tuple[str, ...]) -> None:
    assert stored_head(head(*lines, date=None), Policy(), received).headers.lines("date") == dates


NAMES = st.sampled_from(
    ["Cache-Control", "Vary", "ETag", "Last-Modified", "Date", "Age", "Expires", "Connection"]
)
LINES = st.lists(st.tuples(NAMES, st.text()))


@given(LINES, LINES, st.sampled_from([200, 206, 304, 404, 503]))
def test_no_field_text_raises(
    asked: list[tuple[str, str]], answered: list[tuple[str, str]], status: int
) -> None:
    request = get().with_headers(Headers(asked))
    answer = Head(status, "", Headers(answered))
    stored = replace(entry(), head=stored_head(replace(answer, status=200), Policy(), NOW))
    on_request(request, [stored], NO_POLICY, NOW)
    response(answer, request, stored)
    on_error(stored, NO_POLICY, NOW, request)
