"""Stored parts of one representation: which combine, and what an answer is made of."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import NOW, at, entry, fields, get, head

from pyproxycache.messages import Entry, Part
from pyproxycache.rules.parts import (
    Plan,
    Segment,
    combined_head,
    covers,
    part_of,
    plan,
    representation,
    segments,
)
from pyproxycache.rules.ranges import UNSATISFIABLE, WHOLE

TAG = 'ETag: "a"'
LM = f"Last-Modified: {at(-3600)}"


def stored(
    start: int, end: int, *lines: str, total: int | None = 100, age: float = 10, number: int = 0
) -> Entry:
    """A stored 206 with these bytes, both included; it has the tag if no lines are given."""
    spoken = f"Content-Range: bytes {start}-{end}/{'*' if total is None else total}"
    partial = entry(*(lines or (TAG,)), spoken, status=206, age=age)
    part = Part(start, end, total)
    return dataclasses.replace(partial, part=part, size=part.length, id=number)


def whole(*lines: str, size: int = 100, age: float = 10) -> Entry:
    return dataclasses.replace(entry(*lines, f"Content-Length: {size}", age=age), size=size)


def prefix(end: int, *lines: str, total: int = 100) -> Entry:
    """A stored 200 that broke off."""
    return dataclasses.replace(whole(*lines, size=total), part=Part(0, end, total), size=end + 1)


def planned(parts: tuple[Entry, ...], *lines: str, method: str = "GET") -> Plan:
    found = plan(get(*lines, method=method), parts, NOW)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("lines", "length", "part"),
    [
        pytest.param(["Content-Range: bytes 0-9/100"], 10, Part(0, 9, 100), id="valid"),
        pytest.param(["Content-Range: bytes 0-9/100"], None, Part(0, 9, 100), id="length-unsaid"),
        pytest.param(["Content-Range: bytes 0-9/*"], 10, Part(0, 9, None), id="total-unsaid"),
        pytest.param(["Content-Range: bytes 0-9/100"], 11, None, id="too-much"),
        pytest.param(["Content-Range: bytes 0-9/100"], 8, Part(0, 7, 100), id="less"),
        pytest.param(["Content-Range: bytes 90-99/100"], 8, Part(90, 97, 98), id="less-at-the-end"),
        pytest.param(["Content-Range: bytes 0-9/100"], 0, None, id="nothing"),
        pytest.param(["Content-Range: bytes 0-9/9"], 10, None, id="beyond-the-total"),
        pytest.param(["Content-Range: bytes 9-0/100"], 10, None, id="backwards"),
        pytest.param(["Content-Range: items 0-9/100"], 10, None, id="other-unit"),
        pytest.param(["Content-Range: bytes */100"], 0, None, id="unsatisfied"),
        pytest.param(["Content-Range: bytes 0-9/100"] * 2, 10, None, id="twice"),
        pytest.param(["X: 1"], 10, None, id="none"),
        pytest.param(
            ["Content-Range: bytes 0-9/100", "Content-Type: Multipart/ByteRanges; boundary=x"],
            10,
            None,
            id="several",
        ),
    ],
)
def test_the_part_that_a_206_carries(lines: list[str], length: int | None, part: Part | None) -> None:
    stated = [] if length is None else [f"Content-Length: {length}"]
    assert part_of(head(*lines, *stated, status=206)) == part


def test_a_200_carries_no_part() -> None:
    assert part_of(head("Content-Range: bytes 0-9/100", "Content-Length: 10")) is None


@pytest.mark.parametrize(
    ("held", "start", "stop", "all_of_it"),
    [
        (stored(10, 19), 10, 20, True),
        (stored(10, 19), 12, 15, True),
        (stored(10, 19), 9, 20, False),
        (stored(10, 19), 10, 21, False),
        (whole(TAG), 0, 100, True),
        (whole(TAG), 0, 101, False),
    ],
)
def test_covers(held: Entry, start: int, stop: int, all_of_it: bool) -> None:
    assert covers(held, start, stop) is all_of_it


NEWEST = stored(0, 9)


@pytest.mark.parametrize(
    ("newest", "older", "combines"),
    [
        pytest.param(NEWEST, stored(10, 19, age=20), True, id="same-tag"),
        pytest.param(NEWEST, whole(TAG, age=20), True, id="with-a-whole"),
        pytest.param(NEWEST, stored(10, 19, age=20, total=None), True, id="total-unsaid"),
        pytest.param(NEWEST, stored(10, 19, 'ETag: "b"', age=20), False, id="other-tag"),
        pytest.param(NEWEST, stored(10, 19, "X: 1", age=20), False, id="no-tag"),
        pytest.param(NEWEST, stored(10, 19, age=20, total=99), False, id="other-total"),
        pytest.param(NEWEST, stored(90, 109, age=20, total=None), False, id="beyond-the-total"),
        pytest.param(
            NEWEST, stored(10, 19, TAG, "Content-Encoding: gzip", age=20), False, id="other-coding"
        ),
        pytest.param(
            stored(0, 9, 'ETag: W/"a"'), stored(10, 19, 'ETag: W/"a"', age=20), False, id="weak-tags"
        ),
        pytest.param(stored(0, 9, LM), stored(10, 19, LM, age=20), True, id="same-date"),
        pytest.param(
            stored(0, 9, LM),
            stored(10, 19, f"Last-Modified: {at(-3601)}", age=20),
            False,
            id="other-date",
        ),
        pytest.param(
            stored(0, 9, TAG, LM),
            stored(10, 19, TAG, f"Last-Modified: {at(-3601)}", age=20),
            False,
            id="same-tag-other-date",
        ),
        pytest.param(stored(0, 9, TAG, LM), stored(10, 19, age=20), True, id="date-left-out"),
        pytest.param(stored(0, 9, "X: 1"), stored(10, 19, "X: 1", age=20), False, id="no-validator"),
    ],
)
def test_what_combines_with_the_newest(newest: Entry, older: Entry, combines: bool) -> None:
    assert representation([older, newest]) == ((newest, older) if combines else (newest,))


def test_parts_that_agree_with_the_newest_have_to_agree_with_one_another() -> None:
    newest = stored(0, 9, total=None)
    larger, smaller = stored(10, 19, age=20), stored(20, 29, age=30, total=50)
    assert representation([smaller, larger, newest]) == (newest, larger)


def test_nothing_is_a_representation_of_nothing() -> None:
    assert representation([]) == ()


def test_newer_fields_over_older_ones() -> None:
    older = stored(10, 19, TAG, "X: old", "Content-Type: text/plain", "Age: 5", "Content-MD5: x", age=20)
    newer = stored(0, 9, TAG, "X: 1", "X: 2", "Content-Length: 10")
    combined = combined_head((newer, older))
    assert combined.status == 200
    assert sorted(combined.headers) == sorted(
        fields("Content-Type: text/plain", f"Date: {at(-10)}", TAG, "X: 1", "X: 2")
    )


A, B, C = stored(0, 39, number=1), stored(30, 59, number=2), stored(80, 99, number=3)


@pytest.mark.parametrize(
    ("parts", "start", "stop", "expected"),
    [
        pytest.param([A], 0, 40, [(0, 40, A)], id="just-it"),
        pytest.param([A], 10, 20, [(10, 20, A)], id="inside"),
        pytest.param([A], 10, 50, [(10, 40, A), (40, 50, None)], id="end-missing"),
        pytest.param([B], 0, 40, [(0, 30, None), (30, 40, B)], id="start-missing"),
        pytest.param([C, B, A], 0, 60, [(0, 40, A), (40, 60, B)], id="overlapping"),
        pytest.param([C, B, A], 35, 36, [(35, 36, B)], id="the-one-that-reaches-furthest"),
        pytest.param(
            [A, B, C],
            0,
            100,
            [(0, 40, A), (40, 60, B), (60, 80, None), (80, 100, C)],
            id="hole",
        ),
        pytest.param([A, B, C], 60, 80, [(60, 80, None)], id="all-missing"),
        pytest.param([], 5, 9, [(5, 9, None)], id="no-parts"),
        pytest.param([A], 5, 5, [], id="nothing"),
        pytest.param([A, whole(TAG)], 0, 100, [(0, 100, whole(TAG))], id="the-whole"),
    ],
)
def test_segments(
    parts: list[Entry], start: int, stop: int, expected: list[tuple[int, int, Entry | None]]
) -> None:
    assert segments(parts, start, stop) == tuple(Segment(*segment) for segment in expected)


def test_where_a_segment_lies_in_its_body() -> None:
    assert Segment(35, 50, B).in_body == (5, 20)
    assert Segment(35, 50, whole(TAG)).in_body == (35, 50)


SPANS = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda span: (min(span), max(span)))


@given(st.lists(SPANS, max_size=8), SPANS)
def test_segments_are_what_was_wanted_in_order(
    spans: list[tuple[int, int]], wanted: tuple[int, int]
) -> None:
    parts = [stored(*span, number=number) for number, span in enumerate(spans)]
    found = segments(parts, wanted[0], wanted[1] + 1)
    given_bytes = [byte for segment in found for byte in range(segment.start, segment.stop)]
    assert given_bytes == list(range(wanted[0], wanted[1] + 1))
    held = {byte for first, last in spans for byte in range(first, last + 1)}
    for segment in found:
        if segment.entry is None:
            assert held.isdisjoint(range(segment.start, segment.stop))
        else:
            assert covers(segment.entry, segment.start, segment.stop)
    # Two in a row of the same kind could have been one.
    kinds = [segment.entry.id if segment.entry else None for segment in found]
    assert all(before != after for before, after in pairwise(kinds))


@pytest.mark.parametrize(
    ("lines", "wanted", "spans"),
    [
        pytest.param([], WHOLE, [(0, 40, A), (40, 80, None), (80, 100, C)], id="whole"),
        pytest.param(["Range: bytes=0-9"], (Part(0, 9, 100),), [(0, 10, A)], id="inside"),
        pytest.param(["Range: bytes=-5"], (Part(95, 99, 100),), [(95, 100, C)], id="suffix"),
        pytest.param(
            ["Range: bytes=-30"], (Part(70, 99, 100),), [(70, 80, None), (80, 100, C)], id="missing"
        ),
        pytest.param(["Range: bytes=100-"], UNSATISFIABLE, [], id="outside"),
        pytest.param(
            ["Range: bytes=0-9", 'If-Range: "a"'], (Part(0, 9, 100),), [(0, 10, A)], id="if-range"
        ),
        pytest.param(
            ["Range: bytes=0-9", 'If-Range: "b"'],
            WHOLE,
            [(0, 40, A), (40, 80, None), (80, 100, C)],
            id="if-range-of-another",
        ),
        pytest.param(['If-None-Match: "a"'], WHOLE, [], id="not-modified"),
        pytest.param(
            ["Range: bytes=95-,0-3"], (Part(95, 99, 100), Part(0, 3, 100)), [(95, 100, C), (0, 4, A)],
            id="several",
        ),
    ],
)  # fmt: skip
def test_what_is_planned(
    lines: list[str],
    wanted: tuple[Part, ...] | object,
    spans: list[tuple[int, int, Entry | None]],
) -> None:
    found = planned((A, C), *lines)
    assert found.wanted == wanted
    assert found.segments == tuple(Segment(*span) for span in spans)
    assert found.total == 100


def test_a_head_needs_no_bytes_but_the_head_of_the_whole() -> None:
    found = planned((A, stored(40, 79), C), method="HEAD")
    assert (found.segments, found.total) == ((), 100)
    for parts in ((A,), (A, C), (stored(0, 9, total=None),)):
        assert plan(get(method="HEAD"), parts, NOW) is None


UNSAID = stored(10, 19, total=None)


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        pytest.param((), [], id="no-parts"),
        pytest.param((A,), ["Range: bytes=40-49"], id="nothing-of-it-is-stored"),
        pytest.param((stored(0, 9, "X: 1"),), [], id="missing-and-no-validator"),
        pytest.param((stored(0, 9, 'ETag: W/"a"'),), ["Range: bytes=0-10"], id="missing-and-weak"),
        pytest.param((UNSAID,), [], id="whole-of-unknown-length"),
        pytest.param((UNSAID,), ["Range: bytes=-5"], id="suffix-of-unknown-length"),
        pytest.param((UNSAID,), ["Range: bytes=10-"], id="open-end-of-unknown-length"),
        pytest.param((UNSAID,), ["Range: bytes=10-20"], id="more-of-unknown-length"),
        pytest.param((UNSAID,), ["Range: bytes=10-11,14-15"], id="several-of-unknown-length"),
        pytest.param((UNSAID,), ["Range: bytes=10-19", 'If-Range: "b"'], id="if-range"),
    ],
)
def test_parts_that_are_of_no_use(parts: tuple[Entry, ...], lines: list[str]) -> None:
    assert plan(get(*lines), parts, NOW) is None


def test_what_has_no_validator_is_used_alone() -> None:
    alone = stored(0, 9, "X: 1")
    assert planned((alone,), "Range: bytes=2-3").segments == (Segment(2, 4, alone),)


def test_a_stated_range_needs_no_total() -> None:
    found = planned((UNSAID,), "Range: bytes=10-12")
    assert found.wanted == (Part(10, 12, None),)
    assert found.segments == (Segment(10, 13, UNSAID),)


def test_a_beginning_that_broke_off_is_gone_on_with() -> None:
    begun = prefix(49, TAG)
    found = planned((begun,))
    assert found.segments == (Segment(0, 50, begun), Segment(50, 100, None))
    assert found.range_fields(found.missing[0]) == (("Range", "bytes=50-"), ("If-Range", '"a"'))


def test_the_middle_is_asked_for_with_its_end() -> None:
    found = planned((A, C))
    assert found.range_fields(found.missing[0]) == (("Range", "bytes=40-79"), ("If-Range", '"a"'))


@pytest.mark.parametrize(
    ("lines", "fits"),
    [
        pytest.param(["Content-Range: bytes 40-79/100", TAG], True, id="fits"),
        pytest.param(["Content-Range: bytes 40-59/100", TAG], True, id="less"),
        pytest.param(["Content-Range: bytes 40-79/*", TAG], True, id="total-unsaid"),
        pytest.param(["Content-Range: bytes 40-79/101", TAG], False, id="other-total"),
        pytest.param(["Content-Range: bytes 41-79/100", TAG], False, id="other-start"),
        pytest.param(["Content-Range: bytes 40-79/100", 'ETag: "b"'], False, id="other-tag"),
        pytest.param(["Content-Range: bytes 40-79/100", TAG, "Content-Type: a/b"], True, id="type-told"),
        pytest.param(
            ["Content-Range: bytes 40-79/100", TAG, "Content-Encoding: gzip"], False, id="other-coding"
        ),
        pytest.param([TAG], False, id="no-content-range"),
    ],
)
def test_whether_an_answer_completes(lines: list[str], fits: bool) -> None:
    found = planned((A, C))
    completing = found.completing_head(found.missing[0], head(*lines, status=206))
    assert (completing is not None) is fits


def test_what_an_answer_leaves_out_is_taken_from_the_parts() -> None:
    found = planned((stored(0, 39, LM, "Content-Type: text/plain", "Age: 7"),))
    answer = head("Content-Range: bytes 40-99/100", "X: 1", "Connection: close", status=206)
    completing = found.completing_head(found.missing[0], answer)
    assert completing is not None
    assert completing.status == 206
    assert sorted(completing.headers) == sorted(
        fields(
            LM, "Content-Type: text/plain", f"Date: {at(0)}", "X: 1", "Content-Range: bytes 40-99/100"
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arriving", "continues"),
    [
        pytest.param(stored(40, 79, age=0), True, id="just-it"),
        pytest.param(stored(30, 99, age=0), True, id="more"),
        pytest.param(stored(40, 41, age=0), True, id="the-beginning-of-it"),
        pytest.param(stored(41, 79, age=0), False, id="not-its-first-byte"),
        pytest.param(stored(40, 79, 'ETag: "b"', age=0), False, id="of-another"),
        pytest.param(stored(40, 79, 'ETag: "b"', age=99), False, id="of-an-older-one"),
    ],
)
def test_what_continues_a_plan(arriving: Entry, continues: bool) -> None:
    assert planned((A, C)).is_continued_by(arriving) is continues


def test_a_complete_plan_is_not_continued() -> None:
    assert not planned((A,), "Range: bytes=0-9").is_continued_by(stored(0, 9))


def test_a_newer_part_renews_the_others() -> None:
    renewed = planned((A, C)).renewed_by(stored(40, 79, TAG, "X: new", age=0, number=9))
    assert [(part.id, part.response_time, part.part) for part in renewed.parts] == [
        (1, NOW, A.part),
        (3, NOW, C.part),
    ]
    assert [segment.entry and segment.entry.id for segment in renewed.segments] == [1, None, 3]
    assert all(part.headers.get("x") == "new" for part in renewed.used)
    assert renewed.head.headers.get("x") == "new"
    assert renewed.head.headers.get("date") == at(0)
