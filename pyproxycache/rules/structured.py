"""Structured fields: the text of a field parsed to typed values (RFC 9651).

A member is a value with its parameters. Values are int, Decimal, bool, str (for a String), bytes, Token,
DisplayString and datetime; an inner list is a list of members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import http_sf
from http_sf import Token

from pyproxycache.rules.grammar import cached_while_short

__all__ = ["Member", "Token", "parse_dictionary", "parse_list"]

Member = tuple[Any, Mapping[str, Any]]

# Bytes; no field that is parsed here needs more.
_LONGEST = 64 << 10


def parse_dictionary(text: str) -> Mapping[str, Member] | None:
    """The members of a dictionary in order; None if the text is not one. The last of equal keys counts.

    `text` is the field's combined value. The result is shared and must not be changed.
    """
    parsed: Mapping[str, Member] | None = _parse(text, "dictionary")
    return parsed


def parse_list(text: str) -> Sequence[Member] | None:
    """The members of a list in order; None if the text is not one. The result must not be changed."""
    parsed: Sequence[Member] | None = _parse(text, "list")
    return parsed


@cached_while_short
def _parse(text: str, kind: str) -> Any:
    if len(text) > _LONGEST:
        return None
    try:
        return http_sf.parse(text.encode("ascii"), tltype=kind)
    except (http_sf.StructuredFieldError, UnicodeEncodeError):
        return None
