"""Bodies of documents as clients are shown them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from pyproxycache.body import Body, Piece, in_blocks
from pyproxycache.errors import BrokenOff
from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.plain_pieces import plain_pieces

log = logging.getLogger("pyproxycache.mirrors")


class ShownBody(Body):
    """A document's body as it is shown; it is read by the thread that sends it, piece by piece."""

    def __init__(
        self, body: Body, coding: str, name: str, read: Callable[[Iterable[bytes]], Iterator[bytes]]
    ) -> None:
        self._body = body
        self._name = name
        self._shown: Iterator[bytes] = read(plain_pieces(in_blocks(body), coding))

    def __next__(self) -> Piece:
        try:
            return next(piece for piece in self._shown if piece)
        except DocumentError as error:
            log.warning("%s cannot be shown: %s", self._name, error)
            raise BrokenOff(f"the document is not what its ecosystem has: {error}") from error

    def whole(self, most: int) -> bytes | None:
        """All of it, and it is closed then; None if it has more than `most` bytes, or cannot be shown."""
        pieces, size = [], 0
        try:
            for piece in self._shown:
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    break
            else:
                self.close()
                return b"".join(pieces)
        except DocumentError as error:
            self._shown = chain(pieces, _failing(error))
        else:
            self._shown = chain(pieces, self._shown)
        return None

    def close(self) -> None:
        self._body.close()


def _failing(error: DocumentError) -> Iterator[bytes]:
    yield from ()
    raise error
