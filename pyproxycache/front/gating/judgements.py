"""What release gates say to requests, and what they need to know of the place that they stand before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from pyproxycache.facts import Facts
from pyproxycache.front.gating.release_view import ReleaseView
from pyproxycache.messages import OwnAccess, Request
from pyproxycache.response import Response
from pyproxycache.steps import Steps
from pyproxycache.url import Url

_PUBLISHING = frozenset({"PUT", "DELETE", "PATCH"})
"""Methods by which releases come and go; no origin gives a file to them."""


class ReleasePlace(Protocol):
    """Where the releases are that a gate stands before: the upstreams of a mirror, or hosts of a preset."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    def upstreams_for(self, url: Url) -> tuple[Url, ...]:
        """The upstreams that may have the document which names the file at this URL."""

    def access(self, url: Url) -> OwnAccess | None:
        """What of the cache's own credentials a request to read the URL is sent with."""


@dataclass(frozen=True, slots=True)
class Given:
    """The request is answered as any other; where not `is_lasting`, by the gate each time it is asked."""

    is_lasting: bool = True


Judgement = Given | ReleaseView | Response
"""What a gate says: a Response, as a refusal, is the answer."""


class ReleaseGate(Protocol):
    """Judges GET and HEAD requests, by the releases that they ask for; safe to call from any thread."""

    def judge(self, request: Request, path: str | None, facts: Facts) -> Steps[Judgement]:
        """What is said to a request for this path below an upstream, as it was sent; None: elsewhere.

        Raises ProxyError.
        """

    def has_file(self, request: Request, path: str | None) -> bool:
        """Whether a file is there, by the path's form: no document, and not what is nobody's release."""


def judged(gate: ReleaseGate, request: Request, path: str | None, facts: Facts) -> Steps[Judgement]:
    """What the gate says to a request of any method; the rest is as in ReleaseGate.judge().

    Origins may give a file to other methods than GET, too, such as POST: what a GET is refused, these are.
    """
    if request.method in ("GET", "HEAD"):
        return (yield from gate.judge(request, path, facts))
    if request.method in _PUBLISHING or not gate.has_file(request, path):
        return Given()
    headers = request.headers.without("Content-Length", "Content-Type", "Transfer-Encoding", "Expect")
    reading = replace(
        request, method="GET", headers=headers, body=None, content_key=None, interim=None, login=None
    )
    return (yield from gate.judge(reading, path, facts))
