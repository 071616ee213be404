"""The metrics of a worker: what its parts count, and what they tell of the whole server."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

from pyproxycache.report.metrics.board import Board
from pyproxycache.report.metrics.family import Family, Kind, Series, Source
from pyproxycache.report.metrics.sheet import Noted, Sheet

_MOST_SERIES = 2000
_LARGEST = 64  # numbers of one series
OTHER = "other"
"""What labels say where a family has too many series to tell them apart."""

WORKERS = Family("pyproxycache_workers", "Worker processes that live.", Kind.GAUGE)


class Metrics:
    """Counts what the parts of a worker tell, and sums what all workers have counted.

    A part declares its families when it is built, so that each worker knows them; any thread may count.
    What is counted for each request is added to `numbers` by their `place`, with the `lock` held.
    """

    def __init__(self, board: Board | None = None) -> None:
        """Without a `board` the figures are those of this process alone."""
        if board is None:
            board = Board(1)
            board.deal(self)
        self._board = board
        self._sheet = board.take()
        self.numbers = self._sheet.numbers
        self.lock = threading.Lock()
        self._families: dict[str, Family] = {}
        self._sources: list[Source] = []
        self._places: dict[tuple[str, tuple[str, ...]], int] = {}
        self._counts: dict[str, int] = {}
        nowhere = self._sheet.place(Kind.HISTOGRAM, "", (), _LARGEST)
        assert nowhere is not None, "the sheet is empty"
        self._nowhere = nowhere
        self.declare(WORKERS)
        self.put(WORKERS, 1)

    def declare(self, *families: Family) -> None:
        """Make families known, whether they have series yet or not."""
        self._families.update((family.name, family) for family in families)

    def tell(self, source: Source) -> None:
        """Have the source asked at each look for what it knows of the whole server."""
        self._sources.append(source)

    def add(self, family: Family, amount: float, *labels: str) -> None:
        """Add to a counter."""
        with self.lock:
            self.numbers[self.place(family, *labels)] += amount

    def put(self, family: Family, value: float, *labels: str) -> None:
        """Set this worker's share of a gauge."""
        with self.lock:
            self.numbers[self.place(family, *labels)] = value

    def counter(self, family: Family, *labels: str) -> Callable[[int], None]:
        """What adds to one counter, for what counts often; it is there once something was added."""
        numbers, lock = self.numbers, self.lock
        place: int | None = None

        def add(amount: int) -> None:
            nonlocal place
            with lock:
                if place is None:
                    place = self.place(family, *labels)
                numbers[place] += amount

        return add

    def lone_counter(self, family: Family, *labels: str) -> Callable[[int], None]:
        """As `counter`, for one thread of the worker alone, which has numbers of its own and takes no lock.

        It may have several of these, also of one series.
        """
        numbers = self.numbers
        place: int | None = None

        def add(amount: int) -> None:
            nonlocal place
            if place is None:
                with self.lock:
                    place = self._place(family, labels, is_lone=True)
            numbers[place] += amount

        return add

    def observe(self, family: Family, value: float, *labels: str) -> None:
        """Count a value in a histogram."""
        with self.lock:
            place = self.place(family, *labels)
            self.numbers[place] += value
            self.numbers[place + 1 + bisect_left(family.buckets, value)] += 1

    def place(self, family: Family, *labels: str) -> int:
        """Where the numbers of the series begin; of one without room, where nobody reads them."""
        place = self._places.get((family.name, labels))
        if place is None:
            place = self._place(family, labels)
            if self._counts.get(family.name, 0) <= _MOST_SERIES:
                self._places[family.name, labels] = place
        return place

    def _place(self, family: Family, labels: tuple[str, ...], *, is_lone: bool = False) -> int:
        count = self._counts[family.name] = self._counts.get(family.name, 0) + 1
        if count > _MOST_SERIES:
            labels = (OTHER,) * len(labels)
        place = self._sheet.place(family.kind, family.name, labels, family.size, is_lone=is_lone)
        return self._nowhere if place is None else place

    def look(self) -> list[tuple[Family, list[Series]]]:
        """All families with the series of all workers, summed; raises StoreError as sources do."""
        families = dict(self._families)  # another thread may look, too, or declare some
        found: dict[str, dict[tuple[str, ...], list[float]]] = {name: {} for name in families}
        for one in self._noted(families):
            sums = found[one.family.name].setdefault(one.labels, [0.0] * one.family.size)
            for number, value in enumerate(one.numbers):
                sums[number] += value
        told = {
            name: [Series(families[name], labels, tuple(sums)) for labels, sums in one.items()]
            for name, one in found.items()
        }
        for source in tuple(self._sources):
            for one in source():
                told.setdefault(one.family.name, []).append(one)
                families.setdefault(one.family.name, one.family)
        return [(families[name], sorted(series, key=_labels)) for name, series in told.items()]

    def _noted(self, families: Mapping[str, Family]) -> Iterator[Series]:
        """The series in all sheets; the gauges without those of workers that have ended."""
        for sheet in self._board.sheets():
            for one in sheet.series():
                family = families.get(one.name)
                if family is None or (family.kind.value, family.size) != (one.kind, one.size):
                    continue  # of a part that this worker does not have
                numbers = tuple(sheet.numbers[one.first : one.first + one.size])
                if family.kind is not Kind.GAUGE or self._is_there(sheet, one, numbers):
                    yield Series(family, one.labels, numbers)

    def _is_there(self, sheet: Sheet, gauge: Noted, numbers: tuple[float, ...]) -> bool:
        """Whether a gauge is of something there is: that of what a reload took away is 0 for good."""
        return sheet.owner > 0 and (any(numbers) or (gauge.name, gauge.labels) in self._places)


def _labels(series: Series) -> tuple[str, ...]:
    return series.labels


def single(family: Family, value: float, *labels: str) -> Series:
    """The series of a counter or a gauge, whose value is that of the whole server."""
    return Series(family, labels, (float(value),))
