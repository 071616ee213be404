"""The last bytes of a body whose file could not grow further, in memory until its readers have them."""

from __future__ import annotations

_LIMIT = 16 << 20
_LARGEST_PIECE = 256 << 10


class OverflowBuffer:
    """The bytes from the offset `file_end` on; those that all readers have read are dropped.

    Guarded by its flight. Offsets count from the start of the body.
    """

    def __init__(self, file_end: int) -> None:
        self.file_end = file_end
        self._start = file_end
        self._data = bytearray()
        self._closed = False

    def append(self, data: bytes) -> None:
        """Add the next bytes of the body."""
        self._data += data

    def has_room(self, slowest: int) -> bool:
        """Whether more fits, after what lies before the offset of the `slowest` reader was dropped."""
        passed = min(max(0, slowest - self._start), len(self._data))
        del self._data[:passed]
        self._start += passed
        return len(self._data) < _LIMIT

    def close(self) -> None:
        """Drop all bytes, so that no reader can begin here any more."""
        self._closed = True
        self._data.clear()

    def reaches_back_to(self, offset: int) -> bool:
        """Whether every byte from the offset on is there, in the file or here."""
        return not self._closed and (self._start == self.file_end or offset >= self._start)

    def read(self, offset: int, stop: int) -> bytes:
        """The bytes from the offset on, 256 KB at most, and none at or beyond `stop`."""
        begin = offset - self._start
        return bytes(self._data[begin : min(stop - self._start, begin + _LARGEST_PIECE)])
