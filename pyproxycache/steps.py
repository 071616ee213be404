"""Requests are answered in steps, between which they wait without holding a thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


class Awaited(Protocol):
    """Something that a request may have to wait for, such as the head of a flight."""

    def is_there(self) -> bool:
        """Whether it has come, so that no wait is needed."""

    def when_there(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called once, by any thread, when it may have come; false if it has come already."""

    def forget(self, wake: Callable[[], None]) -> None:
        """Take back a `wake` that was given to when_there()."""

    def wait(self) -> None:
        """Block until it has come."""


@dataclass(frozen=True, slots=True)
class Asks:
    """Says that the next step asks this origin (host, and port unless default), which may take long."""

    origin: str


Steps = Generator[Awaited | Asks, None, T]
"""A generator that yields what it has to wait for, is resumed in any thread, and returns a T."""


def until_there(awaited: Awaited) -> Steps[None]:
    """Steps that wait until it has come."""
    while not awaited.is_there():
        yield awaited


def at_once(work: Callable[[], T]) -> Steps[T]:
    """What comes to its end without waiting for anything."""
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
