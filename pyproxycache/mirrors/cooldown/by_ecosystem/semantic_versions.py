"""Semantic versions, as JavaScript packages have them: which of several is the newest (semver.org)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_VERSION = re.compile(
    r"([0-9]{1,16})\.([0-9]{1,16})\.([0-9]{1,16})(?:-([0-9A-Za-z.-]{1,256}))?(?:\+[0-9A-Za-z.-]{1,256})?"
)

Order = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]
"""What versions are ordered by: a version behind another one in precedence has a larger one."""


def order_of(version: str) -> Order | None:
    """The version's precedence; None if it is no semantic version."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    major, minor, patch, pre = found.groups()
    parts = tuple(
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in (pre or "").split(".")
    )
    return int(major), int(minor), int(patch), pre is None, parts if pre else ()


def _part(text: str) -> tuple[bool, int, str]:
    """A part of a pre-release: numbers come before words."""
    return not text.isdecimal(), int(text) if text.isdecimal() else 0, text


def newest(versions: Iterable[str], at_most: str) -> str | None:
    """The newest of the versions that is no pre-release and not above `at_most`; None if there is none.

    Where there is no such one, pre-releases and those above count, too.
    """
    orders = {version: order for version in versions if (order := order_of(version))}
    limit = order_of(at_most)
    below = {version: order for version, order in orders.items() if limit is None or order <= limit}
    for among in (below, orders):
        released = {version: order for version, order in among.items() if order[3]}
        if released:
            return max(released, key=released.__getitem__)
    rest = below or orders
    return max(rest, key=rest.__getitem__) if rest else None
