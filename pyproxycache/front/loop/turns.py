"""Limits how many requests wait for origins at a time, and has clients take turns for places."""

from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

_Name = TypeVar("_Name")


@dataclass(eq=False, slots=True)
class Task:
    """A call that a thread is to make for a client; `origin` is the one it may wait for, "" for none."""

    run: Callable[[], None]
    client: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Shares:
    """How many tasks may wait for origins at a time: for one origin, for one client, and in all."""

    origin: int
    client: int
    total: int

    @property
    def one_of_both(self) -> int:
        """How many tasks of one client may wait for one origin, so that other clients reach it too."""
        return max(1, self.origin - self.origin // 4)


def shares_of(threads: int, origin: int | None, client: int | None) -> Shares:
    """The shares of so many threads; by default half for one origin, three quarters for one client.

    An eighth of the threads is left to tasks that wait for no origin.
    """
    total = threads - threads // 8
    return Shares(
        min(threads - threads // 2 if origin is None else origin, total),
        min(threads - threads // 4 if client is None else client, total),
        total,
    )


class Turns:
    """Counts tasks that wait for origins, and queues those that may not yet; its owner's lock guards it.

    Clients take turns, and so do the origins of each client.
    """

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._total = 0
        self._origins: Counter[str] = Counter()
        self._clients: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._waiting: dict[tuple[str, str], OrderedDict[Task, None]] = {}
        self._clients_of: dict[str, OrderedDict[str, None]] = {}
        self._origins_of: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def take(self, task: Task) -> bool:
        """Count the task as waiting for its origin if there is room; returns whether there is."""
        if not self._has_room() or self._is_full(task.client, task.origin):
            return False
        self.come_back(task)
        return True

    def come_back(self, task: Task) -> None:
        """Count the task as waiting for its origin, whether there is room or not."""
        self._total += 1
        self._origins[task.origin] += 1
        self._clients[task.client] += 1
        self._pairs[task.client, task.origin] += 1

    def wait(self, task: Task) -> None:
        """Queue the task until it may wait for its origin."""
        client, origin = task.client, task.origin
        self._waiting.setdefault((client, origin), OrderedDict())[task] = None
        self._clients_of.setdefault(origin, OrderedDict())[client] = None
        self._origins_of.setdefault(client, OrderedDict())[origin] = None

    def withdraw(self, task: Task) -> bool:
        """Take the task out of the queue; tells whether it was there."""
        waiting = self._waiting.get((task.client, task.origin), OrderedDict())
        if task not in waiting:
            return False
        del waiting[task]
        if not waiting:
            self._drop(task.client, task.origin)
        return True

    def give_back(self, task: Task) -> list[Task]:
        """Count the task as waiting no more; returns those that may wait for their origins instead."""
        held_up = self._held_up_by(task)
        self._total -= 1
        _count_down(self._origins, task.origin)
        _count_down(self._clients, task.client)
        _count_down(self._pairs, (task.client, task.origin))
        following = []
        for group in held_up:
            # Who has come back from waiting for its client may have taken more than there is room for.
            found = next((pair for pair in group if self._has_room() and not self._is_full(*pair)), None)
            if found is not None:
                following.append(self._pop(*found))
        return following

    def _held_up_by(self, task: Task) -> list[Iterator[tuple[str, str]]]:
        """Groups of (client, origin), of each of which one task may go on when this one is done."""
        if not self._has_room():
            return [self._of_all()]
        groups = []
        if self._origins[task.origin] >= self._shares.origin:
            groups.append(self._of_origin(task.origin))
        if self._clients[task.client] >= self._shares.client:
            groups.append(self._of_client(task.client))
        pair = task.client, task.origin
        if not groups and pair in self._waiting and self._pairs[pair] >= self._shares.one_of_both:
            groups.append(iter((pair,)))
        return groups

    def _of_origin(self, origin: str) -> Iterator[tuple[str, str]]:
        for client in self._clients_of.get(origin, ()):
            yield client, origin

    def _of_client(self, client: str) -> Iterator[tuple[str, str]]:
        for origin in self._origins_of.get(client, ()):
            yield client, origin

    def _of_all(self) -> Iterator[tuple[str, str]]:
        for client in self._origins_of:
            if self._clients[client] < self._shares.client:
                yield from self._of_client(client)

    def _pop(self, client: str, origin: str) -> Task:
        """Take the next task of the pair out of the queue, and count it as waiting for its origin."""
        tasks = self._waiting[client, origin]
        task, _ = tasks.popitem(last=False)
        self.come_back(task)
        if not tasks:
            self._drop(client, origin)
            return task
        # Who has had a turn now comes last next time.
        self._clients_of[origin].move_to_end(client)
        self._origins_of[client].move_to_end(origin)
        self._origins_of.move_to_end(client)
        return task

    def _drop(self, client: str, origin: str) -> None:
        """Drop a pair of which no task is queued any more."""
        clients, origins = self._clients_of[origin], self._origins_of[client]
        del self._waiting[client, origin], clients[client], origins[origin]
        if not clients:
            del self._clients_of[origin]
        if not origins:
            del self._origins_of[client]

    def _has_room(self) -> bool:
        return self._total < self._shares.total

    def _is_full(self, client: str, origin: str) -> bool:
        shares = self._shares
        return (
            self._origins[origin] >= shares.origin
            or self._clients[client] >= shares.client
            or self._pairs[client, origin] >= shares.one_of_both
        )


class Returning:
    """A thread that has waited for something in a client's task, and waits for a place now."""

    def __init__(self, client: str) -> None:
        self.client = client
        self.has_place = threading.Lock()  # released when it has
        self.has_place.acquire()


class _OfClient:
    """What one client has in a Queue, each with the time when it came (monotonic seconds)."""

    def __init__(self) -> None:
        self.tasks: deque[tuple[Task, float]] = deque()
        self.returning: OrderedDict[Returning, float] = OrderedDict()

    @property
    def since(self) -> float:
        """When the first of them came."""
        return min(self._first_task, self._first_thread)

    def popleft(self, *, may_begin: bool) -> Task | Returning:
        """Take the first of them; no task unless one `may_begin`."""
        if may_begin and self._first_task < self._first_thread:
            return self.tasks.popleft()[0]
        return self.returning.popitem(last=False)[0]

    @property
    def _first_task(self) -> float:
        return self.tasks[0][1] if self.tasks else math.inf

    @property
    def _first_thread(self) -> float:
        return next(iter(self.returning.values()), math.inf)


class Queue:
    """Tasks that wait for a thread, and threads that have waited and want to go on; clients take turns.

    What is one client's own comes in its order. Nothing here takes longer for more clients.
    """

    def __init__(self) -> None:
        self._of: OrderedDict[str, _OfClient] = OrderedDict()
        self._with_threads: OrderedDict[str, _OfClient] = OrderedDict()  # those of them that have any

    def __bool__(self) -> bool:
        return bool(self._of)

    @property
    def since(self) -> float:
        """Since when the first of the client whose turn it is has waited (monotonic seconds)."""
        return next(iter(self._of.values())).since

    def append(self, task: Task, now: float) -> None:
        """Queue a task."""
        self._of.setdefault(task.client, _OfClient()).tasks.append((task, now))

    def come_back(self, returning: Returning, now: float) -> None:
        """Queue a thread."""
        of_client = self._of.setdefault(returning.client, _OfClient())
        of_client.returning[returning] = now
        self._with_threads[returning.client] = of_client

    def popleft(self, *, may_begin: bool) -> Task | Returning | None:
        """Take what is next of the client whose turn it is; no task unless one `may_begin`."""
        clients = self._of if may_begin else self._with_threads
        if not clients:
            return None
        client, of_client = next(iter(clients.items()))
        found = of_client.popleft(may_begin=may_begin)
        self._of.move_to_end(client)
        if client in self._with_threads:
            self._with_threads.move_to_end(client)
        self._tidy(client, of_client)
        return found

    def withdraw(self, returning: Returning) -> bool:
        """Take the thread out of the queue; tells whether it was there."""
        of_client = self._with_threads.get(returning.client)
        if of_client is None or of_client.returning.pop(returning, None) is None:
            return False
        self._tidy(returning.client, of_client)
        return True

    def _tidy(self, client: str, of_client: _OfClient) -> None:
        """Forget a client that has nothing here any more."""
        if not of_client.returning:
            self._with_threads.pop(client, None)
        if not (of_client.returning or of_client.tasks):
            del self._of[client]


def _count_down(counter: Counter[_Name], name: _Name) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
