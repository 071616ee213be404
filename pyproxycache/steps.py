"""Steps: requests are answered in steps, between which they wait without holding a thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


class Awaited(Protocol):
    """The protocol of what a request may have to wait for, such as the head of a flight."""

    def is_there(self) -> bool:
        """Whether it has come, so that nobody needs to wait."""

    def when_there(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called once, by any thread, when it may have come.

        Returns false if it has come already; then `wake` is not called.
        """

    def forget(self, wake: Callable[[], None]) -> None:
        """Do not call a `wake` that was given to when_there() any more."""

    def wait(self) -> None:
        """Block until it has come."""


@dataclass(frozen=True, slots=True)
class Asks:
    """Tells that the next step asks this origin, which may take long.

    `origin` is the authority: host, and port unless it is the default.
    """

    origin: str


Steps = Generator[Awaited | Asks, None, T]
"""A generator that yields what it has to wait for, is resumed in any thread, and returns a T."""


def until_there(awaited: Awaited) -> Steps[None]:
    """Steps that wait until it has come."""
    while not awaited.is_there():
        yield awaited


def at_once(work: Callable[[], T]) -> Steps[T]:
    """Steps that do the work without waiting for anything, and return its result."""
    yield from ()
    return work()


def finished(steps: Steps[T]) -> T:
    """Run the steps to their end, blocking where they wait, and return their result."""
    try:
        while True:
            awaited = next(steps)
            if not isinstance(awaited, Asks):
                awaited.wait()
    except StopIteration as done:
        result: T = done.value
        return result
