"""What threads want at the same time is done together, each gets its own result, and none is forgotten."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import until

from pyproxycache.store.bodies.batches import MOST, Batches


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * MOST) as made:
        yield made


def test_what_waits_is_done_in_one(pool: ThreadPoolExecutor) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[list[int]] = []

    def work(items: Sequence[int]) -> list[int | Exception]:
        seen.append(list(items))
        if len(seen) == 1:
            begun.set()
            assert go_on.wait(10)
        return [item * 10 for item in items]

    batches: Batches[int, int] = Batches(work)
    first = pool.submit(batches.do, 0)
    assert begun.wait(10)
    others = [pool.submit(batches.do, number) for number in range(1, 9)]
    until(lambda: batches.waiting == len(others))
    go_on.set()
    assert first.result(10) == 0
    assert [other.result(10) for other in others] == [number * 10 for number in range(1, 9)]
    assert seen[0] == [0]
    assert sorted(seen[1]) == list(range(1, 9))


def test_each_gets_its_own(pool: ThreadPoolExecutor) -> None:
    alone = threading.Lock()
    sizes: list[int] = []

    def work(items: Sequence[int]) -> list[int | Exception]:
        assert alone.acquire(blocking=False), "one works at a time"
        sizes.append(len(items))
        try:
            return [ValueError(item) if item % 7 == 0 else -item for item in items]
        finally:
            alone.release()

    batches: Batches[int, int] = Batches(work)

    def ask(item: int) -> None:
        if item % 7 == 0:
            with pytest.raises(ValueError, match=str(item)):
                batches.do(item)
        else:
            assert batches.do(item) == -item

    list(pool.map(ask, range(5000)))
    assert sum(sizes) == 5000
    assert max(sizes) <= MOST


def test_work_that_fails_fails_for_all_who_waited_for_it() -> None:
    def work(_items: Sequence[int]) -> list[int | Exception]:
        raise OSError("no")

    batches: Batches[int, int] = Batches(work)
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            batches.do(1)
