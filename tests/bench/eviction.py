"""Which eviction policy keeps what is asked for again: hit ratios by cache size. Run as a script.

Each policy replays each trace twice: as the books have it, one eviction at a time, and as a store can have
it that writes its notes in batches. The first fifth of each trace only fills the cache.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from policies import BoundedGdsf, Lru, Policy, S3Fifo, gdsf, lfu_da
from tinylfu import WTinyLfu
from traces import Trace, all_traces

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZES = (0.001, 0.01, 0.03, 0.1, 0.3)  # of the trace's unique bytes
WARM = 0.2
HIGH_WATER, LOW_WATER = 0.95, 0.90
FLUSH = 500  # requests between two writings of what was noted

Maker = Callable[[int], Policy]
POLICIES: dict[str, Maker] = {
    "LRU": Lru,
    "S3-FIFO": S3Fifo,
    "W-TinyLFU": WTinyLfu,
    "W-TinyLFU AV": lambda capacity: WTinyLfu(capacity, aggregated=True),
    "GDSF": lambda capacity: gdsf(),
    "LFU-DA": lambda capacity: lfu_da(),
    "bounded GDSF": lambda capacity: BoundedGdsf(),
}
COLOURS = dict(
    zip(
        POLICIES, ("#777777", "#0072b2", "#cc79a7", "#882255", "#e69f00", "#56b4e9", "#d55e00"), strict=True
    )
)
# What each part of the last one does.
PARTS: dict[str, Maker] = {
    "without ghosts": lambda capacity: BoundedGdsf(ghosts=False),
    "without trial": lambda capacity: BoundedGdsf(trial=1.0),
    "without size": lambda capacity: BoundedGdsf(power=0.0),
    "size by 0.2": lambda capacity: BoundedGdsf(power=0.2),
    "up to 7 uses": lambda capacity: BoundedGdsf(most=7),
    "without bound": lambda capacity: BoundedGdsf(most=1_000_000),
}


@dataclass(slots=True)
class Ratios:
    """Object and byte hit ratio, and what a request cost (µs)."""

    objects: float = 0.0
    bytes: float = 0.0
    cost: float = 0.0

    @classmethod
    def mean(cls, several: Iterable[Ratios]) -> Ratios:
        of = list(several)
        sums = (sum(one.objects for one in of), sum(one.bytes for one in of), sum(one.cost for one in of))
        return cls(*(value / len(of) for value in sums))


class Exact:
    """Notes each hit at once and evicts as soon as there is no room."""

    name = "one by one"

    def __init__(self, make: Maker, capacity: int) -> None:
        self.policy = make(capacity)
        self.capacity = capacity

    def hit(self, key: int) -> None:
        self.policy.touch(key)

    def miss(self, key: int, size: int) -> None:
        self.policy.insert(key, size)
        while self.policy.used > self.capacity:
            self.policy.evict()


class Batched:
    """Notes hits every `FLUSH` requests; then, and when it is full, evicts from 95 % down to 90 %."""

    name = "in batches"

    def __init__(self, make: Maker, capacity: int) -> None:
        self.policy = make(int(capacity * LOW_WATER))
        self.capacity = capacity
        self._noted: dict[int, int] = {}
        self._requests = 0

    def hit(self, key: int) -> None:
        self._noted[key] = self._noted.pop(key, 0) + 1  # in the order of the last access
        self._tick()

    def miss(self, key: int, size: int) -> None:
        self.policy.insert(key, size)
        self._tick()

    def _tick(self) -> None:
        self._requests += 1
        if self._requests >= FLUSH or self.policy.used > self.capacity:
            self._requests = 0
            for key, count in self._noted.items():
                self.policy.touch(key, count)
            self._noted.clear()
            if self.policy.used > self.capacity * HIGH_WATER:
                while self.policy.used > self.capacity * LOW_WATER:
                    self.policy.evict()


def replay(trace: Trace, cache: Exact | Batched) -> Ratios:
    """What of the trace is found in the cache; too large for 90 % of it is not stored."""
    policy, sizes, largest = cache.policy, trace.sizes, cache.capacity * LOW_WATER
    warm = int(len(trace.requests) * WARM)
    hits = hit_bytes = all_bytes = 0
    begin = time.perf_counter()
    for number, key in enumerate(trace.requests):
        size = sizes[key]
        found = key in policy
        if found:
            cache.hit(key)
        elif size <= largest:
            cache.miss(key, size)
        if number >= warm:
            all_bytes += size
            if found:
                hits += 1
                hit_bytes += size
    took = time.perf_counter() - begin
    counted = len(trace.requests) - warm
    return Ratios(hits / counted, hit_bytes / all_bytes, 1e6 * took / len(trace.requests))


Results = dict[tuple[str, str, str], list[Ratios]]  # trace, policy, form: a figure for each of SIZES


def compare(traces: Iterable[Trace], policies: dict[str, Maker]) -> Results:
    results: Results = {}
    for trace in traces:
        unique = trace.unique_bytes
        for name, make in policies.items():
            for form in (Exact, Batched):
                results[trace.name, name, form.name] = [
                    replay(trace, form(make, int(unique * size))) for size in SIZES
                ]
    return results


def tell(traces: list[Trace], policies: dict[str, Maker], results: Results) -> None:
    """Markdown: a table for each form and trace, and one of means without the smallest size."""
    for form in (Exact.name, Batched.name):
        for trace in traces:
            tell_table(
                f"{trace.name}, {form}",
                [f"{size:.1%}" for size in SIZES],
                {name: results[trace.name, name, form] for name in policies},
            )
        means = {
            name: [Ratios.mean(results[trace.name, name, form][1:]) for trace in traces]
            for name in policies
        }
        tell_table(
            f"mean of {SIZES[1]:.0%} to {SIZES[-1]:.0%}, {form}", [trace.name for trace in traces], means
        )
    print("\n| µs a request | " + " | ".join(policies) + " |\n|---" * 1 + "|---" * len(policies) + "|")
    costs = (
        Ratios.mean(one for trace in traces for one in results[trace.name, name, Exact.name]).cost
        for name in policies
    )
    print("| one by one | " + " | ".join(f"{cost:.1f}" for cost in costs) + " |")


def tell_table(title: str, columns: list[str], rows: dict[str, list[Ratios]]) -> None:
    """Percent: objects / bytes."""
    print(f"\n| {title} | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for name, ratios in rows.items():
        figures = (f"{100 * one.objects:.1f} / {100 * one.bytes:.1f}" for one in ratios)
        print(f"| {name} | {' | '.join(figures)} |")


def describe(traces: list[Trace]) -> None:
    print("| trace | requests | objects | GB, unique | GB, asked for | without a limit |")
    print("|---|---|---|---|---|---|")
    for trace in traces:
        unique = trace.unique_bytes
        asked_for = sum(trace.sizes[key] for key in trace.requests)
        unlimited = replay(trace, Exact(Lru, 10 * unique))
        print(
            f"| {trace.name} | {len(trace.requests):,} | {len(set(trace.requests)):,} |"
            f" {unique / 1e9:.1f} | {asked_for / 1e9:.1f} |"
            f" {100 * unlimited.objects:.1f} / {100 * unlimited.bytes:.1f} |"
        )


def plot(path: Path, traces: list[Trace], results: Results) -> None:
    """Lines by cache size: a column for each trace, objects above bytes."""
    from matplotlib import pyplot  # only who asks for the plot needs it

    size = (3.4 * len(traces), 6.6)
    figure, rows = pyplot.subplots(2, len(traces), figsize=size, sharex=True, squeeze=False)
    for row, what in zip(rows, ("objects", "bytes"), strict=True):
        for axes, trace in zip(row, traces, strict=True):
            draw_lines(axes, trace, what, results)
        row[0].set_ylabel(f"hit ratio by {what} (%)")
    for axes, trace in zip(rows[0], traces, strict=True):
        axes.set_title(trace.name)
    for axes in rows[1]:
        axes.set_xlabel("cache size (% of unique bytes)")
    figure.legend(*rows[0][0].get_legend_handles_labels(), loc="lower center", ncols=9, frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=110)


def draw_lines(axes: Axes, trace: Trace, what: str, results: Results) -> None:
    """Of all policies one by one, and dashed of two of them in batches."""
    percent = [100 * size for size in SIZES]
    lines = [(name, Exact.name) for name in POLICIES] + [
        ("LRU", Batched.name),
        ("bounded GDSF", Batched.name),
    ]
    for name, form in lines:
        ratios = [100 * getattr(one, what) for one in results[trace.name, name, form]]
        style, label = ("-", name) if form == Exact.name else ("--", f"{name}, {form}")
        width = 2 if name == "bounded GDSF" else 1.2
        axes.plot(percent, ratios, style, color=COLOURS[name], label=label, linewidth=width)
    axes.set_xscale("log")
    axes.set_xticks(percent, [f"{size:g}" for size in percent])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="other requests of the same kinds")
    parser.add_argument(
        "--parts", action="store_true", help="bounded GDSF without each of its parts instead"
    )
    parser.add_argument("--plot", type=Path, help="write a PNG (needs matplotlib)")
    options = parser.parse_args()
    if options.plot and options.parts:
        parser.error("--plot shows the policies: leave out --parts")
    begin = time.perf_counter()
    traces = all_traces(options.seed)
    describe(traces)
    policies = (
        {"LRU": Lru, "bounded GDSF": POLICIES["bounded GDSF"], **PARTS} if options.parts else POLICIES
    )
    results = compare(traces, policies)
    tell(traces, policies, results)
    if options.plot:
        plot(options.plot, traces, results)
    print(f"\n{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
