"""The only place that asks for the time; all else is told it, or asks here."""

from __future__ import annotations

import time


def wall() -> float:
    """What time it is: seconds since the epoch. Somebody may set the clock at any moment."""
    return time.time()


def steady() -> float:
    """Seconds that nobody sets, from some beginning; for durations."""
    return time.monotonic()


def since_boot() -> float:
    """The same, with the time that the machine was suspended: what a clock that is not set agrees with."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
