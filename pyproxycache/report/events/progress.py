"""How far a spool has been sent, in a file that outlives who sends."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from pyproxycache.report.events.spool_reader import START, Position, SpoolReader

_LONGEST = 256
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class SendingProgress:
    """All before `confirmed` has been delivered; all behind `claimed` has never been sent.

    What is between them may have been delivered. Who sends has the file for itself. With a file that
    cannot be read all may have been sent, up to `end`.
    """

    def __init__(self, path: Path, end: Position) -> None:
        """Read the file, which is made if there is none. Raises OSError."""
        self._fd = os.open(path, _FLAGS, 0o600)
        try:
            text = os.read(self._fd, _LONGEST)
            self.confirmed, self.claimed = _read(text) if text else (START, START)
        except ValueError:
            self.confirmed, self.claimed = START, end
        except BaseException:
            os.close(self._fd)
            raise

    def claim(self, end: Position) -> None:
        """Note that what is before `end` is about to be sent. Raises OSError."""
        if end > self.claimed:
            self._write(self.confirmed, end)

    def confirm(self, end: Position) -> None:
        """Note that what is before `end` has been delivered. Raises OSError."""
        self._write(end, max(end, self.claimed))

    def disclaim(self, end: Position) -> None:
        """Note that nothing behind `end` was sent after all. Raises OSError."""
        self._write(self.confirmed, end)

    def go_back(self, position: Position) -> None:
        """Send again what is behind the position. Raises OSError."""
        self._write(position, self.claimed)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self, confirmed: Position, claimed: Position) -> None:
        # Always of one length, by one call: a killed process leaves the one or the other.
        numbers = b"%010d %020d %010d %020d" % (*confirmed, *claimed)
        os.pwrite(self._fd, b"%08x %b\n" % (zlib.crc32(numbers), numbers), 0)
        self.confirmed, self.claimed = confirmed, claimed


def unsent_bytes(folder: Path) -> int:
    """How many bytes of the spool in this folder are not confirmed yet; raises OSError."""
    confirmed = START
    try:
        with (folder / "progress").open("rb", buffering=0) as file:
            text = file.read(_LONGEST)
        if text:
            confirmed, _claimed = _read(text)
    except (FileNotFoundError, ValueError):
        pass  # nothing was sent yet, or nobody knows what was
    return SpoolReader(folder).size_behind(confirmed)


def _read(text: bytes) -> tuple[Position, Position]:
    """Confirmed and claimed; raises ValueError if the text is damaged."""
    checksum, _blank, numbers = text.rstrip(b"\n").partition(b" ")
    if int(checksum, 16) != zlib.crc32(numbers):
        raise ValueError("the checksum is another one")
    first, second, third, fourth = map(int, numbers.split(b" "))
    return Position(first, second), Position(third, fourth)
