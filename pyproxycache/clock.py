"""The only module that asks the system for the time; all others get it as an argument, or from here."""

from __future__ import annotations

import time

wall = time.time
"""The wall clock in seconds since the epoch; it may be set forward or back at any moment."""

steady = time.monotonic
"""The monotonic clock in seconds from an arbitrary start; for durations and deadlines."""


worked = time.thread_time
"""Seconds that a core has worked for this thread."""


def since_boot() -> float:
    """Seconds since the machine was booted, time in suspension included.

    The difference to `wall` changes only when the wall clock is set.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
