"""The policies against sequences worked out by hand, and what holds for each of them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from functools import partial

import pytest
from eviction import FLUSH, PARTS, POLICIES, Batched, Exact, Maker, replay
from policies import BoundedGdsf, Ghosts, GreedyDual, Lru, Policy, S3Fifo, gdsf, lfu_da
from tinylfu import Sketch, WTinyLfu
from traces import Trace, api, build_farm, package_mirror, small_ones, zipf, zipf_with_scans

ALL = {**POLICIES, **PARTS}
everywhere = pytest.mark.parametrize("make", ALL.values(), ids=ALL)


def resident(policy: Policy, keys: Iterable[int]) -> set[int]:
    return {key for key in keys if key in policy}


def replayed(policy: Policy, requests: Iterable[tuple[int, int]], capacity: int) -> list[int]:
    """The keys that were hits; one eviction at a time."""
    cache, hits = Exact(lambda _capacity: policy, capacity), []
    for key, size in requests:
        if key in policy:
            cache.hit(key)
            hits.append(key)
        else:
            cache.miss(key, size)
    return hits


def alike(*keys: int, size: int = 1) -> list[tuple[int, int]]:
    return [(key, size) for key in keys]


# What holds for all of them.


@everywhere
@pytest.mark.parametrize("form", [Exact, Batched])
def test_never_over_capacity_and_what_is_used_is_what_is_there(
    make: Maker, form: type[Exact | Batched]
) -> None:
    draw, capacity = random.Random(5), 5000
    sizes = [draw.choice((1, 10, 100, 1000, 4000)) for _ in range(300)]
    cache = form(make, capacity)
    for key in draw.choices(range(300), cum_weights=zipf(300, 0.8), k=3000):
        if key in cache.policy:
            cache.hit(key)
        else:
            cache.miss(key, sizes[key])
        assert cache.policy.used <= capacity
        assert cache.policy.used == sum(sizes[key] for key in resident(cache.policy, range(300)))


@everywhere
def test_what_fits_stays_and_is_a_hit(make: Maker) -> None:
    keys = range(20)
    trace = Trace("", [7] * len(keys), [*keys] * 5)
    assert replay(trace, Exact(make, 7 * len(keys))).objects == 1.0  # the first round is the warm fifth


@everywhere
def test_each_eviction_removes_something_until_nothing_is_left(make: Maker) -> None:
    policy = make(1000)
    for key in range(100):
        policy.insert(key, 10 + key)
        if key % 3 == 0:
            policy.touch(key, 1 + key % 5)
    while policy.used:
        before = policy.used
        policy.evict()
        assert policy.used < before
    assert not resident(policy, range(100))


@pytest.mark.parametrize("name", ["S3-FIFO", "W-TinyLFU", "W-TinyLFU AV", "bounded GDSF"])
@pytest.mark.parametrize("form", [Exact, Batched])
def test_scans_hurt_less_than_with_lru(name: str, form: type[Exact | Batched]) -> None:
    """Scans of three times what the cache holds, between requests for what is popular."""
    draw, trace = random.Random(3), Trace("", sizes=[1000] * 10_000)
    scanned = itertools.count(1000)
    for _ in range(12):
        trace.requests += draw.choices(range(1000), cum_weights=zipf(1000, 0.9), k=1500)
        trace.requests += itertools.islice(scanned, 600)
    lru, other = (replay(trace, form(make, 200_000)).objects for make in (Lru, POLICIES[name]))
    assert other > 1.1 * lru


# One by one.


def test_lru_drops_what_was_not_used_for_longest() -> None:
    policy = Lru(3)
    assert replayed(policy, alike(1, 2, 3, 1, 4, 2), 3) == [1]
    assert resident(policy, range(9)) == {1, 2, 4}


def test_s3fifo_promotes_what_was_asked_for_twice_again_and_not_what_was_asked_for_once_again() -> None:
    policy = S3Fifo(10)
    hits = replayed(policy, alike(1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10), 10)
    assert hits == [1, 1, 2]
    replayed(policy, alike(11), 10)  # 1 goes to the main queue, 2 goes
    assert resident(policy, range(20)) == {1, *range(3, 12)}


def test_s3fifo_takes_a_ghost_to_the_main_queue() -> None:
    policy = S3Fifo(10)
    replayed(policy, alike(1, 1, 1, *range(2, 12)), 10)  # 1 is in the main queue, 2 is a ghost
    replayed(policy, alike(2, *range(20, 40)), 10)
    assert {1, 2} <= resident(policy, range(40))


def test_s3fifo_gives_what_was_asked_for_another_round_and_no_more() -> None:
    policy = S3Fifo(4, small=0)
    for key in (1, 2, 3):
        policy.insert(key, 1)
        policy.touch(key, 2)
    policy.insert(4, 1)
    policy.evict()  # all three to the main queue, with no counts; 4 goes
    policy.touch(1)
    policy.evict()  # 1 goes round, 2 goes
    assert resident(policy, range(5)) == {1, 3}
    policy.evict()
    policy.evict()  # 3, and then 1, whose count is used up
    assert policy.used == 0


def test_s3fifo_counts_three_at_most() -> None:
    policy = S3Fifo(2, small=0)
    policy.insert(1, 1)
    policy.touch(1, 1000)
    policy.insert(2, 1)
    policy.evict()  # 1 to the main queue
    policy.touch(1, 1000)
    for key in (3, 4, 5):
        policy.insert(key, 1)
        policy.touch(key, 2)
    for _ in range(3):
        policy.evict()  # 3, 4 and 5 join it; each comes to its end with no count, and 1 has three
    assert resident(policy, range(6)) == {1}
    policy.evict()
    assert policy.used == 0


def test_ghosts_forget_the_oldest_and_those_recalled() -> None:
    ghosts = Ghosts()
    for key in (1, 2, 3):
        ghosts.remember(key, 10 * key, most=2)
    assert [ghosts.recall(key) for key in (1, 2, 2, 3)] == [None, 20, None, 30]


def test_gdsf_drops_the_least_hits_for_a_byte() -> None:
    policy = gdsf()
    for key, size, hits in ((1, 100, 1), (2, 10, 1), (3, 100, 20)):
        policy.insert(key, size)
        policy.touch(key, hits)
    order = []
    for _ in range(3):
        before = resident(policy, range(4))
        policy.evict()
        order += before - resident(policy, range(4))
    assert order == [1, 2, 3]  # 2/100, 2/10, 21/100


def test_lfu_da_leaves_size_out_and_drops_the_older_among_equals() -> None:
    policy = lfu_da()
    replayed(policy, [(1, 50), (2, 1), (3, 9), (2, 1)], 60)
    policy.evict()
    assert resident(policy, range(4)) == {2, 3}


def rounds_until_forgotten(policy: GreedyDual) -> int:
    """How many objects that nobody asks for again pass through before one goes that had 50 hits."""
    policy.insert(0, 10)
    policy.touch(0, 50)
    for key in itertools.count(1):
        policy.insert(key, 10)
        policy.evict()
        if 0 not in policy:
            return key
    raise AssertionError


def test_age_catches_up_with_what_was_popular_and_sooner_where_uses_are_bounded() -> None:
    # Each newcomer goes at once, and raises the age by what it was worth.
    assert rounds_until_forgotten(lfu_da()) == 51
    assert rounds_until_forgotten(BoundedGdsf(power=0.0)) == 12  # 3 uses to a trial's quarter


@pytest.mark.parametrize(("ghosts", "stays"), [(True, 1), (False, 2)])
def test_bounded_gdsf_gives_back_uses_to_what_comes_back(ghosts: bool, stays: int) -> None:
    policy = BoundedGdsf(ghosts=ghosts)
    for key in (1, 3, 4):
        policy.insert(key, 10)
    policy.evict()  # 1
    policy.insert(1, 10)  # one use, where it is remembered
    policy.insert(2, 10)
    while policy.used > 10:
        policy.evict()
    assert resident(policy, range(5)) == {stays}


@pytest.mark.parametrize(("uses_of_large", "stays"), [(1, 2), (2, 1)])
def test_bounded_gdsf_lets_twice_the_uses_outweigh_a_thousandfold_size(
    uses_of_large: int, stays: int
) -> None:
    policy = BoundedGdsf()
    policy.insert(1, 1000)
    policy.insert(2, 1)
    policy.touch(1, uses_of_large)
    policy.touch(2, 1)
    policy.evict()
    assert resident(policy, (1, 2)) == {stays}


# The sketch and W-TinyLFU.


def test_the_sketch_counts_up_to_15_and_never_too_few() -> None:
    sketch, asked = Sketch(1000), {key: 1 + key % 20 for key in range(400)}
    for key, count in asked.items():
        sketch.add(key, count)
    estimates = {key: sketch.estimate(key) for key in asked}
    assert all(min(asked[key], 15) <= estimate <= 15 for key, estimate in estimates.items())
    assert sum(estimates[key] == min(asked[key], 15) for key in asked) > 390


def test_the_sketch_halves_its_counts_after_ten_requests_an_object() -> None:
    sketch = Sketch(10)
    sketch.add(1, 12)
    sketch.add(2, 87)
    assert sketch.estimate(1) == 12
    sketch.add(3)
    assert (sketch.estimate(1), sketch.estimate(2)) == (6, 7)


@pytest.mark.parametrize(
    ("aggregated", "frequency", "admitted"), [(False, 2, 0), (False, 3, 1), (True, 4, 0), (True, 5, 1)]
)
def test_w_tinylfu_admits_what_is_asked_for_more_often_than_what_goes_for_it(
    aggregated: bool, frequency: int, admitted: int
) -> None:
    policy = WTinyLfu(100, aggregated=aggregated, window=0.0)
    cache = Exact(lambda _capacity: policy, 100)
    for key in range(4):
        cache.miss(key, 25)
        cache.hit(key)
    for _ in range(frequency):
        if 9 in policy:
            cache.hit(9)
        else:
            before = resident(policy, range(4))
            cache.miss(9, 50)  # two of the four would have to go, with a frequency of 2 each
            assert 9 in policy or resident(policy, range(4)) == before
    assert len(resident(policy, [9])) == admitted
    assert len(resident(policy, range(4))) == (2 if admitted else 4)


def test_w_tinylfu_protects_what_was_asked_for_on_probation() -> None:
    policy = WTinyLfu(100, window=0.0)
    cache = Exact(lambda _capacity: policy, 100)
    for key in range(10):
        cache.miss(key, 10)
    cache.hit(0)
    for _ in range(2):  # the second time it is asked for more often than 1 was
        cache.miss(10, 10)
    assert resident(policy, range(11)) == {0, *range(2, 11)}


# How they are driven, and over what.


def test_in_batches_a_hit_counts_when_it_is_written() -> None:
    cache = Batched(lambda _capacity: Lru(0), 4 * FLUSH)
    for key in (0, 1):
        cache.miss(key, 1)
    cache.hit(0)
    cache.policy.evict()
    assert resident(cache.policy, (0, 1)) == {1}  # the hit of 0 is not written yet
    cache = Batched(lambda _capacity: Lru(0), 4 * FLUSH)
    for key in (0, 1):
        cache.miss(key, 1)
    for _ in range(FLUSH - 2):
        cache.hit(0)
    cache.policy.evict()
    assert resident(cache.policy, (0, 1)) == {0}


@pytest.mark.parametrize(("size", "left"), [(189, 945), (191, 764)])
def test_in_batches_eviction_goes_from_95_to_90_percent(size: int, left: int) -> None:
    cache = Batched(Lru, 1000)
    for key in range(5):
        cache.miss(key, size)
    for _ in range(FLUSH - 5):
        cache.hit(4)
    assert cache.policy.used == left


def test_ratios_leave_the_first_fifth_out() -> None:
    trace = Trace("", [1, 10, 100], [0, 1, 0, 1, 2, 2, 0, 1, 0, 0])
    ratios = replay(trace, Exact(Lru, 1000))
    assert ratios.objects == 7 / 8
    assert ratios.bytes == pytest.approx(124 / 224)


def test_what_is_larger_than_the_cache_is_not_stored() -> None:
    assert replay(Trace("", [91], [0] * 10), Exact(Lru, 100)).objects == 0.0
    assert replay(Trace("", [90], [0] * 10), Exact(Lru, 100)).objects == 1.0


@pytest.mark.parametrize(
    "make",
    [
        partial(zipf_with_scans, requests=38_000),
        partial(package_mirror, days=1),
        partial(build_farm, hours=8),
        partial(api, requests=3000),
    ],
)
def test_traces_are_the_same_for_the_same_seed(make: Callable[[random.Random], Trace]) -> None:
    one, other, third = (make(random.Random(seed)) for seed in (1, 1, 2))
    assert (one.requests, one.sizes) == (other.requests, other.sizes)
    assert one.requests != third.requests
    assert min(one.sizes) >= 100
    assert max(one.sizes) <= 200_000_000


def test_the_mirrors_indexes_are_renewed_and_never_asked_for_again() -> None:
    trace = package_mirror(random.Random(1), days=2)
    last = {key: number for number, key in enumerate(trace.requests)}
    indexes = [key for key in range(30_000, 30_012) if key in last]  # those of the first six hours
    assert len(indexes) == 12
    assert max(last[key] for key in indexes) < len(trace.requests) / 4


def test_small_ones_are_small() -> None:
    trace = package_mirror(random.Random(1), days=1)
    small = small_ones(trace)
    assert max(trace.sizes[key] for key in small.requests) <= 64_000
    assert 0 < len(small.requests) < len(trace.requests)
