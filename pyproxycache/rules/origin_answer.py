"""What an origin's answer means for what is stored: store it, freshen with it, pass it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyproxycache.messages import Entry, Head, Request
from pyproxycache.rules.cache_control import request_directives
from pyproxycache.rules.decisions import Fetch, FetchAnew, Forget, Freshen, Pass, ServeStale, Store
from pyproxycache.rules.freshness import effective_headers, stale_if_error_allowed
from pyproxycache.rules.grammar import end_to_end
from pyproxycache.rules.groups import cache_groups
from pyproxycache.rules.parts import part_of
from pyproxycache.rules.policy import Policy, UrlRules
from pyproxycache.rules.search_variance import search_base
from pyproxycache.rules.storing import is_for_one, is_lasting, own_fields, stored_head, why_not_storable
from pyproxycache.rules.validation import (
    describes,
    freshen,
    matches_304,
    named_by_304,
    states_same_digest,
    strip_validators,
)
from pyproxycache.rules.variants import selecting_fields, vary_values


@dataclass(frozen=True, slots=True)
class OriginAnswer:
    """The head of an origin's answer, with the request that was sent and when (seconds since the epoch)."""

    request: Request
    head: Head
    rules: UrlRules
    request_time: float
    response_time: float

    def decide(self, fetch: Fetch) -> Store | Freshen | FetchAnew | ServeStale | Pass:
        """Decide what to do with the answer to this fetch (RFC 9111 sections 3 and 4.3.3)."""
        if self.head.status == 304:
            return self._decide_on_304(fetch)
        failed = self.head.status >= 500 or self.head.status == 429
        if failed and fetch.stale is not None:
            policy = self._policy(fetch.stale.head)
            asked = request_directives(self.request.headers)
            if stale_if_error_allowed(fetch.stale, policy, self.response_time, asked):
                return ServeStale(fetch.stale, f"origin-{self.head.status}")
        policy = self._policy(self.head)
        headers = effective_headers(self.head, policy)
        fields = selecting_fields(self.request, headers, policy.selecting(headers))
        reason = why_not_storable(self.request, self.head, policy, self.response_time)
        if reason is not None or fields is None:
            return self._pass(reason or "vary", fetch)
        completed = self._completing_head(fetch)
        vary, stale = vary_values(fields, self.request), fetch.stale
        return Store(
            vary,
            stored_head(completed or self.head, policy, self.response_time),
            part=part_of(self.head),
            groups=cache_groups(headers),
            search=search_base(self.rules.key, headers),
            siblings=self._freshened(fetch.siblings) if completed is not None else (),
            own=own_fields(self.head, policy),
            outdated=stale if stale is not None and stale.part is None and stale.vary != vary else None,
        )

    def decide_on_head(self, entry: Entry) -> Freshen | Forget | None:
        """What a HEAD's 200 changes in the stored answer to a GET (RFC 9111 section 4.3.5)."""
        described = describes(entry, self.head)
        if described is None:
            return None
        if not described:
            return Forget(entry)
        updated = self._freshened((entry,))
        return Freshen(updated[0], kept=self._kept((entry,), updated))

    def decide_on_digest(self, entry: Entry) -> Freshen | ServeStale | None:
        """What the answer to a HEAD says of a stale entry; None if a GET has to tell."""
        if self.head.status >= 500 or self.head.status == 429:
            asked = request_directives(self.request.headers)
            policy = self._policy(entry.head)
            if stale_if_error_allowed(entry, policy, self.response_time, asked):
                return ServeStale(entry, f"origin-{self.head.status}")
        if self.head.status != 200 or not states_same_digest(entry.head, self.head):
            return None
        updated = self._freshened((entry,))
        return Freshen(updated[0], kept=self._kept((entry,), updated))

    def _pass(self, reason: str, fetch: Fetch) -> Pass:
        """Pass the answer on; it is not remembered if the next client may well get another one."""
        is_for_all = fetch.stale is None and not fetch.siblings and not fetch.variants
        # An error may be over soon.
        return Pass(reason, remember=self.head.status < 400 and is_lasting(reason, of_all=is_for_all))

    def _completing_head(self, fetch: Fetch) -> Head | None:
        """The head to store this part with if it fills the plan's first gap, else None."""
        if part_of(self.head) is None or fetch.plan is None or not fetch.plan.missing:
            return None
        return fetch.plan.completing_head(fetch.plan.missing[0], self.head)

    def _decide_on_304(self, fetch: Fetch) -> Freshen | FetchAnew | Pass:
        """Freshen the stored response that the 304 is about (RFC 9111 section 4.3.4)."""
        named: Entry | None = None
        if fetch.stale is not None and matches_304(fetch.stale, self.head):
            named = fetch.stale
        elif (variant := named_by_304(fetch.variants, self.head)) is not None:
            named = self._as_variant_of_request(variant)
        if named is None:
            plain = strip_validators(fetch.headers)
            if plain == fetch.headers:
                return Pass("unmatched-304", remember=False)
            return FetchAnew(replace(fetch, headers=plain, stale=None, variants=(), plan=None))
        (entry,) = self._freshened((named,))
        entry = replace(entry, ttl=entry.ttl if self.request.ttl is None else self.request.ttl)
        siblings = self._freshened(fetch.siblings)
        kept = self._kept((named, *fetch.siblings), (entry, *siblings))
        return Freshen(entry, siblings, kept, self._own_fields(named))

    def _as_variant_of_request(self, variant: Entry) -> Entry | None:
        """The entry stored under this request's fields; None if the 304's Vary names other fields."""
        fields = [name for name, _value in variant.vary]
        policy = self._policy(variant.head)
        known = policy.selecting(variant.headers)
        selecting = selecting_fields(self.request, effective_headers(self.head, policy), known)
        if "vary" in self.head.headers and (selecting is None or not {*selecting} <= {*fields}):
            return None
        return replace(variant, id=0, vary=vary_values(fields, self.request))

    def _own_fields(self, validated: Entry) -> tuple[tuple[str, str], ...]:
        """The fields of the 304 that are for the requesting client alone."""
        merged = freshen(validated, self.head, self.request_time, self.response_time).head
        policy = self._policy(validated.head)
        stored = stored_head(merged, policy).headers.names()
        own = {name.lower() for name, _value in own_fields(merged, policy)} - stored
        return tuple(field for field in end_to_end(self.head.headers) if field[0].lower() in own)

    def _kept(self, old: Sequence[Entry], updated: Sequence[Entry]) -> tuple[Entry, ...]:
        """The updated entries as they may be stored for all clients; none if the 304 is for one alone."""
        if self._is_for_one(old[0]):
            return ()
        return tuple(map(_without_new_cookies, old, updated))

    def _is_for_one(self, entry: Entry) -> bool:
        """Whether the entry with the 304's fields is for the requesting client alone."""
        merged = freshen(entry, self.head, self.request_time, self.response_time).head
        # A cookie that is stored already was found to be for all.
        cookies = self.head.headers.lines("set-cookie")
        headers = merged.headers if cookies else merged.headers.without("set-cookie")
        policy = self._policy(entry.head)
        asked = replace(self.request, method="GET", body=None)
        return is_for_one(asked, merged.with_headers(headers), policy, self.response_time)

    def _freshened(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """The entries with the fields and times of this answer, as they are to be stored."""
        updated = []
        for entry in entries:
            fresh = freshen(entry, self.head, self.request_time, self.response_time)
            policy = self._policy(entry.head)
            kept = stored_head(fresh.head, policy)
            headers = effective_headers(kept, policy)
            groups, search = cache_groups(headers), search_base(entry.key, headers)
            updated.append(replace(fresh, head=kept, groups=groups, search=search))
        return tuple(updated)

    def _policy(self, head: Head) -> Policy:
        return self.rules.for_head(head)


def _without_new_cookies(old: Entry, updated: Entry) -> Entry:
    """The updated entry without Set-Cookie if the old one had none: it is for the requesting client."""
    if "set-cookie" in old.headers:
        return updated
    return replace(updated, head=updated.head.with_headers(updated.headers.without("Set-Cookie")))
