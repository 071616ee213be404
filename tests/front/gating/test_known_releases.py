"""What documents tell of releases, remembered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pyproxycache.front.gating.known_releases import KnownReleases
from pyproxycache.mirrors.cooldown.releases import ReleasedFile, Releases


def of(count: int) -> Releases:
    return Releases("x", tuple(ReleasedFile(str(number), "1", None) for number in range(count)))


def test_a_validator_is_needed() -> None:
    known, one = KnownReleases(), of(1)
    known.keep("a", '"1"', one)
    known.keep("b", "", one)
    assert known.of("a", '"1"') is one
    assert (known.of("a", '"2"'), known.of("a", ""), known.of("b", "")) == (None, None, None)
    known.keep("a", '"2"', of(0))
    assert known.of("a", '"1"') is None


def test_what_is_used_least_goes() -> None:
    known = KnownReleases()
    for number in range(10):
        known.keep(str(number), "v", of(30_000))
        known.of("0", "v")
    assert [known.of(str(number), "v") is not None for number in (0, 7, 8, 9)] == [True, False, True, True]
    known.keep("large", "v", of(100_001))
    assert known.of("large", "v") is None
    assert known.of("0", "v") is not None


def test_a_document_is_read_by_one_at_a_time() -> None:
    known, reads = KnownReleases(), []

    def read(_number: int) -> None:
        with known.in_turn("a"):
            if known.of("a", "v") is None:
                reads.append(1)
                known.keep("a", "v", of(1))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(read, range(50)))
    assert len(reads) == 1
    with pytest.raises(ValueError, match="lost"), known.in_turn("a"):
        raise ValueError("lost")
    with known.in_turn("a"):
        pass
