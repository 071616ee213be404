"""Structured fields: the text of a field to typed values, and back (RFC 9651).

A member is a value with its parameters. Values are int, Decimal, bool, str for a String, bytes, Token,
DisplayString and datetime; an inner list is a list of members.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import http_sf
from http_sf import DisplayString, Token

__all__ = [
    "DisplayString",
    "Member",
    "Parameters",
    "Token",
    "parse_dictionary",
    "parse_item",
    "parse_list",
    "serialise_dictionary",
    "serialise_item",
    "serialise_list",
    "token_or_string",
]

Parameters = Mapping[str, Any]
Member = tuple[Any, Parameters]

# No field that is read here has a reason to be longer.
_LONGEST = 64 << 10
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*")
_NO_STRING = re.compile(r"[^\x20-\x7e]")


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


def parse_item(text: str) -> Member | None:
    """The value and its parameters; None if the text is no item. Shared, as parse_dictionary's."""
    parsed: Member | None = _parse(text, "item")
    return parsed


@lru_cache(maxsize=1024)
def _parse(text: str, kind: str) -> Any:
    if len(text) > _LONGEST:
        return None
    try:
        return http_sf.parse(text.encode("ascii"), tltype=kind)
    except (http_sf.StructuredFieldError, UnicodeEncodeError):
        return None


def serialise_dictionary(members: Mapping[str, Member]) -> str:
    """The field's text, empty without members; ValueError for what a structured field cannot hold."""
    return http_sf.ser({key: _serialisable(member) for key, member in members.items()}) if members else ""


def serialise_list(members: Sequence[Member]) -> str:
    """The field's text, empty without members; ValueError for what a structured field cannot hold."""
    return http_sf.ser([_serialisable(member) for member in members]) if members else ""


def serialise_item(value: Any, parameters: Parameters) -> str:
    """The text of one item; ValueError for what a structured field cannot hold."""
    return http_sf.ser(_serialisable((value, parameters)))


def _serialisable(member: Member) -> Any:
    value, parameters = member
    return value, dict(parameters)


def token_or_string(text: str) -> Token | str:
    """The text as a Token where it is one, else as a String with "?" for what no String can hold."""
    return Token(text) if _TOKEN.fullmatch(text) else _NO_STRING.sub("?", text)
