"""What is said again and again, and how often it gets into the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from pyproxycache.report.repetition_filter import LIMITED, RepetitionFilter


@pytest.fixture
def said() -> Iterator[tuple[logging.Logger, list[str]]]:
    """A log, and the lines it has got so far."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log, handler = logging.getLogger("test.seldom"), Lines()
    handler.addFilter(RepetitionFilter())
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield log, lines
    log.removeHandler(handler)


def test_the_same_for_the_same_reason(said: tuple[logging.Logger, list[str]]) -> None:
    log, lines = said
    for number in range(1000):
        log.warning("%s is not stored: %s", number, "the disk is full")
    assert lines == [f"{number} is not stored: the disk is full" for number in range(3)]
    log.warning("%s is not stored: %s", 1, "it is too large")
    log.warning("%s is not read: %s", 1, "the disk is full")
    assert len(lines) == 5


def test_what_has_no_reason_and_what_is_no_warning_is_said(said: tuple[logging.Logger, list[str]]) -> None:
    log, lines = said
    for _ in range(10):
        log.info("%s", "the same")
        log.error("the same")
    assert len(lines) == 20


def test_what_clients_can_cause_is_limited_though_it_is_no_warning(
    said: tuple[logging.Logger, list[str]],
) -> None:
    log, lines = said
    for number in range(100):
        log.info("no TLS with %s: %s", number, "garbage", extra=LIMITED)
    assert len(lines) == 3
    log.info("no TLS with %s: %s", 1, "too old", extra=LIMITED)
    assert len(lines) == 4


def test_many_reasons(said: tuple[logging.Logger, list[str]]) -> None:
    log, lines = said
    for number in range(10_000):
        log.warning("no: %s", number)
    assert len(lines) == 10_000
