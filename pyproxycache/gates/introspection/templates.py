"""Texts in which a token has its place, put there so that it stays one value."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

Encode = Callable[[str], str]

PLACE = "{token}"


def in_url(text: str) -> str:
    """The text as one value in a URL, or in a form."""
    return quote(text, safe="")


def in_json(text: str) -> str:
    """The text as it is within the quotes of a text in JSON."""
    return json.dumps(text)[1:-1]


def as_it_is(text: str) -> str:
    """The text itself."""
    return text


ENCODINGS: dict[str, Encode] = {
    "application/x-www-form-urlencoded": in_url,
    "application/json": in_json,
    "text/plain": as_it_is,
}
"""How a value is put into content of these types."""


@dataclass(frozen=True, slots=True)
class TokenText:
    """A text in pieces, between which the token is put; they may have secrets in them."""

    pieces: tuple[str, ...] = field(repr=False)
    encode: Encode

    def made(self, token: str) -> str:
        """The text with the token in its places."""
        return self.encode(token).join(self.pieces)


def token_text(text: str, encode: Encode, resolve: Encode = as_it_is) -> TokenText:
    """The text with places for the token, of which `resolve` gives each piece with its secrets."""
    return TokenText(tuple(map(resolve, text.split(PLACE))), encode)
