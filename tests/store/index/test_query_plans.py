"""How SQLite finds rows: by an index, so that it does not matter how many there are."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from cachedir import URL, CacheDir, asking, entry

from pyproxycache.messages import Entry
from pyproxycache.store.index.pins import Pins
from pyproxycache.store.upkeep.recovery import Recovery

# Few rows however many entries there are; and the table that is read from its beginning, to be emptied.
_SHORT = {
    "usage",
    "counters",
    "facts",
    "CONSTANT",
    "sets",
    "flights",
    "not_storable",
    "json_each",
    "released",
}

OPERATIONS: dict[str, Callable[[CacheDir, Entry], object]] = {
    "look up": lambda cache, stored: cache.index.lookup(stored.key, asking(accept="1")),
    "look up by search": lambda cache, stored: cache.index.search("s", "x", asking(accept="1")),
    "variants": lambda cache, stored: cache.index.variants(stored.key, 8),
    "insert": lambda cache, stored: cache.insert([replace(stored, key="x", id=0)]),
    "replace": lambda cache, stored: cache.insert([replace(stored, id=0)]),
    "freshen": lambda cache, stored: cache.index.freshen(stored),
    "freshen another": lambda cache, stored: cache.index.freshen(replace(stored, id=0)),
    "forget": lambda cache, stored: cache.index.forget(stored),
    "shorten": lambda cache, stored: cache.index.shorten(stored, 1.0),
    "touch": lambda cache, stored: cache.index.touch({stored.id: (5e9, 1)}, {"hit": 1}),
    "purge": lambda cache, stored: cache.index.purge([stored.key]),
    "purge by prefix": lambda cache, stored: cache.index.purge_matching(prefix=URL),
    "purge by pattern": lambda cache, stored: cache.index.purge_matching(pattern=f"{URL}/[a-c]*"),
    "purge by group": lambda cache, stored: cache.index.purge_group("g", "http://origin.example"),
    "collect": lambda cache, stored: cache.space(max_size=0, unused=1.0).collect(),
    "recover": lambda cache, stored: Recovery(
        cache.space(), cache.index, cache.blob_rows, cache.blobs, cache.fsck
    ).run("boot"),
    "drop a damaged blob": lambda cache, stored: cache.blob_rows.drop_blob(stored.digest, cache.blobs),
    "show": lambda cache, stored: cache.listing.accesses(stored.key),
    "list": lambda cache, stored: list(cache.listing.urls("*")),
    "list entries": lambda cache, stored: list(cache.listing.walk("*")),
    "pin": lambda cache, stored: Pins(cache.database).pin([stored.key], 1.0),
    "unpin": lambda cache, stored: Pins(cache.database).unpin([stored.key]),
    "pin by pattern": lambda cache, stored: Pins(cache.database).pin_matching("*", 1.0),
    "unpin by pattern": lambda cache, stored: Pins(cache.database).unpin_matching("*"),
    "list blobs": lambda cache, stored: list(cache.blob_rows.blobs()),
    "usage": lambda cache, stored: (cache.index.usage(), cache.index.counters()),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_looked_through(cache: CacheDir, name: str) -> None:
    cache.insert(
        replace(entry(URL), vary=(("accept", str(number)),), search="s", groups=("g",))
        for number in range(20)
    )
    (stored,) = cache.index.lookup(URL, asking(accept="1"))
    found: list[str] = []
    with cache.database.read() as reader, cache.database.write() as writer:
        reader.set_trace_callback(found.append)
        writer.set_trace_callback(found.append)
    OPERATIONS[name](cache, stored)
    with cache.database.read() as reader, cache.database.write() as writer:
        reader.set_trace_callback(None)
        writer.set_trace_callback(None)
        statements = {text for text in found if re.match("SELECT|INSERT|UPDATE|DELETE|WITH", text)}
        plans = {text: writer.execute(f"EXPLAIN QUERY PLAN {text}").fetchall() for text in statements}
    assert statements
    for statement, plan in plans.items():
        for *_, step in plan:
            scanned = re.match(r"SCAN (\w+)", step)
            assert scanned is None or scanned[1] in _SHORT, (statement, plan)
