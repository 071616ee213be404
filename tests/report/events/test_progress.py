"""How far a spool was sent outlives who sends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxycache.report.events.progress import SendingProgress
from pyproxycache.report.events.spool_reader import START, Position

END = Position(9, 99)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "progress"


def positions(path: Path) -> tuple[Position, Position]:
    progress = SendingProgress(path, END)
    progress.close()
    return progress.confirmed, progress.claimed


def test_at_first_nothing_has_been_sent(path: Path) -> None:
    assert positions(path) == (START, START)


def test_what_was_claimed_and_what_was_confirmed(path: Path) -> None:
    progress = SendingProgress(path, END)
    progress.claim(Position(1, 500))
    progress.confirm(Position(1, 200))
    assert positions(path) == (Position(1, 200), Position(1, 500))
    progress.claim(Position(1, 400))
    assert positions(path) == (Position(1, 200), Position(1, 500))
    progress.confirm(Position(2, 10))
    assert positions(path) == (Position(2, 10), Position(2, 10))
    progress.go_back(Position(2, 0))
    assert positions(path) == (Position(2, 0), Position(2, 10))
    progress.close()


def test_of_a_damaged_file_all_may_have_been_sent(path: Path) -> None:
    progress = SendingProgress(path, END)
    progress.claim(Position(1, 500))
    progress.close()
    text = path.read_bytes()
    for place in range(len(text) - 1):
        path.write_bytes(text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :])
        assert positions(path) == (START, END), place
    path.write_bytes(text[:-20])
    assert positions(path) == (START, END)
