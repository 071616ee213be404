"""How a route decides whether a request's token is valid, and what the upstream is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Struct, field

from pyproxycache.options import (
    Age,
    FieldName,
    RealmText,
    SecretText,
    Size,
    StatusSet,
    Timeout,
)
from pyproxycache.url import Url

EndpointUrl = Annotated[str, "endpoint url"]
TokenTemplate = Annotated[str, "token template"]
MemberPath = Annotated[str, "member path"]
MarkerValue = Annotated[str | int | float | bool, "marker value"]
ScopeName = Annotated[str, "scope name"]
KeySetPlace = Annotated[Url | Path, "key set"]
Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
    "Ed448",
]
"""An algorithm of signatures by a private key; on purpose none with a shared key, and not "none"."""


class TokenPlace(Struct, frozen=True):
    """Where requests have their token: in a header field, a cookie, or the query, under this name.

    In the field authorization it is behind "Bearer".
    """

    kind: Literal["header", "cookie", "query"]
    name: str


TokenPlaceText = Annotated[TokenPlace, "token place"]
BEARER = TokenPlace("header", "authorization")


class EndpointOptions(Struct, frozen=True, kw_only=True):
    """The introspection endpoint (RFC 7662), and how it is asked.

    In `url`, `body` and `headers`, {token} stands for the token. `body` None: as RFC 7662 says.
    `credentials` are the route's own, user:password or a token. A token is valid if the answer has all
    members in `valid` with these values, and is not if the answer has a status of `invalid`.
    """

    url: EndpointUrl
    method: Literal["POST", "GET"] = "POST"
    content_type: Literal["application/x-www-form-urlencoded", "application/json", "text/plain"] = (
        "application/x-www-form-urlencoded"
    )
    body: TokenTemplate | None = None
    headers: dict[FieldName, TokenTemplate] = {}
    credentials: SecretText | None = None
    timeout: Timeout = 5.0
    valid: dict[MemberPath, MarkerValue] = field(default_factory=lambda: {"active": True})
    invalid: tuple[StatusSet, ...] = ()


class JwtOptions(Struct, frozen=True, kw_only=True):
    """How tokens are verified that are JWTs (RFC 7519).

    `jwks` is the URL or the file of the issuer's keys, which are fetched again after `refresh`. Of
    `audience` the token has to name one. Clocks may differ by `leeway`. `type` is what the token's header
    has to have as `typ`, as at+jwt (RFC 9068); None: anything.
    """

    jwks: KeySetPlace
    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    leeway: Age = 10.0
    refresh: Timeout = 3600.0
    timeout: Timeout = 5.0
    type: str | None = None


class PassOnOptions(Struct, frozen=True, kw_only=True):
    """The header field by which the upstream gets the token's body, in JSON, plain or as base64.

    Of its members those in `without` are left out; of others those in `only` (None: all) are passed on.
    """

    header: FieldName
    form: Literal["json", "base64"] = "base64"
    without: tuple[str, ...] = ("exp", "iat", "nbf", "jti")
    only: tuple[str, ...] | None = None
    max_size: Size = 8 << 10


class IntrospectOptions(Struct, frozen=True, kw_only=True):
    """Only requests with a valid token are let through; either `endpoint` or `jwt` says which are valid.

    The token is the first that is in one of the places `token`. What an endpoint says counts for
    `remember`; None: for one request. `realm` and `scope` are what clients are told; tokens need all of
    `scope`. Without `forward_token` the upstream does not get the token.
    """

    token: tuple[TokenPlaceText, ...] = (BEARER,)
    endpoint: EndpointOptions | None = None
    jwt: JwtOptions | None = None
    remember: Age | None = None
    pass_on: PassOnOptions | None = None
    forward_token: bool = True
    realm: RealmText = "api"
    scope: tuple[ScopeName, ...] = ()
