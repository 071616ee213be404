"""What the cache holds and has done: the figures that its pages and interfaces show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """What the store holds now, and the counters since it was made.

    `used` and `limit` are bytes, None: no limit. `downloading` counts the downloads of all workers.
    """

    used: int
    limit: int | None
    entries: int
    downloading: int
    counters: dict[str, int]
