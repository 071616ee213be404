"""Much to write, in transactions so short that nobody who waits for his turn notices."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

from pyproxycache import clock
from pyproxycache.store.index.database import Database

T = TypeVar("T")

PAGE = 200
"""How many rows to look for at a time: to find them takes a millisecond."""

_SLICE_SECONDS = 0.004
# Where there is no time to be had (a busy machine), a slice is to be worth its wait.
_LEAST = 20
_PAUSE_SECONDS = 0.001


def in_short_transactions(
    database: Database, items: Sequence[T], work: Callable[[sqlite3.Connection, T], int]
) -> int:
    """Do the work for each item, in as many write transactions as its time asks for; gives the sum.

    Each item's work is in one transaction. Between two of them others get theirs: whoever waits is woken
    when the lock is given up, and would find it taken again without the pause.
    """
    count, left = 0, iter(items)
    some = list(islice(left, _LEAST))
    while some:
        with database.write() as db:
            over = clock.steady() + _SLICE_SECONDS
            while some:
                count += sum(work(db, one) for one in some)
                some = list(islice(left, _LEAST))
                if clock.steady() >= over:
                    break
        database.settle()
        if clock.steady() >= over:
            time.sleep(_PAUSE_SECONDS)
    return count
