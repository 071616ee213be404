"""Files are closed at once, but for large ones that were removed: their end waits for the disk."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from waiting import until

from pyproxycache.net.closing import LARGE, close_file


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def opened(path: Path, size: int) -> int:
    path.touch()
    os.truncate(path, size)
    return os.open(path, os.O_RDONLY)


@pytest.mark.parametrize(("size", "removed"), [(10, True), (10, False), (LARGE, False), (LARGE - 1, True)])
def test_it_is_closed_at_once(tmp_path: Path, size: int, removed: bool) -> None:
    fd = opened(tmp_path / "file", size)
    if removed:
        (tmp_path / "file").unlink()
    close_file(fd)
    assert not is_open(fd)


def test_a_large_one_that_was_removed_is_closed_in_a_thread(tmp_path: Path) -> None:
    fd = opened(tmp_path / "file", LARGE)
    (tmp_path / "file").unlink()
    began: list[str] = []
    threading.setprofile(lambda *_event: began.append(threading.current_thread().name))
    try:
        close_file(fd)
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]
    until(lambda: not is_open(fd))
    until(lambda: "closing" in began)
