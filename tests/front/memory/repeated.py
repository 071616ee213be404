"""Answers that may be given again, without a store behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyproxycache.body import FileSlice
from pyproxycache.front.answers.answer import Answer
from pyproxycache.front.memory.arriving import Arriving
from pyproxycache.front.memory.head_template import template_of
from pyproxycache.front.memory.refusal import Refusal
from pyproxycache.front.memory.stored import Stored
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.outcome import Outcome, Result
from pyproxycache.response import RefusalTerms, ReuseTerms

BORN, EXPIRES = 1_700_000_000.25, 1_700_003_600.25
NAME = "pyproxycache-1"


def head_of(age: int, ttl: int, *fields: str) -> bytes:
    """A hit's head with further fields before the cache's own."""
    more = "".join(f"{field}\r\n" for field in fields)
    return (
        f"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n{more}Age: {age}\r\nContent-Length: 4\r\n"
        f'Via: 1.1 {NAME}\r\nCache-Status: {NAME}; hit; ttl={ttl}; key="http://o/"\r\n\r\n'
    ).encode("latin-1")


def reuse_terms(**changes: Any) -> ReuseTerms:
    options: dict[str, Any] = {"slot": 1, "version": 2, "since": BORN, "until": EXPIRES, "born": BORN}
    options |= {"expires": EXPIRES, "varies": ()} | changes
    head = Head(200, headers=Headers(options.pop("fields", ())))
    return ReuseTerms(Entry("http://o/", head, BORN, BORN, id=7), **options)


def stored(*fields: str, body: bytes = b"body", file: FileSlice | None = None, **changes: Any) -> Stored:
    """An answer out of the store; `changes` are those of its ReuseTerms."""
    outcome = Outcome(Result.HIT, status=200, ttl=99, url=None, target="/x", user_agent="first")
    template = template_of(head_of(0, 3600, *fields))
    assert template is not None
    rest = file or _InMemory(-1, 0, len(body), body)
    terms = reuse_terms(**changes)
    return Stored(terms, outcome, template, _framing(rest.count), rest, closes=False, is_inward=False)


def arriving(join: Callable[[str], Answer | None] = lambda _client: None, **changes: Any) -> Arriving:
    return Arriving(reuse_terms(**changes), _framing(4), join, closes=False)


def refusal(said: object = "no", text: str = "", now: float = BORN) -> Refusal:
    """A refusal of whoever asks, for as long as `said` is what is said of it."""
    terms = RefusalTerms(said, lambda _client: said, lambda: None)
    head = f"HTTP/1.1 429 Too Many Requests\r\nX: {text}\r\nContent-Length: 4\r\n\r\n".encode()
    outcome = Outcome(Result.REFUSED, status=429, target="/x")
    return Refusal(terms, outcome, head, _framing(4), b"wait", now, closes=False)


class _InMemory(FileSlice):
    """Bytes in place of a file's."""

    __slots__ = ("data",)

    def __init__(self, fd: int, offset: int, count: int, data: bytes) -> None:
        super().__init__(fd, offset, count)
        object.__setattr__(self, "data", data)

    def read(self) -> bytes:
        return bytes(self.data)


def _framing(length: int) -> Framing:
    return Framing(has_body=True, length=length, is_chunked=False, ends_connection=False)
