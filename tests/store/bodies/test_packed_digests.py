"""Digests as bytes: nothing is lost of those that are known, and nothing of others is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.store.bodies.packed_digests import agree, packed, strength, unpacked

LENGTHS = {"md5": 16, "sha": 20, "sha-256": 32, "sha-512": 64}
KNOWN = st.dictionaries(st.sampled_from(sorted(LENGTHS)), st.binary(min_size=64, max_size=64)).map(
    lambda found: {name: digest[: LENGTHS[name]].hex() for name, digest in found.items()}
)


@given(KNOWN)
def test_what_is_packed_is_unpacked(digests: dict[str, str]) -> None:
    assert dict(unpacked(packed(digests.items()))) == digests


@given(KNOWN, st.sampled_from([("md5", "00"), ("crc32", "00000000"), ("sha-256", "ab" * 31)]))
def test_what_is_not_known_is_left_out(digests: dict[str, str], other: tuple[str, str]) -> None:
    kept = {name: digest for name, digest in digests.items() if name != other[0]}
    assert dict(unpacked(packed([*kept.items(), other]))) == kept


@given(st.binary(max_size=300))
def test_bytes_of_no_meaning_are_read_to_their_end(data: bytes) -> None:
    assert len(unpacked(data)) <= len(data)


@given(KNOWN, KNOWN)
def test_they_agree_where_no_algorithm_has_two(one: dict[str, str], other: dict[str, str]) -> None:
    expected = all(one[name] == other[name] for name in one.keys() & other.keys())
    assert agree(packed(one.items()), packed(other.items())) is expected
    assert agree(packed(one.items()), packed(one.items()))


@pytest.mark.parametrize(
    ("names", "expected"), [([], 0), (["md5"], 1), (["sha", "md5"], 2), (["sha-256"], 3), (["sha-512"], 3)]
)
def test_the_best_algorithm_counts(names: list[str], expected: int) -> None:
    assert strength(packed((name, "0" * 2 * LENGTHS[name]) for name in names)) == expected
