"""The cache's own pages: so far a 404 that tells how to ask this cache."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxycache.errors import NotFound
from pyproxycache.facts import Attempted, Facts
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Local
from pyproxycache.rules.userinfo import without_userinfo
from pyproxycache.steps import Steps, at_once

_HELP = """this is a caching proxy. Ways to ask it:
  http_proxy={cache} in the environment of a client
  {cache}/https://HOST/PATH
  {cache}/api/v1/fetch/?url=URL"""
_AUTHORITY = """
The authority that clients have to trust, as a page and as a file:
  {cache}/ca
  {cache}/ca.pem"""
_MIRRORS = """
Mirrors of package indexes, whose NAME is one of {names}:
  {cache}/NAME/"""


class Pages:
    """Answers paths at the cache's own address that nothing else answers, by a 404 with help."""

    def __init__(self, *, has_authority: bool, mirrors: Sequence[str] = ()) -> None:
        """`mirrors` are the names of the mirrors there are."""
        self._help = _HELP + (_MIRRORS if mirrors else "") + (_AUTHORITY if has_authority else "")
        self._names = ", ".join(mirrors)

    def answer(self, received: RawRequest, target: Local, facts: Facts) -> Steps[Answered]:
        """Raise NotFound, whose text has the ways to ask this cache."""
        return at_once(lambda: self._not_found(received, target, facts))

    def _not_found(self, received: RawRequest, target: Local, facts: Facts) -> Answered:
        path = without_userinfo(target.path)
        facts.note(Attempted(path))
        cache = f"{received.ingress.scheme}://{received.field('host') or 'CACHE'}"
        help_ = self._help.format(cache=cache, names=self._names)
        raise NotFound(f"{path}: {help_}")
