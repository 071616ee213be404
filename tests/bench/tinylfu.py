"""W-TinyLFU: an admission window, and a sketch of how often everything is asked for."""

from __future__ import annotations

import itertools
from collections import OrderedDict


class Sketch:
    """How often keys were asked for lately, about: a count-min sketch of four rows, up to 15.

    When ten times as many requests were counted as it is made for objects, all counts are halved.
    """

    _FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
    _HALVES = bytes(value >> 1 for value in range(256))
    MOST = 15

    def __init__(self, objects: int) -> None:
        bits = max(objects * 4 - 1, 63).bit_length()
        self.objects = objects
        self._shift = 64 - bits
        self._rows = [bytearray(1 << bits) for _ in self._FACTORS]
        self._counted = 0
        self._known: dict[int, list[int]] = {}  # places by key: hashing four times is what takes longest

    def _places(self, key: int) -> list[int]:
        places = self._known.get(key)
        if places is None:
            places = [((key + 1) * factor & (1 << 64) - 1) >> self._shift for factor in self._FACTORS]
            self._known[key] = places
        return places

    def add(self, key: int, count: int = 1) -> None:
        for row, place in zip(self._rows, self._places(key), strict=False):
            value = row[place] + count
            row[place] = value if value < self.MOST else self.MOST
        self._counted += count
        if self._counted >= 10 * self.objects:
            self._rows = [row.translate(self._HALVES) for row in self._rows]
            self._counted //= 2

    def estimate(self, key: int) -> int:
        first, second, third, fourth = self._rows
        a, b, c, d = self._places(key)
        return min(first[a], second[b], third[c], fourth[d])


class WTinyLfu:
    """A window of the newest, and a main part that takes in what is worth more than what goes for it.

    The window (1 % of the bytes) is an LRU. What leaves it is compared, by estimated frequency, with those
    at the end of the main part that would make room for it: with one after the other until it loses or has
    its room; or, when `aggregated`, with the sum of theirs (the size-aware form AV), and those that stay
    then are protected. The main part is a segmented LRU: 20 % on probation, 80 % protected for what was
    asked for there.
    """

    def __init__(
        self, capacity: int, *, aggregated: bool = False, window: float = 0.01, protected: float = 0.8
    ) -> None:
        self.used = 0
        self._aggregated = aggregated
        self._main_limit = capacity - int(capacity * window)
        self._window_limit = capacity - self._main_limit
        self._protected_limit = int(self._main_limit * protected)
        self._window_used = self._protected_used = 0
        self._window: OrderedDict[int, int] = OrderedDict()  # key to size; least recently used first
        self._probation: OrderedDict[int, int] = OrderedDict()
        self._protected: OrderedDict[int, int] = OrderedDict()
        self._sketch = Sketch(1024)

    def __len__(self) -> int:
        return len(self._window) + len(self._probation) + len(self._protected)

    def __contains__(self, key: int) -> bool:
        return key in self._protected or key in self._probation or key in self._window

    def insert(self, key: int, size: int) -> None:
        if len(self) > self._sketch.objects:
            self._sketch = Sketch(2 * self._sketch.objects)
        self._sketch.add(key)
        self._window[key] = size
        if size > self._window_limit:
            self._window.move_to_end(key, last=False)  # it would push out all others: it goes first
        self._window_used += size
        self.used += size
        while self._window_used > self._window_limit and self._main_has_room():
            self._probation.update([self._leave_window()])

    def _main_has_room(self) -> bool:
        size = self._window[next(iter(self._window))]
        return self.used - self._window_used + size <= self._main_limit

    def _leave_window(self) -> tuple[int, int]:
        key, size = self._window.popitem(last=False)
        self._window_used -= size
        return key, size

    def touch(self, key: int, count: int = 1) -> None:
        self._sketch.add(key, count)
        if key in self._window:
            self._window.move_to_end(key)
        else:
            self._protect(key)

    def _protect(self, key: int) -> None:
        if key in self._protected:
            self._protected.move_to_end(key)
            return
        size = self._protected[key] = self._probation.pop(key)
        self._protected_used += size
        while self._protected_used > self._protected_limit:
            demoted, size = self._protected.popitem(last=False)
            self._protected_used -= size
            self._probation[demoted] = size

    def evict(self) -> None:
        before = self.used
        while self.used == before and self._window_used > self._window_limit:
            candidate, size = self._leave_window()
            excess = self.used - self._window_used - self._main_limit
            if self._aggregated:
                self._contest_sum(candidate, size, excess)
            else:
                self._contest_each(candidate, size, excess)
        if self.used == before:
            self._remove(next(iter(self._probation or self._protected or self._window)))

    def _contest_each(self, candidate: int, size: int, excess: int) -> None:
        frequency = self._sketch.estimate(candidate)
        while excess > 0 and (rivals := self._probation or self._protected):
            victim = next(iter(rivals))
            if frequency <= self._sketch.estimate(victim):
                self.used -= size
                return
            excess -= rivals[victim]
            self._remove(victim)
        self._probation[candidate] = size

    def _contest_sum(self, candidate: int, size: int, excess: int) -> None:
        frequency, victims = self._sketch.estimate(candidate), []
        for victim, freed in itertools.chain(self._probation.items(), self._protected.items()):
            if excess <= 0 or frequency <= 0:
                break
            victims.append(victim)
            excess -= freed
            frequency -= self._sketch.estimate(victim)
        admitted = frequency > 0
        for victim in victims:
            self._remove(victim) if admitted else self._protect(victim)
        if admitted:
            self._probation[candidate] = size
        else:
            self.used -= size

    def _remove(self, key: int) -> None:
        if key in self._probation:
            size = self._probation.pop(key)
        elif key in self._protected:
            size = self._protected.pop(key)
            self._protected_used -= size
        else:
            size = self._window.pop(key)
            self._window_used -= size
        self.used -= size
