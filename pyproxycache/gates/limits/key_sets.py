"""Where the keys of a limit are in shared memory: in sets, each with room for a few."""

from __future__ import annotations

from mmap import mmap
from struct import Struct

from pyproxycache.gates.limits.limit_rule import ROOM

WAYS = 16
"""How many keys of a set are counted apart."""

TAG = 8
"""The bytes by which a key is told from the others of its set."""

_TAGS = WAYS * TAG
_KEY = Struct("<8sQ")
SET_BYTES = 2048
"""The tags of a set, then a record for each way, then the record of all others; rounded up."""

# When what each record has is as much as nothing.
_UNTIL = Struct("<" + f"Q{ROOM - 8}x" * (WAYS + 1))

HERE = 0
"""In place of a tag's offset: the record is found by the tag that is there, or without one."""


class KeySets:
    """The sets of one limit: those from the offset `start` on; for the holder of the memory's lock.

    A key belongs to one set. A way whose record is over is free for another key. While there is none, keys
    that have no way are counted together in the set's last record, and who gets a way then begins with what
    is counted there: so no key is allowed more than the limit says, and none that has a way is forgotten
    while its record counts.
    """

    def __init__(self, memory: mmap, start: int, keys: int) -> None:
        self._memory = memory
        self._start = start
        self._count = sets_for(keys)

    def place(self, key: bytes, now: int) -> tuple[int, int, int]:
        """Where the key is counted: the offsets of its tag, its record, and the record it begins with.

        The first is HERE where the tag needs no change, the last 0 where the key begins with nothing.
        """
        memory = self._memory
        tag, number = _KEY.unpack(key)
        begin = self._start + number % self._count * SET_BYTES
        records = begin + _TAGS
        at = memory.find(tag, begin, records)
        while at >= 0 and (at - begin) % TAG:
            at = memory.find(tag, at + 1, records)
        if at >= 0:
            record = records + (at - begin) // TAG * ROOM
            return HERE, record, record
        until = _UNTIL.unpack_from(memory, records)
        shared = records + WAYS * ROOM
        for way in range(WAYS):
            if until[way] <= now:
                first = shared if until[WAYS] > now else 0
                return begin + way * TAG, records + way * ROOM, first
        return HERE, shared, shared


def sets_for(keys: int) -> int:
    """How many sets have room for so many keys."""
    return -(-keys // WAYS)
