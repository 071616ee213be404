"""What was measured, over the rounds: medians, ratios, and whether they reach what was aimed at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

PEERS = ("nginx", "squid", "varnish")
Log = Literal["off", "on"]


@dataclass(frozen=True)
class Measure:
    """One quantity; `log`: whether all of them wrote access logs meanwhile."""

    part: int
    what: str
    unit: str
    log: Log = "off"


@dataclass(frozen=True)
class Failure:
    """Why a server gave no figures of a part in one round."""

    part: int
    server: str
    log: Log
    reason: str


@dataclass
class Results:
    """Values by measure and server, one for each round; rows of the index; what failed."""

    values: dict[Measure, dict[str, list[float]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    index: list[dict[str, float]] = field(default_factory=list)

    def add(self, measure: Measure, server: str, value: float) -> None:
        self.values.setdefault(measure, {}).setdefault(server, []).append(value)

    def failed(self, part: int, server: str, log: Log) -> list[str]:
        """The reasons of every time that a server failed a part."""
        wanted = (part, server, log)
        return [each.reason for each in self.failures if (each.part, each.server, each.log) == wanted]

    def measures(self, part: int) -> list[Measure]:
        return [measure for measure in self.values if measure.part == part]

    def median(self, measure: Measure, server: str) -> float | None:
        """None where the server has no value."""
        values = self.values.get(measure, {}).get(server)
        return median(values) if values else None

    def spread(self, measure: Measure, server: str) -> float:
        """How far the rounds lie apart, as a share of their median; 0 for a single one."""
        values = self.values.get(measure, {}).get(server, [])
        middle = median(values) if values else 0.0
        return (max(values) - min(values)) / middle if middle else 0.0

    def ratio(self, measure: Measure, server: str, other: str) -> float | None:
        """A server's median as a multiple of another's."""
        mine, theirs = self.median(measure, server), self.median(measure, other)
        return mine / theirs if mine is not None and theirs else None

    def best_peer(self, measure: Measure) -> str | None:
        """The peer with the highest median."""
        there = {peer: self.median(measure, peer) for peer in PEERS}
        known = {peer: value for peer, value in there.items() if value is not None}
        return max(known, key=lambda peer: known[peer]) if known else None


@dataclass(frozen=True)
class Aim:
    """`of`: a server, "best peer", or nothing for a figure that counts by itself."""

    part: int
    what: str
    unit: str
    bound: Literal["at least", "at most"]
    limit: float
    of: str = ""

    def value(self, results: Results, log: Log) -> float | None:
        """The figure or ratio to hold against the limit; None where it was not measured."""
        measure = Measure(self.part, self.what, self.unit, log)
        if not self.of:
            return results.median(measure, "ours")
        other = results.best_peer(measure) if self.of == "best peer" else self.of
        return results.ratio(measure, "ours", other) if other else None

    def met(self, value: float) -> bool:
        return value >= self.limit if self.bound == "at least" else value <= self.limit


RATE, P99 = "requests/s", "p99, ms"
CPU, BUSY, LOAD = "CPU, µs a request", "core busy, %", "load's core busy, %"
SECONDS, FIRST, ASKED, MEGABYTES = "total, s", "first byte, ms", "origin requests", "MB"
TIMES = "times"
VARYING = "{} hits, varying heads"
DISTINCT = "1 KB distinct misses"
BESIDE, RATE_OF_MISSES = "1 KB hits, 64 clients that miss", "misses/s"
CONNECTIONS = "1 KB hits, new connections"
STAMPEDE = "{} clients, cold 100 MB"
WITHOUT, WITH = "1 KB hits, no slow readers", "1 KB hits, 2,000 slow readers"
IDLE, MOST = "1,000 idle connections, above rest", "most during {}"
PACED, PACED_MEDIAN = "p99 at 2,000 requests/s, ms", "p50 at 2,000 requests/s, ms"
SLOWED, SLOWED_PACED = "p99 with slow readers / without", "the same at 2,000 requests/s"
IN_TLS, INTERCEPTED = "{} hits in TLS", "1 KB hits, intercepted"
FULL, RESUMED = "1 KB hits, each with a full handshake", "1 KB hits, each with a resumed session"
MINTS = "handshakes with new hosts"
GUARDED = "1 KB hits, {}"
IDLE_IN_TLS, EACH = "1,000 idle connections", "KB each"

AIMS = (
    Aim(1, "1 KB hits", RATE, "at least", 1.5, "nginx"),
    Aim(1, "1 KB hits", RATE, "at least", 3.0, "squid"),
    Aim(1, "100 KB hits", RATE, "at least", 1.0, "nginx"),
    Aim(1, "10 MB hits", RATE, "at least", 1.0, "best peer"),
    *(Aim(2, VARYING.format(size), RATE, "at least", 0.5, "nginx") for size in ("1 KB", "100 KB", "10 MB")),
    Aim(3, DISTINCT, RATE, "at least", 1.0, "squid"),
    Aim(3, DISTINCT, RATE, "at least", 1.0, "nginx"),
    *(
        aim
        for clients in (50, 500)
        for aim in (
            Aim(4, STAMPEDE.format(clients), SECONDS, "at most", 1.05, "direct"),
            Aim(4, STAMPEDE.format(clients), FIRST, "at most", 1.0, "varnish"),
            Aim(4, STAMPEDE.format(clients), ASKED, "at most", 1.0),
        )
    ),
    Aim(5, SLOWED, TIMES, "at most", 2.0),
    Aim(5, SLOWED_PACED, TIMES, "at most", 2.0),
    Aim(6, CONNECTIONS, RATE, "at least", 0.5, "nginx"),
    Aim(9, IN_TLS.format("1 KB"), RATE, "at least", 0.5, "nginx"),
    # The clients' core is the busier one, in handshakes with nginx: what counts is the server's own time.
    Aim(9, FULL, CPU, "at most", 2.0, "nginx"),
    Aim(9, RESUMED, CPU, "at most", 2.0, "nginx"),
    Aim(10, INTERCEPTED, RATE, "at least", 10.0, "mitmproxy"),
    Aim(10, MINTS, CPU, "at most", 2000.0),
    Aim(11, GUARDED.format("one remembered token"), RATE, "at least", 1.0, "nginx"),
    Aim(11, GUARDED.format("1,000 remembered tokens in turn"), RATE, "at least", 1.0, "nginx"),
)


def judged(results: Results, logs: Iterable[Log]) -> list[tuple[Aim, Log, float]]:
    """Each aim that something was measured for, and what."""
    return [
        (aim, log, value) for aim in AIMS for log in logs if (value := aim.value(results, log)) is not None
    ]
