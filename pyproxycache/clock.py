"""The only place that asks for the time; all else is told it, or asks here."""

from __future__ import annotations

import time

wall = time.time
"""What time it is: seconds since the epoch. Somebody may set the clock at any moment."""

steady = time.monotonic
"""Seconds that nobody sets, from some beginning; for durations."""


def since_boot() -> float:
    """The same, with the time that the machine was suspended: a clock that nobody sets agrees with it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
