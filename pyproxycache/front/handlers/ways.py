"""The ways in, and what each does with a request: the proxy's, the prefix's, KissCache's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pyproxycache.engine import Engine
from pyproxycache.errors import Forbidden, NotFound, NotImplementedHere
from pyproxycache.front.handlers import cookies
from pyproxycache.front.handlers.forwarded import Forwarding
from pyproxycache.front.handlers.kisscache import KissCache
from pyproxycache.front.handlers.max_forwards import counted_down
from pyproxycache.front.handlers.redirects import followed
from pyproxycache.front.handlers.references import as_it_is, behind_prefix, below_upstream, mapped
from pyproxycache.front.handlers.upgrade import wanted_protocols
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Local, Wanted, Way, locate
from pyproxycache.gates.access import Access
from pyproxycache.messages import Request, Response, Url
from pyproxycache.outcome import Outcome, Result
from pyproxycache.passing import PassingEngine
from pyproxycache.rules.userinfo import without_userinfo
from pyproxycache.serving.answer import from_text
from pyproxycache.steps import Asks, Steps

PassUpgrade = Callable[[Request, str, Outcome], Response]
"""The answer to a request for other protocols; raises ProxyError."""

# What proxies say of the client they ask for.
_FORWARDED = ("Via", "Forwarded", "X-Forwarded-For")
_HELP = """this is a caching proxy. Ways to ask it:
  http_proxy=http://{host} in the environment of a client
  http://{host}/https://HOST/PATH
  http://{host}/api/v1/fetch/?url=URL"""


@dataclass(frozen=True, slots=True)
class Answered:
    """A response, whether it is one of the cache, and how its head is shown to all who ask this way."""

    response: Response
    is_of_cache: bool
    present: Present = as_it_is


class Ways:
    """Has each request answered by the way it came; `upstream` is the one origin of a reverse proxy.

    `purgers` are the clients that may use PURGE. `pass_upgrade` is for requests that ask for another
    protocol, which are answered in HTTP without it.
    """

    def __init__(
        self,
        upstream: Url | None,
        forwarding: Forwarding,
        purgers: Access,
        engine: Engine | PassingEngine,
        kisscache: KissCache,
        pass_upgrade: PassUpgrade | None,
    ) -> None:
        self._upstream = upstream
        self._forwarding = forwarding
        self._purgers = purgers
        self._engine = engine
        self._kisscache = kisscache
        self._pass_upgrade = pass_upgrade

    def answer(self, received: RawRequest, outcome: Outcome) -> Steps[Answered]:
        """The answer; `outcome` is filled in. Raises ProxyError."""
        received.check_fields(names_cache=self._upstream is None and received.target.startswith("/"))
        if received.method == "CONNECT":
            raise NotImplementedHere(
                "CONNECT: this proxy does not tunnel; it fetches https resources as "
                "http://CACHE/https://HOST/PATH"
            )
        wanted = locate(received.target, self._upstream, received.method)
        if isinstance(wanted, Local):
            return (yield from self._of_the_cache(received, wanted, outcome))
        outcome.url = wanted.url
        if received.method == "PURGE":
            return self._purged(received, wanted.url, outcome)
        present = self._present(wanted)
        request = self._forwarding.told(received.request_for(wanted, present))
        counted = counted_down(request)
        if isinstance(counted, Response):
            outcome.key, outcome.result = str(request.url), Result.LOCAL
            return Answered(counted, is_of_cache=False)
        if self._pass_upgrade is not None and (protocols := wanted_protocols(counted)):
            yield Asks(counted.url.authority)
            return Answered(self._pass_upgrade(counted, protocols, outcome), False, present)
        response = yield from self._engine.handle(counted, outcome)
        return Answered(self._remembered(received, response), True, present)

    def _purged(self, received: RawRequest, url: Url, outcome: Outcome) -> Answered:
        """What becomes of a PURGE, which is this cache's own method and goes no further."""
        outcome.key = str(url)
        self._purgers.check(received.client)
        if any(received.field(name) for name in _FORWARDED):
            raise Forbidden("PURGE is taken from the client itself, and this came through another proxy")
        outcome.result = Result.LOCAL
        found = self._engine.purge(url)
        text = f"{url} is purged" if found else f"nothing is stored for {url}"
        return Answered(from_text(200 if found else 404, text), is_of_cache=False)

    def _present(self, wanted: Wanted) -> Present:
        base = wanted.url
        if wanted.way is Way.PREFIX:
            address, cookie = behind_prefix(base, wanted.userinfo), cookies.behind_prefix(base)
            return partial(mapped, base=base, address=address, cookie=cookie)
        if (upstream := self._upstream) is not None:
            address, cookie = below_upstream(upstream), cookies.below_upstream(upstream)
            return partial(mapped, base=base, address=address, cookie=cookie)
        return as_it_is

    def _of_the_cache(self, received: RawRequest, local: Local, outcome: Outcome) -> Steps[Answered]:
        """A resource of the cache itself: KissCache's interface."""
        path = outcome.key = without_userinfo(local.path)
        if not self._kisscache.answers(local):
            raise NotFound(f"{path}: {_HELP.format(host=received.field('host') or 'CACHE')}")
        asked = self._kisscache.wanted(
            received.method,
            local,
            lambda wanted: self._forwarding.told(received.request_for(wanted, as_it_is)),
        )
        if isinstance(asked, Response):
            outcome.result = Result.LOCAL
            return Answered(asked, is_of_cache=False)
        outcome.url = asked.url
        request, response = yield from followed(asked, outcome, self._engine.handle)
        present = self._kisscache.present(local, request)
        return Answered(self._remembered(received, response), True, present)

    def _remembered(self, received: RawRequest, response: Response) -> Response:
        """The response, to be given again where the same bytes mean the same from everyone."""
        doubtful = self._forwarding.is_doubtful(received)
        return replace(response, reuse_terms=None) if doubtful else response
