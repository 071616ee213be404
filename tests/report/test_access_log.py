"""The line that each request leaves."""

import os
from pathlib import Path

import pytest

from pyproxycache.outcome import Outcome, Result
from pyproxycache.report.access_log import AccessLog, line

STARTED = 1700000000.25


def outcome(key: str = "http://h/p") -> Outcome:
    return Outcome(
        result=Result.HIT,
        status=200,
        key=key,
        method="GET",
        client="192.0.2.7",
        started=STARTED,
        seconds=0.12345,
        bytes_sent=1024,
        bytes_received=5,
    )


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("http://h/p", "http://h/p"),
        ("http://h/p?token=s3cret", "http://h/p?…"),
        ("http://h/p?", "http://h/p?…"),
        ("/api/v1/health/", "/api/v1/health/"),
        ('http://h/"x"?"', "http://h/%22x%22?…"),
        ("", "-"),
    ],
)
def test_line(key: str, shown: str) -> None:
    assert line(outcome(key)) == f'192.0.2.7 2023-11-14T22:13:20Z "GET {shown}" 200 1024 0.123 hit'


def test_line_of_a_request_that_got_nowhere() -> None:
    assert line(Outcome(started=STARTED)) == ' 2023-11-14T22:13:20Z " -" 0 0 0.000 failed'


def test_lines_are_appended(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_text("before\n")
    for _ in range(2):
        AccessLog(str(file)).write(outcome())
    assert file.read_text() == f"before\n{line(outcome())}\n{line(outcome())}\n"


def test_log_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AccessLog(str(tmp_path / "none" / "access.log"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_full_disk_is_told_once_and_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    full = AccessLog("/dev/full")
    for _ in range(3):
        full.write(outcome())
    assert [record.message for record in caplog.records] == [
        "the access log cannot be written: No space left on device"
    ]
