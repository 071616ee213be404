"""Sizes (K/M/G/T) and ages (s/m/h/d/w) as people write them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")

SIZE_UNITS = {"T": 1 << 40, "G": 1 << 30, "M": 1 << 20, "K": 1 << 10}
"""The bytes of each unit of sizes, the largest first."""

AGE_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
"""The seconds of each unit of ages, the largest first."""


def parse_size(text: str) -> int:
    """The bytes that a size such as "200G" means; raises ValueError, which says what is accepted."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not a size: a number, alone or with K, M, G or T behind it, as in 200G"
        )
    return int(float(match[1]) * SIZE_UNITS.get(match[2].upper(), 1))


def parse_age(text: str) -> float:
    """The seconds that an age such as "30d" means; raises ValueError, which says what is accepted."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not an age: a number, alone or with s, m, h, d or w behind it, as in 30d"
        )
    return float(match[1]) * AGE_UNITS.get(match[2], 1)


def format_size(size: float) -> str:
    """The size with one decimal in the largest unit that keeps it at 1 or more: "1.5 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_count(count: int, noun: str) -> str:
    """The count with its noun, as in "1 file" and "2 files"; for nouns with a plural in s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_age(seconds: float) -> str:
    """The age (seconds) in its largest whole unit: "3d"."""
    unit, factor = next(((u, f) for u, f in AGE_UNITS.items() if seconds >= f), ("s", 1))
    return f"{seconds / factor:.0f}{unit}"


def format_duration(seconds: float) -> str:
    """The duration (seconds) in its two largest units, rounded down: "3 d 4 h", "59 min 3 s", "0 s"."""
    left, told = int(seconds), list[str]()
    for unit, factor in (("w", 604800), ("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= factor and len(told) < 2:
            told.append(f"{left // factor} {unit}")
            left %= factor
        elif told:
            break
    return " ".join(told) or "0 s"
