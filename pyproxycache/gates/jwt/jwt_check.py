"""Finds out by an issuer's keys whether a token is valid, without asking anybody for it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from pyproxycache import clock
from pyproxycache.gates.introspection.token_findings import Recall, TokenFindings, end_of
from pyproxycache.gates.jwt.claim_rules import ClaimRules
from pyproxycache.gates.jwt.key_sources import KeySource
from pyproxycache.gates.jwt.signed_token import SignedToken, signed_token
from pyproxycache.steps import Steps


class JwtCheck:
    """Verifies JWTs: signed by one of these algorithms, with a key of the source, and right by the rules.

    `type` is what they have to have as `typ`, None for anything. `wall` gives seconds since the epoch.
    """

    def __init__(
        self,
        source: KeySource,
        rules: ClaimRules,
        algorithms: Collection[str],
        type: str | None = None,
        wall: Callable[[], float] = clock.wall,
    ) -> None:
        self._source = source
        self._rules = rules
        self._algorithms = frozenset(algorithms)
        self._type = None if type is None else _plain_type(type)
        self._wall = wall

    def findings(self, token: str) -> Steps[TokenFindings]:
        """What the token says of itself, if it is valid; raises TokenCheckFailed if there are no keys."""
        signed = signed_token(token)
        why = self._why_not_looked_at(signed)
        if signed is None or why:
            return TokenFindings(why_invalid=why)
        keys = yield from self._source.keys(signed.kid)
        if not keys.have_signed(signed, self._algorithms):
            # A new key may have the name of an old one, or none.
            keys = yield from self._source.newer(keys)
        if not keys.have_signed(signed, self._algorithms):
            return TokenFindings(why_invalid="the token is not signed by its issuer")
        # Getting the keys may have taken a while.
        why = self._rules.why_invalid(signed.claims, self._wall())
        return TokenFindings(signed.claims, end_of(signed.claims), why)

    def recalling(self, _token: str) -> Recall:
        """What gives nothing: tokens are verified each time."""
        return lambda: None

    def _why_not_looked_at(self, signed: SignedToken | None) -> str:
        """Why no keys are needed for the token, whoever signed it; "" if they are."""
        if signed is None or signed.algorithm not in self._algorithms:
            return "the token is no JWT that is signed as wanted here"
        if self._type is not None and self._type != _plain_type(signed.type or ""):
            return "the token is a JWT of another type"
        return self._rules.why_invalid(signed.claims, self._wall())


def _plain_type(type: str) -> str:
    """The media type without what may be left out (RFC 7515 section 4.1.9)."""
    return type.lower().removeprefix("application/")
