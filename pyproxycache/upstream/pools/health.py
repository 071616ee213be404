"""Whether a member of a pool gets requests, as a value that what is seen of the member changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

_DOUBLINGS = 30

HealthState = Literal["in", "out", "tried", "ill"]
"""Gets requests; gets none after failures; one request tries it; gets none by its health check."""
HEALTH_STATES: tuple[HealthState, ...] = get_args(HealthState)


@dataclass(frozen=True, slots=True)
class HealthTerms:
    """After so many `failures` in a row (None: never) a member is out, first for `pause` seconds.

    Each further time takes twice as long, up to `max_pause`, until it has been in for that long.
    """

    failures: int | None
    pause: float
    max_pause: float


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a member; `now` and all times are seconds of the monotonic clock.

    `failures` came in a row, `outs` is how often it was out with little time between. It is out `until`
    that time (None: it is in); then one request tries it (`is_tried`), and it is in from `since` on if that
    succeeds. `is_ill`: its last health check has failed.
    """

    failures: int = 0
    outs: int = 0
    until: float | None = None
    is_tried: bool = False
    since: float = 0.0
    is_ill: bool = False

    @property
    def is_in(self) -> bool:
        """Whether it gets its share of the requests."""
        return self.until is None and not self.is_ill

    @property
    def state(self) -> HealthState:
        """What is told of it to people."""
        if self.is_ill:
            return "ill"
        if self.until is None:
            return "in"
        return "tried" if self.is_tried else "out"

    def takes(self, now: float) -> bool:
        """Whether it may get a request: it is in, or one may try it."""
        if self.until is None or self.is_ill:
            return not self.is_ill
        return now >= self.until and not self.is_tried

    def given(self) -> Health:
        """After it was given a request, which tries it if it is not in."""
        return self if self.until is None else replace(self, is_tried=True)

    def succeeded(self, now: float, *, is_trial: bool) -> Health:
        """After an answer; only that to a trial brings it in."""
        if is_trial:
            return replace(self, failures=0, until=None, is_tried=False, since=now)
        return self if self.until is not None or not self.failures else replace(self, failures=0)

    def failed(self, now: float, terms: HealthTerms, *, is_trial: bool) -> Health:
        """After a failure; while it is out, only that of a trial says anything new."""
        if is_trial:
            return self._out(now, terms)
        if self.until is not None:
            return self
        failures = self.failures + 1
        if terms.failures is None or failures < terms.failures:
            return replace(self, failures=failures)
        return self._out(now, terms)

    def left(self, *, is_trial: bool) -> Health:
        """After a request that has shown nothing, as its client has left: the next one may try."""
        return replace(self, is_tried=False) if is_trial else self

    def checked(self, now: float, *, is_well: bool) -> Health:
        """After a health check; one that finds it well again forgets what requests have met."""
        if is_well == (not self.is_ill):
            return self
        return Health(since=now, outs=self.outs) if is_well else replace(self, is_ill=True)

    def wait(self, now: float, terms: HealthTerms) -> float:
        """Seconds until it may get a request, as far as is known."""
        return terms.pause if self.until is None else max(0.0, self.until - now)

    def _out(self, now: float, terms: HealthTerms) -> Health:
        was_in_for_long = self.until is None and now - self.since >= terms.max_pause
        outs = 1 if was_in_for_long else self.outs + 1
        pause = min(terms.pause * 2 ** min(outs - 1, _DOUBLINGS), terms.max_pause)
        return replace(self, failures=0, outs=outs, until=now + pause, is_tried=False)
