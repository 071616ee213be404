"""Which addresses a name has had lately: each for its time, and only so many."""

from __future__ import annotations

from pyproxycache.net.recent_addresses import RecentAddresses


def test_each_address_has_its_own_time() -> None:
    recent = RecentAddresses(60.0)
    recent.note("a.test", ["192.0.2.1", "192.0.2.2"], 100.0)
    recent.note("a.test", ["192.0.2.2", "2001:db8::1"], 130.0)
    known = ("192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.9")
    assert [recent.until("a.test", one, 150.0) for one in known] == [160.0, 190.0, 190.0, None]
    assert [recent.until("a.test", one, 160.0) for one in known] == [None, 190.0, 190.0, None]
    assert recent.until("b.test", "192.0.2.1", 100.0) is None


def test_of_many_the_latest_are_remembered() -> None:
    recent = RecentAddresses()
    for number in range(200):
        recent.note("a.test", [f"192.0.2.{number}"], 0.0)
    known = [number for number in range(200) if recent.until("a.test", f"192.0.2.{number}", 1.0)]
    assert known == list(range(200 - 64, 200))
    for number in range(20_000):
        recent.note(f"{number}.test", ["192.0.2.1"], 0.0)
        recent.note("kept.test", ["192.0.2.1"], 0.0)
    assert recent.until("a.test", "192.0.2.199", 1.0) is None
    assert recent.until("kept.test", "192.0.2.1", 1.0)
    known = [number for number in range(20_000) if recent.until(f"{number}.test", "192.0.2.1", 1.0)]
    assert known == list(range(20_000 - 16_383, 20_000))


def test_addresses_count_however_they_are_spread_over_names() -> None:
    recent = RecentAddresses()
    for number in range(1000):
        recent.note(f"{number}.test", [f"192.0.2.{one}" for one in range(100)], 0.0)
    known = [number for number in range(1000) if recent.until(f"{number}.test", "192.0.2.99", 1.0)]
    assert known == list(range(1000 - 16_384 // 64, 1000))
