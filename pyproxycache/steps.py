"""What is done with a request in steps, between which it may wait for others without a thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


class Awaited(Protocol):
    """What a request may have to wait for."""

    def is_there(self) -> bool:
        """Whether nobody has to wait for it any more."""

    def when_there(self, wake: Callable[[], None]) -> bool:
        """Have this called once, by any thread, when it may be there; false where it is already."""

    def forget(self, wake: Callable[[], None]) -> None:
        """Do not call this any more."""

    def wait(self) -> None:
        """Return when it is there: for a thread that has nothing else to do."""


@dataclass(frozen=True, slots=True)
class Asks:
    """The next step asks this origin (host, and port where it is not the usual one), and may take long."""

    origin: str


Steps = Generator[Awaited | Asks, None, T]
"""Runs up to what has to be waited for, and goes on when it is there, in whichever thread; gives a T."""


def until_there(awaited: Awaited) -> Steps[None]:
    """Go on when it is there."""
    while not awaited.is_there():
        yield awaited


def finished(steps: Steps[T]) -> T:
    """What the steps come to, in a thread that may wait."""
    try:
        while True:
            awaited = next(steps)
            if not isinstance(awaited, Asks):
                awaited.wait()
    except StopIteration as done:
        result: T = done.value
        return result
