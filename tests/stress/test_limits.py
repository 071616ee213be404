"""Rate limits under the hands of many processes and threads, some of them killed in between.

Run as a script for more rounds: `--rounds 1000`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from mmap import mmap
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

from pyproxycache import clock
from pyproxycache.gates.limits.counters import Charge, CountedLimit
from pyproxycache.gates.limits.fixed_window import FixedWindow
from pyproxycache.gates.limits.limit_rule import SECOND
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.gates.limits.sliding_window import SlidingWindow
from pyproxycache.gates.limits.token_bucket import TokenBucket

PROCESSES, THREADS, OF_A_THREAD = 4, 3, 20
REQUESTS = PROCESSES * THREADS * OF_A_THREAD
PER = 31 * 86_400 * SECOND
MANY = 10**6
FORK = get_context("fork")
FULL = CountedLimit("full", FixedWindow(0, PER), 1)


def limits_of(chance: random.Random) -> list[CountedLimit]:
    """One of each kind, narrower and wider than all requests of a round."""
    counts = [chance.choice((1, 7, REQUESTS // 2, REQUESTS - 1, REQUESTS, REQUESTS + 1)) for _ in range(3)]
    return [
        CountedLimit("fixed", FixedWindow(counts[0], PER), 1000),
        CountedLimit("sliding", SlidingWindow(counts[1], PER), 1000),
        CountedLimit("bucket", TokenBucket(counts[2], PER, counts[2]), 1000),
    ]


def key(number: int) -> bytes:
    return number.to_bytes(8, "little") + random.Random(number).randbytes(8)


def passed_in_round(counters: SharedCounters, charges: Sequence[Charge]) -> int:
    """How many requests of this process pass, asked by several threads."""

    def ask(_thread: int) -> int:
        return sum(all(not one.wait for one in counters.take(charges)) for _ in range(OF_A_THREAD))

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(ask, range(THREADS)))


def run_rounds(rounds: int, seed: int) -> list[str]:
    """In each round every limit alone, then all of them at once; what went wrong."""
    counters = SharedCounters(limits_of(random.Random(seed)), clock.steady)
    several = [[limit] for limit in counters.limits] + [list(counters.limits)]
    turns = [
        [Charge(limit, key(4 * round_ + number)) for limit in limits]
        for round_ in range(rounds)
        for number, limits in enumerate(several)
    ]
    passed = memoryview(mmap(-1, 8 * PROCESSES * len(turns))).cast("Q")
    barrier = FORK.Barrier(PROCESSES)

    def work(number: int, barrier: Barrier) -> None:
        for turn, charges in enumerate(turns):
            barrier.wait()
            passed[turn * PROCESSES + number] = passed_in_round(counters, charges)

    children = [FORK.Process(target=work, args=(number, barrier)) for number in range(PROCESSES)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    wrong = [f"a process ended with {child.exitcode}" for child in children if child.exitcode]
    for turn, charges in enumerate(turns):
        expected = min(REQUESTS, *(charge.limit.rule.count for charge in charges))
        found = sum(passed[turn * PROCESSES : (turn + 1) * PROCESSES])
        if found != expected:
            names = " and ".join(charge.limit.name for charge in charges)
            wrong.append(f"{names}, seed {seed}: {found} of {REQUESTS} passed, not {expected}")
    return wrong


def used(counters: SharedCounters, limit: CountedLimit, number: int) -> int:
    """How many of MANY requests the key has used, without using one."""
    said = counters.take([Charge(limit, key(number)), Charge(FULL, key(0))])
    return MANY - (0 if said[0].wait else said[0].left + 1)


def run_kills(kills: int, seed: int) -> list[str]:
    """Processes are killed at any moment, and the counts of limits that are taken together stay equal."""
    chance = random.Random(seed)
    limits = [
        CountedLimit("fixed", FixedWindow(MANY, PER), 1000),
        CountedLimit("sliding", SlidingWindow(MANY, PER), 1000),
        CountedLimit("bucket", TokenBucket(1, PER, MANY), 1000),
    ]
    counters = SharedCounters([*limits, FULL], clock.steady)
    charges = [Charge(limit, key(1)) for limit in limits]
    passed = memoryview(mmap(-1, 8 * PROCESSES)).cast("Q")
    reading, writing = os.pipe()

    def work(number: int) -> None:
        while True:
            for _ in range(chance.randrange(1, 30)):
                counters.take(charges)
                passed[number] += 1
            os.write(writing, b".")

    def begun(number: int) -> int:
        pid = os.fork()
        if not pid:
            chance.seed(f"{seed} {os.getpid()}")
            work(number)
        return pid

    pids = [begun(number) for number in range(PROCESSES)]
    try:
        for _ in range(kills):
            os.read(reading, chance.randrange(1, 4))
            number = chance.randrange(PROCESSES)
            os.kill(pids[number], signal.SIGKILL)
            os.waitpid(pids[number], 0)
            pids[number] = begun(number)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)
    counts = {limit.name: used(counters, limit, 1) for limit in limits}
    reported, killed = sum(passed), kills + PROCESSES
    # Who is killed between being counted and noting it is counted all the same.
    if len(set(counts.values())) != 1 or not reported <= counts["fixed"] <= reported + killed:
        return [f"seed {seed}: {counts}, of which {reported} were noted, after {killed} kills"]
    return []


def test_exactly_as_many_pass_as_limits_say() -> None:
    assert run_rounds(5, seed=1) + run_rounds(5, seed=2) == []


def test_kills_leave_no_half_counts_and_hold_up_nobody() -> None:
    assert run_kills(60, seed=1) == []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000, help="how many rounds, and kills")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"{options.rounds} rounds and kills from seed {options.seed}", flush=True)
    wrong = []
    for number in range(-(-options.rounds // 10)):
        wrong += run_rounds(10, options.seed + number)
    wrong += run_kills(options.rounds, options.seed)
    print("\n".join(wrong) or "exact in all of them")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
