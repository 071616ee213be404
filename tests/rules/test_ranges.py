"""Byte ranges: the part that is asked for, the head it is answered with, and how it goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import at, fields, head

from pyproxycache.messages import Headers, Part
from pyproxycache.rules.ranges import (
    UNSATISFIABLE,
    WHOLE,
    Unsatisfiable,
    Whole,
    continues,
    part_headers,
    requested_start,
    select_range,
    unsatisfiable_head,
)

LM = f"Last-Modified: {at(-3600)}"


@pytest.mark.parametrize(
    ("text", "total", "selected", "start"),
    [
        ("bytes=0-9", 100, Part(0, 9, 100), 0),
        ("bytes=10-", 100, Part(10, 99, 100), 10),
        ("bytes=-10", 100, Part(90, 99, 100), None),
        ("bytes=-1000", 100, Part(0, 99, 100), None),
        ("bytes=90-1000", 100, Part(90, 99, 100), 90),
        ("bytes=99-99", 100, Part(99, 99, 100), 99),
        ("Bytes = 0-9", 100, Part(0, 9, 100), 0),
        ("bytes=0-9,", 100, Part(0, 9, 100), 0),
        ("bytes=100-", 100, UNSATISFIABLE, 100),
        ("bytes=100-200", 100, UNSATISFIABLE, 100),
        ("bytes=-0", 100, UNSATISFIABLE, None),
        ("bytes=0-", 0, UNSATISFIABLE, 0),
        ("bytes=-5", 0, WHOLE, None),
        ("bytes=0-9", None, WHOLE, 0),
        ("bytes=0-9,20-29", 100, WHOLE, None),
        ("bytes=9-0", 100, WHOLE, None),
        ("bytes=-", 100, WHOLE, None),
        ("bytes=", 100, WHOLE, None),
        ("bytes=a-b", 100, WHOLE, None),
        ("bytes=0 - 9", 100, WHOLE, None),
        ("bytes=--5", 100, WHOLE, None),
        ("bytes=0-" + "9" * 5000, 100, WHOLE, None),
        ("bytes 0-9", 100, WHOLE, None),
        ("0-9", 100, WHOLE, None),
        ("items=0-9", 100, WHOLE, None),
        ("", 100, WHOLE, None),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_select_range(
    text: str, total: int | None, selected: Part | Whole | Unsatisfiable, start: int | None
) -> None:
    asked = fields(f"Range: {text}")
    assert select_range(asked, head(), total) == selected
    assert requested_start(asked) == start


def test_no_range_is_the_whole() -> None:
    assert select_range(Headers(), head(), 100) is WHOLE
    assert requested_start(Headers()) is None


@pytest.mark.parametrize("status", [203, 206, 301, 404])
def test_only_a_200_has_parts(status: int) -> None:
    assert select_range(fields("Range: bytes=0-9"), head(status=status), 100) is WHOLE


@pytest.mark.parametrize(
    ("condition", "stored", "holds"),
    [
        pytest.param('"a"', ['ETag: "a"'], True, id="same-tag"),
        pytest.param('"b"', ['ETag: "a"'], False, id="other-tag"),
        pytest.param('W/"a"', ['ETag: W/"a"'], False, id="weak-tags"),
        pytest.param('"a"', ['ETag: W/"a"'], False, id="weak-stored"),
        pytest.param('W/"a"', ['ETag: "a"'], False, id="weak-asked"),
        pytest.param('"a"', [LM], False, id="tag-and-no-tag"),
        pytest.param(at(-3600), [LM], True, id="same-date"),
        pytest.param(at(-3600), [LM, 'ETag: "a"'], True, id="same-date-beside-a-tag"),
        pytest.param(at(-3599), [LM], False, id="later-date"),
        pytest.param(at(-5), [f"Last-Modified: {at(-5)}"], False, id="date-not-strong"),
        pytest.param(at(-3600), ['ETag: "a"'], False, id="date-and-no-date"),
        pytest.param("", ['ETag: "a"'], False, id="empty"),
    ],
)
def test_if_range(condition: str, stored: list[str], holds: bool) -> None:
    asked = fields("Range: bytes=0-9", f"If-Range: {condition}")
    assert select_range(asked, head(*stored), 100) == (Part(0, 9, 100) if holds else WHOLE)


def test_part_headers() -> None:
    partial = part_headers(head("Content-Length: 100", "X: 1", date=None), Part(10, 19, 100))
    assert (partial.status, partial.reason) == (206, "Partial Content")
    assert partial.headers == fields("X: 1", "Content-Length: 10", "Content-Range: bytes 10-19/100")


def test_unsatisfiable_head() -> None:
    refused = unsatisfiable_head(100)
    assert refused.status == 416
    assert refused.headers == fields("Content-Range: bytes */100", "Content-Length: 0")


TAG = 'ETag: "a"'


@pytest.mark.parametrize(
    ("answer", "begun", "goes_on"),
    [
        pytest.param(
            ["Content-Range: bytes 50-99/100", TAG], [TAG, "Content-Length: 100"], True, id="fits"
        ),
        pytest.param(
            ["Content-Range: bytes 50-79/100", TAG], [TAG, "Content-Length: 100"], True, id="a-piece"
        ),
        pytest.param(
            ["Content-Range: bytes 50-99/*", TAG], [TAG, "Content-Length: 100"], True, id="length-unsaid"
        ),
        pytest.param(["Content-Range: bytes 50-99/100", TAG], [TAG], True, id="length-unknown"),
        pytest.param(
            ["Content-Range: bytes 50-100/101", TAG], [TAG, "Content-Length: 100"], False, id="length"
        ),
        pytest.param(["Content-Range: bytes 49-99/100", TAG], [TAG], False, id="starts-before"),
        pytest.param(["Content-Range: bytes 51-99/100", TAG], [TAG], False, id="starts-after"),
        pytest.param([TAG], [TAG], False, id="no-content-range"),
        pytest.param(["Content-Range: bytes 50-99/100", 'ETag: "b"'], [TAG], False, id="other-tag"),
        pytest.param(["Content-Range: bytes 50-99/100"], [TAG], False, id="tag-left-out"),
        pytest.param(
            ["Content-Range: bytes 50-99/100", 'ETag: W/"a"'], ['ETag: W/"a"'], False, id="weak-tag"
        ),
        pytest.param(["Content-Range: bytes 50-99/100", LM], [LM], True, id="same-date"),
        pytest.param(["Content-Range: bytes 50-99/100"], [LM], True, id="date-left-out"),
        pytest.param(
            ["Content-Range: bytes 50-99/100", f"Last-Modified: {at(-1800)}"], [LM], False, id="other-date"
        ),
        pytest.param(["Content-Range: bytes 50-99/100"], [], False, id="no-validator"),
    ],
)
def test_continues(answer: list[str], begun: list[str], goes_on: bool) -> None:
    assert continues(head(*answer, status=206), head(*begun), 50) is goes_on


def test_a_whole_answer_continues_nothing() -> None:
    assert not continues(head("Content-Range: bytes 50-99/100", TAG), head(TAG), 50)


@given(st.text() | st.text().map(lambda text: "bytes=" + text), st.text(), st.integers(0, 100))
def test_what_is_selected_lies_inside(text: str, condition: str, total: int) -> None:
    asked = Headers([("Range", text), *([("If-Range", condition)] if condition else [])])
    selected = select_range(asked, head(TAG), total)
    if isinstance(selected, Part):
        assert 0 <= selected.start <= selected.end < selected.total == total
        assert selected.length == selected.end - selected.start + 1


@given(st.integers(1, 1000), st.data())
def test_every_part_can_be_asked_for(total: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, total - 1))
    end = data.draw(st.integers(start, total - 1))
    part = Part(start, end, total)
    assert select_range(fields(f"Range: bytes={start}-{end}"), head(), total) == part
    if end == total - 1:
        assert select_range(fields(f"Range: bytes={start}-"), head(), total) == part
        assert select_range(fields(f"Range: bytes=-{part.length}"), head(), total) == part
