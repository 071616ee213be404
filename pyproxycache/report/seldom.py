"""What is said again and again for one reason is said a few times, and then seldom."""

from __future__ import annotations

import logging

from pyproxycache import clock

_SECONDS = 10.0
_AT_ONCE = 3
_REASONS = 256


class Seldom(logging.Filter):
    """Lets through three warnings or errors in ten seconds that say the same for the same reason.

    The reason is the last argument, an error as a rule. The next one that is let through tells how many
    were not. Belongs to one handler, whose lock guards it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int]] = {}  # since when, and how often

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or not isinstance(record.args, tuple) or not record.args:
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
