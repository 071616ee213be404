"""The numbers of one worker in memory that all workers share, each series with its name beside it."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from pyproxycache.report.metrics.family import Kind

_WORD = 8
_ENTRY = Struct("=II")  # bytes of the key, numbers
_USED, _OWNER = 0, 1  # words of the head
_HEAD = 8 * _WORD
_SEPARATOR = "\0"
_LONE = "+"  # behind the kind of numbers that one thread alone adds to


class Noted(NamedTuple):
    """A series as a sheet has it: the word that its numbers begin at, and how many they are."""

    kind: str
    name: str
    labels: tuple[str, ...]
    first: int
    size: int
    is_lone: bool = False


class Sheet:
    """The numbers of one worker, which writes them; all workers read them.

    A number is one aligned word, which is written at once. A series is whole before the head counts it in.
    """

    def __init__(self, memory: memoryview) -> None:
        self._bytes = memory
        self._words = memory.cast("Q")
        self.numbers = memory.cast("d")
        """All words as numbers; `place` says which of them are whose."""
        self._places: dict[tuple[bytes, int], int] = {}

    @property
    def is_used(self) -> bool:
        """Whether any worker has ever had the sheet."""
        return self._words[_USED] > 0

    @property
    def owner(self) -> int:
        """The process of the sheet's worker; 0 if that does not live."""
        return int(self._words[_OWNER])

    def take(self, owner: int) -> None:
        """Take the sheet for a new worker, which goes on with the counts of the one before."""
        self._words[_USED] = self._words[_USED] or _HEAD
        for one in self.series():
            self._places[_key(one.kind, one.name, one.labels, is_lone=one.is_lone), one.size] = one.first
            if one.kind == Kind.GAUGE.value:
                self.numbers[one.first] = 0.0
        self._words[_OWNER] = owner

    def leave(self) -> None:
        """Note that the sheet's worker has ended; its counts stay."""
        self._words[_OWNER] = 0

    def place(
        self, kind: Kind, name: str, labels: tuple[str, ...], count: int, *, is_lone: bool = False
    ) -> int | None:
        """The word at which the numbers of this series begin; None if there is no room for it.

        Those that one thread alone adds to are others than those of the same series that all do.
        """
        key = _key(kind.value, name, labels, is_lone=is_lone)
        found = self._places.get((key, count))
        if found is not None:
            return found
        start = self._words[_USED]
        first = start + _ENTRY.size + -(-len(key) // _WORD) * _WORD
        end = first + count * _WORD
        if end > len(self._bytes):
            return None
        _ENTRY.pack_into(self._bytes, start, len(key), count)
        self._bytes[start + _ENTRY.size : start + _ENTRY.size + len(key)] = key
        self._words[_USED] = end
        self._places[key, count] = first // _WORD
        return first // _WORD

    def series(self) -> Iterator[Noted]:
        """All series of the sheet."""
        at, end = _HEAD, self._words[_USED]
        while at < end:
            length, count = _ENTRY.unpack_from(self._bytes, at)
            at += _ENTRY.size
            kind, name, *labels = bytes(self._bytes[at : at + length]).decode().split(_SEPARATOR)
            at += -(-length // _WORD) * _WORD
            is_lone = kind.endswith(_LONE)
            yield Noted(kind.removesuffix(_LONE), name, tuple(labels), at // _WORD, count, is_lone)
            at += count * _WORD


def _key(kind: str, name: str, labels: tuple[str, ...], *, is_lone: bool = False) -> bytes:
    clean = (label.replace(_SEPARATOR, "") for label in labels)
    return _SEPARATOR.join((kind + _LONE * is_lone, name, *clean)).encode("utf-8", "replace")
