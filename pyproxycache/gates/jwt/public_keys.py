"""The public keys of an issuer (RFC 7517), and whether one of them has signed a token."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode

from pyproxycache.gates.jwt.signed_token import SignedToken

log = logging.getLogger("pyproxycache.introspection")

# Keys with which whoever checks could sign, too, are none.
_KINDS = ("RSA", "EC", "OKP")
_SMALLEST_RSA = 2048
_MOST = 256
_UNUSABLE = (
    JoseError,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
)


class _TooSmall(ValueError):
    """A key that somebody may have computed the private one of."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key to check signatures with, the name by which tokens mean it, and its only algorithm, or None."""

    kid: str | None
    algorithm: str | None
    key: Any


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The keys of one issuer."""

    keys: tuple[PublicKey, ...]

    def fitting(self, kid: str | None) -> tuple[PublicKey, ...]:
        """Those that a token with this `kid` may mean; all of them if it says none."""
        if kid is None:
            return self.keys
        return tuple(one for one in self.keys if one.kid == kid) or tuple(
            one for one in self.keys if one.kid is None
        )

    def have_signed(self, token: SignedToken, algorithms: Collection[str]) -> bool:
        """Whether one of them has signed the token, by one of the algorithms."""
        if token.algorithm not in algorithms:
            return False
        return any(_has_signed(one, token) for one in self.fitting(token.kid))


def public_keys(document: Mapping[str, Any]) -> PublicKeys:
    """The keys in a key set that are of use; of the others, the log says why they are not.

    Raises ValueError if none is.
    """
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("has no list of keys: a key set in JSON is wanted (RFC 7517)")
    keys = [key for one in listed[:_MOST] if (key := _public_key(one)) is not None]
    if not keys:
        raise ValueError("has no public key for signatures that can be used")
    return PublicKeys(tuple(keys))


def _public_key(told: Any) -> PublicKey | None:
    if not isinstance(told, dict):
        return None
    kid, algorithm = told.get("kid"), told.get("alg")
    if told.get("kty") not in _KINDS or told.get("use", "sig") != "sig":
        return None
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    try:
        if told["kty"] == "RSA" and _bits(told["n"]) < _SMALLEST_RSA:
            raise _TooSmall(f"it has less than {_SMALLEST_RSA} bits")
        key: Any = JWKRegistry.import_key(told)
        key.get_op_key("verify")
    except _UNUSABLE as error:
        why = error if isinstance(error, _TooSmall) else type(error).__name__
        log.warning("the key %.64r cannot be used: %s", kid, why)
        return None
    return PublicKey(kid, algorithm, key)


def _bits(number: str) -> int:
    """The size of a number as key sets have it (RFC 7518 section 2)."""
    return int.from_bytes(urlsafe_b64decode(number.encode())).bit_length()


def _has_signed(one: PublicKey, token: SignedToken) -> bool:
    algorithm: Any = JWSRegistry.algorithms.get(token.algorithm)
    if algorithm is None or one.algorithm not in (None, token.algorithm):
        return False
    try:
        algorithm.check_key(one.key)
        return bool(algorithm.verify(token.signed, token.signature, one.key))
    except _UNUSABLE:
        return False
