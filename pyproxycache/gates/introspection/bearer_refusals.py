"""What clients without a valid token are told (RFC 6750 section 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyproxycache.errors import BadRequest, Forbidden, TokenRefused


class BearerRefusals:
    """Makes the errors that refuse requests, with the challenge for this realm and scope."""

    def __init__(self, realm: str, scope: Sequence[str]) -> None:
        self._base = [f"realm={_quoted(realm)}"]
        if scope:
            self._base.append(f"scope={_quoted(' '.join(scope))}")

    def no_token(self) -> TokenRefused:
        """The client has sent no token, which is no error yet."""
        text = "a token is needed, which is to be sent as Authorization: Bearer"
        return TokenRefused(text, headers=self._challenge())

    def several_tokens(self) -> BadRequest:
        """The client has sent several tokens."""
        why = "the request has several tokens, of which one is to be sent"
        return BadRequest(why, headers=self._challenge("invalid_request", why))

    def invalid_token(self, why: str) -> TokenRefused:
        """The client's token is not valid."""
        return TokenRefused(why, headers=self._challenge("invalid_token", why))

    def too_little_scope(self) -> Forbidden:
        """The client's token is valid, but not for what it asks for."""
        why = "the token's scope does not reach as far"
        return Forbidden(why, headers=self._challenge("insufficient_scope", why))

    def _challenge(self, error: str = "", why: str = "") -> tuple[tuple[str, str], ...]:
        told = [f"error={_quoted(error)}", f"error_description={_quoted(why)}"] if error else []
        return (("WWW-Authenticate", f"Bearer {', '.join([*self._base, *told])}"),)


def _quoted(text: str) -> str:
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'
