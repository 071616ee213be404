"""What the claims of a JWT have to say (RFC 7519 section 4.1), for a token that has been meant for here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyproxycache.gates.introspection.token_findings import seconds_of


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Whose token it has to be, and for whom, one of `audience`; clocks may differ by `leeway` seconds."""

    issuer: str
    audience: frozenset[str]
    leeway: float

    def why_invalid(self, claims: Mapping[str, Any], now: float) -> str:
        """Why the claims do not count now (seconds since the epoch), for the client; "" if they do."""
        if claims.get("iss") != self.issuer:
            return "the token is from another issuer"
        named = claims.get("aud")
        names = {named} if isinstance(named, str) else set(_texts(named))
        if names.isdisjoint(self.audience):
            return "the token is for another audience"
        # Without an end it would be valid for ever, whatever becomes of its owner.
        ends, begins = seconds_of(claims.get("exp")), seconds_of(claims.get("nbf"))
        if ends is None:
            return "the token does not say when it ends"
        if now >= ends + self.leeway:
            return "the token has ended"
        if "nbf" in claims and (begins is None or now < begins - self.leeway):
            return "the token is not valid yet"
        return ""


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
