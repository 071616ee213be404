"""The operator's rules: what replaces HTTP's rules, matched by host, path, status and content type."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.rules.cache_key import QueryMode, cache_key
from pyproxycache.rules.digests import is_of_file
from pyproxycache.rules.host_patterns import HostPatterns
from pyproxycache.rules.immutable import is_immutable
from pyproxycache.rules.negotiation import content_codings
from pyproxycache.url import Url

# A stream of events may be silent for long; clients reconnect when it ends.
_EVENT_STREAM = "text/event-stream"
_BETWEEN_EVENTS = 3600.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator says of one response; with the defaults, HTTP's rules alone count.

    `fresh` replaces the freshness lifetime (seconds). `stale_if_error` is how stale the response may be
    (seconds) to stand in for a failing origin, `stale_while_revalidate` how stale to be served while it is
    validated; None: as the response says. `by_head`: it is validated by a HEAD, if that states the digest
    (Docker-Content-Digest). `store_cookies`: Set-Cookie is stored and given to all clients,
    even if the response is not `public`. `immutable`: the content never changes, and only no-cache has it
    validated. `at_any_age`: an entry answers all requests, however stale it is. `ignore` names response
    fields that are treated as absent. `targets` names targeted fields, of which the first valid one
    replaces Cache-Control (RFC 9213). All names are in lower case. `silence` is the longest wait for a byte
    (seconds; None: `fetch.silence`). `public`: answers are for all clients, but those to requests with
    cookies. `varies` names request fields (in lower case) that select the response, in Vary or not; with
    `codings_vary` Accept-Encoding does so for a response in a content coding.
    `respected` are directives that count although `ignore` has Cache-Control. `settled` names fields of
    credentials that keep no answer from others: they are in `varies`, or were judged before. `longest`:
    each use prolongs the lifetime to `fresh` from then, up to this age (seconds); None: no use does.
    """

    fresh: float | None = None
    stale_if_error: float | None = None
    stale_while_revalidate: float | None = None
    ignore: frozenset[str] = frozenset()
    no_store: bool = False
    store_cookies: bool = False
    immutable: bool = False
    at_any_age: bool = False
    by_head: bool = False
    silence: float | None = None
    query: QueryMode = QueryMode.KEEP
    targets: tuple[str, ...] = ()
    public: bool = False
    varies: frozenset[str] = frozenset()
    codings_vary: bool = False
    respected: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()
    longest: float | None = None

    def selecting(self, headers: Headers) -> frozenset[str]:
        """The request fields that select a response with these fields, in Vary or not."""
        if self.codings_vary and content_codings(headers.get("content-encoding")):
            return self.varies | {"accept-encoding"}
        return self.varies


@dataclass(frozen=True, slots=True)
class Match:
    """Conditions of a rule, which all have to hold; None holds always. Patterns may match anywhere.

    `origin` is the URL's scheme, host and port, as in Url.origin. `host` and `hosts` are both of its host.
    """

    origin: str | None = None
    host: re.Pattern[str] | None = None
    path: re.Pattern[str] | None = None
    status: frozenset[int] | None = None
    content_type: re.Pattern[str] | None = None
    hosts: HostPatterns | None = None

    def url_matches(self, url: Url) -> bool:
        """Whether the conditions on host and path hold."""
        return (
            (self.origin is None or self.origin == url.origin)
            and (self.host is None or self.host.search(url.host) is not None)
            and (self.hosts is None or self.hosts.fits(url.host))
            and (self.path is None or self.path.search(url.path) is not None)
        )

    @property
    def is_for_all_responses(self) -> bool:
        """Whether it has no condition on the response."""
        return self.status is None and self.content_type is None

    def response_matches(self, status: int, content_type: str) -> bool:
        """Whether the conditions on status and content type hold."""
        return (self.status is None or status in self.status) and (
            self.content_type is None or self.content_type.search(content_type) is not None
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One item of `rules:`; `fresh_by_status` maps a status to its lifetime (seconds), None: any other."""

    match: Match = Match()
    policy: Policy = Policy()
    fresh_by_status: tuple[tuple[int | None, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Policies:
    """All rules, of which the first that matches decides, and the names of the targeted fields that count.

    `defaults`: known immutable paths are fresh for a year if no rule gives a lifetime. `offline`: no origin
    is asked, and entries answer at any age.
    """

    rules: tuple[Rule, ...] = ()
    targets: tuple[str, ...] = ()
    defaults: bool = True
    offline: bool = False

    def about(self, url: Url) -> UrlRules:
        """The rules for one URL."""
        rules = tuple(rule for rule in self.rules if rule.match.url_matches(url))
        known = next((rule.policy for rule in rules if rule.match.is_for_all_responses), Policy())
        key = cache_key(url, known.query)
        return UrlRules(url.path, key, known.silence, rules, self.targets, self.defaults, self.offline)

    def silence(self, url: Url, head: Head | None) -> float | None:
        """The longest wait for a byte (seconds), as from UrlRules.silence()."""
        return (self.about(url) if self.rules else _NO_RULES).silence(head)

    def longest_silence(self, usual: float) -> float:
        """The longest silence in all rules, `usual` included (seconds)."""
        return max(usual, *(rule.policy.silence or 0.0 for rule in self.rules), 0.0)


@dataclass(frozen=True, slots=True)
class UrlRules:
    """The rules whose conditions on the URL hold; the response decides which of them applies.

    `path` is the URL's path, `key` its cache key, `head_silence` the longest wait for a byte of the head
    (seconds; None: `fetch.silence`). `is_stated`: a safe digest is stated of the file, so that what has it
    never changes.
    """

    path: str
    key: str
    head_silence: float | None
    rules: tuple[Rule, ...]
    targets: tuple[str, ...]
    defaults: bool
    offline: bool = False
    is_stated: bool = False

    @property
    def slides(self) -> bool:
        """Whether uses prolong the lifetime of some responses."""
        return any(rule.policy.longest is not None for rule in self.rules)

    def silence(self, head: Head | None) -> float | None:
        """The longest wait for a byte of the body (seconds), or of the head if that is None.

        None: `fetch.silence`.
        """
        if head is None:
            return self.head_silence
        content_type = head.headers.get("content-type") or ""
        silence = self._by_rule(_status(head), content_type).silence
        media_type = content_type.partition(";")[0].strip().lower()
        if silence is None and media_type == _EVENT_STREAM:
            return _BETWEEN_EVENTS
        return silence

    def for_head(self, head: Head) -> Policy:
        """The policy for the response with this head; a 206 has that of a 200."""
        policy = self.for_response(_status(head), head.headers.get("content-type") or "")
        return _of_proven(policy) if self.is_stated and is_of_file(head) else policy

    def for_entry(self, entry: Entry) -> Policy:
        """The policy for a stored response: one that is proven never changes, whatever the rules say."""
        policy = self.for_head(entry.head)
        return _of_proven(policy) if entry.is_proven else policy

    def for_response(self, status: int, content_type: str) -> Policy:
        """The policy of the first matching rule, its `fresh` chosen by the status."""
        policy = self._by_rule(status, content_type)
        if self.offline:
            policy = replace(policy, at_any_age=True)
        if (
            self.defaults
            and status == 200
            and policy.fresh is None
            and is_immutable(self.path, content_type)
        ):
            return replace(policy, immutable=True)
        return policy

    def _by_rule(self, status: int, content_type: str) -> Policy:
        for rule in self.rules:
            if rule.match.response_matches(status, content_type):
                lifetimes = dict(rule.fresh_by_status)
                fresh = lifetimes.get(status, lifetimes.get(None, rule.policy.fresh))
                return replace(rule.policy, fresh=fresh, targets=self.targets)
        return _plain(self.targets)


_NO_RULES = UrlRules("", "", None, (), (), defaults=False)


def _status(head: Head) -> int:
    """The status that rules know the response by."""
    return 200 if head.status == 206 else head.status


def _of_proven(policy: Policy) -> Policy:
    return replace(policy, fresh=None, immutable=True)


@lru_cache(16)
def _plain(targets: tuple[str, ...]) -> Policy:
    """The policy if no rule matches."""
    return Policy(targets=targets)
