"""Equal questions at the same time are one; nobody waits for somebody who has given up."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pyproxycache.errors import TokenCheckFailed
from pyproxycache.gates.introspection.joint_questions import JointQuestion, JointQuestions
from pyproxycache.steps import Asks, Steps, finished


def never() -> str:
    raise AssertionError("it is asked already")


def first(questions: JointQuestions[str], key: bytes = b"a", ask: Callable[[], str] = never) -> Steps[str]:
    """The steps of a question that is about to be asked."""
    steps = questions.answered(key, "idp.test", ask)
    assert next(steps) == Asks("idp.test")
    return steps


def result(steps: Steps[str]) -> str:
    with pytest.raises(StopIteration) as stopped:
        next(steps)
    value: str = stopped.value.value
    return value


def test_others_get_the_answer_without_asking() -> None:
    questions = JointQuestions[str]()
    leading = first(questions, ask=lambda: "told")
    others = [questions.answered(b"a", "idp.test", never) for _ in range(3)]
    awaited = [next(one) for one in others]
    woken: list[int] = []
    for number, one in enumerate(awaited):
        assert isinstance(one, JointQuestion)
        assert one.when_there(lambda number=number: woken.append(number))  # type: ignore[misc]
    assert result(leading) == "told"
    assert woken == [0, 1, 2]
    assert [result(one) for one in others] == ["told"] * 3


def test_who_comes_later_asks_again() -> None:
    questions = JointQuestions[str]()
    assert finished(questions.answered(b"a", "idp.test", lambda: "1")) == "1"
    assert finished(questions.answered(b"a", "idp.test", lambda: "2")) == "2"


def test_other_questions_are_asked_apart() -> None:
    questions = JointQuestions[str]()
    first(questions, b"a")
    assert finished(questions.answered(b"b", "idp.test", lambda: "other")) == "other"


def test_a_failure_is_one_for_all_who_wait() -> None:
    def fail() -> str:
        raise TokenCheckFailed("down")

    questions = JointQuestions[str]()
    leading = first(questions, ask=fail)
    other = questions.answered(b"a", "idp.test", never)
    next(other)
    for steps in (leading, other):
        with pytest.raises(TokenCheckFailed, match="down"):
            next(steps)
    assert finished(questions.answered(b"a", "idp.test", lambda: "up")) == "up"


def test_if_who_asks_gives_up_another_one_asks() -> None:
    questions = JointQuestions[str]()
    leading = first(questions)
    others = [questions.answered(b"a", "idp.test", lambda: "told") for _ in range(2)]
    for one in others:
        next(one)
    leading.close()
    assert next(others[0]) == Asks("idp.test")
    assert isinstance(next(others[1]), JointQuestion)
    assert result(others[0]) == "told"
    assert result(others[1]) == "told"


def test_an_error_of_another_kind_is_only_that_of_who_asks() -> None:
    def fail() -> str:
        raise ZeroDivisionError

    questions = JointQuestions[str]()
    leading = first(questions, ask=fail)
    other = questions.answered(b"a", "idp.test", lambda: "told")
    next(other)
    with pytest.raises(ZeroDivisionError):
        next(leading)
    assert finished(other) == "told"


def test_who_is_told_to_forget_is_not_woken() -> None:
    question = JointQuestion[str]()
    woken: list[str] = []

    def wake() -> None:
        woken.append("forgotten")

    assert question.when_there(wake)
    assert question.when_there(lambda: woken.append("other"))
    question.forget(wake)
    question.end()
    assert woken == ["other"]
    assert not question.when_there(wake)


def test_a_hundred_threads_ask_once() -> None:
    questions = JointQuestions[str]()
    asked: list[int] = []
    answers: list[str] = []

    def ask() -> str:
        asked.append(1)
        return "told"

    leading = first(questions, ask=ask)
    others = [questions.answered(b"a", "idp.test", never) for _ in range(100)]
    for one in others:
        assert isinstance(next(one), JointQuestion)
    threads = [threading.Thread(target=lambda one=one: answers.append(finished(one))) for one in others]
    for thread in threads:
        thread.start()
    answers.append(result(leading))
    for thread in threads:
        thread.join(30)
    assert answers == ["told"] * 101
    assert asked == [1]


def test_each_question_that_came_to_an_end_is_told_once() -> None:
    told: list[bool] = []
    questions = JointQuestions[str](lambda seconds, has_failed: told.append(has_failed or seconds < 0))

    def fail() -> str:
        raise TokenCheckFailed("no")

    assert finished(questions.answered(b"a", "idp.test", lambda: "1")) == "1"
    leading, other = first(questions, ask=lambda: "2"), questions.answered(b"a", "idp.test", never)
    next(other)
    assert (result(leading), result(other)) == ("2", "2")
    with pytest.raises(TokenCheckFailed):
        finished(questions.answered(b"a", "idp.test", fail))
    left = first(questions)
    left.close()  # its client has gone before it was asked
    assert told == [False, False, True]
