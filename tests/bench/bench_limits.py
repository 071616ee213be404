"""What rate limits cost: a charge, the whole gate, many workers on one key: `make bench-limits`.

`cpu` is processor time of one thread; `busy` is what a charge takes on the clock while so many processes
charge the same key, and how many of these are counted a second by all of them.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Callable
from mmap import mmap
from multiprocessing import get_context

from pyproxycache import clock
from pyproxycache.gates.limits.counters import Charge, CountedLimit
from pyproxycache.gates.limits.fixed_window import FixedWindow
from pyproxycache.gates.limits.limit_gate import LimitGate, RouteLimit
from pyproxycache.gates.limits.limit_rule import SECOND
from pyproxycache.gates.limits.limited_values import LimitedRequest
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.gates.limits.sliding_window import SlidingWindow
from pyproxycache.gates.limits.token_bucket import TokenBucket
from pyproxycache.messages import Headers
from pyproxycache.route_options.limits import LimitedBy

MANY, PER = 10**6, 86_400 * SECOND
LIMITS = {
    "fixed": CountedLimit("fixed", FixedWindow(MANY, PER), 1 << 16),
    "sliding": CountedLimit("sliding", SlidingWindow(MANY, PER), 1 << 16),
    "bucket": CountedLimit("bucket", TokenBucket(MANY, PER, MANY), 1 << 16),
}
BY = {
    "fixed": LimitedBy("header", "authorization"),
    "sliding": LimitedBy("client"),
    "bucket": LimitedBy("query", "key"),
}
ASKED = LimitedRequest(
    "192.0.2.1",
    Headers([("Host", "api.example"), ("Authorization", "Bearer " + "x" * 40), ("Accept", "*/*")]),
    "key=abc&sort=up",
)


def cpu(work: Callable[[], object], times: int) -> float:
    """Microseconds of processor time that one call takes, the best of five."""
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        for _ in range(times):
            work()
        best = min(best, time.process_time() - begin)
    return best / times * 1e6


def busy(limit: CountedLimit, processes: int, seconds: float) -> tuple[float, float]:
    """Microseconds on the clock that a charge takes in each process, and charges a second in all."""
    counters = SharedCounters([limit], clock.steady)
    charges = [Charge(limit, bytes(range(16)))]
    counted = memoryview(mmap(-1, 8 * processes)).cast("Q")
    fork = get_context("fork")
    barrier = fork.Barrier(processes)

    def work(number: int) -> None:
        barrier.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            counters.take(charges)
            counted[number] += 1

    children = [fork.Process(target=work, args=(number,)) for number in range(processes)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return processes * seconds / sum(counted) * 1e6, sum(counted) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    counters = SharedCounters([*LIMITS.values()], clock.steady)
    for name, limit in LIMITS.items():
        charges = [Charge(limit, bytes(range(16)))]
        print(
            f"{name:>28} {cpu(lambda charges=charges: counters.take(charges), options.times):8.2f} us cpu"
        )
    keys = (random.Random(number).randbytes(16) for number in itertools.count())
    new = iter([[Charge(LIMITS["fixed"], key)] for key in itertools.islice(keys, 5 * options.times)])
    print(f"{'fixed, a new key':>28} {cpu(lambda: counters.take(next(new)), options.times):8.2f} us cpu")
    for names in (("fixed",), ("sliding",), ("fixed", "sliding"), ("fixed", "sliding", "bucket")):
        limits = [RouteLimit(name, (BY[name],), LIMITS[name]) for name in names]
        gate = LimitGate(limits, counters, counters.secret)
        label = f"gate: {', '.join(names)}"
        print(f"{label:>28} {cpu(lambda gate=gate: gate.check(ASKED), options.times):8.2f} us cpu")
    for processes in (1, 2, 4, 8):
        took, rate = busy(LIMITS["fixed"], processes, options.seconds)
        print(f"{f'{processes} processes, one key':>28} {took:8.2f} us busy {rate:12,.0f} charges/s")


if __name__ == "__main__":
    main()
