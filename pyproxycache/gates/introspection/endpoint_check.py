"""Asks an introspection endpoint (RFC 7662) whether a token is valid."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pyproxycache import clock
from pyproxycache.gates.introspection.bounded_asking import Send, answer_of, failed, object_in
from pyproxycache.gates.introspection.joint_questions import JointQuestions
from pyproxycache.gates.introspection.remembered import RememberedTokens
from pyproxycache.gates.introspection.templates import TokenText
from pyproxycache.gates.introspection.token_findings import Recall, TokenFindings, end_of
from pyproxycache.gates.introspection.token_tally import NoteQuestion, unnoted
from pyproxycache.messages import Headers, Request
from pyproxycache.rules.urls import parse_url
from pyproxycache.steps import Steps

Marker = str | int | float | bool

_MISSING = object()
_INVALID = TokenFindings(why_invalid="the token is not valid, or not any more")


@dataclass(frozen=True, slots=True)
class EndpointQuestion:
    """How the endpoint is asked: a request in which the token has its places."""

    method: str
    url: TokenText
    headers: tuple[tuple[str, TokenText], ...]
    content_type: str
    body: TokenText | None
    authorization: str = field(default="", repr=False)

    def of(self, token: str) -> Request:
        """The request that asks for the token."""
        fields = [("Accept", "application/json"), ("Accept-Encoding", "identity")]
        given = {name.lower() for name, _value in self.headers}
        fields = [(name, value) for name, value in fields if name.lower() not in given]
        fields += [(name, value.made(token)) for name, value in self.headers]
        if self.authorization:
            fields.append(("Authorization", self.authorization))
        url = parse_url(self.url.made(token))
        if self.body is None:
            return Request(self.method, url, Headers(fields))
        data = self.body.made(token).encode()
        fields += [("Content-Type", self.content_type), ("Content-Length", str(len(data)))]
        return Request(self.method, url, Headers(fields), body=(data,))


@dataclass(frozen=True, slots=True)
class ValidityRules:
    """What an answer has to be: its members named in `valid` have these values.

    One with a status of `invalid` says that the token is not valid.
    """

    valid: Mapping[str, Marker]
    invalid: frozenset[int] = frozenset()

    def findings(self, status: int, content: bytes, origin: str) -> TokenFindings:
        """What the answer of the origin says of the token; raises TokenCheckFailed if it says nothing."""
        if status in self.invalid:
            return _INVALID
        if status != 200:
            raise failed(origin, f"does not say whether a token is valid: status {status}")
        body = object_in(content, origin)
        for path, wanted in self.valid.items():
            value = _member(body, path)
            if path == "active" and not isinstance(value, bool) and isinstance(wanted, bool):
                raise failed(origin, "does not say whether a token is active, as RFC 7662 has it")
            if not _is_same(value, wanted):
                return _INVALID
        return TokenFindings(body, end_of(body))


class EndpointCheck:
    """Finds out by an endpoint whether tokens are valid; safe to use from any number of threads.

    Concurrent questions for one token are one. `remember` is for how long an answer counts (seconds), but
    never past the token's end; 0: only for those who wait for it. `seconds` is how long that may take.
    `note` is told of each question.
    """

    def __init__(
        self,
        question: EndpointQuestion,
        rules: ValidityRules,
        send: Send,
        seconds: float,
        remember: float = 0.0,
        wall: Callable[[], float] = clock.wall,
        steady: Callable[[], float] = clock.steady,
        note: NoteQuestion = unnoted,
    ) -> None:
        self._question = question
        self._rules = rules
        self._send = send
        self._seconds = seconds
        self._key = secrets.token_bytes(32)
        self._joint = JointQuestions[TokenFindings](note)
        self._remembered = RememberedTokens(remember, wall, steady) if remember > 0 else None

    def findings(self, token: str) -> Steps[TokenFindings]:
        """What the endpoint says of the token; raises TokenCheckFailed if it says nothing."""
        digest = self._digest(token)
        known = self._known(digest)
        if known is not None:
            return known
        request = self._question.of(token)
        return (
            yield from self._joint.answered(
                digest, request.url.authority, lambda: self._asked(request, digest)
            )
        )

    def recalling(self, token: str) -> Recall:
        """What gives what the endpoint has said of the token, for as long as that counts."""
        return partial(self._known, self._digest(token))

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(), digest_size=32, key=self._key).digest()

    def _known(self, digest: bytes) -> TokenFindings | None:
        return None if self._remembered is None else self._remembered.find(digest)

    def _asked(self, request: Request, digest: bytes) -> TokenFindings:
        status, content = answer_of(self._send, request, self._seconds)
        found = self._rules.findings(status, content, request.url.origin)
        if self._remembered is not None and not found.why_invalid:
            self._remembered.add(digest, replace(found, is_remembered=True), len(content))
        return found


def _member(body: Mapping[str, Any], path: str) -> object:
    """The member at the path; _MISSING if there is none."""
    value: object = body
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return _MISSING
        value = value[name]
    return value


def _is_same(value: object, wanted: Marker) -> bool:
    """Whether a value of JSON is this one: true is not 1."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return isinstance(value, str | int | float) and value == wanted
