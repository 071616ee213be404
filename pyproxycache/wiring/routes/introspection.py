"""Builds the gate for tokens of a route, with the secrets that its configuration refers to."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import quote_plus

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.notation import status_codes
from pyproxycache.configuration.secrets import resolved
from pyproxycache.errors import ConfigError
from pyproxycache.facts import Facts
from pyproxycache.gates.introspection.bounded_asking import Send
from pyproxycache.gates.introspection.endpoint_check import EndpointCheck, EndpointQuestion, ValidityRules
from pyproxycache.gates.introspection.templates import ENCODINGS, Encode, as_it_is, in_url, token_text
from pyproxycache.gates.introspection.token_findings import TokenCheck
from pyproxycache.gates.introspection.token_gate import TokenGate
from pyproxycache.gates.introspection.token_places import is_token
from pyproxycache.gates.introspection.token_tally import NoteQuestion, unnoted
from pyproxycache.messages import Request
from pyproxycache.route_options.introspection import EndpointOptions, IntrospectOptions, JwtOptions
from pyproxycache.routing.route_table import Route
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.url import Url
from pyproxycache.wiring.routes.counting import RouteCounting

_SENDABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_STANDARD = {
    "application/x-www-form-urlencoded": "token={token}&token_type_hint=access_token",
    "application/json": '{"token":"{token}","token_type_hint":"access_token"}',
    "text/plain": "{token}",
}


class TokenGates:
    """The gates of all routes; those with equal options share one, and what it has found out.

    `counting` has the questions of a gate by the first route that it is for.
    """

    def __init__(self, send: Send, counting: RouteCounting) -> None:
        self._send = send
        self._counting = counting
        self._built: list[tuple[IntrospectOptions, TokenGate]] = []

    def gate(self, options: IntrospectOptions, route: Route) -> TokenGate:
        """The gate with these options, which are those of the route. Raises ConfigError."""
        for known, built in self._built:
            if known == options:
                return built
        gate = build_token_gate(options, _key_of(route), self._send, note=self._counting.questions(route))
        self._built.append((options, gate))
        return gate


def asking(upstream: Upstream) -> Send:
    """Sends the gates' own questions."""
    return lambda request, facts, seconds: upstream.send(request, facts, patience=seconds)


def _key_of(route: Route) -> str:
    """The path in the configuration of what the route says of tokens."""
    return f"{f'hosts.{route.host}.' if route.host else ''}routes.{route.path}.introspect"


def try_token_gates(config: Config) -> None:
    """Raise ConfigError if something that the configuration refers to is not there."""
    gates = TokenGates(_unasked, RouteCounting())
    for one in config.all_routes():
        route = Route(*one)
        if route.options.introspect is not None:
            gates.gate(route.options.introspect, route)


def _unasked(_request: Request, _facts: Facts, _seconds: float) -> Exchange:
    raise AssertionError("nothing is asked by what is only tried")


def build_token_gate(
    options: IntrospectOptions,
    key: str,
    send: Send,
    environ: Mapping[str, str] = os.environ,
    note: NoteQuestion = unnoted,
) -> TokenGate:
    """Build the gate; `key` is the path of `introspect` in the configuration. Raises ConfigError."""
    check: TokenCheck
    if options.jwt is not None:
        check = _jwt_check(options.jwt, f"{key}.jwt", send, note)
    else:
        assert options.endpoint is not None, "the configuration has been checked"
        key, remember = f"{key}.endpoint", options.remember or 0.0
        question = _endpoint_question(options.endpoint, key, environ)
        invalid = frozenset(code for status in options.endpoint.invalid for code in status_codes(status))
        rules = ValidityRules(options.endpoint.valid, invalid)
        check = EndpointCheck(question, rules, send, options.endpoint.timeout, remember, note=note)
    return TokenGate(options, check)


def _endpoint_question(options: EndpointOptions, key: str, environ: Mapping[str, str]) -> EndpointQuestion:
    body = options.body
    if body is None and options.method == "POST":
        body = _STANDARD[options.content_type]
    encode = ENCODINGS[options.content_type]

    def secret(name: str, encode: Encode = as_it_is) -> Encode:
        return lambda text: resolved(text, f"{key}.{name}", encode, environ)

    question = EndpointQuestion(
        method=options.method,
        url=token_text(options.url, in_url, secret("url", in_url)),
        headers=tuple(
            (name, token_text(value, as_it_is, secret(f"headers.{name}")))
            for name, value in options.headers.items()
        ),
        content_type=options.content_type,
        body=None if body is None else token_text(body, encode, secret("body", encode)),
        authorization=_authorization(options.credentials, f"{key}.credentials", environ),
    )
    _refuse_unsendable(question, key)
    return question


def _authorization(credentials: str | None, key: str, environ: Mapping[str, str]) -> str:
    """The Authorization by client:secret (RFC 6749 section 2.3.1) or a token (RFC 6750); "" for none."""
    if credentials is None:
        return ""
    text = resolved(credentials, key, environ=environ)
    client, colon, password = text.partition(":")
    if client and colon and text.isprintable():
        pair = f"{quote_plus(client)}:{quote_plus(password)}"
        return f"Basic {b64encode(pair.encode()).decode()}"
    if colon or not is_token(text):
        raise ConfigError(f"{key}: is not one line, client:secret or a token")
    return f"Bearer {text}"


def _refuse_unsendable(question: EndpointQuestion, key: str) -> None:
    """Raise ConfigError if a secret has characters that no header field may have."""
    for name, value in question.of("x").headers:
        if not _SENDABLE.fullmatch(value):
            raise ConfigError(f"{key}.headers.{name.lower()}: has a character in it that cannot be sent")


def _jwt_check(options: JwtOptions, key: str, send: Send, note: NoteQuestion) -> TokenCheck:
    # A library that only those load who need it.
    from pyproxycache.gates.jwt.claim_rules import ClaimRules
    from pyproxycache.gates.jwt.jwt_check import JwtCheck
    from pyproxycache.gates.jwt.key_sources import FetchedKeys, FileKeys, KeySource

    source: KeySource
    if isinstance(options.jwks, Url):
        source = FetchedKeys(options.jwks, send, options.timeout, options.refresh, note=note)
    else:
        source = FileKeys(options.jwks, f"{key}.jwks")
    rules = ClaimRules(options.issuer, frozenset(options.audience), options.leeway)
    return JwtCheck(source, rules, options.algorithms, options.type)
