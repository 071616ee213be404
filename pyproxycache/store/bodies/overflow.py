"""The last bytes of a body whose file could not grow further, in memory until its readers have them."""

from __future__ import annotations

_LIMIT = 16 << 20
_LARGEST_PIECE = 256 << 10


class OverflowBuffer:
    """Bytes from the offset `file_end` on; those that all readers have passed are let go of.

    Guarded by its flight. Offsets count from the start of the body.
    """

    def __init__(self, file_end: int) -> None:
        self.file_end = file_end
        self._start = file_end
        self._data = bytearray()
        self._closed = False

    def append(self, data: bytes) -> None:
        self._data += data

    def has_room(self, slowest: int) -> bool:
        """Whether more fits, after letting go of what lies before the offset of the slowest reader."""
        passed = min(max(0, slowest - self._start), len(self._data))
        del self._data[:passed]
        self._start += passed
        return len(self._data) < _LIMIT

    def close(self) -> None:
        """Drop all bytes: nobody reads them, and nobody can begin to."""
        self._closed = True
        self._data.clear()

    def reaches_back_to(self, offset: int) -> bool:
        """Whether a reader that begins at the offset finds every byte from there on."""
        return not self._closed and (self._start == self.file_end or offset >= self._start)

    def read(self, offset: int, stop: int) -> bytes:
        """Bytes from the offset on, as far as `stop` at most."""
        begin = offset - self._start
        return bytes(self._data[begin : min(stop - self._start, begin + _LARGEST_PIECE)])
