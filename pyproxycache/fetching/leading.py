"""A flight that is led here, as a context: whatever happens in it, its body comes in or it ends."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from pyproxycache.fetching.transfers.giving_up import give_up_after
from pyproxycache.fetching.transfers.source import Source
from pyproxycache.messages import Request
from pyproxycache.rules.policy import UrlRules
from pyproxycache.store.ports import DownloadWriter, Flight

Start = Callable[[DownloadWriter, UrlRules, Request, Source], None]
"""Brings in a body that has begun, by the rules for its URL, and ends its flight."""


class Leading:
    """The lead of one flight, whose URL has these `rules`; belongs to one thread.

    Leaving it starts the body that has begun, else ends the flight: those who wait look again, or get
    the error that it is left by. Who is to read the flight joins it before, for from then on it may be over
    at any moment.
    """

    def __init__(self, writer: DownloadWriter, rules: UrlRules, start: Start) -> None:
        self.writer = writer
        self.rules = rules
        self._start = start
        self._begun: tuple[Request, Source] | None = None

    @property
    def flight(self) -> Flight:
        """The flight that is led."""
        return self.writer.flight

    def begin(self, request: Request, source: Source) -> None:
        """Have the body brought in from the source when the context is left; `request` was sent for it."""
        self._begun = request, source

    def is_left_for(self, reason: Callable[[], bool]) -> bool:
        """Leave the lead where there is that reason, or where looking for it fails; gives whether it is."""
        try:
            is_left = reason()
        except BaseException as error:
            self._end(error)
            raise
        if is_left:
            self._end(None)
        return is_left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        begun, self._begun = self._begun, None
        if begun is None:
            self._end(error)
            return
        try:
            self._start(self.writer, self.rules, *begun)
        except BaseException as failure:
            begun[1].exchange.close()
            self._end(failure)
            raise

    def _end(self, error: BaseException | None) -> None:
        if not self.writer.ended:
            give_up_after(self.writer, error)
