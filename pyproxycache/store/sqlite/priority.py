"""The priority of entries, by which they are evicted, as statements of SQL and as a function in it.

Bounded GDSF (docs/eviction.md): what an entry is worth, and the cache's age when it was last asked for.
"""

from __future__ import annotations

import sqlite3

MOST_USES = 3
_NEW = 0.25  # of a use
_SIZE_WEIGHT = 0.1
AGE = "(SELECT age FROM usage)"
# An object is its head, too: who answers with nothing but heads is to gain nothing by that.
_SIZE = "{0}size + length({0}headers)"

_TOUCHED = f"min(uses + :hits, {MOST_USES})"
_REPLACED = f"min(entries.uses + 1, {MOST_USES})"

TOUCH = (
    "UPDATE entries SET accessed = max(accessed, :accessed), hits = hits + :hits,"
    f" uses = {_TOUCHED}, priority = {AGE} + worth({_TOUCHED}, {_SIZE.format('')}) WHERE id = :id"
)
PRIORITY = f"{AGE} + worth(?, ?)"
IN_PLACE = f"uses = {_REPLACED}, priority = {AGE} + worth({_REPLACED}, {_SIZE.format('excluded.')})"


def worth(uses: int, size: int) -> float:
    """What an entry of so many bytes is worth when it was asked for so often again."""
    return float(max(_NEW, uses) / max(1, size) ** _SIZE_WEIGHT)


def teach(connection: sqlite3.Connection) -> None:
    """Have the connection's statements know `worth`."""
    connection.create_function("worth", 2, worth, deterministic=True)
