"""Targeted fields: which field's directives are in force, and what its values mean."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import DAY, EACH_DIRECTIVE, URL, at, entry, fields, head
from structured_text import written

from pyproxycache.messages import Headers
from pyproxycache.rules.cache_control import ResponseDirectives, response_directives
from pyproxycache.rules.freshness import directives_of, freshness_lifetime, stale_if_error_allowed
from pyproxycache.rules.policy import Match, Policies, Policy, Rule
from pyproxycache.rules.structured import parse_dictionary

CDN = ("cdn-cache-control",)
TARGETS = ("acme-cache-control", "cdn-cache-control")


def targeted(text: str) -> ResponseDirectives:
    return response_directives(fields(f"CDN-Cache-Control: {text}", "Cache-Control: max-age=1"), CDN)


@pytest.mark.parametrize(
    ("lines", "targets", "max_age", "is_targeted"),
    [
        pytest.param(["CDN-Cache-Control: max-age=9"], CDN, 9, True, id="alone"),
        pytest.param(["Cache-Control: max-age=1"], CDN, 1, False, id="absent"),
        pytest.param(["CDN-Cache-Control: max-age=9", "Cache-Control: max-age=1"], CDN, 9, True, id="both"),
        pytest.param(["CDN-Cache-Control: max-age=9", "Cache-Control: max-age=1"], (), 1, False, id="off"),
        pytest.param(
            ["Acme-Cache-Control: max-age=9", "Cache-Control: max-age=1"], CDN, 1, False, id="not-ours"
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=9", "Acme-Cache-Control: max-age=8"], TARGETS, 8, True, id="order"
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=9", "Acme-Cache-Control: max-age=8,"],
            TARGETS,
            9,
            True,
            id="the-first-that-is-valid",
        ),
        pytest.param(
            ["CDN-Cache-Control:", "Cache-Control: max-age=1"], CDN, 1, False, id="empty-is-ignored"
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age=9, &&&", "Cache-Control: max-age=1"], CDN, 1, False, id="invalid"
        ),
        pytest.param(
            ["CDN-Cache-Control: Max-Age=9", "Cache-Control: max-age=1"], CDN, 1, False, id="upper-case"
        ),
        pytest.param(
            ["CDN-Cache-Control: max-age =9", "Cache-Control: max-age=1"], CDN, 1, False, id="space"
        ),
        pytest.param(
            ["CDN-Cache-Control: none", "Cache-Control: max-age=1"], CDN, None, True, id="nothing-known"
        ),
        pytest.param(
            ["CDN-Cache-Control: public", "cdn-cache-control: max-age=9"], CDN, 9, True, id="two-lines"
        ),
    ],
)
def test_whose_directives(
    lines: list[str], targets: tuple[str, ...], max_age: int | None, is_targeted: bool
) -> None:
    directives = response_directives(fields(*lines), targets)
    assert (directives.max_age, directives.targeted) == (max_age, is_targeted)


@pytest.mark.parametrize(
    ("text", "directives"),
    [
        *EACH_DIRECTIVE,
        pytest.param("max-age=1;x=2, foo=(1 2);y", ResponseDirectives(max_age=1), id="parameters"),
        pytest.param("max-age=99999999999", ResponseDirectives(max_age=2**31), id="overflow"),
        pytest.param("max-age=1, max-age=2", ResponseDirectives(max_age=2), id="the-last-of-two"),
        pytest.param('max-age="10"', ResponseDirectives(max_age=0), id="string-for-a-time"),
        pytest.param("max-age=10.5", ResponseDirectives(max_age=0), id="decimal-for-a-time"),
        pytest.param("max-age=-10", ResponseDirectives(max_age=0), id="negative"),
        pytest.param("max-age", ResponseDirectives(max_age=0), id="no-time"),
        pytest.param(
            'no-cache="A, b"', ResponseDirectives(withheld=frozenset({"a", "b"})), id="no-cache-fields"
        ),
        pytest.param("private=a", ResponseDirectives(withheld=frozenset("a")), id="private-field-unquoted"),
        pytest.param('private=""', ResponseDirectives(private=True), id="private-of-nothing"),
        pytest.param(
            "no-cache=1, no-store=1", ResponseDirectives(no_cache=True, no_store=True), id="stands"
        ),
        pytest.param("public=1, immutable=yes, must-understand=2", ResponseDirectives(), id="not-given"),
        pytest.param("no-store=?0, public=?0, private=?0", ResponseDirectives(), id="false"),
    ],
)
def test_typed_values(text: str, directives: ResponseDirectives) -> None:
    assert targeted(text) == replace(directives, targeted=True)


POLICY = Policy(targets=CDN)


@pytest.mark.parametrize(
    ("lines", "lifetime"),
    [
        pytest.param(["CDN-Cache-Control: max-age=9", f"Expires: {at(DAY)}"], 9, id="over-expires"),
        pytest.param(["CDN-Cache-Control: public", f"Expires: {at(DAY)}"], 0, id="no-expires"),
        pytest.param(["CDN-Cache-Control: public,", f"Expires: {at(DAY)}"], DAY, id="invalid"),
        pytest.param(
            ["CDN-Cache-Control: public", "Cache-Control: max-age=5", f"Last-Modified: {at(-DAY)}"],
            DAY / 10,
            id="heuristic",
        ),
    ],
)
def test_freshness_lifetime(lines: list[str], lifetime: float) -> None:
    assert freshness_lifetime(head(*lines), POLICY) == lifetime


def test_stale_if_error_is_the_targeted_one() -> None:
    stored = entry("CDN-Cache-Control: max-age=1, stale-if-error=5", "Cache-Control: max-age=1", age=10)
    assert stale_if_error_allowed(stored, POLICY, stored.response_time + 4)
    assert not stale_if_error_allowed(stored, POLICY, stored.response_time + 7)
    assert stale_if_error_allowed(stored, Policy(), stored.response_time + 7)


def test_the_operator_can_have_it_ignored() -> None:
    answer = head("CDN-Cache-Control: max-age=9", "Cache-Control: max-age=1")
    assert directives_of(answer, POLICY).max_age == 9
    assert directives_of(answer, Policy(ignore=frozenset(CDN), targets=CDN)).max_age == 1


def test_every_policy_has_the_targets() -> None:
    policies = Policies((Rule(Match(status=frozenset({404})), Policy(fresh=5.0)),), targets=CDN)
    for status, fresh in ((404, 5.0), (200, None)):
        policy = policies.about(URL).for_response(status, "")
        assert (policy.fresh, policy.targets) == (fresh, CDN)


@given(st.text())
def test_no_text_raises(text: str) -> None:
    response_directives(Headers([("CDN-Cache-Control", text)]), CDN)


DIRECTIVES = st.dictionaries(
    st.sampled_from(("max-age", "s-maxage", "no-cache", "private", "no-store", "public", "foo")),
    st.tuples(st.booleans() | st.integers(0, 99) | st.just("a, b"), st.just({})),
    min_size=1,
)


@given(DIRECTIVES)
def test_the_field_is_stable(members: dict[str, tuple[object, dict[str, object]]]) -> None:
    text = written(members)
    parsed = parse_dictionary(text)
    assert parsed == members
    assert targeted(text) == targeted(written(parsed))
