"""Waiting for what others do: threads, processes, the kernel."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(holds: Callable[[], Any], seconds: float = 30.0) -> None:
    """Return once it holds; AssertionError where it does not in so long."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
