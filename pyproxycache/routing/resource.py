"""What a request is for, decided once when the request comes in."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.rules.cache_key import QueryMode, cache_key
from pyproxycache.rules.policy import Policies, UrlRules
from pyproxycache.url import Url


@dataclass(frozen=True, slots=True)
class Realm:
    """A set of requests in which a URL names one resource, by the same rules (`policies`).

    A realm is in no key: realms with equal rules share what is stored of a URL. Answers to the methods
    `by_content` are selected by the request's content.
    """

    policies: Policies
    by_content: frozenset[str] = frozenset({"QUERY"})

    def resource(self, url: Url) -> Resource:
        """The resource that the URL names in this realm."""
        return Resource(self, url, self.policies.about(url))


@dataclass(frozen=True, slots=True)
class Resource:
    """What a request asks for; made once when the request comes in.

    `realm` is the set of requests that it belongs to, `url` what the origin is asked for, and `rules` are
    the operator's rules for that URL. Code that has a Resource never looks up a rule or makes a cache
    key itself; flight keys are made from `key`.
    """

    realm: Realm
    url: Url
    rules: UrlRules

    @property
    def key(self) -> str:
        """The cache key of its responses."""
        return self.rules.key

    @property
    def search_key(self) -> str:
        """The cache key without the query, by which responses with No-Vary-Search are found."""
        return cache_key(self.url, QueryMode.IGNORE)
