"""A sheet: numbers with their names beside them, in memory that outlives its writer."""

from __future__ import annotations

import pytest

from pyproxycache.report.metrics.family import Kind
from pyproxycache.report.metrics.sheet import Noted, Sheet

ROOM = 64 << 10


def sheet(room: int = ROOM) -> Sheet:
    made = Sheet(memoryview(bytearray(room)))
    made.take(7)
    return made


def test_an_unused_sheet_has_nothing() -> None:
    made = Sheet(memoryview(bytearray(ROOM)))
    assert (made.is_used, made.owner, list(made.series())) == (False, 0, [])


def test_who_has_it_is_noted_until_it_is_left() -> None:
    made = sheet()
    assert (made.is_used, made.owner) == (True, 7)
    made.leave()
    assert (made.is_used, made.owner) == (True, 0)


@pytest.mark.parametrize(
    ("name", "labels", "size"),
    [
        ("x", (), 1),
        ("x", ("",), 1),
        ("x", ("a", "", "b"), 3),
        ("a_long_name_of_a_series", ("/a/", "hit"), 17),
        ("x", ("straße", "\N{SNOWMAN}"), 1),
        ("x", ("a" * 5000,), 2),
    ],
)
def test_series_are_read_as_they_were_placed(name: str, labels: tuple[str, ...], size: int) -> None:
    made = sheet()
    before = made.place(Kind.COUNTER, "before", (), 1)
    place = made.place(Kind.HISTOGRAM, name, labels, size)
    after = made.place(Kind.COUNTER, "after", (), 1)
    assert None not in (before, place, after)
    assert list(made.series())[1] == Noted("histogram", name, labels, place or 0, size)
    assert [one.name for one in made.series()] == ["before", name, "after"]


def test_a_series_has_one_place_and_its_numbers_are_its_own() -> None:
    made = sheet()
    places = [made.place(Kind.HISTOGRAM, "x", (str(number),), 3) for number in range(50)]
    assert places == [made.place(Kind.HISTOGRAM, "x", (str(number),), 3) for number in range(50)]
    for number, place in enumerate(places):
        assert place is not None
        for at in range(3):
            made.numbers[place + at] = 10 * number + at
    for number, one in enumerate(made.series()):
        assert list(made.numbers[one.first : one.first + one.size]) == [10 * number + at for at in range(3)]


def test_labels_that_would_end_a_label_are_cleaned() -> None:
    made = sheet()
    made.place(Kind.COUNTER, "x", ("a\0b", "\ud800"), 1)
    assert [one.labels for one in made.series()] == [("ab", "?")]


def test_where_there_is_no_room_nothing_is_placed_and_nothing_is_lost() -> None:
    made = sheet(room=512)
    fitting = [made.place(Kind.COUNTER, "x", (str(number),), 1) for number in range(100)]
    kept = [place for place in fitting if place is not None]
    assert 0 < len(kept) < 100
    assert len(list(made.series())) == len(kept)
    assert made.place(Kind.COUNTER, "x", ("0",), 1) == fitting[0]


def test_the_next_worker_goes_on_with_counts_and_not_with_gauges() -> None:
    memory = memoryview(bytearray(ROOM))
    first = Sheet(memory)
    first.take(7)
    places = {kind: first.place(kind, kind.value, ("a",), 1) for kind in Kind}
    for place in places.values():
        first.numbers[place or 0] = 5.0
    first.leave()
    second = Sheet(memory)
    second.take(8)
    assert {kind: second.place(kind, kind.value, ("a",), 1) for kind in Kind} == places
    values = {one.kind: second.numbers[one.first] for one in second.series()}
    assert values == {"counter": 5.0, "gauge": 0.0, "histogram": 5.0}
