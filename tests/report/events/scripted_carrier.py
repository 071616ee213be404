"""A carrier that keeps what it gets, and fails as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

from pyproxycache.report.events.carrier import IsOver, Undelivered, Unreached


class ScriptedCarrier:
    """`fails` says why nothing is delivered; `takes` how many more events are, before one that fails."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.fails = ""
        self.takes: int | None = None
        self.tries = 0
        self.stopped = threading.Event()
        self.is_closed = False

    def deliver(self, events: Sequence[bytes], is_over: IsOver) -> None:
        self.tries += 1
        count = len(events) if self.takes is None else min(self.takes, len(events))
        if self.fails:
            raise Unreached(self.fails)
        self.events += map(json.loads, events[:count])
        if self.takes is not None:
            self.takes -= count
            if count < len(events):
                raise Undelivered("it takes no more", count)

    def rest(self, seconds: float) -> None:
        self.stopped.wait(seconds)

    def close(self) -> None:
        self.is_closed = True

    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    def resent(self) -> list[str]:
        return [event["id"] for event in self.events if event.get("resent")]
