"""Structured fields: the text of a field to typed values (RFC 9651).

A member is a value with its parameters. Values are int, Decimal, bool, str for a String, bytes, Token,
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

# No field that is read here has a reason to be longer.
_LONGEST = 64 << 10


def parse_dictionary(text: str) -> Mapping[str, Member] | None:
    """The members in order, of a key given twice the last; None if the text is no dictionary.

    `text` is the field's combined value. What is returned is shared: not to be changed.
    """
    parsed: Mapping[str, Member] | None = _parse(text, "dictionary")
    return parsed


def parse_list(text: str) -> Sequence[Member] | None:
    """The members in order; None if the text is no list. Shared, as parse_dictionary's."""
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
