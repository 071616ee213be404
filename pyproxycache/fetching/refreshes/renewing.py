"""Asks the origin anew for what is stored and fresh, with no client that waits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from pyproxycache import clock
from pyproxycache.errors import ClientGone, ProxyError
from pyproxycache.facts import Facts
from pyproxycache.fetching.fetch_job import FetchJob
from pyproxycache.fetching.fetcher import Fetcher
from pyproxycache.fetching.leader import Downloading, Freshened
from pyproxycache.messages import Entry, Request
from pyproxycache.outcome import Forward
from pyproxycache.routing.flight_key import Vary
from pyproxycache.routing.resource import Resource
from pyproxycache.rules import decide
from pyproxycache.rules.freshness import remaining_lifetime
from pyproxycache.rules.policy import Match, Policy, Rule
from pyproxycache.rules.variants import newest, vary_values
from pyproxycache.serving.lookup import Lookup, LookupResult, with_content_key
from pyproxycache.store.ports import EntryIndex
from pyproxycache.store.store_errors import logging_store_errors

# What no client has asked for is no answer to anybody if it is an error.
_NO_ERRORS = Rule(Match(status=frozenset(range(400, 600))), Policy(no_store=True))


class Renewal(Enum):
    """What became of asking for an entry anew."""

    RENEWED = "renewed"
    """It was validated, or the new response is stored or on its way."""
    FAILED = "failed"
    """There is no answer that may be stored in its place."""
    LEFT = "left"
    """Another thread or process asks, or the server stops: nothing was done."""


@dataclass(frozen=True, slots=True)
class Renewable:
    """A whole response that is stored, with `left` seconds of freshness."""

    resource: Resource
    looked_up: LookupResult
    entry: Entry
    left: float


class Renewer:
    """Finds what is stored for a request, and has it asked for anew, as a flight of its own."""

    def __init__(self, lookup: Lookup, fetcher: Fetcher, index: EntryIndex) -> None:
        self._lookup = lookup
        self._fetcher = fetcher
        self._index = index

    def find(self, resource: Resource, vary: Vary) -> Renewable | None:
        """The whole response that these values of request fields select; None if it is not stored."""
        looked_up = self._lookup.variant(resource, vary)
        fitting = [one for one in looked_up.entries if one.part is None and one.vary == vary]
        entry = newest([one for one in fitting if one.key == resource.key])
        if entry is None:
            return None
        left = remaining_lifetime(entry, resource.rules.for_entry(entry), clock.wall())
        return Renewable(resource, looked_up, entry, left)

    def renew(self, found: Renewable, request: Request) -> Renewal:
        """Ask the origin for it by this request, unless somebody does; errors are not stored."""
        entry, rules = found.entry, found.resource.rules
        resource = replace(found.resource, rules=replace(rules, rules=(_NO_ERRORS, *rules.rules)))
        request = with_content_key(resource, request)
        names = tuple(name for name, _value in entry.vary)
        if vary_values(names, request) != entry.vary:
            return Renewal.FAILED  # what is known of the client's token is not the same any more
        fetch = decide.validating(request, entry, Forward.STALE)
        job = FetchJob(resource, request, Facts(), found.looked_up, fetch, names)
        try:
            led = self._fetcher.refresh(job)
        except ClientGone:
            return Renewal.LEFT
        except ProxyError:
            return Renewal.FAILED
        if led is None:
            return Renewal.LEFT
        return Renewal.RENEWED if isinstance(led, Downloading | Freshened) else Renewal.FAILED

    def remove(self, entry: Entry) -> None:
        """Remove the entry, unless it has another body by now."""
        with logging_store_errors("remove what could not be refreshed of", entry.key):
            self._index.forget(entry)
