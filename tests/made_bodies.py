"""Bodies made of pieces, for what sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pyproxycache.body import Body, Piece


class Waited(Body):
    """Pieces that have to be waited for in a thread; closing it is noted."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.pieces: Iterator[Piece] = iter(pieces)
        self.is_closed = False

    def __next__(self) -> Piece:
        return next(self.pieces)

    def close(self) -> None:
        self.is_closed = True


class There(Waited):
    """Pieces that are there."""

    def take(self, _wake: Callable[[], None], /) -> Piece | None:
        return next(self)


def read(body: Body) -> bytes:
    """All of it, read as a thread that may wait does."""
    return b"".join(piece if isinstance(piece, bytes) else piece.read() for piece in body)
