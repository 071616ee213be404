"""A JWT that somebody says to have signed (RFC 7515, compact form), taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from joserfc.util import urlsafe_b64decode

_LONGEST_SIGNATURE = 4 << 10


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token in its parts: what its header says, its claims, and the signature of the bytes `signed`."""

    algorithm: str
    kid: str | None
    type: str | None
    claims: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def signed_token(text: str) -> SignedToken | None:
    """The token in its parts, none of which is proven yet; None if it is no JWT with a signature."""
    data = text.encode()
    parts = data.split(b".")
    if len(parts) != 3 or len(parts[2]) > _LONGEST_SIGNATURE:
        return None
    try:
        header, claims = _object(parts[0]), _object(parts[1])
        signature: bytes = urlsafe_b64decode(parts[2])
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    # Whatever is critical would have to be understood; nothing of it is for JWTs (RFC 7515 section 4.1.11).
    if not isinstance(algorithm, str) or not isinstance(kid, str | None) or "crit" in header:
        return None
    if not isinstance(kind, str | None) or not signature:
        return None
    return SignedToken(algorithm, kid, kind, claims, data.rpartition(b".")[0], signature)


def _object(part: bytes) -> dict[str, Any]:
    """The object of JSON that the part is; raises ValueError and msgspec.DecodeError."""
    found: Any = msgspec.json.decode(urlsafe_b64decode(part))
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found
