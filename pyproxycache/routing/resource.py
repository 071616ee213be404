"""What a request is for: decided once at the door, and the same for all that deal with it."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.messages import Url
from pyproxycache.rules.policy import Policies, QueryMode, UrlRules, cache_key


@dataclass(frozen=True, slots=True)
class Realm:
    """Requests that may be given one another's answers: in one realm a URL names one resource.

    `policies` are the operator's rules for it. With an `upstream` all of it is below that URL and is
    fetched from there; None: it is fetched from wherever its URLs say, as far as the guard admits that.
    """

    name: str
    policies: Policies
    upstream: Url | None = None

    def resource(self, url: Url) -> Resource:
        """The resource that the URL names here."""
        return Resource(self, url, self.policies.about(url))


@dataclass(frozen=True, slots=True)
class Resource:
    """What is asked for, in the terms of the cache: made by whoever takes the request in, never changed.

    `realm` says whose answers may be shared and where they may be fetched from, `url` what the origin is
    asked for, `rules` what the operator has said of the URL. Those who are handed it look up no rule and
    make no cache key by themselves; keys of downloads are made from `key` (see flight_key).
    """

    realm: Realm
    url: Url
    rules: UrlRules

    @property
    def key(self) -> str:
        """The cache key: what its responses are stored under."""
        return self.rules.key

    @property
    def search_key(self) -> str:
        """The cache key without a query: what responses with No-Vary-Search are found by."""
        return cache_key(self.url, QueryMode.IGNORE)
