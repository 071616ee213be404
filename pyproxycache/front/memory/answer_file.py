"""Bodies that memory keeps in their files, which stay open."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache.body import Body, FileSlice, Piece
from pyproxycache.front.loop.answer_writer import is_in_memory
from pyproxycache.net.closing import close_file


class AnswerFile:
    """Bytes of a blob's file, which stays open for as long as somebody refers to this."""

    def __init__(self, fd: int, offset: int, count: int) -> None:
        """The object owns the descriptor from then on."""
        self.fd = fd
        self.offset, self.count = offset, count

    def is_in_memory(self) -> bool:
        """Whether its first bytes can be sent without waiting for the disk, if that can be told."""
        return is_in_memory(self.fd, self.offset, self.offset + self.count)

    def __del__(self) -> None:
        close_file(self.fd)


class FileBody(Body):
    """The bytes of an AnswerFile as a body, in one piece."""

    def __init__(self, file: AnswerFile) -> None:
        self._file = file
        self._is_given = False

    def __next__(self) -> Piece:
        if self._is_given:
            raise StopIteration
        self._is_given = True
        return self.ready_piece()

    def take(self, _wake: Callable[[], None], /) -> Piece | None:
        return next(self)

    def ready_piece(self) -> FileSlice:
        return FileSlice(self._file.fd, self._file.offset, self._file.count)

    def close(self) -> None:
        """Release nothing: the file closes when nobody refers to it any more."""
