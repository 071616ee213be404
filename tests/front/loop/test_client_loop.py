"""Connections are led from one activity to the next, whatever one of them does."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from split_streams import ScriptedStream

from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection


class Scripted(Activity):
    """Notes what it is asked for, as `name.step`; each step gives what `script` has for it, or itself."""

    def __init__(self, name: str, notes: list[str], deadline: float = 100.0, **script: object) -> None:
        super().__init__(deadline)
        self.is_between = False
        self._name = name
        self._notes = notes
        self._script = script

    @property
    def is_idle(self) -> bool:
        return self.is_between

    def _do(self, step: str) -> Activity:
        self._notes.append(f"{self._name}.{step}")
        found = self._script.get(step, self)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Activity)
        return found

    def begin(self) -> Activity:
        return self._do("begin")

    def end(self) -> None:
        self._do("end")

    def on_event(self, _event: int) -> Activity:
        return self._do("on_event")

    def advance(self) -> Activity:
        return self._do("advance")

    def woken(self) -> Activity:
        return self._do("woken")

    def expire(self) -> Activity:
        return self._do("expire")

    def break_off(self) -> Activity:
        return self._do("break_off")


class Loop(ClientLoop):
    """A loop without a poller."""

    def __init__(self) -> None:
        self.posted: deque[Callable[[], None]] = deque()
        super().__init__(self.posted.append, lambda _fd: None, 50.0)
        self._numbers: Iterator[int] = iter(range(1000))

    def with_activity(self, activity: Activity) -> ClientConnection:
        """A connection that begins with this."""
        connection = ClientConnection(ScriptedStream([], random.Random(1)), ("127.0.0.1", 1))
        connection.fd, connection.reading = next(self._numbers), activity
        self.add(connection)
        return connection


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_each_step_gives_the_next_activity(loop: Loop) -> None:
    notes: list[str] = []
    third = Scripted("third", notes)
    second = Scripted("second", notes, begin=third)
    connection = loop.with_activity(Scripted("first", notes, on_event=second))
    loop.on_event(connection, 1)
    assert notes == ["first.on_event", "first.end", "second.begin", "second.end", "third.begin"]
    assert connection.activity is third
    loop.on_event(connection, 1)
    assert notes[5:] == ["third.on_event"]


def test_the_last_activity_closes_the_connection(loop: Loop) -> None:
    notes: list[str] = []
    connection = loop.with_activity(Scripted("only", notes, on_event=CLOSED))
    wake = connection.wake
    loop.on_event(connection, 1)
    assert notes == ["only.on_event", "only.end"]
    assert (loop.connections, connection.is_open) == ({}, False)
    wake()  # which comes too late
    loop.posted.popleft()()
    loop.close(connection)
    assert notes == ["only.on_event", "only.end"]


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_step_that_fails_costs_no_other_connection_anything(loop: Loop, is_kept: bool) -> None:
    notes: list[str] = []
    script = {} if is_kept else {"break_off": CLOSED}
    failing = loop.with_activity(Scripted("bad", notes, expire=ValueError("bad"), deadline=10.0, **script))
    other = loop.with_activity(Scripted("good", notes, expire=CLOSED, deadline=10.0))
    loop.tick()
    assert notes[:2] == ["bad.expire", "bad.break_off"]
    assert (failing.is_open, other.is_open) == (is_kept, False)


def test_what_fails_twice_is_closed(loop: Loop) -> None:
    notes: list[str] = []
    script = {"on_event": ValueError("once"), "break_off": ValueError("twice")}
    connection = loop.with_activity(Scripted("bad", notes, **script))
    loop.on_event(connection, 1)
    assert not connection.is_open


def test_those_whose_time_is_over_expire(loop: Loop) -> None:
    notes: list[str] = []
    for name, deadline in (("late", 49.9), ("early", 50.1)):
        loop.with_activity(Scripted(name, notes, deadline))
    loop.tick()
    assert notes == ["late.expire"]


class Slow(Activity):
    """Takes its time for each step, as a handshake does."""

    def __init__(self, done: list[int]) -> None:
        super().__init__()
        self._done = done

    def begin(self) -> Activity:
        return self

    def advance(self) -> Activity:
        until = time.monotonic() + 0.003
        while time.monotonic() < until:
            pass
        self._done.append(1)
        return self


def test_turns_that_take_long_come_a_few_at_a_time(loop: Loop) -> None:
    """So events are looked at meanwhile, such as requests that memory answers."""
    done: list[int] = []
    for _ in range(40):
        loop.have_turn(loop.with_activity(Slow(done)))
    counts = []
    while loop.turns:
        loop.take_turns()
        counts.append(len(done))
    assert counts[-1] == 40
    assert 1 <= counts[0] <= 5


def test_a_turn_comes_once_however_often_it_was_asked_for(loop: Loop) -> None:
    notes: list[str] = []
    connection = loop.with_activity(Scripted("only", notes))
    for _ in range(3):
        loop.have_turn(connection)
    loop.take_turns()
    assert (notes, len(loop.turns)) == (["only.advance"], 0)


def test_who_is_woken_goes_on_by_the_poller(loop: Loop) -> None:
    notes: list[str] = []
    connection = loop.with_activity(Scripted("only", notes))
    connection.wake()
    assert notes == []
    loop.posted.popleft()()
    assert notes == ["only.woken"]


def test_the_longest_idle_are_closed(loop: Loop) -> None:
    activities = [Scripted(str(number), [], 100.0 - number) for number in range(20)]
    connections = [loop.with_activity(activity) for activity in activities]
    assert not loop.close_idle()
    for activity in activities[:17]:
        activity.is_between = True
    assert loop.close_idle()
    assert [n for n, one in enumerate(connections) if not one.is_open] == [15, 16]


def test_a_further_descriptor_is_the_connections_until_it_is_forgotten(loop: Loop) -> None:
    connection = loop.with_activity(Scripted("only", []))
    loop.watch_for(connection, 5000)
    assert (loop.connections[5000], loop.clients) == (connection, 1)
    loop.forget(5000)
    assert 5000 not in loop.connections
    assert loop.clients == 1
