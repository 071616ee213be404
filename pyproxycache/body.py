"""Bodies of answers: what whoever sends one may ask of it, wherever its bytes are."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes of an open file, to be sent without passing through Python (sendfile)."""

    fd: int
    offset: int
    count: int

    def read(self) -> bytes:
        """The bytes themselves, for a receiver that cannot send from a file."""
        return os.pread(self.fd, self.count, self.offset)


Piece = bytes | FileSlice


class WouldBlock(Exception):
    """The next piece of a body is only to be had by a thread that may wait for it."""


class Body(Protocol):
    """The bytes of one answer, piece by piece; one thread at a time has it.

    It holds what it comes from (a file, a flight, a connection) until its end, an error, or `close`. The
    file of a FileSlice is open until the next piece is asked for, or the body is closed. That it ended
    short is told by BrokenOff or another ProxyError.
    """

    def __iter__(self) -> Self:
        return self

    @abstractmethod
    def __next__(self) -> Piece:
        """The next piece, which this thread may have to wait for."""

    def take(self, _wake: Callable[[], None], /) -> Piece | None:
        """The next piece, None where it is yet to come; this waits for nothing.

        Then `wake` is called, once and by any thread, when to ask again. Raises StopIteration at the end,
        and WouldBlock where only `next` can go on.
        """
        raise WouldBlock

    def ready_piece(self) -> Piece | None:
        """All that is left, where it is there as one piece that changes no more; None where it is not."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of what it comes from; may be called at any time, and more than once."""


class BytesBody(Body):
    """A body in memory, in one piece."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data

    def __next__(self) -> Piece:
        if not self._data:
            raise StopIteration
        data, self._data = self._data, b""
        return data

    def take(self, _wake: Callable[[], None], /) -> Piece | None:
        return next(self)

    def ready_piece(self) -> Piece:
        return self._data

    def close(self) -> None:
        self._data = b""


EMPTY = BytesBody()
"""The body of an answer that has none."""


def size_of(piece: Piece) -> int:
    """Bytes of the piece."""
    return piece.count if isinstance(piece, FileSlice) else len(piece)
