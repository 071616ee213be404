"""What counts the requests that a limit has let in or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _nobody(_amount: int) -> None:
    """Nobody counts it."""


@dataclass(frozen=True, slots=True)
class LimitTally:
    """Each is called with how many there were; a request that a limit does not apply to is none of them."""

    admitted: Callable[[int], None] = _nobody
    refused: Callable[[int], None] = _nobody


UNCOUNTED = LimitTally()
"""For nobody."""
