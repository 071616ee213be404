"""The protocol of bodies: how an answer's bytes are read, wherever they come from."""

from __future__ import annotations

import errno
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, Self

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes of an open file, to be sent without passing through Python (sendfile)."""

    fd: int
    offset: int
    count: int

    def read(self) -> bytes:
        """The bytes of the slice, read into memory; raises OSError if the file ends before the slice."""
        return b"".join(self.blocks())

    def blocks(self) -> Iterator[bytes]:
        """The bytes of the slice, 1 MB at a time; raises OSError if the file ends before the slice."""
        offset, end = self.offset, self.offset + self.count
        while offset < end:
            block = os.pread(self.fd, min(_BLOCK, end - offset), offset)
            if not block:
                raise OSError(errno.EIO, f"the file was cut short to {offset} of {end} bytes")
            yield block
            offset += len(block)


Piece = bytes | FileSlice
"""A few bytes of a body, in memory or in a file."""


class WouldBlock(Exception):
    """The next piece of a body can only be taken by a thread that may wait for it."""


class Body(Protocol):
    """The bytes of one answer, piece by piece; used by one thread at a time.

    It holds its source (a file, a flight, a connection) until its end, an error, or `close`. The file of a
    FileSlice stays open until the next piece is taken, or the body is closed. Raises BrokenOff or another
    ProxyError if the body ends early.
    """

    def __iter__(self) -> Self:
        return self

    @abstractmethod
    def __next__(self) -> Piece:
        """The next piece; waits for it. Raises StopIteration at the end."""

    def take(self, _wake: Callable[[], None], /) -> Piece | None:
        """The next piece without waiting; None if it has not come yet.

        Then `wake` is called once, by any thread, when to try again. Raises StopIteration at the end, and
        WouldBlock if only `next` can get the piece.
        """
        raise WouldBlock

    def ready_piece(self) -> Piece | None:
        """The rest of the body if it is there as one piece that does not change; else None."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Release the source; may be called at any time, also more than once."""


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
"""The empty body."""


def in_blocks(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """The bytes of the pieces, files 1 MB at a time; raises OSError if a file was cut short."""
    for piece in pieces:
        if isinstance(piece, FileSlice):
            yield from piece.blocks()
        else:
            yield piece


def size_of(piece: Piece) -> int:
    """The number of bytes in the piece."""
    return piece.count if isinstance(piece, FileSlice) else len(piece)
