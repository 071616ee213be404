"""A thread that says that it waits leaves its place, once, however many contexts say so."""

from __future__ import annotations

import threading

import pytest

from pyproxycache.blocking import Blocking, work_in


class Counted:
    """Places that count who leaves and who comes back."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def leave(self) -> None:
        self.told.append("leave")

    def come_back(self) -> None:
        self.told.append("back")


def told_by(work: object) -> list[str]:
    """What the places of a thread are told while it does this."""
    places = Counted()

    def run() -> None:
        work_in(places)
        work()  # type: ignore[operator]

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return places.told


def test_a_thread_leaves_its_place_while_it_waits() -> None:
    def waits_twice() -> None:
        with Blocking():
            pass
        with Blocking():
            pass

    assert told_by(waits_twice) == ["leave", "back"] * 2


def test_a_wait_within_a_wait_is_one() -> None:
    def waits() -> None:
        with Blocking():
            with Blocking():
                pass
            with Blocking():
                pass

    assert told_by(waits) == ["leave", "back"]


def test_a_wait_that_fails_ends_with_a_place() -> None:
    def fails() -> None:
        with pytest.raises(TimeoutError), Blocking():
            raise TimeoutError

    assert told_by(fails) == ["leave", "back"]


def test_a_thread_of_no_pool_just_waits() -> None:
    with Blocking():
        pass
