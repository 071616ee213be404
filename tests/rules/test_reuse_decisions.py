"""Decisions about more than one stored response: parts, variants, and background refreshes."""

from dataclasses import replace

import pytest
from sample import NOW, URL, at, entry, fields, get, head, policies

from pyproxycache.messages import Entry, Part, Request
from pyproxycache.outcome import Forward
from pyproxycache.rules.decide import on_head, on_request, on_response, validating, with_variants
from pyproxycache.rules.decisions import (
    Assemble,
    Bypass,
    Fetch,
    FetchAnew,
    Forget,
    Freshen,
    Pass,
    Refuse,
    Serve,
    Store,
)
from pyproxycache.rules.policy import Policies, Policy
from pyproxycache.rules.variants import vary_values

ANY = Policies().about(URL)
TAG = 'ETag: "a"'
FRESH = "Cache-Control: max-age=60"


def part(start: int, end: int, *lines: str, age: float = 10, number: int = 1) -> Entry:
    """A stored part of 10 bytes."""
    spoken = f"Content-Range: bytes {start}-{end}/10"
    stored = entry(*(lines or (TAG, FRESH)), spoken, status=206, age=age)
    return replace(stored, part=Part(start, end, 10), size=end - start + 1, id=number)


def query(key: str) -> Request:
    return replace(get(method="QUERY"), content_key=key)


def revalidate(seconds: int, *lines: str, age: float = 100) -> Entry:
    return entry(f"Cache-Control: max-age=60, stale-while-revalidate={seconds}", TAG, *lines, age=age)


@pytest.mark.parametrize(
    ("stored", "lines", "refreshed"),
    [
        pytest.param(revalidate(40), [], True, id="to-its-last-second"),
        pytest.param(revalidate(39), [], False, id="past-it"),
        pytest.param(
            revalidate(100), ["Cache-Control: max-stale=100"], False, id="the-client-allows-it-too"
        ),
        pytest.param(revalidate(100), ["Cache-Control: max-age=200"], False, id="the-client-sets-an-age"),
        pytest.param(
            revalidate(100), ["Cache-Control: min-fresh=0"], False, id="the-client-wants-it-fresh"
        ),
        pytest.param(revalidate(100), ["Cache-Control: no-cache"], False, id="the-client-reloads"),
        pytest.param(revalidate(100), ["Pragma: no-cache"], False, id="the-client-reloads-by-pragma"),
        pytest.param(revalidate(100, "Cache-Control: must-revalidate"), [], False, id="must-revalidate"),
        pytest.param(revalidate(100, "Cache-Control: proxy-revalidate"), [], False, id="proxy-revalidate"),
        pytest.param(revalidate(100, "Cache-Control: s-maxage=60"), [], False, id="s-maxage"),
        pytest.param(revalidate(100, "Cache-Control: no-cache"), [], False, id="no-cache"),
    ],
)
def test_stale_while_revalidate(stored: Entry, lines: list[str], refreshed: bool) -> None:
    decision = on_request(get(*lines), [stored], ANY, NOW)
    assert (isinstance(decision, Serve) and decision.refresh) == refreshed


@pytest.mark.parametrize(("seconds", "refreshed"), [(40, True), (39, False), (0, False)])
def test_the_operator_sets_the_window(seconds: float, refreshed: bool) -> None:
    rules = policies(Policy(stale_while_revalidate=seconds))
    decision = on_request(get(), [revalidate(1000)], rules, NOW)
    assert (isinstance(decision, Serve) and decision.refresh) == refreshed
    forbidden = on_request(get(), [revalidate(1000, "Cache-Control: must-revalidate")], rules, NOW)
    assert isinstance(forbidden, Fetch)


def test_what_is_served_stale_is_not_fresh_to_anyone() -> None:
    decision = on_request(get(), [revalidate(100)], ANY, NOW)
    assert decision == Serve(revalidate(100), 100, -40, stale=True, refresh=True)


@pytest.mark.parametrize(
    ("stored", "lines", "sent"),
    [
        pytest.param([], ["Range: bytes=0-4"], ["Range: bytes=0-4"], id="nothing-stored"),
        pytest.param(
            [], ["Range: bytes=0-4", 'If-Range: "a"'], ["Range: bytes=0-4"], id="if-range-is-judged-here"
        ),
        pytest.param([], ["Range: bytes=0-4, 6-7"], [], id="several-ranges"),
        pytest.param([], ["Range: items=0-4"], [], id="another-unit"),
        pytest.param(
            [part(0, 4)], ["Range: bytes=3-6"], ["Range: bytes=5-6", 'If-Range: "a"'], id="overlap"
        ),
        pytest.param([part(0, 4)], [], ["Range: bytes=5-", 'If-Range: "a"'], id="the-whole"),
        pytest.param([part(5, 9)], [], ["Range: bytes=0-4", 'If-Range: "a"'], id="its-beginning"),
        pytest.param(
            [part(0, 4, age=100)], [], ["Range: bytes=5-", 'If-Range: "a"'], id="stale-and-incomplete"
        ),
        pytest.param(
            [part(0, 4, age=100)],
            ["Range: bytes=1-2"],
            ["Range: bytes=1-2", 'If-None-Match: "a"'],
            id="stale-and-complete",
        ),
        pytest.param([part(0, 4, FRESH)], [], [], id="no-validator"),
        pytest.param([part(0, 4, FRESH, 'ETag: W/"a"')], [], [], id="weak-validator"),
        pytest.param([part(0, 4)], ["Range: bytes=7-8"], ["Range: bytes=7-8"], id="elsewhere"),
    ],
)
def test_what_is_asked_for_beside_stored_parts(
    stored: list[Entry], lines: list[str], sent: list[str]
) -> None:
    decision = on_request(get(*lines), stored, ANY, NOW)
    assert isinstance(decision, Fetch)
    assert decision.headers == fields(*sent)


@pytest.mark.parametrize(
    ("stored", "lines"),
    [
        pytest.param([part(2, 7)], ["Range: bytes=3-4"], id="within-one"),
        pytest.param([part(0, 4), part(5, 9, number=2)], [], id="the-whole-out-of-two"),
        pytest.param([part(0, 4), part(3, 9, number=2)], ["Range: bytes=1-8"], id="overlapping"),
        pytest.param(
            [part(5, 9, FRESH), part(0, 4, FRESH, number=2)], ["Range: bytes=1-2"], id="standing-alone"
        ),
        pytest.param([part(0, 4)], ['If-None-Match: "a"'], id="only-a-304-is-needed"),
    ],
)
def test_fresh_parts_that_suffice(stored: list[Entry], lines: list[str]) -> None:
    decision = on_request(get(*lines), stored, ANY, NOW)
    assert isinstance(decision, Assemble)
    assert decision.ttl == 50
    assert not decision.plan.missing


def test_the_whole_comes_before_its_parts() -> None:
    whole = replace(entry(TAG, FRESH, age=20), size=10, id=3)
    assert on_request(get(), [part(0, 9), whole], ANY, NOW) == Serve(whole, 20, 40, False)


def test_the_head_of_the_whole_is_known_by_fresh_parts_that_are_the_whole() -> None:
    found = on_request(get(method="HEAD"), [part(0, 4), part(5, 9, number=2)], ANY, NOW)
    assert isinstance(found, Assemble)
    assert (found.ttl, found.plan.segments, found.plan.total) == (50, (), 10)
    for parts, later in (([part(0, 4)], 0), ([part(1, 9)], 0), ([part(0, 9)], 80)):
        bypassed = on_request(get(method="HEAD"), parts, ANY, NOW + later)
        assert bypassed == Bypass(Forward.MISS)
    only = get("Cache-Control: only-if-cached", method="HEAD")
    assert isinstance(on_request(only, [part(0, 4)], ANY, NOW), Refuse)


def test_nothing_incomplete_is_all_that_is_cached() -> None:
    only = get("Cache-Control: only-if-cached")
    assert isinstance(on_request(only, [part(0, 4)], ANY, NOW), Refuse)
    assert isinstance(on_request(only, [part(0, 9)], ANY, NOW), Assemble)


def response(request: Request, answer: object, fetch: Fetch | None = None) -> object:
    fetch = fetch or validating(request, None, Forward.URI_MISS)
    sent = request.with_headers(fetch.headers)
    rules = Policies().about(request.url)
    return on_response(sent, answer, fetch, rules, NOW - 1, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "answer", "stored"),
    [
        pytest.param(["Range: bytes=0-4"], ["Content-Range: bytes 0-4/10"], Part(0, 4, 10), id="part"),
        pytest.param(
            ["Range: bytes=0-4"], ["Content-Range: bytes 0-4/*"], Part(0, 4, None), id="of-unknown"
        ),
        pytest.param([], ["Content-Range: bytes 0-4/10"], None, id="not-asked-for"),
        pytest.param(["Range: bytes=0-4"], [], None, id="no-content-range"),
        pytest.param(["Range: bytes=0-4"], ["Content-Range: bytes 4-0/10"], None, id="invalid"),
    ],
)
def test_what_of_a_206_is_stored(lines: list[str], answer: list[str], stored: Part | None) -> None:
    decision = response(get(*lines), head(TAG, FRESH, *answer, status=206))
    if stored is None:
        assert decision == Pass("partial", remember=False)
    else:
        assert isinstance(decision, Store)
        assert decision.part == stored


def test_a_part_that_completes_others_validates_them() -> None:
    old = part(0, 4, TAG, FRESH, "Content-Type: text/plain", age=100)
    fetch = on_request(get(), [old], ANY, NOW)
    assert isinstance(fetch, Fetch)
    answer = head(TAG, "Cache-Control: max-age=90", "Content-Range: bytes 5-9/10", status=206)
    decision = response(get(), answer, fetch)
    assert isinstance(decision, Store)
    assert decision.part == Part(5, 9, 10)
    # What an answer to If-Range leaves out is known from before (RFC 9110 section 15.3.7).
    assert decision.head.headers.get("content-type") == "text/plain"
    (sibling,) = decision.siblings
    assert (sibling.id, sibling.part, sibling.response_time) == (1, Part(0, 4, 10), NOW)
    assert isinstance(on_request(get("Range: bytes=0-4"), [sibling], ANY, NOW + 80), Assemble)


def test_a_part_of_something_else_validates_nothing() -> None:
    fetch = on_request(get(), [part(0, 4)], ANY, NOW)
    assert isinstance(fetch, Fetch)
    answer = head('ETag: "b"', FRESH, "Content-Range: bytes 5-9/10", status=206)
    decision = response(get(), answer, fetch)
    assert isinstance(decision, Store)
    assert decision.siblings == ()


def variant(language: str, *lines: str, number: int = 0) -> Entry:
    stored = entry(FRESH, *lines, vary=(("accept-language", language),))
    return replace(stored, id=number, digest=f"digest of {language}")


class TestVariants:
    """A miss where the URL is stored under other request fields."""

    GERMAN = variant("de", 'ETag: "de"', number=1)
    ENGLISH = variant("en", 'ETag: "en"', number=2)
    ITALIAN = variant("it", 'ETag: W/"it"', number=3)
    UNTAGGED = variant("es", number=4)

    def asked(self, *variants: Entry) -> Fetch:
        request = get("Accept-Language: fr")
        return with_variants(request, validating(request, None, Forward.URI_MISS), variants)

    def test_their_strong_tags_are_sent(self) -> None:
        fetch = self.asked(self.GERMAN, self.ENGLISH, self.ITALIAN, self.UNTAGGED)
        assert fetch.headers.get("if-none-match") == '"de", "en"'
        assert fetch.reason is Forward.VARY_MISS

    def test_without_such_tags_nothing_is_conditional(self) -> None:
        fetch = self.asked(self.ITALIAN, self.UNTAGGED)
        assert "if-none-match" not in fetch.headers
        assert fetch.reason is Forward.VARY_MISS

    @pytest.mark.parametrize(("tag", "chosen"), [('"de"', 1), ('"en"', 2)])
    def test_a_304_names_one(self, tag: str, chosen: int) -> None:
        fetch = self.asked(self.GERMAN, self.ENGLISH)
        answer = head(f"ETag: {tag}", "Cache-Control: max-age=90", status=304)
        decision = response(get("Accept-Language: fr"), answer, fetch)
        assert isinstance(decision, Freshen)
        # A new entry for this request's fields, with the body of the one named.
        assert (decision.entry.id, decision.entry.vary) == (0, (("accept-language", "fr"),))
        named = {1: self.GERMAN, 2: self.ENGLISH}[chosen]
        assert decision.entry.digest == named.digest
        assert decision.entry.headers.get("cache-control") == "max-age=90"

    @pytest.mark.parametrize("line", ['ETag: "fr"', 'ETag: W/"en"', "X: 1"])
    def test_a_304_that_names_none_leads_to_the_response_itself(self, line: str) -> None:
        fetch = self.asked(self.GERMAN, self.ENGLISH)
        decision = response(get("Accept-Language: fr"), head(line, status=304), fetch)
        plain = Fetch(fields("Accept-Language: fr"), None, Forward.VARY_MISS)
        assert decision == FetchAnew(plain)
        assert response(get("Accept-Language: fr"), head(line, status=304), plain) == Pass(
            "unmatched-304", False
        )

    @pytest.mark.parametrize(
        ("vary", "as_before"),
        [
            ("Accept-Language", True),
            ("accept-language, accept-language", True),
            ("Accept-Language, Origin", False),
            ("*", False),
        ],
    )
    def test_a_304_that_varies_on_more_names_none(self, vary: str, as_before: bool) -> None:
        answer = head('ETag: "de"', f"Vary: {vary}", status=304)
        decision = response(get("Accept-Language: fr"), answer, self.asked(self.GERMAN))
        assert isinstance(decision, Freshen if as_before else FetchAnew)


GZIPPED = ['ETag: "a"', "Content-Encoding: gzip"]


@pytest.mark.parametrize(
    ("stored_for", "lines", "asked", "offered"),
    [
        pytest.param(["Accept-Encoding: gzip"], GZIPPED, [], False, id="gzip-for-a-plain-client"),
        pytest.param(
            ["Accept-Encoding: gzip"], GZIPPED, ["Accept-Encoding: br"], False, id="another-coding"
        ),
        pytest.param(
            ["Accept-Encoding: gzip"], GZIPPED, ["Accept-Encoding: gzip;q=0, br"], False, id="refused"
        ),
        pytest.param(["Accept-Encoding: gzip"], GZIPPED, ["Accept-Encoding: br, x-gzip"], True, id="named"),
        pytest.param(["Accept-Encoding: gzip"], GZIPPED, ["Accept-Encoding: *"], True, id="any"),
        pytest.param([], [TAG], ["Accept-Encoding: gzip"], True, id="plain-for-a-gzip-client"),
        pytest.param(
            [], [TAG], ["Accept-Encoding: gzip, identity;q=0"], False, id="plain-for-who-refuses-it"
        ),
        pytest.param(
            ["Accept-Encoding: gzip"],
            ['ETag: "a"', "Content-Encoding: gzip, br"],
            ["Accept-Encoding: br"],
            False,
            id="one-of-two-codings",
        ),
        # Of what a 304 leaves out it would have the fields for another origin, or cookie.
        pytest.param(["Origin: http://a"], [TAG], ["Origin: http://b"], False, id="origin"),
        pytest.param([], [TAG], ["Origin: http://b"], False, id="no-origin"),
        pytest.param(["Cookie: a"], [TAG], ["Cookie: b"], False, id="cookie"),
        pytest.param(["Accept: a/b", "Origin: x"], [TAG], ["Accept: c/d", "Origin: x"], True, id="accept"),
        # Some origins give one tag to all types.
        pytest.param(
            ["Accept: a/b"], [TAG, "Content-Type: a/b"], ["Accept: c/d"], False, id="refused-type"
        ),
        pytest.param(
            ["Accept: a/b"], [TAG, "Content-Type: a/b"], ["Accept: c/d, a/*"], True, id="any-type"
        ),
    ],
)
def test_which_variants_would_do(
    stored_for: list[str], lines: list[str], asked: list[str], offered: bool
) -> None:
    names = sorted(fields(*stored_for, *asked).names())
    stored = entry(FRESH, *lines, vary=vary_values(names, get(*stored_for)))
    request = get(*asked)
    fetch = with_variants(request, validating(request, None, Forward.URI_MISS), [stored])
    assert (fetch.headers.get("if-none-match") == '"a"') == offered


@pytest.mark.parametrize(
    ("lines", "status", "stored"),
    [
        pytest.param([FRESH, f"Content-Location: {URL}"], 200, True, id="here"),
        pytest.param([FRESH, "Content-Location: a.deb"], 200, True, id="relative"),
        pytest.param([FRESH, f"Content-Location: {URL}?x"], 200, False, id="elsewhere"),
        pytest.param([FRESH], 200, False, id="nowhere"),
        pytest.param(["Cache-Control: public", f"Content-Location: {URL}"], 200, False, id="not-explicit"),
        pytest.param([FRESH, f"Content-Location: {URL}"], 201, False, id="created"),
        pytest.param(
            ["Cache-Control: max-age=60, no-store", f"Content-Location: {URL}"], 200, False, id="no-store"
        ),
    ],
)
def test_post(lines: list[str], status: int, stored: bool) -> None:
    assert isinstance(response(get(method="POST"), head(*lines, status=status)), Store) == stored


def test_the_answer_to_a_query_is_for_that_query() -> None:
    decision = response(query("k1"), head(FRESH, "Vary: Accept"))
    assert isinstance(decision, Store)
    assert decision.vary == (("(content)", "k1"), ("accept", None))
    kept = replace(entry(FRESH, age=10), vary=decision.vary)
    assert isinstance(on_request(query("k1"), [kept], ANY, NOW), Serve)
    for other in query("k2"), get(), get(method="HEAD"):
        assert not isinstance(on_request(other, [kept], ANY, NOW), Serve)
    plain = entry(FRESH, age=10)
    assert not isinstance(on_request(query("k1"), [plain], ANY, NOW), Serve)


def test_what_else_is_filed_with_a_response() -> None:
    lines = [FRESH, 'Cache-Groups: "one", "two"', 'No-Vary-Search: params=("utm")']
    request = replace(get(), url=replace(URL, target="/a?utm=1"))
    decision = response(request, head(*lines))
    assert isinstance(decision, Store)
    assert decision.groups == ("one", "two")
    assert decision.search == "http://origin.example/a"


def test_the_operator_may_hold_a_part_like_the_whole() -> None:
    rules = policies(Policy(fresh=600))
    request = get("Range: bytes=0-4")
    fetch = validating(request, None, Forward.URI_MISS)
    answer = head("Content-Range: bytes 0-4/10", status=206)
    decision = on_response(request.with_headers(fetch.headers), answer, fetch, rules, NOW, NOW)
    assert isinstance(decision, Store)


@pytest.mark.parametrize(
    ("lines", "answer", "for_all"),
    [
        pytest.param([], [FRESH], True, id="plain"),
        pytest.param([], ["Cache-Control: private, max-age=60"], False, id="private"),
        pytest.param([], ["Cache-Control: no-store"], False, id="no-store"),
        pytest.param([], [FRESH, "Set-Cookie: a=b"], True, id="a-cookie-with-max-age"),
        pytest.param([], ["Cache-Control: x", "Set-Cookie: a=b"], False, id="a-cookie-alone"),
        pytest.param(["Authorization: x"], [FRESH], False, id="authorised"),
        pytest.param(["Authorization: x"], [f"{FRESH}, public"], True, id="authorised-and-public"),
        pytest.param(["Cache-Control: no-store"], [FRESH], False, id="the-client-forbids-it"),
        pytest.param([], ["Cache-Control: no-cache"], True, id="to-be-validated-again"),
    ],
)
@pytest.mark.parametrize("by_head", [False, True], ids=["304", "head"])
def test_what_one_client_is_told_is_not_for_all(
    lines: list[str], answer: list[str], for_all: bool, by_head: bool
) -> None:
    kept = replace(entry("Cache-Control: max-age=0", TAG, age=10), size=5)
    request = get(*lines, method="HEAD" if by_head else "GET")
    if by_head:
        decision = on_head(request, head(TAG, *answer), kept, ANY, NOW, NOW)
    else:
        fetch = validating(request, kept, Forward.STALE)
        decision = on_response(request, head(TAG, *answer, status=304), fetch, ANY, NOW, NOW)
    assert isinstance(decision, Freshen)
    assert bool(decision.kept) == for_all
    assert not any("set-cookie" in stored.headers for stored in decision.kept)


@pytest.mark.parametrize(
    ("lines", "outdated"),
    [
        pytest.param([TAG], False, id="the-same"),
        pytest.param(["X: 1"], False, id="says-nothing"),
        pytest.param(['ETag: "b"'], True, id="another-tag"),
        pytest.param([TAG, f"Last-Modified: {at(-5)}"], True, id="another-date"),
        pytest.param([TAG, "Content-Length: 5"], False, id="the-same-length"),
        pytest.param(['ETag: W/"a"'], False, id="the-weak-tag-of-the-same"),
        pytest.param([TAG, "Content-Length: 0"], False, id="a-length-not-known"),
        pytest.param([TAG, "Content-Length: 9", "Content-Encoding: gzip"], False, id="another-coding"),
        pytest.param([TAG, "Content-Length: 6"], True, id="another-length"),
    ],
)
def test_what_a_head_shows(lines: list[str], outdated: bool) -> None:
    kept = replace(entry(FRESH, TAG, age=10), size=5)
    decision = on_head(get(method="HEAD"), head(*lines), kept, ANY, NOW, NOW)
    assert (decision == Forget(kept)) == outdated


def test_a_head_without_length_and_validators_shows_nothing() -> None:
    kept = replace(entry(FRESH, TAG, age=10), size=5)
    assert on_head(get(method="HEAD"), head("Content-Length: 0"), kept, ANY, NOW, NOW) is None


@pytest.mark.parametrize("lines", [["Range: bytes=99-"], []], ids=["to-a-range", "to-none"])
def test_a_416_is_never_stored(lines: list[str]) -> None:
    assert response(get(*lines), head(FRESH, status=416)) == Pass("range", remember=False)


@pytest.mark.parametrize(("method", "asks"), [("GET", True), ("QUERY", True), ("POST", False)])
def test_only_methods_that_a_304_answers_are_sent_with_validators(method: str, asks: bool) -> None:
    """To a POST an origin says 412 where it has the same (RFC 9110 section 13.1.2)."""
    stored = entry(TAG, FRESH, age=100)
    request = replace(get(method=method), content_key=None if method == "GET" else "k")
    assert ("if-none-match" in validating(request, stored, Forward.STALE).headers) is asks
    missing = validating(request, None, Forward.URI_MISS)
    offered = with_variants(request, missing, [replace(stored, vary=(("accept", "x"),))])
    assert ("if-none-match" in offered.headers) is asks
