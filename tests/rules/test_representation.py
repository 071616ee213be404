"""Which bytes may be joined: every fact about a representation that has to fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import at, head

from pyproxycache.messages import Head, Headers
from pyproxycache.rules.representation import resumption_validator, same_representation

LM = f"Last-Modified: {at(-3600)}"
LATER = f"Last-Modified: {at(-1800)}"
TAG = 'ETag: "a"'
GZIP = "Content-Encoding: gzip"
FIVE = "Content-Length: 5"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        pytest.param([TAG], [TAG], True, id="same-tag"),
        pytest.param([TAG], ['ETag: "b"'], False, id="other-tag"),
        pytest.param([TAG], [], False, id="tag-left-out"),
        pytest.param(['ETag: W/"a"'], ['ETag: W/"a"'], False, id="weak-tag"),
        pytest.param([LM], [LM], True, id="same-date"),
        pytest.param([LM], [LATER], False, id="other-date"),
        pytest.param([TAG, LM], [TAG, LM], True, id="same-tag-and-date"),
        pytest.param([TAG, LM], [TAG, LATER], False, id="same-tag-other-date"),
        pytest.param([TAG, LM], [TAG], True, id="same-tag-date-left-out"),
        pytest.param([], [], False, id="no-validators"),
        pytest.param([TAG, FIVE], [TAG, "Content-Length: 6"], False, id="other-length"),
        pytest.param([TAG, FIVE], [TAG], True, id="length-known-once"),
        pytest.param([TAG, "Content-Type: a/b"], [TAG, "Content-Type: A/B"], True, id="same-type"),
        pytest.param([TAG, "Content-Type: a/b"], [TAG, "Content-Type: a/c"], False, id="other-type"),
        pytest.param([TAG, "Content-Type: a/b"], [TAG], True, id="type-left-out"),
        pytest.param([TAG, FIVE, GZIP], [TAG, FIVE, GZIP], True, id="same-coding"),
        pytest.param([TAG, FIVE, GZIP], [TAG, FIVE, "Content-Encoding: X-GZIP"], True, id="coding-alias"),
        pytest.param([TAG, FIVE, GZIP], [TAG, FIVE], False, id="coding-of-one"),
        pytest.param([TAG, FIVE], [TAG, FIVE, GZIP], False, id="coding-of-the-other"),
        pytest.param([TAG, FIVE], [TAG, FIVE, "Content-Encoding: identity"], True, id="no-coding"),
        # Packed on the way, the bytes may be others each time.
        pytest.param([TAG, GZIP], [TAG, GZIP], False, id="coded-of-unknown-length"),
        pytest.param([TAG, GZIP], [TAG, GZIP, FIVE], False, id="coded-of-length-known-once"),
    ],
)
def test_same_representation(old: list[str], new: list[str], same: bool) -> None:
    assert same_representation(head(*old), head(*new)) is same


@pytest.mark.parametrize(
    ("known", "answer", "same"),
    [
        pytest.param([TAG], [TAG], True, id="tag"),
        pytest.param([TAG], [], False, id="the-tag-is-never-left-out"),
        pytest.param([LM], [], True, id="date-left-out"),
        pytest.param([LM], [LATER], False, id="other-date"),
        pytest.param([TAG, GZIP, "Content-Length: 9"], [TAG], True, id="coding-left-out"),
        pytest.param([TAG, GZIP, "Content-Length: 8"], [TAG], False, id="coding-left-out-other-length"),
        pytest.param([TAG, GZIP], [TAG], False, id="plain-for-packed-of-unknown-length"),
        pytest.param([TAG, GZIP, "Content-Length: 9"], [TAG, "Content-Encoding: br"], False, id="coding"),
        pytest.param([TAG, "Content-Length: 9"], [TAG, GZIP], False, id="packed-for-plain"),
        pytest.param([TAG, "Content-Type: a/b"], [TAG, "Content-Type: text/html"], False, id="type"),
    ],
)
def test_what_answers_if_range(known: list[str], answer: list[str], same: bool) -> None:
    part = head("Content-Range: bytes 5-8/9", *answer, status=206)
    assert same_representation(head(*known), part, answers_if_range=True) is same


@pytest.mark.parametrize(("length", "same"), [(9, True), (8, False)])
def test_a_length_told_beside_the_head(length: int, same: bool) -> None:
    part = head("Content-Range: bytes 5-8/9", TAG, status=206)
    assert same_representation(head(TAG, GZIP), part, length, answers_if_range=True) is same


@pytest.mark.parametrize(
    ("lines", "validator"),
    [
        ([TAG], '"a"'),
        ([LM], at(-3600)),
        ([TAG, GZIP, FIVE], '"a"'),
        ([TAG, GZIP], None),
        ([TAG, GZIP, FIVE, "Transfer-Encoding: chunked"], None),
        (['ETag: W/"a"', FIVE], None),
    ],
)
def test_what_can_be_gone_on_with(lines: list[str], validator: str | None) -> None:
    assert resumption_validator(head(*lines)) == validator


NAMES = st.sampled_from(
    ["ETag", "Last-Modified", "Date", "Content-Encoding", "Content-Type", "Content-Length"]
)
LINES = st.lists(st.tuples(NAMES, st.sampled_from(['"a"', "5", "gzip", at(-3600), at(0)]) | st.text()))


@given(LINES, LINES)
def test_it_is_the_same_whichever_came_first(
    one: list[tuple[str, str]], other: list[tuple[str, str]]
) -> None:
    old, new = Head(200, "", Headers(one)), Head(200, "", Headers(other))
    assert same_representation(old, new) is same_representation(new, old)
    if same_representation(old, new):
        assert resumption_validator(old) == resumption_validator(new) is not None
        assert same_representation(old, new, answers_if_range=True)
