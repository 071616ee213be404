"""Signed URLs, which storage services answer until a time that stands in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote_plus

from pyproxycache.messages import Head
from pyproxycache.rules.grammar import REDIRECTS

# Parameters that sign, in lower case: a URL with one of them and no known end has ended already.
_SIGNATURES = frozenset({"sig", "signature", "x-amz-signature", "x-goog-signature"})
# When it was signed, and for how many seconds.
_SPANS = (("x-amz-date", "x-amz-expires"), ("x-goog-date", "x-goog-expires"))
_BASIC = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SECONDS = re.compile(r"[0-9]{1,11}")
_MOST_PARAMETERS = 100


def signature_end(url: str) -> float | None:
    """When the signature in a URL ends (seconds since the epoch); None if there is none.

    Of several ends the first counts. It is 0 where the end cannot be told.
    """
    parameters = _parameters(url)
    found = [_span(parameters, *names) for names in _SPANS]
    found += [_epoch(parameters.get("expires")), _timestamp(parameters.get("se"))]
    ends = [one for one in found if one is not None]
    if ends:
        return min(ends)
    return None if _SIGNATURES.isdisjoint(parameters) else 0.0


def redirect_end(head: Head) -> float | None:
    """When the address to which a response redirects ends (seconds since the epoch); None if never."""
    if head.status not in REDIRECTS or not (locations := head.headers.lines("location")):
        return None
    return signature_end(locations[0])


def has_ended(head: Head, now: float) -> bool:
    """Whether a response redirects to a signed address that has ended; `now` is in epoch seconds."""
    end = redirect_end(head)
    return end is not None and end <= now


def _parameters(url: str) -> Mapping[str, str]:
    query = url.partition("#")[0].partition("?")[2]
    pairs = (one.partition("=") for one in query.split("&", _MOST_PARAMETERS))
    return {unquote_plus(name).lower(): unquote_plus(value) for name, _, value in pairs}


def _span(parameters: Mapping[str, str], signed: str, lasts: str) -> float | None:
    since, seconds = parameters.get(signed), _epoch(parameters.get(lasts))
    if since is None or seconds is None or not _BASIC.fullmatch(since):
        return None
    start = _timestamp(since)
    return None if start is None else start + seconds


def _epoch(text: str | None) -> float | None:
    return float(text) if text is not None and _SECONDS.fullmatch(text) else None


def _timestamp(text: str | None) -> float | None:
    """The time of ISO 8601, which is UTC where it does not say."""
    try:
        time = datetime.fromisoformat(text or "")
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
