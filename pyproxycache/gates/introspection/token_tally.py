"""What counts the requests whose tokens were looked at, and the questions that were asked for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

NoteQuestion = Callable[[float, bool], None]
"""Takes how many seconds a question took, and whether it has failed."""


def _nobody(_amount: int) -> None:
    """Nobody counts it."""


def unnoted(_seconds: float, _has_failed: bool) -> None:
    """Nobody wants to know of questions."""


@dataclass(frozen=True, slots=True)
class TokenTally:
    """Each is called with how many there were.

    A token is `valid` by what was found out for its request, or `remembered`. `failed` are requests whose
    token could not be checked.
    """

    valid: Callable[[int], None] = _nobody
    remembered: Callable[[int], None] = _nobody
    refused: Callable[[int], None] = _nobody
    failed: Callable[[int], None] = _nobody


UNCOUNTED = TokenTally()
"""For nobody."""
