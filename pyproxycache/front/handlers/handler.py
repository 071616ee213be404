"""The protocol of handlers of requests, and the answer that they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from pyproxycache.facts import Facts
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Local, Wanted
from pyproxycache.messages import Authority, Response
from pyproxycache.steps import Steps

_Target = TypeVar("_Target", Wanted, Local, Authority, contravariant=True)


@dataclass(frozen=True, slots=True)
class Answered:
    """A response, whether it is one of the cache, and how its head is shown to all who ask this way."""

    response: Response
    is_of_cache: bool
    present: Present = as_it_is


class Handler(Protocol[_Target]):
    """Answers the requests of one kind, those that the router gives it; any number of threads call it.

    The target is what the request-target was found to name: a URL that is Wanted, a Local path of the cache
    itself, or the Authority to which a tunnel is to lead. A handler notes the facts that it knows: under
    which key it makes an attempt, and what the request is served as. It waits for nothing but by yielding
    it (see steps), and raises ProxyError for a request that it refuses; the head that it gives is not yet
    signed, nor shown by `present`.
    """

    def answer(self, received: RawRequest, target: _Target, facts: Facts) -> Steps[Answered]:
        """The one answer to the request."""
