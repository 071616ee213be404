"""The gate that lets requests through if their token is valid, and says who sends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyproxycache.errors import TokenCheckFailed
from pyproxycache.gates.introspection.bearer_refusals import BearerRefusals
from pyproxycache.gates.introspection.passed_on import PassedOn
from pyproxycache.gates.introspection.token_findings import (
    AdmittedRequest,
    Recall,
    RefusedRequest,
    TokenCheck,
    TokenFindings,
)
from pyproxycache.gates.introspection.token_places import (
    SeveralTokens,
    is_token,
    token_of,
    without_tokens,
)
from pyproxycache.messages import Headers, Request
from pyproxycache.route_options.introspection import IntrospectOptions
from pyproxycache.steps import Steps


class TokenGate:
    """Lets requests through by what `check` finds out of their tokens; safe to use from any thread."""

    def __init__(self, options: IntrospectOptions, check: TokenCheck) -> None:
        self._options = options
        self._check = check
        self._refusals = BearerRefusals(options.realm, options.scope)
        self._passed_on = None if options.pass_on is None else PassedOn(options.pass_on)

    def checked(self, request: Request) -> Steps[AdmittedRequest | RefusedRequest]:
        """The request as it goes on, or why it does not."""
        try:
            token = token_of(request.headers, request.url.query, self._options.token)
        except SeveralTokens:
            return RefusedRequest(self._refusals.several_tokens())
        if token is None:
            return RefusedRequest(self._refusals.no_token())
        if not is_token(token):
            why = "the token has characters that no token has, or too many"
            return RefusedRequest(self._refusals.invalid_token(why))
        try:
            found = yield from self._check.findings(token)
            if found.why_invalid:
                return RefusedRequest(self._refusals.invalid_token(found.why_invalid))
            if not set(self._options.scope) <= _scopes(found.body):
                return RefusedRequest(self._refusals.too_little_scope())
            return self._admitted(request, found)
        except TokenCheckFailed as error:
            return RefusedRequest(error)

    def recalling(self, headers: Headers, query: str | None) -> Recall:
        """What gives what is remembered of the valid token in such requests, and waits for nothing."""
        try:
            token = token_of(headers, query, self._options.token)
        except SeveralTokens:
            token = None
        return _nothing if token is None or not is_token(token) else self._check.recalling(token)

    def _admitted(self, request: Request, found: TokenFindings) -> AdmittedRequest:
        if not self._options.forward_token:
            request = without_tokens(request, self._options.token)
        if self._passed_on is not None:
            request = request.with_headers(self._passed_on.headers(request.headers, found.body))
        return AdmittedRequest(request, found.body, found.is_remembered)


def _nothing() -> None:
    return None


def _scopes(body: Mapping[str, Any]) -> set[str]:
    """The scopes that a token has by its body: names with blanks between (RFC 7662), or a list of them."""
    scopes: set[str] = set()
    for name in ("scope", "scp"):
        value = body.get(name)
        listed: Sequence[Any] = value.split() if isinstance(value, str) else value or ()
        if isinstance(listed, list | tuple):
            scopes.update(one for one in listed if isinstance(one, str))
    return scopes
