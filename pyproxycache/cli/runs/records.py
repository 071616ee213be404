"""What the requests of one run amount to: folded from the server's JSON lines, one for each request."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any

from pyproxycache.outcome import Result
from pyproxycache.units import format_count, format_size

_FROM_CACHE = {Result.HIT.value, Result.COLLAPSED.value, Result.REVALIDATED.value, Result.STALE.value}
_SHOWN = 3


@dataclass(slots=True)
class Downloaded:
    """What equal answers have brought, and how often; the first began and the last ended at these times.

    `size` is the bytes of the body; `from_cache`: no download was needed for it. Times are in seconds
    since the epoch.
    """

    url: str
    status: int
    size: int
    from_cache: bool
    requests: int = 0
    began: float = inf
    ended: float = 0.0


@dataclass(slots=True)
class Tunnelled:
    """What went through tunnels to one host and port, unread, and why: "" if nobody said."""

    host: str
    why: str
    tunnels: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Records:
    """The sums of the requests so far; belongs to one thread at a time.

    `failures` counts requests without an answer, by URL and reason. `downloads` are kept if `keeps`: for a
    report.
    """

    keeps: bool = False
    requests: int = 0
    hits: int = 0
    bytes_saved: int = 0
    downloads: dict[tuple[str, int, int, bool], Downloaded] = field(default_factory=dict)
    tunnels: dict[tuple[str, str], Tunnelled] = field(default_factory=dict)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)

    def read(self, lines: Iterable[bytes]) -> None:
        """Add the request of each line; a line that is none is left out."""
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                self.add(record)

    def add(self, record: dict[str, Any]) -> None:
        """Add one request, given by the keys of the JSON access log."""
        result = record["result"]
        if record["method"] == "CONNECT":
            self._add_connect(record, result)
            return
        if result == Result.LOCAL.value:
            return
        self.requests += 1
        if result in (Result.FAILED.value, Result.REFUSED.value):
            self.failures[record["url"], _why(record)] += 1
            return
        is_hit = result in _FROM_CACHE
        if is_hit:
            self.hits += 1
            self.bytes_saved += record["bytes"]
        if self.keeps and record["method"] == "GET" and record["status"] in (200, 203, 206):
            key = (record["url"], record["status"], record["bytes"], is_hit)
            download = self.downloads.setdefault(key, Downloaded(*key))
            download.requests += 1
            began = datetime.fromisoformat(record["time"]).timestamp()
            download.began = min(download.began, began)
            download.ended = max(download.ended, began + record["seconds"])

    def _add_connect(self, record: dict[str, Any], result: str) -> None:
        if result == Result.TUNNELLED.value:
            key = (record["url"], record["detail"] or "")
            tunnelled = self.tunnels.setdefault(key, Tunnelled(*key))
            tunnelled.tunnels += 1
            tunnelled.bytes += record["bytes"]
        elif result in (Result.FAILED.value, Result.REFUSED.value):
            self.requests += 1
            self.failures[record["url"], _why(record)] += 1

    def summary(self) -> str:
        """One line for people."""
        parts = [
            f"{format_count(self.requests, 'request')}, {self.hits} from the cache, "
            f"{format_size(self.bytes_saved)} not downloaded"
        ]
        if self.tunnels:
            shown = [f"{host} ({why})" if why else host for host, why in self.tunnels]
            parts.append(f"past the cache in tunnels: {_list(shown)}")
        if self.failures:
            shown = [f"{url} ({why})" for url, why in self.failures]
            parts.append(f"{format_count(self.failures.total(), 'failure')}: {_list(shown)}")
        return "; ".join(parts)


def _list(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _why(record: dict[str, Any]) -> str:
    return record["detail"] or f"status {record['status']}"
