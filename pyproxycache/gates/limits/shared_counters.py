"""Counters in memory that all workers of this machine share."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from mmap import mmap
from struct import Struct

from pyproxycache.gates.limits.counters import MOST_CHARGES, Charge, CountedLimit
from pyproxycache.gates.limits.key_sets import SET_BYTES, TAG, KeySets, sets_for
from pyproxycache.gates.limits.limit_rule import ROOM, SECOND, Ruling
from pyproxycache.gates.limits.robust_lock import SIZE as LOCK_SIZE
from pyproxycache.gates.limits.robust_lock import RobustLock

# The journal, behind the lock: how many changes are not final, and where and what was before each of them.
_NOTED = LOCK_SIZE // 8
_NOTES = LOCK_SIZE + 8
_NOTE = Struct(f"<QQ{TAG}s{ROOM}s")
_SETS = -(-(_NOTES + MOST_CHARGES * _NOTE.size) // SET_BYTES) * SET_BYTES


class SharedCounters:
    """Counters of these limits, made before the fork: exact for all threads of all workers.

    One lock guards all of them. Each change is noted before it is made, so what a request was counted
    against is taken back if a limit refuses it, or its process is killed before the last change. `now`
    gives seconds of a clock that is the same in all processes and never set. Memory is taken as keys come.
    """

    def __init__(self, limits: Sequence[CountedLimit], now: Callable[[], float]) -> None:
        self.limits = tuple(limits)
        self.secret = secrets.token_bytes(32)
        """With which keys are hashed: the same in all workers, and known to nobody else."""
        self._now = now
        sizes = [sets_for(limit.keys) * SET_BYTES for limit in self.limits]
        self._memory = mmap(-1, _SETS + sum(sizes))
        self._lock = RobustLock(self._memory, 0)
        self._words = memoryview(self._memory).cast("Q")
        self._sets: dict[str, KeySets] = {}
        start = _SETS
        for limit, size in zip(self.limits, sizes, strict=True):
            self._sets[limit.name] = KeySets(self._memory, start, limit.keys)
            start += size
        assert len(self._sets) == len(self.limits), "no two limits have one name"

    def take(self, charges: Sequence[Charge]) -> list[Ruling]:
        """Count the request against all of them if all allow it, else against none; what each says."""
        return self._said(charges, is_counted=True)

    def look(self, charges: Sequence[Charge]) -> list[Ruling]:
        """What take() would give for these charges, of which none is counted."""
        return self._said(charges, is_counted=False)

    def _said(self, charges: Sequence[Charge], *, is_counted: bool) -> list[Ruling]:
        memory, words = self._memory, self._words
        said, refused, noted = [], False, 0
        with self._lock:
            if words[_NOTED]:  # by a process that was killed
                self._take_back()
            now = int(self._now() * SECOND + 0.5)
            for charge in charges:
                rule = charge.limit.rule
                tag, record, first = self._sets[charge.limit.name].place(charge.key, now)
                taken = rule.take(rule.format.unpack_from(memory, first) if first else rule.none, now)
                said.append(taken)
                if taken.wait:
                    refused = True
                    continue
                was, at = memory[record : record + ROOM], _NOTES + noted * _NOTE.size
                _NOTE.pack_into(memory, at, tag, record, memory[tag : tag + TAG], was)
                noted += 1
                words[_NOTED] = noted
                if tag:
                    memory[tag : tag + TAG] = charge.key[:TAG]
                rule.format.pack_into(memory, record, *taken.state)
            if refused or not is_counted:
                self._take_back()
            words[_NOTED] = 0
        return said

    def _take_back(self) -> None:
        """Undo the changes that are noted, the last one first."""
        memory, words = self._memory, self._words
        for number in range(words[_NOTED] - 1, -1, -1):
            tag, record, tag_was, was = _NOTE.unpack_from(memory, _NOTES + number * _NOTE.size)
            if tag:
                memory[tag : tag + TAG] = tag_was
            memory[record : record + ROOM] = was
        words[_NOTED] = 0
