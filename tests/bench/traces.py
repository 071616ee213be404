"""Requests to replay: made with a fixed seed, after what caches of this kind see."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, field

MB = 1_000_000


@dataclass
class Trace:
    """Keys in the order in which they are asked for; `sizes` (bytes) by key. New content is a new key."""

    name: str
    sizes: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)

    def new(self, size: float, least: int = 1000, most: int = 200 * MB) -> int:
        """A key for an object of about this size."""
        self.sizes.append(min(max(int(size), least), most))
        return len(self.sizes) - 1

    @property
    def unique_bytes(self) -> int:
        return sum(self.sizes[key] for key in set(self.requests))


def all_traces(seed: int) -> list[Trace]:
    mirror = package_mirror(random.Random(seed))
    return [
        zipf_with_scans(random.Random(seed)),
        mirror,
        build_farm(random.Random(seed)),
        api(random.Random(seed)),
        small_ones(mirror),
    ]


def zipf(count: int, exponent: float) -> list[float]:
    """Cumulated weights of ranks, for `random.choices`."""
    return list(itertools.accumulate((rank + 1) ** -exponent for rank in range(count)))


def lognormal(draw: random.Random, median: float, sigma: float) -> float:
    return draw.lognormvariate(math.log(median), sigma)


def zipf_with_scans(draw: random.Random, requests: int = 190_000) -> Trace:
    """200,000 objects by Zipf(0.9); after every 30,000 requests a crawler goes through 8,000 in a row."""
    trace = Trace("Zipf with scans")
    for _ in range(200_000):
        trace.new(lognormal(draw, 20_000, 1.8), least=200)
    ranked = draw.sample(range(200_000), 200_000)
    weights, crawled = zipf(200_000, 0.9), 0
    while len(trace.requests) < requests:
        trace.requests += draw.choices(ranked, cum_weights=weights, k=30_000)
        trace.requests += (key % 200_000 for key in range(crawled, crawled + 8000))
        crawled += 8000
    return trace


def package_mirror(draw: random.Random, days: int = 11) -> Trace:
    """Days of machines and builds that install packages.

    Twelve indexes (100 kB to 40 MB) are renewed every six hours under new names, and each build fetches
    three of them. Each time 75 of 30,000 packages get a new version, which every machine of the fleet that
    has the package fetches within the hour; builds fetch 40 packages by popularity, in current versions.
    """
    trace = Trace("package mirror")
    index_sizes = [0.1 * MB * 400 ** draw.random() for _ in range(12)]
    package_sizes = [lognormal(draw, 90_000, 2.0) for _ in range(30_000)]
    ranked, weights = draw.sample(range(30_000), 30_000), zipf(30_000, 0.9)
    machines = {package: 60 // (1 + rank // 500) for rank, package in enumerate(ranked)}
    current = [trace.new(size) for size in package_sizes]
    indexes: list[int] = []
    for hour in range(24 * days):
        now: list[int] = []
        if hour % 6 == 0:
            indexes = [trace.new(size * draw.uniform(0.98, 1.02), most=40 * MB) for size in index_sizes]
            for package in draw.sample(range(30_000), 75):
                current[package] = trace.new(package_sizes[package] * draw.uniform(0.95, 1.05))
                now += [current[package]] * machines[package]
            now += draw.choices(indexes, k=180)
        for _ in range(draw.choice((4, 8, 20))):
            now += draw.sample(indexes, 3)
            now += (current[package] for package in draw.choices(ranked, cum_weights=weights, k=40))
        draw.shuffle(now)
        trace.requests += now
    return trace


def build_farm(draw: random.Random, hours: int = 120) -> Trace:
    """Pipelines begin each hour; their jobs fetch the artefacts for some hours, and then never again.

    One request in five is for 600 toolchains and images that stay.
    """
    trace = Trace("build farm")
    stay, weights = [trace.new(lognormal(draw, 8 * MB, 1.5)) for _ in range(600)], zipf(600, 0.8)
    running: list[tuple[int, list[int]]] = []  # until which hour, and what it fetches
    for hour in range(hours):
        for _ in range(draw.randint(1, 6)):
            artefacts = [trace.new(lognormal(draw, 0.3 * MB, 1.8)) for _ in range(draw.randint(10, 120))]
            running.append((hour + draw.randint(2, 5), artefacts))
        running = [one for one in running if one[0] > hour]
        now = [key for _, artefacts in running for key in artefacts for _ in range(draw.randint(0, 3))]
        now += draw.choices(stay, cum_weights=weights, k=len(now) // 4)
        draw.shuffle(now)
        trace.requests += now
    return trace


def api(draw: random.Random, requests: int = 100_000) -> Trace:
    """50,000 small answers by Zipf(1.0); one in ten requests makes an answer new, and popularity drifts."""
    trace, count = Trace("API"), 50_000
    ranked = [trace.new(lognormal(draw, 1500, 1.2), least=100, most=64_000) for _ in range(count)]
    weights = zipf(count, 1.0)
    for _ in range(requests // 1000):
        trace.requests += draw.choices(ranked, cum_weights=weights, k=1000)
        for _ in range(100):
            rank = draw.randrange(count)
            ranked[rank] = trace.new(trace.sizes[ranked[rank]], least=100)
        rank, other = int(count ** draw.random()) - 1, int(count ** draw.random()) - 1
        ranked[rank], ranked[other] = ranked[other], ranked[rank]
    return trace


def small_ones(of: Trace, most: int = 64_000) -> Trace:
    """What of the trace a memory cache would hold."""
    small = (key for key in of.requests if of.sizes[key] <= most)
    return Trace(f"{of.name}, up to {most // 1000} kB", of.sizes, list(small))
