"""One client's body, which goes on from another source where the present one fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pyproxycache.body import Body, Piece, WouldBlock, size_of
from pyproxycache.errors import BrokenOff
from pyproxycache.store.values import Orphaned

_MOST_IN_VAIN = 5
"""Sources in a row that may turn out to have nothing, such as downloads that end at this moment."""


class Resume(Protocol):
    """Goes on with one client's body; `fetching` implements it, which is above this layer."""

    def note_given(self, piece: Piece) -> None:
        """Note that the client gets this piece next."""

    def go_on(self, offset: int) -> Body:
        """The rest of the body from the offset on, from a new source.

        Raises Orphaned if that has gone as well, BrokenOff or another ProxyError if there is none.
        """


class ResumedBody(Body):
    """One client's bytes from `offset` up to `stop` (None: to the end), from one source after the other.

    `offset` is where the next piece begins. The first source may be in hand already.
    """

    def __init__(self, resume: Resume, offset: int, stop: int | None, first: Body | None = None) -> None:
        self.offset = offset
        self._stop = stop
        self._resume = resume
        self._source = first
        self._in_vain = 0

    def __next__(self) -> Piece:
        while not self._is_at_its_end():
            try:
                if self._source is None:
                    self._source = self._resume.go_on(self.offset)
                return self._counted(next(self._source))
            except Orphaned:
                self._turn_away()
            except StopIteration:
                if self._stop is None:
                    break
                self._turn_away()
        self.close()
        raise StopIteration

    def take(self, wake: Callable[[], None], /) -> Piece | None:
        if self._is_at_its_end():
            self.close()
            raise StopIteration
        if self._source is None:
            raise WouldBlock
        try:
            piece = self._source.take(wake)
        except Orphaned as orphaned:
            self._turn_away()
            raise WouldBlock from orphaned
        except StopIteration as over:
            if self._stop is None:
                raise
            self._turn_away()
            raise WouldBlock from over
        return piece and self._counted(piece)

    def _is_at_its_end(self) -> bool:
        return self._stop is not None and self.offset >= self._stop

    def _counted(self, piece: Piece) -> Piece:
        self._resume.note_given(piece)
        self.offset += size_of(piece)
        self._in_vain = 0
        return piece

    def _turn_away(self) -> None:
        """Let go of a source that has nothing more; raises BrokenOff after too many in a row."""
        self.close()
        self._in_vain += 1
        if self._in_vain > _MOST_IN_VAIN:
            raise BrokenOff("those who had the bytes lost them too many times")

    def close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()
