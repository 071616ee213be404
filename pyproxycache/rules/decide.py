"""The two decisions of a shared cache, as values: what to do with a request, and with an answer to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.outcome import Forward
from pyproxycache.rules.cache_control import RequestDirectives, request_directives
from pyproxycache.rules.decisions import (
    Assemble,
    Bypass,
    Fetch,
    FetchAnew,
    Forget,
    Freshen,
    Pass,
    Refuse,
    Serve,
    ServeStale,
    Store,
)
from pyproxycache.rules.freshness import recency, stale_if_error_allowed
from pyproxycache.rules.grammar import end_to_end
from pyproxycache.rules.negotiation import NEGOTIATING, accepts_coding, accepts_type
from pyproxycache.rules.origin_answer import OriginAnswer
from pyproxycache.rules.parts import Plan, plan, representation
from pyproxycache.rules.policy import UrlRules
from pyproxycache.rules.ranges import range_specs
from pyproxycache.rules.representation import resumption_validator
from pyproxycache.rules.reuse import judge
from pyproxycache.rules.signed_urls import has_ended
from pyproxycache.rules.validation import is_as_demanded, strip_conditionals, strong_tag, validators
from pyproxycache.rules.variants import implied_fields, newest, of_same_content, select, vary_values

# To other methods an origin says 412 where the condition is not met, and no 304 (RFC 9110 section 13.1.2).
_CONDITIONAL = ("GET", "HEAD", "QUERY")
# Preconditions that go to the origin if no stored response meets them (RFC 9111 section 4.3.2).
_FOR_THE_ORIGIN = ("If-Match", "If-Unmodified-Since")


def on_request(
    request: Request, entries: Sequence[Entry], rules: UrlRules, now: float
) -> Serve | Assemble | Fetch | Bypass | Refuse:
    """Decide what to do with a request (RFC 9111 section 4).

    `entries` are the stored responses that may fit it; `now` is in seconds since the epoch.
    """
    if request.method not in ("GET", "HEAD") and request.content_key is None:
        return Bypass(Forward.METHOD)
    asked = request_directives(request.headers)
    if not asked.only_if_cached and not rules.offline and _must_reach_origin(request, asked):
        return Bypass(Forward.REQUEST)
    fitting = select(entries, rules.key, request)
    # A redirect to a signed address that has ended is of no use, not even to be validated.
    fitting = [entry for entry in fitting if not has_ended(entry.head, now)]
    whole = newest([entry for entry in fitting if entry.part is None])
    reason = Forward.VARY_MISS if any(e.key == rules.key for e in entries) else Forward.URI_MISS
    if fitting:
        reason = Forward.MISS  # only parts, which may not be enough
    has_demands = not asked.only_if_cached and any(name in request.headers for name in _FOR_THE_ORIGIN)
    if whole is not None:
        judged = judge(request, asked, whole, rules.for_entry(whole), now)
        meets_demands = not has_demands or is_as_demanded(request.headers, whole.head)
        if isinstance(judged, Serve) and meets_demands:
            return judged
        reason = judged if isinstance(judged, Forward) else Forward.REQUEST
    if has_demands:
        return Bypass(Forward.REQUEST)
    parts = [entry for entry in fitting if entry.part is not None]
    if parts and request.method in ("GET", "HEAD"):
        assembled = _assemble(request, asked, parts, rules, now)
        may_fetch = request.method == "GET" and not asked.only_if_cached
        if assembled is not None and (isinstance(assembled, Assemble) or may_fetch):
            return assembled
    if asked.only_if_cached:
        return Refuse(504, "only-if-cached was asked for, and nothing stored can answer the request")
    # The answer to a HEAD has no body to store.
    if request.method == "HEAD":
        return Bypass(reason)
    return validating(request, whole, reason)


def validating(request: Request, stale: Entry | None, reason: Forward) -> Fetch:
    """The fetch that validates `stale`, or without that gets the response, or the one range asked for."""
    headers = end_to_end(request.headers)
    # If-Range is not sent: this cache evaluates it, as its answer may lack fields that other clients need.
    outbound = strip_conditionals(headers)
    if stale is not None:
        if request.method in _CONDITIONAL:
            outbound = Headers((*outbound, *validators(stale.head)))
    elif len(range_specs(request.headers)) == 1 and request.method == "GET":
        outbound = Headers((*outbound, *(field for field in headers if field[0].lower() == "range")))
    return Fetch(outbound, stale, reason)


def together(request: Request, serve: Serve) -> Serve | Fetch:
    """What to do instead of serving a fresh entry that is older than those that change with it."""
    if request.method != "GET" or request_directives(request.headers).only_if_cached:
        return serve
    return validating(request, serve.entry, Forward.STALE)


def with_variants(request: Request, fetch: Fetch, variants: Sequence[Entry]) -> Fetch:
    """The fetch, which also offers the entity tags of other stored variants (RFC 9111 section 4.3.1)."""
    if fetch.stale is not None or not variants or request.method not in _CONDITIONAL:
        return fetch
    fetch = replace(fetch, reason=Forward.VARY_MISS)
    offered = tuple(variant for variant in variants if _may_be_offered(request, variant))
    if not offered or "range" in fetch.headers:
        return fetch
    tags = dict.fromkeys(tag for variant in offered if (tag := strong_tag(variant.head)) is not None)
    headers = fetch.headers.with_line("If-None-Match", ", ".join(tags))
    return replace(fetch, headers=headers, variants=offered)


def _may_be_offered(request: Request, variant: Entry) -> bool:
    """Whether the variant answers the request too if a 304 names its entity tag.

    The tag has to be strong: several representations may share a weak one, and servers give the same one to
    content in several codings, and some to content of several types. The requests may differ only in
    negotiation fields: the fields that a 304 leaves out are kept from the answer to another client.
    """
    names = [name for name, _value in variant.vary]
    values = zip(variant.vary, vary_values(names, request), strict=True)
    differing = {name for (name, old), (_name, new) in values if old != new}
    coding, media_type = variant.headers.get("content-encoding"), variant.headers.get("content-type")
    return (
        strong_tag(variant.head) is not None
        and differing <= NEGOTIATING
        and (media_type is None or accepts_type(request.headers.get("accept"), media_type))
        and accepts_coding(request.headers.get("accept-encoding"), coding)
    )


def offline_variant(
    request: Request, variants: Sequence[Entry], rules: UrlRules, now: float
) -> Serve | None:
    """Where no origin can be asked: the newest variant for other requests that this one accepts, too.

    The requests may differ only in negotiation fields; `now` is in seconds since the epoch.
    """
    accept, coding = request.headers.get("accept"), request.headers.get("accept-encoding")
    fitting = [
        entry
        for entry in variants
        if entry.part is None
        and of_same_content(entry, request)
        and _differing(request, entry) <= NEGOTIATING
        and accepts_type(accept, entry.headers.get("content-type"))
        and accepts_coding(coding, entry.headers.get("content-encoding"))
    ]
    entry = newest(fitting)
    if entry is None or request.method not in ("GET", "HEAD"):
        return None
    judged = judge(request, request_directives(request.headers), entry, rules.for_head(entry.head), now)
    return judged if isinstance(judged, Serve) else None


def _differing(request: Request, entry: Entry) -> set[str]:
    """The fields that select the entry, in which the request differs."""
    names = [name for name, _value in entry.vary]
    values = zip(entry.vary, vary_values(names, request), strict=True)
    return {name for (name, old), (_name, new) in values if old != new} | (
        implied_fields(request) - {*names}
    )


def on_response(
    request: Request,
    head: Head,
    fetch: Fetch,
    rules: UrlRules,
    request_time: float,
    response_time: float,
) -> Store | Freshen | FetchAnew | ServeStale | Pass:
    """Decide what to do with the origin's answer to a fetch (RFC 9111 sections 3 and 4.3.3).

    `request` is the client's with the fields that were sent. Times are seconds since the epoch.
    """
    return OriginAnswer(request, head, rules, request_time, response_time).decide(fetch)


def on_head(
    request: Request,
    head: Head,
    entry: Entry,
    rules: UrlRules,
    request_time: float,
    response_time: float,
) -> Freshen | Forget | None:
    """What the 200 to a HEAD changes in the stored answer to a GET; None: nothing.

    RFC 9111 section 4.3.5. Times are seconds since the epoch.
    """
    return OriginAnswer(request, head, rules, request_time, response_time).decide_on_head(entry)


def on_digest(
    request: Request,
    head: Head,
    stale: Entry,
    rules: UrlRules,
    request_time: float,
    response_time: float,
) -> Freshen | ServeStale | None:
    """What the answer to a HEAD says of a stale entry that is validated so; None if a GET has to tell.

    Times are seconds since the epoch.
    """
    return OriginAnswer(request, head, rules, request_time, response_time).decide_on_digest(stale)


def on_error(
    stale: Entry | None, rules: UrlRules, now: float, request: Request | None = None
) -> ServeStale | None:
    """Serve the stale entry, if it may stand in for an origin that gave no answer; else None.

    `now` is in seconds since the epoch.
    """
    if stale is None:
        return None
    asked = None if request is None else request_directives(request.headers)
    if stale_if_error_allowed(stale, rules.for_entry(stale), now, asked):
        return ServeStale(stale, "origin-failed")
    return None


def _must_reach_origin(request: Request, asked: RequestDirectives) -> bool:
    """Whether only the origin may answer: the request forbids storing, or logs in a connection."""
    return asked.no_store or request.logs_in


def _assemble(
    request: Request, asked: RequestDirectives, parts: Sequence[Entry], rules: UrlRules, now: float
) -> Assemble | Fetch | None:
    """Answer out of stored parts, or fetch what they lack; None if they are of no use.

    RFC 9111 section 3.4.
    """
    chosen = _plan(request, parts, now)
    if chosen is None:
        return None
    used = chosen.used
    judged = [judge(request, asked, e, rules.for_entry(e), now) for e in used]
    fresh = [
        serve.ttl for serve in judged if isinstance(serve, Serve) and (rules.offline or not serve.stale)
    ]
    headers = strip_conditionals(end_to_end(request.headers))
    if chosen.missing:
        # If-Range validates the stored parts as well, so they may be stale.
        headers = Headers((*headers, *chosen.range_fields(chosen.missing[0])))
        return Fetch(headers, None, Forward.PARTIAL, plan=chosen)
    if len(fresh) == len(used):
        return Assemble(chosen, min(fresh))
    validating_fields = validators(used[0].head)
    if not validating_fields:
        return None
    ranges = (field for field in end_to_end(request.headers) if field[0].lower() == "range")
    return Fetch(Headers((*headers, *ranges, *validating_fields)), used[0], Forward.STALE, plan=chosen)


def _plan(request: Request, parts: Sequence[Entry], now: float) -> Plan | None:
    """The answer out of the newest part and those it combines with, or out of a single part."""
    alike = representation(parts)
    chosen = plan(request, alike, now)
    if chosen is not None or resumption_validator(alike[0].head) is not None:
        return chosen
    alone = (part for part in parts if resumption_validator(part.head) is None)
    plans = (plan(request, (part,), now) for part in sorted(alone, key=recency, reverse=True))
    return next((found for found in plans if found is not None), None)
