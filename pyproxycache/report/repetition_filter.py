"""A limit for log messages that repeat."""

from __future__ import annotations

import logging

from pyproxycache import clock

_SECONDS = 10.0
_AT_ONCE = 3
_REASONS = 256

LIMITED = {"is_limited": True}
"""The `extra` of a message below a warning that is limited as a warning is, as clients can cause many."""


class RepetitionFilter(logging.Filter):
    """Lets at most three equal warnings or errors, or LIMITED messages, through in ten seconds.

    They are equal if message and last argument, usually an error, are. The next one that is let through
    says how many were dropped. Belongs to one handler, whose lock guards `_said`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # since when (monotonic), and how often

    def filter(self, record: logging.LogRecord) -> bool:
        is_limited = record.levelno >= logging.WARNING or hasattr(record, "is_limited")
        if not (is_limited and isinstance(record.args, tuple) and record.args):
            return True
        reason, now = (record.msg, str(record.args[-1])), clock.steady()
        since, count = self._said.get(reason, (now, 0))
        if now - since >= _SECONDS:
            if count > _AT_ONCE:
                record.msg = f"{record.msg} (and {count - _AT_ONCE} more like it before)"
            since, count = now, 0
        self._said.pop(reason, None)
        self._said[reason] = (since, count + 1)
        if len(self._said) > _REASONS:
            del self._said[next(iter(self._said))]
        return count < _AT_ONCE
