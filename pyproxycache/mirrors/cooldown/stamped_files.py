"""Since when files are there, for indexes that name a million of them: eight bytes for each."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from hashlib import blake2b

from pyproxycache.mirrors.documents.document_error import DocumentError

_BEGIN = 946_684_800.0  # the year 2000
_TIME_BITS = 26  # minutes, which last for 127 years
_UNKNOWN = (1 << _TIME_BITS) - 1
_NAME_BITS = 64 - _TIME_BITS
_FOLDERS = 256
_MOST = 3_000_000


class StampedFiles:
    """The files that an index names, with their times; `secret` makes names be found by none but their own.

    A number stands for a name and its time, so that the numbers of a name are side by side. Times are
    rounded up to minutes.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._numbers = tuple(array("Q") for _ in range(_FOLDERS))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, name: str, released: float | None) -> None:
        """Add a file, with the time since when it is there (seconds since the epoch); None: not told.

        Raises DocumentError where there are more than three million.
        """
        self._count += 1
        if self._count > _MOST:
            raise DocumentError(f"it names more than {_MOST} files")
        stamp = _UNKNOWN
        if released is not None and released >= _BEGIN:
            stamp = min(_UNKNOWN, math.ceil((released - _BEGIN) / 60))
        folder, number = self._place(name)
        folder.append(number | stamp)

    def seal(self) -> None:
        """Put all in order, once all are added."""
        for folder in self._numbers:
            folder[:] = array("Q", sorted(folder))

    def has(self, name: str) -> bool:
        """Whether the file is named."""
        return self._youngest(name) is not None

    def released(self, name: str) -> float | None:
        """Since when the file is there; None if that is not told. Of several times the last counts."""
        stamp = self._youngest(name)
        return None if stamp is None or stamp == _UNKNOWN else _BEGIN + 60.0 * stamp

    def _youngest(self, name: str) -> int | None:
        folder, number = self._place(name)
        behind = bisect_left(folder, number + _UNKNOWN + 1)
        if behind and folder[behind - 1] >= number:
            return folder[behind - 1] & _UNKNOWN
        return None

    def _place(self, name: str) -> tuple[array[int], int]:
        """Where the file's number is, and the lowest one that it may have."""
        digest = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8, key=self._secret).digest()
        number = int.from_bytes(digest[1:], "big") & ((1 << _NAME_BITS) - 1)
        return self._numbers[digest[0]], number << _TIME_BITS
