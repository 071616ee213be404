"""Metrics: what workers count is summed, and no series is more than can be bounded."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import count

import pytest

from pyproxycache.errors import StoreError
from pyproxycache.report.metrics.board import Board
from pyproxycache.report.metrics.family import Family, Kind, Series
from pyproxycache.report.metrics.metrics import OTHER, WORKERS, Metrics, single

COUNT = Family("t_count", "Counts.", labels=("a",))
LEVEL = Family("t_level", "A level.", Kind.GAUGE, ("a",))
SIZES = Family("t_sizes", "Sizes.", Kind.HISTOGRAM, ("a",), (1.0, 10.0))
FAMILIES = (COUNT, LEVEL, SIZES)


class Workers:
    """Workers of one board, in this process."""

    def __init__(self, sheets: int = 8) -> None:
        self.board = Board(sheets)

    def start(self, name: str, *families: Family) -> Metrics:
        self.board.deal(name)
        metrics = Metrics(self.board)
        metrics.declare(*(families or FAMILIES))
        return metrics

    def end(self, name: str) -> None:
        self.board.collect(name)


def looked(metrics: Metrics, family: Family) -> dict[tuple[str, ...], tuple[float, ...]]:
    found = {one.name: series for one, series in metrics.look()}
    return {one.labels: one.numbers for one in found.get(family.name, [])}


def all_of(works: Sequence[Callable[[], None]]) -> None:
    """Do all of these at the same time."""
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_all_workers_are_summed_whoever_is_asked() -> None:
    workers = Workers()
    first, second = workers.start("a"), workers.start("b")
    for metrics, amount in ((first, 1), (second, 2)):
        metrics.add(COUNT, amount, "x")
        metrics.put(LEVEL, amount, "x")
        metrics.observe(SIZES, 5.0 * amount, "x")
    for metrics in (first, second):
        assert looked(metrics, COUNT) == {("x",): (3.0,)}
        assert looked(metrics, LEVEL) == {("x",): (3.0,)}
        assert looked(metrics, SIZES) == {("x",): (15.0, 0.0, 2.0, 0.0)}
        assert looked(metrics, WORKERS) == {(): (2.0,)}


def test_who_has_ended_is_in_counts_and_in_no_gauge() -> None:
    workers = Workers()
    first, second = workers.start("a"), workers.start("b")
    for metrics in (first, second):
        metrics.add(COUNT, 1, "x")
        metrics.put(LEVEL, 1, "x")
    workers.end("a")
    assert looked(second, COUNT) == {("x",): (2.0,)}
    assert looked(second, LEVEL) == {("x",): (1.0,)}
    assert looked(second, WORKERS) == {(): (1.0,)}


def test_a_gauge_of_what_there_is_no_more_is_left_out() -> None:
    """A member that has left a pool with a reload would count as one that is out for good."""
    workers = Workers()
    workers.start("a").put(LEVEL, 1, "gone")
    workers.end("a")
    after = workers.start("b")  # on the same sheet
    after.put(LEVEL, 0, "there")
    assert looked(after, LEVEL) == {("there",): (0.0,)}


def test_a_family_that_a_worker_does_not_know_is_not_shown_by_it() -> None:
    workers = Workers()
    workers.start("a").add(COUNT, 1, "x")
    assert looked(workers.start("b", LEVEL), COUNT) == {}


def test_a_family_that_has_changed_its_size_is_counted_anew() -> None:
    workers = Workers()
    workers.start("a").observe(SIZES, 5.0, "x")
    workers.end("a")
    other = Family(SIZES.name, SIZES.help, Kind.HISTOGRAM, ("a",), (1.0, 2.0, 3.0))
    after = workers.start("b", other)
    after.observe(other, 2.0, "x")
    assert looked(after, other) == {("x",): (2.0, 0.0, 1.0, 0.0, 0.0)}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, (0.0, 1.0, 0.0, 0.0)),
        (1.0, (1.0, 1.0, 0.0, 0.0)),
        (1.5, (1.5, 0.0, 1.0, 0.0)),
        (10.0, (10.0, 0.0, 1.0, 0.0)),
        (99.0, (99.0, 0.0, 0.0, 1.0)),
    ],
)
def test_a_value_is_in_the_first_bucket_that_takes_it(value: float, expected: tuple[float, ...]) -> None:
    metrics = Metrics()
    metrics.declare(SIZES)
    metrics.observe(SIZES, value, "x")
    assert looked(metrics, SIZES) == {("x",): expected}


def test_of_too_many_series_the_rest_is_one() -> None:
    metrics = Metrics()
    metrics.declare(*FAMILIES)
    for number in range(2500):
        metrics.add(COUNT, 1, str(number))
    metrics.add(LEVEL, 1, "x")
    found = looked(metrics, COUNT)
    assert len(found) == 2001
    assert found[OTHER,] == (500.0,)
    assert found["0",] == (1.0,)
    assert looked(metrics, LEVEL) == {("x",): (1.0,)}


def test_where_a_sheet_is_full_nothing_fails_and_what_is_known_goes_on() -> None:
    metrics = Metrics()
    metrics.declare(*FAMILIES)
    for number in range(1500):
        metrics.add(COUNT, 1, f"{number}" + "x" * 2000)
    metrics.add(COUNT, 1, "0" + "x" * 2000)
    metrics.observe(SIZES, 100.0, "late" + "x" * 3000)
    found = looked(metrics, COUNT)
    assert 500 < len(found) < 1500
    assert found["0" + "x" * 2000,] == (2.0,)
    assert looked(metrics, SIZES) == {}


def test_a_counter_is_there_once_something_was_added() -> None:
    """Of thousands of routes, each with limits, many are never asked for."""
    metrics = Metrics()
    metrics.declare(COUNT)
    add = metrics.counter(COUNT, "x")
    assert looked(metrics, COUNT) == {}
    add(0)
    assert looked(metrics, COUNT) == {("x",): (0.0,)}
    add(2)
    add(3)
    assert looked(metrics, COUNT) == {("x",): (5.0,)}


def test_what_one_thread_counts_without_a_lock_is_summed_with_what_others_count() -> None:
    workers = Workers()
    for name in ("a", "b", "c"):
        metrics = workers.start(name)
        locked = metrics.counter(COUNT, "x")
        lone, another = metrics.lone_counter(COUNT, "x"), metrics.lone_counter(COUNT, "x")

        def by_one(lone: Callable[[int], None] = lone, another: Callable[[int], None] = another) -> None:
            for _ in range(5000):
                lone(1)
                another(2)

        def by_others(locked: Callable[[int], None] = locked) -> None:
            for _ in range(5000):
                locked(1)

        all_of([by_one, by_others, by_others])
        if name == "a":
            workers.end(name)  # "b" goes on with its sheet
    assert looked(metrics, COUNT) == {("x",): (3 * 5 * 5000.0,)}
    assert (
        len([one for sheet in workers.board.sheets() for one in sheet.series() if one.name == COUNT.name])
        == 4
    )


def test_no_count_of_any_thread_is_lost() -> None:
    metrics = Metrics()
    metrics.declare(*FAMILIES)
    add = metrics.counter(COUNT, "x")

    def work() -> None:
        for _ in range(5000):
            add(1)
            metrics.add(COUNT, 1, "y")
            metrics.observe(SIZES, 1.0, "x")

    all_of([work] * 4)
    assert looked(metrics, COUNT) == {("x",): (20_000.0,), ("y",): (20_000.0,)}
    assert looked(metrics, SIZES)["x",] == (20_000.0, 20_000.0, 0.0, 0.0)


def test_sources_tell_of_the_whole_server_at_each_look() -> None:
    metrics, asked = Metrics(), []

    def source() -> Iterable[Series]:
        asked.append(1)
        return [single(LEVEL, len(asked), "told")]

    metrics.tell(source)
    assert [looked(metrics, LEVEL) for _ in range(2)] == [{("told",): (1.0,)}, {("told",): (2.0,)}]


def test_many_look_at_the_same_time() -> None:
    """Families that only sources know came to be known while another thread went through all of them."""
    metrics, numbers, failed = Metrics(), count(), []
    metrics.declare(*(Family(f"t_known_{number}", "Known.") for number in range(2000)))
    metrics.tell(lambda: [single(Family(f"t_{next(numbers)}", "Told.", Kind.GAUGE), 1)])

    def look() -> None:
        try:
            for _ in range(50):
                metrics.look()
        except RuntimeError as error:
            failed.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        all_of([look] * 4)
    finally:
        sys.setswitchinterval(before)
    assert failed == []


def test_a_source_without_its_store_says_so() -> None:
    metrics = Metrics()

    def source() -> Iterable[Series]:
        raise StoreError("gone")

    metrics.tell(source)
    with pytest.raises(StoreError, match="gone"):
        metrics.look()
