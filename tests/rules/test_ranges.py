"""Byte ranges: the parts that are asked for, the head they are answered with, and how it goes on."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import at, fields, head

from pyproxycache.messages import Headers, Part
from pyproxycache.rules.ranges import (
    UNSATISFIABLE,
    WHOLE,
    Selected,
    Unsatisfiable,
    Whole,
    continues,
    multipart_headers,
    part_headers,
    range_text,
    select_ranges,
    unsatisfiable_head,
)

LM = f"Last-Modified: {at(-3600)}"


def part(start: int, end: int, total: int = 100) -> tuple[Part]:
    return (Part(start, end, total),)


@pytest.mark.parametrize(
    ("text", "total", "selected"),
    [
        ("bytes=0-9", 100, part(0, 9)),
        ("bytes=10-", 100, part(10, 99)),
        ("bytes=-10", 100, part(90, 99)),
        ("bytes=-1000", 100, part(0, 99)),
        ("bytes=90-1000", 100, part(90, 99)),
        ("bytes=99-99", 100, part(99, 99)),
        ("Bytes = 0-9", 100, part(0, 9)),
        ("bytes=0-9,", 100, part(0, 9)),
        ("bytes=,,0-9", 100, part(0, 9)),
        ("bytes=000-0009", 100, part(0, 9)),
        ("bytes=0-" + "9" * 5000, 100, part(0, 99)),
        ("bytes=-" + "9" * 5000, 100, part(0, 99)),
        ("bytes=" + "0" * 5000 + "1-2", 100, part(1, 2)),
        ("bytes=100-", 100, UNSATISFIABLE),
        ("bytes=100-200", 100, UNSATISFIABLE),
        ("bytes=" + "9" * 5000 + "-", 100, UNSATISFIABLE),
        ("bytes=" + "9" * 5000 + "-" + "9" * 4999, 100, WHOLE),
        ("bytes=-0", 100, UNSATISFIABLE),
        ("bytes=0-", 0, UNSATISFIABLE),
        ("bytes=-5", 0, WHOLE),
        ("bytes=0-0,-5", 0, WHOLE),
        ("bytes=0-9", None, WHOLE),
        ("bytes=9-0", 100, WHOLE),
        ("bytes=-", 100, WHOLE),
        ("bytes=", 100, WHOLE),
        ("bytes=,", 100, WHOLE),
        ("bytes=a-b", 100, WHOLE),
        ("bytes=0x0-9", 100, WHOLE),
        ("bytes=\u0661-9", 100, WHOLE),
        ("bytes=0 - 9", 100, WHOLE),
        ("bytes=--5", 100, WHOLE),
        ("bytes=+1-5", 100, WHOLE),
        ('bytes="0-9"', 100, WHOLE),
        ("bytes 0-9", 100, WHOLE),
        ("0-9", 100, WHOLE),
        ("items=0-9", 100, WHOLE),
        ("bytes=0-9, bytes=20-29", 100, WHOLE),
        ("", 100, WHOLE),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_one_range(text: str, total: int | None, selected: Selected) -> None:
    assert select_ranges(fields(f"Range: {text}"), head(), total) == selected


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        pytest.param("0-9,500-509", [(0, 9), (500, 509)], id="apart"),
        pytest.param("500-509 , 0-9", [(500, 509), (0, 9)], id="in-the-order-asked-for"),
        pytest.param("0-9,-10", [(0, 9), (990, 999)], id="suffix"),
        pytest.param("500-600,601-999", [(500, 999)], id="adjacent"),
        pytest.param("500-700,601-999", [(500, 999)], id="overlapping"),
        pytest.param("0-999,1-1,2-2", [(0, 999)], id="inside"),
        pytest.param("0-,0-,0-,0-", [(0, 999)], id="the-same"),
        pytest.param("0-9,89-99", [(0, 99)], id="closer-than-a-part-costs"),
        pytest.param("0-9,90-99", [(0, 9), (90, 99)], id="not-so-close"),
        pytest.param("900-909,0-9,5-14", [(900, 909), (0, 14)], id="made-one-in-place"),
        pytest.param("5-14,900-909,0-9", [(0, 14), (900, 909)], id="in-the-first-place"),
        pytest.param("0-9,900-909,5-14", [(0, 14), (900, 909)], id="in-the-first-place-of-two"),
        pytest.param("0-9,200-209,400-409,5-399", [(0, 409)], id="chained"),
        pytest.param("0-9,1000-", [(0, 9)], id="one-left"),
        pytest.param("1000-,-0,2000-3000", UNSATISFIABLE, id="none-left"),
        pytest.param("0-9,9-0", WHOLE, id="one-invalid"),
        pytest.param("0-9,x", WHOLE, id="one-no-range"),
        pytest.param(",".join(["0-0"] * 64), [(0, 0)], id="many"),
        pytest.param(",".join(["0-0"] * 65), WHOLE, id="too-many"),
    ],
)
def test_several_ranges(text: str, selected: list[tuple[int, int]] | Whole | Unsatisfiable) -> None:
    expected = tuple(Part(*span, 1000) for span in selected) if isinstance(selected, list) else selected
    assert select_ranges(fields(f"Range: bytes={text}"), head(), 1000) == expected


def test_lines_of_the_field_make_no_valid_one() -> None:
    asked = fields("Range: bytes=0-9", "Range: bytes=20-29")
    assert select_ranges(asked, head(), 100) is WHOLE


def test_no_range_is_the_whole() -> None:
    assert select_ranges(Headers(), head(), 100) is WHOLE


@pytest.mark.parametrize("status", [203, 206, 301, 404])
def test_only_a_200_has_parts(status: int) -> None:
    assert select_ranges(fields("Range: bytes=0-9"), head(status=status), 100) is WHOLE


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
    assert select_ranges(asked, head(*stored), 100) == (part(0, 9) if holds else WHOLE)


def test_part_headers() -> None:
    whole = head("Content-Length: 100", "X: 1", "Content-Digest: sha-256=:AA==:", date=None)
    partial = part_headers(whole, Part(10, 19, 100))
    assert (partial.status, partial.reason) == (206, "Partial Content")
    assert partial.headers == fields("X: 1", "Content-Length: 10", "Content-Range: bytes 10-19/100")


def test_part_of_an_unknown_length() -> None:
    partial = part_headers(head(), Part(10, 19, None))
    assert partial.headers.get("content-range") == "bytes 10-19/*"


def test_multipart_headers() -> None:
    whole = head("Content-Length: 100", "Content-Type: text/plain", "X: 1", date=None)
    partial = multipart_headers(whole, "b", 300)
    assert partial.status == 206
    assert partial.headers == fields(
        "X: 1", "Content-Length: 300", "Content-Type: multipart/byteranges; boundary=b"
    )


@pytest.mark.parametrize(("start", "end", "text"), [(0, 9, "bytes=0-9"), (5, None, "bytes=5-")])
def test_range_text(start: int, end: int | None, text: str) -> None:
    assert range_text(start, end) == text


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
    selected = select_ranges(asked, head(TAG), total)
    if isinstance(selected, tuple):
        assert all(0 <= part.start <= part.end < part.total == total for part in selected)


@given(st.integers(1, 1000), st.data())
def test_every_part_can_be_asked_for(total: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, total - 1))
    end = data.draw(st.integers(start, total - 1))
    (asked_for,) = selected = part(start, end, total)
    assert select_ranges(fields(f"Range: bytes={start}-{end}"), head(), total) == selected
    if end == total - 1:
        assert select_ranges(fields(f"Range: bytes={start}-"), head(), total) == selected
        assert select_ranges(fields(f"Range: bytes=-{asked_for.length}"), head(), total) == selected


SPEC = st.tuples(st.integers(0, 3000), st.integers(0, 600)).map(lambda s: f"{s[0]}-{s[0] + s[1]}")


@given(st.lists(SPEC, min_size=1, max_size=64), st.integers(1, 3000))
def test_several_parts_are_what_was_asked_for_and_apart(specs: list[str], total: int) -> None:
    selected = select_ranges(fields(f"Range: bytes={','.join(specs)}"), head(), total)
    spans = [tuple(map(int, spec.split("-"))) for spec in specs]
    asked_for = {byte for first, last in spans for byte in range(first, min(last + 1, total))}
    if selected is UNSATISFIABLE:
        assert not asked_for
        return
    assert isinstance(selected, tuple)
    given_bytes = [byte for part in selected for byte in range(part.start, part.end + 1)]
    assert asked_for <= set(given_bytes)
    assert len(given_bytes) == len(set(given_bytes))
    ascending = sorted(selected, key=lambda part: part.start)
    assert all(after.start - before.end > 80 for before, after in pairwise(ascending))
    # Each begins and ends with a byte that was asked for.
    assert all({part.start, part.end} <= asked_for for part in selected)
    if len(selected) == len(specs):
        assert [part.start for part in selected] == [first for first, _last in spans]
