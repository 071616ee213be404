"""Limits as slow and plain as can be, to judge the rules by: every request that passed is remembered."""

from __future__ import annotations

from fractions import Fraction


class SlowWindow:
    """A window is opened by the first request that no earlier window has."""

    def __init__(self, count: int, per: int) -> None:
        self._count, self._per = count, per
        self._windows: list[list[int]] = []

    def passes(self, now: int) -> bool:
        if not self._windows or now >= self._windows[-1][0] + self._per:
            self._windows.append([])
        window = self._windows[-1]
        if len(window) == self._count:
            return False
        window.append(now)
        return True


class SlowLog:
    """The times of all that passed; `longest` is how long one of them may still count at most."""

    def __init__(self, count: int, per: int, longest: int) -> None:
        self._count, self._per, self._longest = count, per, longest
        self._passed: list[int] = []

    def must_refuse(self, now: int) -> bool:
        return self._within(now, self._per) >= self._count

    def may_refuse(self, now: int) -> bool:
        return self._within(now, self._longest) >= self._count

    def note(self, now: int) -> None:
        self._passed.append(now)

    def _within(self, now: int, span: int) -> int:
        return sum(now - span < one <= now for one in self._passed)


class SlowBucket:
    """Tokens as fractions: they come back with time, and never more than there is room for."""

    def __init__(self, count: int, per: int, burst: int) -> None:
        self._rate, self._burst = Fraction(count, per), burst
        self._tokens, self._since = Fraction(burst), 0

    def passes(self, now: int) -> bool:
        self._tokens = min(Fraction(self._burst), self._tokens + (now - self._since) * self._rate)
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
