"""Who reads the body of a flight: readers in this process, each at its offset, and followers elsewhere."""

from __future__ import annotations

from pyproxycache.store.bodies.overflow import OverflowBuffer


class Readers:
    """The readers of one flight; guarded by the flight's lock, which the caller holds.

    `given`: a reader of this process has bytes of the body as it is now. `is_closed`: nobody is admitted
    any more. Followers in other processes read the file by a descriptor of their own.
    """

    def __init__(self) -> None:
        self.given = False
        self.is_closed = False
        self._offsets: dict[int, int] = {}  # by the reader's number
        self._left_behind: set[int] = set()  # too slow for bytes that no file has room for
        self._here = 0  # readers that ever were in this process
        self._elsewhere = 0  # followers that ever opened the file in another process
        self._following = 0  # followers in other processes that are there now

    @property
    def are_there(self) -> bool:
        """Whether anybody reads or follows now."""
        return bool(self._offsets) or self._following > 0

    @property
    def are_here(self) -> bool:
        """Whether anybody in this process reads, and was not left behind."""
        return bool(self._offsets)

    @property
    def follow_elsewhere(self) -> bool:
        """Whether another process follows now."""
        return self._following > 0

    def may_have_bytes(self, size: int) -> bool:
        """Whether a client may have bytes of the body, of which `size` were published."""
        return self.given or (self._elsewhere > 0 and size > 0)

    def add(self, offset: int) -> int:
        """One more reader, which begins at the offset; gives its number."""
        self._here += 1
        self._offsets[self._here] = offset
        return self._here

    def move(self, number: int, offset: int) -> None:
        """Note how far a reader is."""
        if number not in self._left_behind:
            self._offsets[number] = offset

    def remove(self, number: int) -> None:
        """Forget a reader, which is done."""
        self._offsets.pop(number, None)
        self._left_behind.discard(number)

    def note_opened_elsewhere(self) -> None:
        """Note that another process got the file."""
        self._elsewhere += 1

    def follow(self, change: int) -> None:
        """Count followers in other processes that come (1) or go (-1)."""
        self._following += change

    def close_if_left(self) -> bool:
        """Admit nobody any more if there were readers and all have left; gives whether that is so."""
        self.is_closed = bool(self._here or self._elsewhere) and not self.are_there
        return self.is_closed

    def is_left_behind(self, number: int) -> bool:
        """Whether the reader was too slow, and gets no bytes beyond the file."""
        return number in self._left_behind

    def make_room(self, overflow: OverflowBuffer, size: int) -> bool:
        """Whether the buffer has room, for which the slowest readers are left behind if need be.

        They are not while even the fastest reader has not got all `size` bytes.
        """
        while not overflow.has_room(min(self._offsets.values())):
            if max(self._offsets.values()) < size:
                return False
            slowest = min(self._offsets, key=self._offsets.__getitem__)
            del self._offsets[slowest]
            self._left_behind.add(slowest)
        return True
