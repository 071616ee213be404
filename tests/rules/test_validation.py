"""Validators: what is sent, what a 304 means, what a client's condition gets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import NOW, URL, at, entry, fields, head

from pyproxycache.messages import Head, Headers
from pyproxycache.rules.urls import parse_url
from pyproxycache.rules.validation import (
    complete_length,
    freshen,
    invalidated_urls,
    is_not_modified,
    matches_304,
    strip_conditionals,
    strong_validator,
    validators,
)

LM = f"Last-Modified: {at(-3600)}"
LATER = f"Last-Modified: {at(-1800)}"


@pytest.mark.parametrize(
    ("lines", "status", "sent"),
    [
        pytest.param([], 200, (), id="no-validator"),
        pytest.param(['ETag: "a"'], 200, (("If-None-Match", '"a"'),), id="etag"),
        pytest.param(['ETag: W/"a"'], 200, (("If-None-Match", 'W/"a"'),), id="weak-etag"),
        pytest.param(["ETag: a"], 200, (("If-None-Match", "a"),), id="etag-without-quotes"),
        pytest.param([LM], 200, (("If-Modified-Since", at(-3600)),), id="last-modified"),
        pytest.param(
            ['ETag: "a"', LM], 203, (("If-None-Match", '"a"'), ("If-Modified-Since", at(-3600))), id="both"
        ),
        pytest.param([f"Date: {at(0)}", f"Last-Modified: {at(0)}"], 200, (), id="modified-as-it-was-sent"),
        pytest.param(
            [f"Date: {at(0)}", f"Last-Modified: {at(-1)}"],
            200,
            (("If-Modified-Since", at(-1)),),
            id="modified-before-it-was-sent",
        ),
        pytest.param(["ETag:", "Last-Modified: x"], 200, (), id="invalid"),
        pytest.param(['ETag: "a"', LM], 404, (), id="an-error-is-no-representation"),
        pytest.param(['ETag: "a"'], 301, (), id="a-redirect-is-none-either"),
    ],
)
def test_validators(lines: list[str], status: int, sent: tuple[tuple[str, str], ...]) -> None:
    assert validators(entry(*lines, status=status).head) == sent


def test_strip_conditionals() -> None:
    conditions = (
        "If-Match",
        "if-none-match",
        "If-Modified-Since",
        "If-Unmodified-Since",
        "If-Range",
        "Range",
    )
    headers = fields("A: 1", *(f"{name}: x" for name in conditions), "B: 2")
    assert strip_conditionals(headers) == fields("A: 1", "B: 2")


def test_freshen_takes_the_new_fields_and_times() -> None:
    stored = entry("X: old", "x: older", "Y: kept", 'ETag: "a"', age=100)
    update = head("X: new", "Z: added", 'ETag: "a"', status=304, date=-1)
    fresh = freshen(stored, update, NOW - 2, NOW)
    expected = fields("Y: kept", 'ETag: "a"', f"Date: {at(-1)}", "X: new", "Z: added")
    assert fresh == replace(stored, head=Head(200, "", expected), request_time=NOW - 2, response_time=NOW)


@pytest.mark.parametrize(
    ("name", "stored", "update", "value"),
    [
        ("Content-Length", "Content-Length: 10", "Content-Length: 0", "10"),
        ("Content-Encoding", "Content-Encoding: gzip", "Content-Encoding: br", "gzip"),
        ("Content-Range", "Content-Range: a", "Content-Range: b", "a"),
        ("Vary", "Vary: A", "Vary: B", "A"),
        pytest.param("ETag", 'ETag: W/"a"', 'ETag: "a"', 'W/"a"', id="a-weak-tag-stays-weak"),
        pytest.param("ETag", 'ETag: "a"', 'ETag: W/"a"', '"a"', id="the-tag-is-that-of-the-bytes"),
        pytest.param("ETag", "A: 1", 'ETag: W/"a"', 'W/"a"', id="a-weak-tag-is-added"),
        pytest.param("ETag", "A: 1", 'ETag: "a"', None, id="a-strong-tag-is-not"),
        ("Transfer-Encoding", "A: 1", "Transfer-Encoding: chunked", None),
        ("Content-Type", "Content-Type: a/b", "Content-Type: c/d", "c/d"),
        ("Cache-Control", "Cache-Control: max-age=1", "Cache-Control: max-age=2", "max-age=2"),
        ("Set-Cookie", "Set-Cookie: a=1", "Set-Cookie: a=2", "a=2"),
        ("Age", "Age: 50", "Age: 3", "3"),
        pytest.param("Age", "Age: 50", "A: 1", None, id="Age-of-the-old-response"),
    ],
)
def test_fields_a_304_updates(name: str, stored: str, update: str, value: str | None) -> None:
    fresh = freshen(entry(stored), head(update, status=304), NOW, NOW)
    assert fresh.headers.get(name) == value


@pytest.mark.parametrize("lines", [[], ["Date: foo"]], ids=["no-date", "invalid-date"])
def test_a_304_without_date_gets_the_time_it_came(lines: list[str]) -> None:
    fresh = freshen(entry(age=100), head(*lines, status=304, date=None), NOW, NOW)
    assert fresh.headers.lines("date") == (at(0),)


@pytest.mark.parametrize(
    ("stored", "update", "matches"),
    [
        pytest.param(['ETag: "a"'], ['ETag: "a"'], True, id="same-strong"),
        pytest.param(['ETag: "a"'], ['ETag: "b"'], False, id="other-strong"),
        pytest.param(['ETag: W/"a"'], ['ETag: "a"'], True, id="strong-for-weak"),
        pytest.param(['ETag: W/"a"', LM], ['ETag: "a"', LM], True, id="strong-for-weak-same-date"),
        pytest.param(['ETag: W/"a"', LM], ['ETag: "a"', LATER], False, id="strong-for-weak-other-date"),
        pytest.param(['ETag: W/"a"'], ['ETag: "b"'], False, id="other-strong-for-weak"),
        pytest.param(['ETag: "a"'], ['ETag: W/"a"'], True, id="weak-for-strong"),
        pytest.param(['ETag: W/"a"'], ['ETag: W/"a"'], True, id="same-weak"),
        pytest.param(['ETag: W/"a"'], ['ETag: W/"b"'], False, id="other-weak"),
        pytest.param(['ETag: "a"', LM], ['ETag: "a"', LATER], True, id="tag-before-date"),
        pytest.param([LM], [LM], True, id="same-date"),
        pytest.param([LM], [LATER], False, id="other-date"),
        pytest.param([], [LM], False, id="date-out-of-nowhere"),
        pytest.param([LM], ['ETag: "a"', LM], True, id="new-strong-tag-same-date"),
        pytest.param([LM], ['ETag: "a"', LATER], False, id="new-strong-tag-other-date"),
        pytest.param([LM], ['ETag: W/"a"', LM], True, id="new-weak-tag-same-date"),
        pytest.param([LM], ['ETag: W/"a"'], False, id="new-weak-tag-no-date"),
        pytest.param(['ETag: "a"', LM], [LM], True, id="tag-left-out"),
        pytest.param(['ETag: "a"'], [], True, id="bare-304"),
        pytest.param([], [], True, id="no-validators-at-all"),
    ],
)
def test_matches_304(stored: list[str], update: list[str], matches: bool) -> None:
    assert matches_304(entry(*stored), head(*update, status=304)) is matches


@pytest.mark.parametrize(
    ("request_lines", "stored", "status", "not_modified"),
    [
        pytest.param([], ['ETag: "a"', LM], 200, False, id="no-condition"),
        pytest.param(['If-None-Match: "a"'], ['ETag: "a"'], 200, True, id="same-tag"),
        pytest.param(['If-None-Match: "b"'], ['ETag: "a"'], 200, False, id="other-tag"),
        pytest.param(['If-None-Match: W/"a"'], ['ETag: "a"'], 200, True, id="weak-and-strong"),
        pytest.param(['If-None-Match: "a"'], ['ETag: W/"a"'], 200, True, id="strong-and-weak"),
        pytest.param(['If-None-Match: "x", W/"a","y"'], ['ETag: "a"'], 200, True, id="list"),
        pytest.param(['If-None-Match: "x"', 'If-None-Match: "a"'], ['ETag: "a"'], 200, True, id="lines"),
        pytest.param(['If-None-Match: "x,y\\"'], ['ETag: "x,y\\"'], 200, True, id="comma-and-backslash"),
        pytest.param(["If-None-Match: *"], [], 200, True, id="star"),
        pytest.param(['If-None-Match: "a"'], [], 200, False, id="no-tag-stored"),
        pytest.param(["If-None-Match: a"], ["ETag: a"], 200, True, id="both-without-quotes"),
        pytest.param(["If-None-Match:"], ['ETag: "a"'], 200, False, id="empty"),
        pytest.param(['If-None-Match: "a"'], ['ETag: "a"'], 404, False, id="only-for-200"),
        pytest.param(
            ['If-None-Match: "b"', f"If-Modified-Since: {at(0)}"],
            ['ETag: "a"', LM],
            200,
            False,
            id="tag-first",
        ),
        pytest.param([f"If-Modified-Since: {at(-3600)}"], [LM], 200, True, id="same-time"),
        pytest.param([f"If-Modified-Since: {at(0)}"], [LM], 200, True, id="later-time"),
        pytest.param([f"If-Modified-Since: {at(-3601)}"], [LM], 200, False, id="earlier-time"),
        pytest.param(["If-Modified-Since: yesterday"], [LM], 200, False, id="invalid-time"),
        pytest.param([f"If-Modified-Since: {at(0)}"], [], 200, True, id="date-stands-in"),
        pytest.param([f"If-Modified-Since: {at(-1)}"], [], 200, False, id="date-stands-in-later"),
    ],
)
def test_precondition(request_lines: list[str], stored: list[str], status: int, not_modified: bool) -> None:
    assert is_not_modified(fields(*request_lines), head(*stored, status=status), NOW) is not_modified


@pytest.mark.parametrize(("offset", "not_modified"), [(0, True), (-1, False)])
def test_now_stands_in_for_missing_dates(offset: float, not_modified: bool) -> None:
    condition = fields(f"If-Modified-Since: {at(offset)}")
    assert is_not_modified(condition, head(date=None), NOW) is not_modified


@pytest.mark.parametrize(
    ("lines", "validator"),
    [
        pytest.param(['ETag: "a"'], '"a"', id="strong-tag"),
        pytest.param(['ETag: "a"', LM], '"a"', id="tag-before-date"),
        pytest.param(['ETag: W/"a"'], None, id="weak-tag"),
        pytest.param(['ETag: W/"a"', LM], None, id="weak-tag-speaks-against-the-date"),
        pytest.param(["ETag: a"], None, id="tag-without-quotes"),
        pytest.param([LM], at(-3600), id="date"),
        pytest.param([f"Last-Modified: {at(-60)}"], at(-60), id="date-a-minute-before"),
        pytest.param([f"Last-Modified: {at(-59)}"], None, id="date-too-recent"),
        pytest.param(["Last-Modified: x"], None, id="date-invalid"),
        pytest.param([], None, id="nothing"),
    ],
)
def test_strong_validator(lines: list[str], validator: str | None) -> None:
    assert strong_validator(head(*lines)) == validator


def test_last_modified_is_not_strong_without_date() -> None:
    assert strong_validator(head(LM, date=None)) is None


@pytest.mark.parametrize(
    ("lines", "status", "length"),
    [
        (["Content-Length: 5"], 200, 5),
        (["Content-Length: 5", "Content-Length: 5"], 200, 5),
        (["Content-Length: 5", "Content-Length: 6"], 200, None),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 200, None),
        (["Content-Length: five"], 200, None),
        (["Content-Length: -5"], 200, None),
        (["Content-Length: 3000000000"], 200, 3_000_000_000),
        ([], 200, None),
        (["Content-Length: 5", "Content-Range: bytes 5-9/10"], 206, 10),
        (["Content-Length: 5", "Content-Range: bytes 5-9/*"], 206, None),
        (["Content-Length: 5"], 206, None),
    ],
)
def test_complete_length(lines: list[str], status: int, length: int | None) -> None:
    assert complete_length(head(*lines, status=status)) == length


@pytest.mark.parametrize(
    ("method", "status", "lines", "targets"),
    [
        pytest.param("GET", 200, [], [], id="get"),
        pytest.param("HEAD", 200, [], [], id="head"),
        pytest.param("OPTIONS", 200, [], [], id="options"),
        pytest.param("TRACE", 200, [], [], id="trace"),
        pytest.param("POST", 200, [], ["/pool/a.deb"], id="post"),
        pytest.param("PUT", 204, [], ["/pool/a.deb"], id="put"),
        pytest.param("DELETE", 302, [], ["/pool/a.deb"], id="delete"),
        pytest.param("M-SEARCH", 200, [], ["/pool/a.deb"], id="unknown-method"),
        pytest.param("POST", 404, [], [], id="client-error"),
        pytest.param("POST", 500, [], [], id="server-error"),
        pytest.param("POST", 201, ["Location: /new"], ["/pool/a.deb", "/new"], id="location"),
        pytest.param(
            "POST", 200, ["Content-Location: b.deb"], ["/pool/a.deb", "/pool/b.deb"], id="relative"
        ),
        pytest.param(
            "POST", 200, ["Content-Location: é.deb"], ["/pool/a.deb", "/pool/%E9.deb"], id="not-encoded"
        ),
        pytest.param(
            "POST",
            201,
            ["Location: http://ORIGIN.example:80/x", "Content-Location: /y"],
            ["/pool/a.deb", "/x", "/y"],
            id="both-absolute-and-relative",
        ),
        pytest.param("POST", 201, ["Location: /pool/a.deb#part"], ["/pool/a.deb"], id="itself"),
        pytest.param("POST", 201, ["Location: http://other.example/x"], ["/pool/a.deb"], id="other-host"),
        pytest.param(
            "POST", 201, ["Location: https://origin.example/x"], ["/pool/a.deb"], id="other-scheme"
        ),
        pytest.param(
            "POST", 201, ["Location: http://origin.example:81/"], ["/pool/a.deb"], id="other-port"
        ),
        pytest.param("POST", 201, ["Location: http://[/x"], ["/pool/a.deb"], id="broken"),
        pytest.param("POST", 201, ["Location: mailto:a"], ["/pool/a.deb"], id="no-http"),
    ],
)
def test_invalidated_urls(method: str, status: int, lines: list[str], targets: list[str]) -> None:
    urls = invalidated_urls(method, URL, head(*lines, status=status))
    assert [str(url) for url in urls] == [f"http://origin.example{target}" for target in targets]


NAMES = st.sampled_from(["ETag", "Last-Modified", "Date", "If-None-Match", "If-Modified-Since", "Location"])
LINES = st.lists(st.tuples(NAMES, st.text()))


@given(LINES, LINES)
def test_no_field_text_raises(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    old, new = Head(200, "", Headers(one)), Head(304, "", Headers(other))
    stored = replace(entry(), head=old)
    validators(freshen(stored, new, NOW, NOW).head)
    matches_304(stored, new)
    is_not_modified(new.headers, old, NOW)
    assert parse_url(str(invalidated_urls("POST", URL, old)[0])) == URL
