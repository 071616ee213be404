"""How far a spool was sent outlives who sends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxycache.report.events.progress import SendingProgress, unsent_bytes
from pyproxycache.report.events.spool import Spool
from pyproxycache.report.events.spool_reader import START, Position, SpoolReader

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


@pytest.fixture
def spooled(tmp_path: Path) -> Path:
    """A folder with three segments of some events each."""
    folder = tmp_path / "events"
    spool = Spool(folder, 16 << 10)
    assert spool.append([b"x" * 300] * 9) == 9
    return folder


def test_all_is_unsent_at_first_and_nothing_at_the_end(spooled: Path, tmp_path: Path) -> None:
    assert unsent_bytes(tmp_path / "none") == 0
    everything = sum(path.stat().st_size for path in spooled.glob("*.events"))
    assert unsent_bytes(spooled) == everything > 0
    progress, reader = SendingProgress(spooled / "progress", END), SpoolReader(spooled)
    left = [everything]
    while (reading := reader.read(progress.confirmed)).events:
        progress.confirm(reading.events[0][1])
        left.append(unsent_bytes(spooled))
    progress.close()
    assert left == sorted(left, reverse=True)
    assert (len(left), left[-1]) == (10, 0)


def test_of_unreadable_progress_all_may_be_unsent(spooled: Path) -> None:
    everything = unsent_bytes(spooled)
    for text in (b"", b"damaged"):
        (spooled / "progress").write_bytes(text)
        assert unsent_bytes(spooled) == everything
