"""Which bytes a download leaves to others."""

from __future__ import annotations

import dataclasses

import pytest
from sample import at, entry

from pyproxycache.messages import Entry, Part
from pyproxycache.rules.extents import (
    Extent,
    are_of_one,
    as_part,
    comes_soon,
    extent_of,
    first_ahead,
    shortened,
)

MB = 1 << 20
TAG = 'ETag: "a"'


def part(start: int, stop: int, *lines: str, total: int | None = 100 * MB) -> Entry:
    spoken = f"Content-Range: bytes {start}-{stop - 1}/{'*' if total is None else total}"
    return dataclasses.replace(
        entry(*(lines or (TAG,)), spoken, status=206), part=Part(start, stop - 1, total)
    )


def whole(*lines: str, status: int = 200) -> Entry:
    return entry(*lines, status=status)


@pytest.mark.parametrize(
    ("known", "found"),
    [
        pytest.param(part(5, 9), Part(5, 8, 100 * MB), id="part"),
        pytest.param(part(5, 9, total=None), None, id="part-of-something-endless"),
        pytest.param(part(5, 9, 'ETag: W/"a"'), None, id="part-with-a-weak-tag"),
        pytest.param(
            part(5, 9, f"Last-Modified: {at(-3600)}"), Part(5, 8, 100 * MB), id="part-with-a-date"
        ),
        pytest.param(whole(TAG, "Content-Length: 9"), Part(0, 8, 9), id="whole"),
        pytest.param(whole(TAG), None, id="whole-without-length"),
        pytest.param(whole(TAG, "Content-Length: 0"), None, id="whole-of-nothing"),
        pytest.param(whole("Content-Length: 9"), None, id="whole-without-validator"),
        pytest.param(whole(TAG, "Content-Length: 9", status=404), None, id="error"),
    ],
)
def test_what_can_be_shared(known: Entry, found: Part | None) -> None:
    shared = as_part(known)
    assert (None if shared is None else shared.part) == found


@pytest.mark.parametrize(
    ("other", "together"),
    [
        (part(9, 20), True),
        (part(0, 20), True),
        (part(9, 20, 'ETag: "b"'), False),
        (part(9, 20, total=200 * MB), False),
        (dataclasses.replace(part(9, 20), vary=(("accept-language", "de"),)), False),
    ],
)
def test_what_is_of_one_representation(other: Entry, together: bool) -> None:
    assert are_of_one(part(0, 9), other) is together


@pytest.mark.parametrize(
    ("offset", "others", "found"),
    [
        pytest.param(0, [], None, id="nobody"),
        pytest.param(0, [(5, 9, 5)], 5 * MB, id="ahead"),
        pytest.param(0, [(7, 9, 7), (5, 6, 5)], 5 * MB, id="the-next-of-two"),
        pytest.param(5 * MB, [(5, 9, 5)], None, id="at-the-same-place-and-no-further"),
        pytest.param(5 * MB, [(5, 9, 6)], 5 * MB, id="further-already"),
        pytest.param(5 * MB, [(0, 9, 6)], 5 * MB, id="come-from-behind"),
        pytest.param(5 * MB, [(0, 9, 4)], None, id="behind"),
        pytest.param(5 * MB, [(0, 4, 4)], None, id="over"),
        pytest.param(0, [(5, 5.1, 5)], None, id="too-little-to-stop-for"),
    ],
)
def test_where_a_download_meets_others(
    offset: int, others: list[tuple[float, float, float]], found: int | None
) -> None:
    extents = [Extent(*(int(place * MB) for place in other)) for other in others]
    assert first_ahead(offset, extents) == found


@pytest.mark.parametrize(
    ("offset", "arrived", "seconds", "soon"),
    [
        pytest.param(3, 4, 9.0, True, id="there"),
        pytest.param(4, 0, 0.0, False, id="just-begun"),
        pytest.param(5, 4, 0.5, True, id="quick"),
        pytest.param(7, 4, 4.0, False, id="slow"),
        pytest.param(8, 4, 0.0, True, id="too-short-a-time-to-tell"),
        pytest.param(20, 4, 0.0, False, id="too-far-however-quick"),
    ],
)
@pytest.mark.parametrize("start", [0, 50])
def test_what_comes_sooner_than_by_asking(
    offset: int, arrived: int, seconds: float, soon: bool, start: int
) -> None:
    running = part(start * MB, 100 * MB)
    now = running.response_time + seconds
    assert comes_soon((start + offset) * MB, running, arrived * MB, now, 8 * MB) is soon


@pytest.mark.parametrize(
    ("fields", "soon"), [([], True), (["Accept-Ranges: none"], True), (["Accept-Ranges: bytes"], False)]
)
def test_a_whole_of_an_origin_that_may_know_no_ranges_is_waited_for(fields: list[str], soon: bool) -> None:
    running = whole(TAG, *fields)
    assert comes_soon(9 * MB, running, 2 * MB, running.response_time + 60, 8 * MB) is soon


def test_no_wait_where_none_is_allowed() -> None:
    running = part(0, 9 * MB)
    assert not comes_soon(MB + 1, running, MB, running.response_time, 0)


def test_a_part_that_ends_early_says_so() -> None:
    long = part(10, 30, TAG, "Content-Digest: sha-256=:AA==:", "Content-Length: 20", "X: 1", total=100)
    short = shortened(long, 5)
    assert short.part == Part(10, 14, 100)
    assert short.headers.get("content-range") == "bytes 10-14/100"
    assert short.headers.get("content-length") == "5"
    assert "content-digest" not in short.headers
    assert short.headers.get("x") == "1"
    assert extent_of(short, 5) == Extent(10, 15, 15)
