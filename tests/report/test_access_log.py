"""Lines leave the request's path: queued, written in batches, counted where they cannot be."""

import os
import signal
import threading
from pathlib import Path

import pytest
from finished import finished

from pyproxycache.outcome import Outcome
from pyproxycache.report.access_log import AccessLog
from pyproxycache.report.formats import Format
from pyproxycache.report.sinks import LogFile, Unwritten

BY_KEY = Format(lambda *_values: "", lambda outcome, _query: outcome.key)


class Scripted:
    """A sink that can be held up, and fails while it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[int] = set()
        self.opened = 0
        self.failure: OSError | None = None
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()

    def open(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.opened += 1

    def write(self, lines: list[str]) -> None:
        self.threads.add(threading.get_ident())
        if lines:
            self.entered.release()
        assert self.free.wait(10)
        if self.failure is not None:
            raise Unwritten(self.failure, len(lines))
        self.batches.append(lines)

    def close(self) -> None:
        self.batches.append(["closed"])

    def lines(self) -> list[str]:
        return [line for batch in self.batches for line in batch]


def started(sink: Scripted, capacity: int = 100) -> AccessLog:
    return AccessLog(sink, BY_KEY, query=False, capacity=capacity)


def numbered(*numbers: int) -> list[Outcome]:
    return [finished(key=str(number)) for number in numbers]


def test_lines_are_written_by_another_thread_in_order() -> None:
    sink = Scripted()
    log = started(sink, 10_000)
    for outcome in numbered(*range(5000)):
        log.write([outcome])
    log.close(10)
    assert sink.lines() == [*map(str, range(5000)), "closed"]
    assert threading.get_ident() not in sink.threads
    assert len(sink.batches) < 500


def test_a_line_is_written_without_any_further_one() -> None:
    sink = Scripted()
    log = started(sink)
    log.write([finished(key="only")])
    assert sink.entered.acquire(timeout=5)
    log.close(10)
    assert sink.lines() == ["only", "closed"]


def test_no_request_waits_for_the_sink(caplog: pytest.LogCaptureFixture) -> None:
    sink = Scripted()
    sink.free.clear()
    log = started(sink, capacity=100)
    log.write([finished(key="held up")])
    assert sink.entered.acquire(timeout=5)
    for outcome in numbered(*range(250)):
        log.write([outcome])  # returns although the sink does not
    sink.free.set()
    assert sink.entered.acquire(timeout=5)
    log.write([finished(key="after")])
    log.close(10)
    assert sink.lines() == ["held up", *map(str, range(100)), "after", "closed"]
    assert [record.message for record in caplog.records] == [
        "the access log cannot be written: more than 100 lines are waiting",
        "the access log is written again; lines missing: 150",
    ]


def test_trouble_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    sink = Scripted()
    log = started(sink)
    log.write([finished(key="good")])
    assert sink.entered.acquire(timeout=5)
    sink.failure = OSError(28, "No space left on device")
    for attempt in range(3):
        log.write([finished(key=f"lost {attempt}")])
        assert sink.entered.acquire(timeout=5)
    log.close(10)
    assert sink.lines() == ["good", "closed"]
    assert [record.message for record in caplog.records] == [
        "the access log cannot be written: No space left on device",
        "the access log ends; lines missing: 3",
    ]


def test_a_place_that_comes_back_is_opened_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "logs" / "access.log"
    written = threading.Event()

    class Telling(LogFile):
        def write(self, lines: list[str]) -> None:
            try:
                super().write(lines)
            finally:
                if lines:
                    written.set()

    log = AccessLog(Telling(str(path)), BY_KEY, query=False)
    log.write([finished(key="lost")])
    assert written.wait(5)
    path.parent.mkdir()
    log.write([finished(key="kept")])
    log.close(10)
    assert path.read_text() == "kept\n"
    assert [record.message for record in caplog.records] == [
        "the access log cannot be written: No such file or directory",
        "the access log is written again; lines missing: 1",
    ]


def test_full_disk(caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog(LogFile("/dev/full"), BY_KEY, query=False)
    for outcome in numbered(1, 2, 3):
        log.write([outcome])
    log.close(10)
    assert [record.message for record in caplog.records] == [
        "the access log cannot be written: No space left on device",
        "the access log ends; lines missing: 3",
    ]


def test_renamed_while_threads_write(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(LogFile(str(path)), BY_KEY, query=False)
    writers = [
        threading.Thread(
            target=lambda start=start: [log.write([o]) for o in numbered(*range(start, start + 2000))]
        )
        for start in (0, 2000, 4000)
    ]
    for writer in writers:
        writer.start()
    for rotation in range(5):
        if path.exists():
            path.rename(tmp_path / f"access.log.{rotation}")
        log.reopen()
    for writer in writers:
        writer.join()
    log.close(10)
    text = "".join(file.read_text() for file in tmp_path.iterdir())
    assert sorted(map(int, text.splitlines())) == list(range(6000))


def test_a_signal_may_come_while_a_line_is_queued() -> None:
    """Its handler runs on the thread that writes, between any two of its steps."""
    sink = Scripted()
    log = started(sink, capacity=200_000)
    before = signal.signal(signal.SIGUSR1, lambda _sig, _frame: log.reopen())
    sender = threading.Thread(target=lambda: [os.kill(os.getpid(), signal.SIGUSR1) for _ in range(500)])
    try:
        sender.start()
        outcome, count = finished(key="x"), 0
        while sender.is_alive() or count < 1000:
            log.write([outcome])
            count += 1
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    log.close(10)
    assert sink.lines().count("x") == min(count, len(sink.lines()) - 1)
    assert sink.opened > 1


def test_close_does_not_wait_for_ever() -> None:
    sink = Scripted()
    sink.free.clear()
    log = started(sink)
    log.write([finished(key="held up")])
    assert sink.entered.acquire(timeout=5)
    log.close(0.05)
    assert sink.batches == []
    sink.free.set()
    log.close(10)
    assert sink.lines() == ["held up", "closed"]
