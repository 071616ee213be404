"""What the log says of a disk that has less room than the cache leaves free."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pyproxycache.options import Share
from pyproxycache.store.files.footprint import Disk
from pyproxycache.store.upkeep.disk_watch import DiskWatch

ROOM, SHORT, FULL = Disk(free=600, size=1000), Disk(free=400, size=1000), Disk(free=0, size=1000)
NO_FILES = Disk(free=600, size=1000, free_files=4, files=100)

NOTHING_STORED = "nothing more is stored: the disk of /c has"
SHORTAGE = f"{NOTHING_STORED} 400 B free, and the cache leaves 500 B free (store.reserve)"
AGAIN = "the disk of /c has room again"


@pytest.mark.parametrize(
    ("reserve", "disks", "said"),
    [
        (Share(percent=50), [ROOM, SHORT, SHORT], []),  # seconds 0, 6, 12: not for ten seconds yet
        (Share(percent=50), [SHORT, SHORT, ROOM], []),
        (Share(percent=50), [SHORT, SHORT, SHORT], [SHORTAGE]),
        (Share(percent=50), [SHORT, SHORT, SHORT, SHORT, FULL], [SHORTAGE]),
        (Share(percent=50), [SHORT, ROOM, SHORT, SHORT, ROOM], []),
        (Share(percent=50), [SHORT, SHORT, SHORT, ROOM, ROOM], [SHORTAGE, AGAIN]),
        (
            Share(percent=50),
            [*[SHORT] * 3, ROOM, *[SHORT] * 3],
            [SHORTAGE, AGAIN, SHORTAGE],
        ),
        (Share(percent=50), [SHORT, None, SHORT], [SHORTAGE]),
        (Share(size=601), [ROOM] * 3, [f"{NOTHING_STORED} 600 B free, and the cache leaves 601 B free"]),
        (Share(), [SHORT] * 3, []),
        (Share(), [FULL] * 3, [f"{NOTHING_STORED} 0 B free, and the cache leaves 0 B free"]),
        (
            Share(percent=5),
            [NO_FILES] * 3,
            [f"{NOTHING_STORED} 4 free files (inodes), and the cache leaves 5 of them free"],
        ),
    ],
)
def test_what_is_said(
    reserve: Share, disks: list[Disk | None], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is measured each six seconds; None: its folder cannot be."""
    measured = iter(disks)

    def measure(_folder: Path) -> Disk:
        disk = next(measured)
        if disk is None:
            raise FileNotFoundError
        return disk

    watch = DiskWatch(Path("/c"), reserve, measure)
    with caplog.at_level(logging.INFO, "pyproxycache.store"):
        for number in range(len(disks)):
            watch.look(100.0 + 6 * number)
    assert len(caplog.messages) == len(said)
    for message, beginning in zip(caplog.messages, said, strict=True):
        assert message.startswith(beginning)
