"""How many leaves one client can have made."""

from __future__ import annotations

from pyproxycache.tls.mint_rate import MintRate


def taken(rate: MintRate, client: str, now: float, times: int = 20) -> int:
    return sum(rate.take(client, now) for _ in range(times))


def test_a_burst_and_then_so_many_a_second() -> None:
    rate = MintRate(burst=5, rate=2)
    assert taken(rate, "a", 100.0) == 5
    assert taken(rate, "a", 100.4) == 0
    assert taken(rate, "a", 100.5) == 1
    assert taken(rate, "a", 102.0) == 3
    assert taken(rate, "a", 10_000.0) == 5


def test_each_client_has_its_own() -> None:
    rate = MintRate(burst=5, rate=2)
    assert taken(rate, "a", 100.0) == 5
    assert taken(rate, "b", 100.0) == 5


def test_a_clock_that_is_set_takes_none_away() -> None:
    rate = MintRate(burst=5, rate=2)
    assert taken(rate, "a", 1e9, times=3) == 3
    assert taken(rate, "a", 100.0) == 2
    assert taken(rate, "a", 101.0) == 2


def test_clients_are_forgotten_once_there_are_many() -> None:
    rate = MintRate(burst=1, rate=0.001)
    assert taken(rate, "first", 0.0) == 1
    assert taken(rate, "second", 0.0) == 1
    for number in range(9_999):
        rate.take(str(number), 0.0)
    assert taken(rate, "second", 0.0) == 0
    assert taken(rate, "first", 0.0) == 1
