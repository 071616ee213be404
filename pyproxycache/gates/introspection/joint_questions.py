"""Equal questions that are asked at the same time are one question, whose answer all get."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.errors import TokenCheckFailed
from pyproxycache.gates.introspection.token_tally import NoteQuestion, unnoted
from pyproxycache.steps import Asks, Steps, until_there

T = TypeVar("T")

Wake = Callable[[], None]


class JointQuestion(Generic[T]):
    """A question that somebody asks, and others wait for the end of; an Awaited.

    When it `is_there`, `answer` or `error` is set, or none of them if who asked has given up.
    """

    def __init__(self) -> None:
        self.answer: T | None = None
        self.error: TokenCheckFailed | None = None
        self._changed = threading.Condition()
        self._is_over = False
        self._wakers: list[Wake] = []

    def is_there(self) -> bool:
        """Whether the question has ended."""
        with self._changed:
            return self._is_over

    def when_there(self, wake: Wake) -> bool:
        """Have `wake` called at the end; returns false if that has come already."""
        with self._changed:
            if not self._is_over:
                self._wakers.append(wake)
            return not self._is_over

    def forget(self, wake: Wake) -> None:
        """Do not call `wake` any more."""
        with self._changed:
            self._wakers = [one for one in self._wakers if one != wake]

    def wait(self) -> None:
        """Block until the question has ended."""
        with Blocking(), self._changed:
            self._changed.wait_for(lambda: self._is_over)

    def end(self) -> None:
        """Let all who wait go on."""
        with self._changed:
            self._is_over = True
            wakers, self._wakers = self._wakers, []
            self._changed.notify_all()
        for wake in wakers:
            wake()


class JointQuestions(Generic[T]):
    """Asks each question once at a time, by its key; safe to call from any number of threads.

    `note` is told of each that was asked to its end.
    """

    def __init__(self, note: NoteQuestion = unnoted) -> None:
        self._note = note
        self._lock = threading.Lock()
        self._asked: dict[bytes, JointQuestion[T]] = {}

    def answered(self, key: bytes, origin: str, ask: Callable[[], T]) -> Steps[T]:
        """The answer that `ask` gets of the origin, here or for an equal question.

        Raises what `ask` does, for all of them if that is TokenCheckFailed.
        """
        while True:
            with self._lock:
                other = self._asked.get(key)
                if other is None:
                    question = self._asked[key] = JointQuestion[T]()
            if other is None:
                return (yield from self._lead(key, question, origin, ask))
            yield from until_there(other)
            if other.error is not None:
                raise other.error.another()
            if other.answer is not None:
                return other.answer

    def _lead(self, key: bytes, question: JointQuestion[T], origin: str, ask: Callable[[], T]) -> Steps[T]:
        try:
            yield Asks(origin)
            began = clock.steady()
            try:
                question.answer = ask()
            except TokenCheckFailed as error:
                question.error = error
                self._note(clock.steady() - began, True)
                raise
            self._note(clock.steady() - began, False)
            return question.answer
        finally:
            with self._lock:
                del self._asked[key]
            question.end()
