"""The protocol of request handlers, and the answer that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from pyproxycache.facts import Facts
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Local, Wanted
from pyproxycache.response import Response
from pyproxycache.steps import Steps
from pyproxycache.url import Authority

_Target = TypeVar("_Target", Wanted, Local, Authority, contravariant=True)


@dataclass(frozen=True, slots=True)
class Answered:
    """A handler's response: `present` makes the client's head of it.

    `is_of_cache`: it comes from the engine, so that Cache-Status tells what became of the request.
    """

    response: Response
    is_of_cache: bool
    present: Present = as_it_is


class Handler(Protocol[_Target]):
    """Answers requests of one kind, which the router chooses; safe to call from any number of threads.

    The target is what the request-target names: a URL (Wanted), a path of the cache itself (Local), or the
    Authority that a tunnel leads to. A handler notes the facts that it knows: the key under which it makes
    an attempt, and what the request is served as. It waits for something only by yielding it (see steps),
    and raises ProxyError for a request that it refuses. Its response's head is neither signed yet nor made
    for the client by `present`.
    """

    def answer(self, received: RawRequest, target: _Target, facts: Facts) -> Steps[Answered]:
        """The answer to the request; raises ProxyError."""
