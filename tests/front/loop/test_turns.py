"""Whose turn it is to wait for an origin: shares, and who comes after whom."""

from __future__ import annotations

import random
import threading

import pytest

from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.turns import Queue, Returning, Shares, Task, Turns, shares_of
from pyproxycache.net.ip_addresses import client_of


def task(name: str) -> Task:
    """Of a client and an origin: "a1 X" is the first of the client a, for X."""
    client, origin = name.split()
    made = Task(lambda: None, client[0], origin)
    names[made] = name
    return made


names: dict[Task, str] = {}


@pytest.mark.parametrize(
    ("shares", "came", "run"),
    [
        (Shares(2, 9, 9), "a1 X,a2 X,a3 X,b1 X,b2 Y", "a1 X,a2 X,b2 Y"),
        (Shares(9, 2, 9), "a1 X,a2 Y,a3 Z,b1 X", "a1 X,a2 Y,b1 X"),
        (Shares(9, 9, 2), "a1 X,b2 Y,c3 Z", "a1 X,b2 Y"),
        (Shares(4, 9, 9), "a1 X,a2 X,a3 X,a4 X,a5 Y,b1 X,c1 X", "a1 X,a2 X,a3 X,a5 Y,b1 X"),
    ],
    ids=["an origin's", "a client's", "all", "a client's of an origin's"],
)
def test_shares(shares: Shares, came: str, run: str) -> None:
    turns = Turns(shares)
    assert [name for name in came.split(",") if turns.take(task(name))] == run.split(",")


@pytest.mark.parametrize(
    ("shares", "running", "waiting", "order"),
    [
        # One client's many do not come before another's first.
        (Shares(1, 9, 9), "a1 X", "a2 X,a3 X,b1 X,c1 X", "a2 X,b1 X,c1 X,a3 X"),
        # Whose client has its share is passed by; and origins of a client come in turn as well.
        (Shares(9, 1, 9), "a1 X", "a2 X,a3 X,a4 Y,a5 Z", "a2 X,a4 Y,a5 Z,a3 X"),
        # Where there was no room at all it is anyone's turn.
        (Shares(9, 9, 1), "a1 X", "b1 Y,b2 Y,c1 Z,a2 X", "b1 Y,c1 Z,a2 X,b2 Y"),
    ],
    ids=["an origin's", "a client's", "all"],
)
def test_order(shares: Shares, running: str, waiting: str, order: str) -> None:
    turns, now = Turns(shares), task(running)
    assert turns.take(now)
    for name in waiting.split(","):
        turns.wait(task(name))
    came = []
    for _ in order.split(","):
        (now,) = turns.give_back(now)
        came.append(names[now])
    assert came == order.split(",")
    assert turns.give_back(now) == []
    assert turns.take(task("z9 X"))


def test_a_client_that_has_its_share_of_an_origin_goes_on() -> None:
    turns = Turns(Shares(4, 9, 9))
    running = [task(f"a{number} X") for number in range(3)]
    assert all(map(turns.take, running))
    waits = task("a9 X")
    assert not turns.take(waits)
    turns.wait(waits)
    assert turns.give_back(running[0]) == [waits]
    assert turns.give_back(waits) == []


def test_one_end_can_make_room_for_two() -> None:
    turns = Turns(Shares(1, 1, 9))
    running = task("a1 X")
    assert turns.take(running)
    for name in ("b1 X", "a2 Y"):
        waits = task(name)
        assert not turns.take(waits) or name == "b1 X"
        turns.wait(waits)
    assert [names[one] for one in turns.give_back(running)] == ["b1 X", "a2 Y"]


def test_who_comes_back_where_there_is_no_room_lets_nobody_in_for_it() -> None:
    """As an upload does that has waited for its client: two are in then, and one has to leave first."""
    turns, first, other, waiting = Turns(Shares(9, 9, 1)), task("a1 X"), task("b1 Y"), task("c1 Z")
    assert turns.take(first)
    assert turns.give_back(first) == []
    assert turns.take(other)
    turns.come_back(first)
    turns.wait(waiting)
    assert turns.give_back(first) == []
    assert turns.give_back(other) == [waiting]
    assert turns.give_back(waiting) == []
    assert [turns.take(task(name)) for name in ("a2 X", "b2 Y")] == [True, False]


@pytest.mark.parametrize("seed", range(20))
def test_after_any_number_of_turns_there_is_as_much_room_as_at_first(seed: int) -> None:
    chance = random.Random(seed)
    shares = Shares(chance.randrange(1, 4), chance.randrange(1, 4), chance.randrange(1, 6))
    turns, running, aside, waiting = Turns(shares), [], [], []
    for number in range(2000):
        match chance.randrange(5):
            case 0 | 1:
                made = task(f"{chance.choice('abcd')}{number} {chance.choice('XYZ')}")
                if turns.take(made):
                    running.append(made)
                else:
                    turns.wait(made)
                    waiting.append(made)
                continue
            case 2 if aside:
                back = aside.pop(chance.randrange(len(aside)))
                turns.come_back(back)
                running.append(back)
                continue
            case 3 if waiting:
                left = waiting.pop(chance.randrange(len(waiting)))
                assert turns.withdraw(left)
                continue
        if running:
            done = running.pop(chance.randrange(len(running)))
            if chance.random() < 0.5:
                aside.append(done)
            for following in turns.give_back(done):
                waiting.remove(following)
                running.append(following)
    while running:
        for following in turns.give_back(running.pop()):
            waiting.remove(following)
            running.append(following)
    assert not waiting, "nobody lets them go on"
    assert [turns.take(task(f"{name} {name.upper()}")) for name in "efghijk"].count(True) == shares.total


def test_who_leaves_has_no_turn() -> None:
    turns = Turns(Shares(1, 1, 1))
    running, leaves, stays = task("a1 X"), task("a2 X"), task("b1 X")
    assert turns.take(running)
    turns.wait(leaves)
    turns.wait(stays)
    assert turns.withdraw(leaves)
    assert not turns.withdraw(leaves)
    assert not turns.withdraw(running)
    assert turns.give_back(running) == [stays]


def test_tasks_of_clients_come_in_turn() -> None:
    queue = Queue()
    for number, name in enumerate(("a1 X", "a2 X", "a3 X", "b1 X")):
        queue.append(task(name), float(number))
    assert queue.since == 0.0
    assert [names[one] for one in all_of(queue)] == ["a1 X", "b1 X", "a2 X", "a3 X"]


def all_of(queue: Queue, *, may_begin: bool = True) -> list[Task | Returning]:
    """What the queue gives, one after the other."""
    return list(iter(lambda: queue.popleft(may_begin=may_begin), None))


def test_threads_of_clients_come_in_turn_with_their_tasks() -> None:
    queue = Queue()
    threads = [Returning(client) for client in "aaab"]
    for number, thread in enumerate(threads[:3]):
        queue.come_back(thread, float(number))
    queue.append(task("a1 X"), 3.0)
    begins = task("b1 X")
    queue.append(begins, 4.0)
    queue.come_back(threads[3], 5.0)
    assert all_of(queue)[:4] == [threads[0], begins, threads[1], threads[3]]
    assert not queue


def test_threads_come_in_turn_while_no_task_may_begin() -> None:
    queue = Queue()
    waits = task("c1 X")
    queue.append(waits, 0.0)
    threads = [Returning(client) for client in "aab"]
    for number, thread in enumerate(threads):
        queue.come_back(thread, float(number))
    assert all_of(queue, may_begin=False) == [threads[0], threads[2], threads[1]]
    assert all_of(queue) == [waits]
    assert not queue


def test_a_thread_is_withdrawn_once() -> None:
    queue, thread = Queue(), Returning("a")
    queue.come_back(thread, 0.0)
    assert queue.withdraw(thread)
    assert not queue.withdraw(thread)
    assert not queue


@pytest.mark.parametrize(
    ("threads", "shares"), [(1, Shares(1, 1, 1)), (4, Shares(2, 3, 4)), (512, Shares(256, 384, 448))]
)
def test_usual_shares(threads: int, shares: Shares) -> None:
    assert shares_of(threads, None, None) == shares


def test_given_shares_leave_room_for_others() -> None:
    assert shares_of(16, 100, 3) == Shares(14, 3, 14)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_who_is_one_client(one: str, other: str, same: bool) -> None:
    assert (client_of(one) == client_of(other)) is same


def test_a_task_that_finds_no_room_comes_in_its_turn() -> None:
    """In threads: of three that want the same origin with a share of one, each runs in the end."""
    threads = AdaptivePool(4, Shares(1, 4, 4))
    held, free, done = threading.Event(), threading.Event(), threading.Semaphore(0)
    refused = []

    def first() -> None:
        assert threads.enter(one, "X")
        held.set()
        free.wait(10)
        done.release()

    def later() -> None:
        if not threads.enter(two, "X"):
            refused.append(two)
            threads.submit(Task(done.release, "a", "X"))

    one, two = Task(first, "a"), Task(later, "a")
    threads.submit(one)
    assert held.wait(10)
    threads.submit(two)
    threads.submit(Task(done.release, "a", "X"))
    threads.submit(Task(done.release, "a", "Y"))  # which is held up by none of them
    assert done.acquire(timeout=10)
    free.set()
    assert all(done.acquire(timeout=10) for _ in range(3))
    assert refused == [two]
