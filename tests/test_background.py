"""Work that no request waits for goes on whatever fails in it."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter

import pytest

from pyproxycache.background import Background, tell_of_lost_threads
from pyproxycache.errors import StoreError

log = logging.getLogger("pyproxycache.test")


@pytest.mark.parametrize(
    ("error", "has_trace"),
    [
        (OSError(24, "Too many open files"), False),
        (sqlite3.OperationalError("disk I/O error"), False),
        (StoreError("no folder"), False),
        (ZeroDivisionError(), True),
        (MemoryError(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_is_survived_counted_and_said_once_a_minute(
    caplog: pytest.LogCaptureFixture, error: Exception, has_trace: bool
) -> None:
    counted: Counter[str] = Counter()
    background = Background("chores", log, counted.update)

    def step() -> None:
        raise error

    for _ in range(5):
        assert not background.attempt(step)
    assert background.attempt(lambda: None)
    assert counted == {"errors.chores": 5}
    (said,) = caplog.records
    assert "step failed: " in said.getMessage()
    assert bool(said.exc_info and said.exc_info[0]) is has_trace


def test_one_that_fails_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    background = Background("chores", log, lambda _: None)

    def first() -> None:
        raise OSError("first")

    def second() -> None:
        raise OSError("second")

    for _ in range(3):
        background.attempt(first)
        background.attempt(second)
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["first", "second"]


def test_a_thread_that_ends_by_an_error_is_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # as it was, behind the test
    tell_of_lost_threads(log)

    def fail() -> None:
        raise ZeroDivisionError

    thread = threading.Thread(target=fail, name="lost")
    thread.start()
    thread.join()
    (said,) = caplog.records
    assert said.getMessage() == "the thread lost ended by an error"
