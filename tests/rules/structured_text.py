"""Structured fields written out, for what is read to be compared with what was meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import http_sf

from pyproxycache.rules.structured import Member


def written(members: Mapping[str, Member] | Sequence[Member]) -> str:
    """The text of a dictionary or list, empty without members."""
    contents: Any = members
    return http_sf.ser(contents) if members else ""
