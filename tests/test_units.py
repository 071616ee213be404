"""Sizes and ages: text to number and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.units import format_age, format_count, format_duration, format_size, parse_age, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("1K", 1024),
        ("1k", 1024),
        ("8M", 8 << 20),
        ("200G", 200 << 30),
        ("2T", 2 << 40),
        ("1.5G", 3 << 29),
        ("10 MB", 10 << 20),
        ("10MiB", 10 << 20),
        ("7b", 7),
        (" 3K ", 3072),
    ],
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1P", "1,5G", "20 apples", "1e3", ".5G", "0x10", "5%"])
def test_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size: a number, alone or with K, M, G or T"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("0.1s", 0.1),
        ("2m", 120),
        ("1.5h", 5400),
        ("30d", 2_592_000),
        ("1 w", 604_800),
        (" 5s ", 5),
    ],
)
def test_age(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5s", "1y", "2M", "1h30m", "soon", "1e3"])
def test_not_an_age(text: str) -> None:
    with pytest.raises(ValueError, match="is not an age: a number, alone or with s, m, h, d or w"):
        parse_age(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (8 << 20, "8.0 MiB"),
        (200 << 30, "200.0 GiB"),
        (3 << 40, "3.0 TiB"),
        (5000 << 40, "5000.0 TiB"),
        (-2048, "-2.0 KiB"),
    ],
)
def test_size_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3600, "1h"), (86400, "1d"), (259_200, "3d"), (604_800, "1w")],
)
def test_age_for_people(seconds: float, text: str) -> None:
    assert format_age(seconds) == text


@given(st.integers(0, 1 << 50))
def test_a_size_for_people_reads_as_about_the_same_size(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (3605, "1 h"),
        (90_000, "1 d 1 h"),
        (365 * 86400, "52 w 1 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_counts() -> None:
    assert [format_count(count, "file") for count in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
