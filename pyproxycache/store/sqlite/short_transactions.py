"""Writes much in short transactions, so that other writers do not wait for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from pyproxycache import clock
from pyproxycache.store.sqlite.database import Database

T = TypeVar("T")

PAGE = 1000
"""How many rows to look for at a time: to find them takes some milliseconds."""

_SLICE_SECONDS = 0.004  # of a core
_MOST_SECONDS = 0.02  # with waiting for a slow disk or for a core
_LEAST = 20  # items in a transaction, however long they take: it has to be worth the wait for the lock


def in_short_transactions(
    database: Database,
    items: Sequence[T],
    work: Callable[[sqlite3.Connection, Sequence[T]], int],
    *,
    between: Callable[[], None] | None = None,
) -> int:
    """Do the work for all items, in as many write transactions as its time asks for; gives the sum.

    `work` is given some items at a time, as many as took the time of a slice before, and does them in one
    transaction. Before the next one, whoever waits for the lock has his turn, and `between` is called.
    """
    count, done, size = 0, 0, _LEAST
    while done < len(items):
        with database.write(after_others=True) as db:
            begun, worked = clock.steady(), clock.worked()
            count += work(db, items[done : done + size])
        share = max((clock.worked() - worked) / _SLICE_SECONDS, (clock.steady() - begun) / _MOST_SECONDS)
        done += size
        size = max(_LEAST, int(size * min(2.0, 1 / max(share, 0.5))))
        if between is not None:
            between()
        database.settle()
    return count
