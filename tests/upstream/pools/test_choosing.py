"""Which member gets a request: all by their weights, and the less busy one of two."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.upstream.pools.choosing import Eligible, Way, choose


@pytest.mark.parametrize("way", ["least", "turns"])
@pytest.mark.parametrize("weights", [(1,), (1, 1), (2, 1), (1, 3, 2)])
def test_all_have_their_share_of_requests_that_come_one_by_one(way: Way, weights: tuple[int, ...]) -> None:
    eligible = [Eligible(place, weight) for place, weight in enumerate(weights)]
    rounds = 12
    counted = Counter(choose(eligible, turn, way) for turn in range(rounds * sum(weights)))
    assert [counted[place] for place in range(len(weights))] == [rounds * weight for weight in weights]


@given(st.lists(st.integers(0, 9), min_size=2, max_size=5), st.integers(0, 1000))
def test_the_busiest_of_all_is_never_the_less_busy_one(busy: list[int], turn: int) -> None:
    eligible = [Eligible(place, busy=count) for place, count in enumerate(busy)]
    chosen = choose(eligible, turn, "least")
    if busy.count(max(busy)) == 1:
        assert busy[chosen] < max(busy)


@given(st.lists(st.integers(1, 4), min_size=3, max_size=5))
def test_who_is_idle_gets_more_than_its_turns(weights: list[int]) -> None:
    """Else a member could stay idle while others are busy."""
    for idle in range(len(weights)):
        eligible = [
            Eligible(place, weight, 0 if place == idle else 100) for place, weight in enumerate(weights)
        ]
        turns = range(sum(weights) ** 2)
        chosen = Counter(choose(eligible, turn, "least") for turn in turns)
        assert chosen[idle] > len(turns) * weights[idle] / sum(weights)


def test_weights_count_for_how_busy_one_is() -> None:
    eligible = [Eligible(0, weight=4, busy=4), Eligible(1, busy=2)]
    assert {choose(eligible, turn, "least") for turn in range(20)} == {0}


def test_places_stay_where_others_are_out() -> None:
    assert {choose([Eligible(3), Eligible(7)], turn, "least") for turn in range(9)} == {3, 7}
