"""Keys and JWTs of the tests' own."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

ISSUER, AUDIENCE, NOW = "https://idp.test", "api", 1_000_000.0
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "me"}
KINDS = {
    "RS256": ("RSA", 2048),
    "RS384": ("RSA", 2048),
    "RS512": ("RSA", 2048),
    "PS256": ("RSA", 2048),
    "PS384": ("RSA", 2048),
    "PS512": ("RSA", 2048),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
    "Ed448": ("OKP", "Ed448"),
}


@cache
def key(kind: str = "EC", size: int | str = "P-256", number: int = 0) -> Any:
    """A private key; another one for each number."""
    made: dict[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey, "oct": OctKey}
    return made[kind].generate_key(size)


def public(one: Any, **members: Any) -> dict[str, Any]:
    """The public key as it is in a key set, with these members, too."""
    return {**one.as_dict(private=False), **members}


def key_set(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(keys)}


def coded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: Any) -> str:
    return coded(json.dumps(value).encode())


def token(one: Any, algorithm: str = "ES256", claims: Any = None, **header: Any) -> str:
    """A JWT that the key has signed."""
    told = {"alg": algorithm, **header}
    signed = f"{part(told)}.{part(CLAIMS if claims is None else claims)}"
    model = jws.JWSRegistry.algorithms[algorithm]
    return f"{signed}.{coded(model.sign(signed.encode(), one))}"
