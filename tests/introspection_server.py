"""An introspection endpoint (RFC 7662) of the tests' own, which can be slow, down and lying."""

from __future__ import annotations

import json
from typing import Any, Self
from urllib.parse import parse_qs

from origin import Asked, Origin, Resource

PATH = "/introspect"


class IntrospectionServer:
    """Says what `tokens` has of the token that it is asked for, or `lie` instead of all that."""

    def __init__(self) -> None:
        self.origin = Origin()
        self.tokens: dict[str, dict[str, Any]] = {}
        self.lie: Resource | bytes | None = None

    def __enter__(self) -> Self:
        self.origin.__enter__()
        self.origin.put(PATH, handler=self.answer)
        return self

    def __exit__(self, *exc: object) -> None:
        self.origin.__exit__(*exc)

    @property
    def url(self) -> str:
        return self.origin.url(PATH)

    @property
    def asked(self) -> list[Asked]:
        return self.origin.asked(PATH)

    @property
    def asked_for(self) -> list[str]:
        """The tokens that it was asked for, in order."""
        return [_token(asked) for asked in self.asked]

    def issue(self, token: str, **body: Any) -> str:
        """Makes the token valid, with these members of its body."""
        self.tokens[token] = {"active": True, **body}
        return token

    def revoke(self, token: str) -> None:
        del self.tokens[token]

    def answer(self, asked: Asked) -> Resource | bytes:
        """What it says of the token that it is asked for."""
        if self.lie is not None:
            return self.lie
        body = self.tokens.get(_token(asked), {"active": False})
        return Resource(json.dumps(body).encode(), headers=[("Content-Type", "application/json")])


def _token(asked: Asked) -> str:
    return parse_qs(asked.body.decode()).get("token", [""])[0]
