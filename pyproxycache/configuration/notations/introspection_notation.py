"""How endpoints, places of tokens and key sets are written in the configuration of routes.

Each function takes plain YAML data, and raises ValueError, which names the value and what is accepted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyproxycache.configuration import places
from pyproxycache.configuration.refusals import refusal, refusal_of_place
from pyproxycache.configuration.secrets import SecretPlace, parts_of, read_text_with_secrets
from pyproxycache.route_options.introspection import BEARER, IntrospectOptions, TokenPlace
from pyproxycache.url import Url

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_ORIGIN = re.compile(r"https?://[^/?#{}$]+(?:[/?].*)?", re.IGNORECASE)
_FRAMING = frozenset({"host", "content-length", "content-type", "transfer-encoding", "connection"})
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")

PLACES = "bearer, {header: NAME}, {cookie: NAME} or {query: NAME}"


def read_token_place(value: Any) -> TokenPlace:
    """The place of a token: bearer, or a mapping of what has it to its name there."""
    accepted = f"a place of tokens: {PLACES}"
    if value == "bearer":
        return BEARER
    if not isinstance(value, dict) or len(value) != 1:
        raise refusal(value, accepted)
    ((kind, name),) = value.items()
    if kind not in ("header", "cookie", "query") or not isinstance(name, str) or not name:
        raise refusal(value, accepted)
    if kind == "query":
        return TokenPlace("query", name)
    if not _TOKEN.fullmatch(name):
        raise refusal(value, f"{accepted}, with a name as in access-token")
    return TokenPlace(kind, name.lower() if kind == "header" else name)


def write_token_place(place: TokenPlace) -> Any:
    """The place as it is written."""
    return "bearer" if place == BEARER else {place.kind: place.name}


def read_endpoint_url(value: Any) -> str:
    """A URL with http or https, behind whose origin may be {token} and references to secrets."""
    accepted = "a URL, as in https://idp.example.org/introspect, with {token} in its path or query at most"
    if not isinstance(value, str) or not _ORIGIN.fullmatch(value):
        raise refusal_of_place(value, accepted)
    plain = "".join("x" if isinstance(part, SecretPlace) else part for part in parts_of(value))
    places.read_url(plain.replace("{token}", "x"))
    return value


def read_token_template(value: Any) -> str:
    """A text in which {token} may stand for the token, and references for secrets."""
    text = read_text_with_secrets(value)
    if _UNSENDABLE.search(text.replace("\n", " ").replace("\t", " ")):
        raise ValueError("it has a control character in it, which cannot be sent: leave it out")
    return text


def read_member_path(value: Any) -> str:
    """The name of a member of an answer in JSON; of one in others, all names with dots between."""
    if not isinstance(value, str) or not value or not all(value.split(".")):
        raise refusal(value, "a member of the endpoint's answer, as in active or data.state")
    return value


def read_marker_value(value: Any) -> str | int | float | bool:
    """What a member of an answer in JSON has to be."""
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise refusal(value, "a value in JSON: true, false, a number, or a text")
    return value


def read_scope_name(value: Any) -> str:
    """One scope (RFC 6749 section 3.3)."""
    if not isinstance(value, str) or not _SCOPE.fullmatch(value):
        raise refusal(value, 'a scope: text in ASCII without blanks, " and \\')
    return value


def read_key_set(value: Any) -> Url | Path:
    """The URL or the file of a key set."""
    if isinstance(value, Url | Path):
        return value
    if isinstance(value, str) and "://" in value:
        return places.read_url(value)
    if not isinstance(value, str) or not value.startswith(("/", "~/")):
        raise refusal(value, "a key set: a URL, as in https://idp.example.org/jwks, or the path of a file")
    return places.read_path(value)


def introspection_problems(options: IntrospectOptions) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with several values together: the keys within `introspect`, and what is accepted."""
    endpoint, jwt = options.endpoint, options.jwt
    if (endpoint is None) == (jwt is None):
        yield (), "either 'endpoint' or 'jwt' is needed, to say which tokens are valid, and not both"
    if not options.token:
        yield ("token",), f"[] is not accepted: name a place at least: {PLACES}"
    if jwt is not None:
        if options.remember is not None:
            yield ("remember",), "is accepted only with 'endpoint': a JWT is verified here, each time"
        if not jwt.audience:
            yield ("jwt", "audience"), "[] is not accepted: name this API as its tokens do"
        if not jwt.algorithms:
            yield ("jwt", "algorithms"), "[] is not accepted: name one at least, as RS256"
    if options.pass_on is not None and options.pass_on.header in _FRAMING:
        text = (
            f"{options.pass_on.header!r} says how the request is sent: name a field of its own, as x-token"
        )
        yield ("pass_on", "header"), text
    if endpoint is None:
        return
    if endpoint.method == "GET" and endpoint.body is not None:
        yield ("endpoint", "body"), "is accepted only with 'method: POST': leave it out"
    is_sent_by_itself = endpoint.method == "POST" and endpoint.body is None
    texts = (endpoint.url, endpoint.body or "", *endpoint.headers.values())
    if not is_sent_by_itself and not any("{token}" in text for text in texts):
        yield ("endpoint",), "the endpoint is not told the token: write {token} in its url, body or headers"
    if endpoint.content_type == "application/json" and not _makes_json(endpoint.body):
        text = (
            """it is no JSON with a token: write {token} in double quotes, as in '{"token": "{token}"}'"""
        )
        yield ("endpoint", "body"), text
    if endpoint.credentials is not None and "authorization" in endpoint.headers:
        yield ("endpoint", "headers", "authorization"), "is made of 'credentials': leave one of them out"
    for name in endpoint.headers:
        if name in _FRAMING:
            yield ("endpoint", "headers", name), "is set by this proxy itself: leave it out"
    if not endpoint.valid and not endpoint.invalid:
        yield (
            ("endpoint", "valid"),
            "{} is accepted only with 'invalid': no answer would say that a token is not valid",
        )


def _makes_json(template: str | None) -> bool:
    """Whether the template is JSON, whatever stands for the token and the secrets in it."""
    try:
        plain = "".join(
            "x" if isinstance(part, SecretPlace) else part for part in parts_of(template or "{}")
        )
        json.loads(plain.replace("{token}", "x"))
    except ValueError:
        return False
    return True
