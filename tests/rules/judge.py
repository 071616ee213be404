"""What a shared cache must not answer with: RFC 9111 section 4, written down once, from its text.

Nothing here is the proxy's, and nothing is fast. Where the RFC leaves a choice nothing is forbidden: the
lifetime is the longest and the age the shortest that it allows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

from plain_grammar import cache_control, canonical, delta, dictionary, parse_date, split

from pyproxycache.messages import Head, Request

NUMERIC = {"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"}
HEURISTICALLY_CACHEABLE = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}
DEFINED = {*range(200, 207), *range(300, 309), *range(400, 418), 421, 422, 426, *range(500, 506)} - {306}
HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
}


@dataclass(frozen=True)
class Stored:
    """A response as it came, the request that it answered, and our clock at both (seconds)."""

    request: Request
    head: Head
    asked: float
    received: float


@dataclass(frozen=True)
class Reading:
    """What the response says to caches: its directives in order, and whether Expires counts."""

    directives: tuple[tuple[str, str | None], ...]
    expires: bool = True

    def values(self, name: str) -> list[str | None]:
        return [value for directive, value in self.directives if directive == name]

    def has(self, *names: str) -> bool:
        return any(directive in names for directive, _value in self.directives)

    def unqualified(self, name: str) -> bool:
        return None in self.values(name)

    def seconds(self, name: str) -> int | None:
        """The first value in seconds; None where the directive is absent or its value is no number."""
        return delta(self.values(name)[0]) if self.has(name) else None


def forbidden(
    request: Request,
    stored: Stored,
    now: float,
    targets: Sequence[str] = (),
    *,
    failed: bool = False,
) -> str | None:
    """Why the stored response must not be used for the request unvalidated; None where it may be.

    `failed`: the origin was asked, and gave no answer or a 5xx.
    """
    reasons = [
        _method(request, stored, reading)
        or _resource(request, stored)
        or _not_to_be_stored(stored, reading)
        or _vary(request, stored)
        or _part(request, stored)
        or _freshness(request, stored, now, reading, failed)
        for reading in readings(stored.head, targets)
    ]
    return None if None in reasons else reasons[0]


def against_the_clients_wish(
    request: Request, stored: Stored, now: float, targets: Sequence[str] = ()
) -> str | None:
    """Which request directive asks for something else: they are advisory, and we obey (section 5.2.1)."""
    wishes = Reading(cache_control(request.headers.lines("cache-control")))
    age = age_of(stored, now)
    if wishes.has("no-cache"):
        return "the client wants it validated"
    pragma = (request.headers.get("pragma") or "").lower()
    if "cache-control" not in request.headers and pragma == "no-cache":
        return "the client wants it validated (Pragma)"
    oldest = wishes.seconds("max-age")
    if oldest is not None and age > oldest:
        return f"older ({age}) than the client wants"
    margin = wishes.seconds("min-fresh")
    longest = max(lifetime_of(stored, reading) for reading in readings(stored.head, targets))
    if margin is not None and not wishes.has("max-stale") and longest - age < margin:
        return "not fresh for as long as the client wants"
    return None


def _resource(request: Request, stored: Stored) -> str | None:
    return None if request.url == stored.request.url else "another target URI"


def _method(request: Request, stored: Stored, reading: Reading) -> str | None:
    """RFC 9110 sections 9.3.1 to 9.3.3, and QUERY's content as part of the key."""
    match stored.request.method, request.method:
        case ("GET", "GET" | "HEAD") | ("HEAD", "HEAD"):
            return None
        case ("QUERY", "QUERY") if stored.request.content_key == request.content_key:
            return None
        case "POST", "GET" | "HEAD":
            url = str(stored.request.url)
            location = stored.head.headers.get("content-location")
            explicit = reading.has("max-age", "s-maxage")
            explicit = explicit or (reading.expires and "expires" in stored.head.headers)
            if explicit and location is not None and urljoin(url, location) == url:
                return None
    return f"{stored.request.method} cannot answer {request.method}"


def _not_to_be_stored(stored: Stored, reading: Reading) -> str | None:
    """Section 3."""
    status, headers = stored.head.status, stored.head.headers
    if status < 200 or status == 304:
        return f"status {status}"
    if reading.has("must-understand") and status not in DEFINED:
        return "must-understand, and the status is not known"
    if reading.has("no-store") and not reading.has("must-understand"):
        return "no-store"
    if reading.unqualified("private"):
        return "private"
    for_all = reading.has("public", "s-maxage", "must-revalidate")
    if "authorization" in stored.request.headers and not for_all:
        return "authorization"
    explicit = reading.has("max-age", "s-maxage") or (reading.expires and "expires" in headers)
    if not (explicit or reading.has("public") or status in HEURISTICALLY_CACHEABLE):
        return "nothing says that it can be stored"
    return None


def _vary(request: Request, stored: Stored) -> str | None:
    """Section 4.1."""
    for member in (stored.head.headers.get("vary") or "").split(","):
        name = member.strip().lower()
        if name == "*" or (name and canonical(name, request) != canonical(name, stored.request)):
            return f"Vary: {name}"
    return None


def _part(request: Request, stored: Stored) -> str | None:
    """Section 3.3: a part answers only for what lies in it."""
    if stored.head.status != 206:
        return None
    has = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", stored.head.headers.get("content-range") or "")
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range") or "")
    tags = [tag.removeprefix("W/") for tag in split(request.headers.get("if-none-match") or "")]
    if {"*", (stored.head.headers.get("etag") or "").removeprefix("W/")} & set(tags):
        return None  # a 304 has no bytes at all
    condition = request.headers.get("if-range")
    if has is None or asked is None or request.method != "GET" or asked.groups() == ("", ""):
        return "a part for the whole"
    validators = [stored.head.headers.get(name) for name in ("etag", "last-modified")]
    if condition is not None and condition not in validators:
        return "a part of another representation than If-Range has"
    first, last = int(has[1]), int(has[2])
    total = None if has[3] == "*" else int(has[3])
    if not asked[1] and total is None:
        return "a suffix of nobody knows what"
    wanted_first = int(asked[1]) if asked[1] else max(0, (total or 0) - int(asked[2]))
    wanted_last = int(asked[2]) if asked[1] and asked[2] else None
    if total is not None:
        wanted_last = min(total - 1, total - 1 if wanted_last is None else wanted_last)
        if wanted_first >= total:
            return None  # nothing can answer it but 416
    if wanted_last is None or not first <= wanted_first <= wanted_last <= last:
        return "bytes that the part has not"
    return None


def _freshness(request: Request, stored: Stored, now: float, reading: Reading, failed: bool) -> str | None:
    """Sections 4.2, 4.2.4, 5.2.2 and RFC 5861."""
    if reading.unqualified("no-cache"):
        return "no-cache"
    staleness = age_of(stored, now) - lifetime_of(stored, reading)
    if staleness < 0:
        return None
    if reading.has("must-revalidate", "proxy-revalidate", "s-maxage"):
        return f"stale by {staleness}, and a directive forbids that"
    wishes = Reading(cache_control(request.headers.lines("cache-control")))
    allowed = ((wishes, "max-stale"), (reading, "stale-while-revalidate"))
    longest = max((said.seconds(name) or 0 for said, name in allowed if said.has(name)), default=-1)
    if wishes.unqualified("max-stale") or staleness <= longest:
        return None
    if not failed:
        return f"stale by {staleness}"
    known = [said.seconds("stale-if-error") for said in (reading, wishes)]
    longest = max((window for window in known if window is not None), default=staleness)
    return f"stale by {staleness}, and an error allows {longest}" if staleness > longest else None


def lifetime_of(stored: Stored, reading: Reading) -> float:
    """Seconds: the longest that sections 4.2.1 and 4.2.2 allow; what is invalid is stale."""
    for name in ("s-maxage", "max-age"):
        if reading.has(name):
            return reading.seconds(name) or 0
    headers = stored.head.headers
    date = parse_date(headers.get("date"), stored.received)
    # What is appended where there is none has whole seconds (RFC 9110 section 6.6.1).
    date = math.floor(stored.received) if date is None else date
    if reading.expires and "expires" in headers:
        expires = parse_date(headers.lines("expires")[0], stored.received)
        return 0 if expires is None else expires - date
    if not (reading.has("public") or stored.head.status in HEURISTICALLY_CACHEABLE):
        return 0
    modified = parse_date(headers.get("last-modified"), stored.received)
    return float("inf") if modified is None else max(0, date - modified)


def age_of(stored: Stored, now: float) -> float:
    """Seconds: the least that section 4.2.3 allows, which leaves Date out of it."""
    members = [member for member in split(stored.head.headers.get("age") or "") if member]
    return ((delta(members[0]) if members else None) or 0) + (now - stored.asked)


def readings(head: Head, targets: Sequence[str] = ()) -> list[Reading]:
    """The ways in which the response may be read: several where what it says is broken."""
    for name in targets:
        members = dictionary(head.headers.get(name) or "")
        if members:
            reading = Reading(tuple(members.items()), expires=False)
            wrong = any(delta(value) is None for key, value in members.items() if key in NUMERIC)
            return [reading, *(readings(head) if wrong else [])]
    lines = head.headers.lines("cache-control")
    return [Reading(cache_control(lines, salvage=salvage)) for salvage in (False, True)]


def fields_not_to_reuse(stored: Stored, targets: Sequence[str] = ()) -> tuple[set[str], set[str]]:
    """Names (lower case) of fields that must not be stored, and of those that need not (section 3.1)."""
    reading = readings(stored.head, targets)[0]
    listed = [_names(reading.values(name)) for name in ("private", "no-cache")]
    may_keep = any(reading.has("public") for reading in readings(stored.head, targets))
    cookies = set() if may_keep else {"set-cookie"}  # of the one who asked
    must = HOP_BY_HOP | cookies | listed[0] | _names(stored.head.headers.lines("connection"))
    validated = bool({None, ""} & set(reading.values("no-cache")))  # whenever it is used
    return (must, listed[1]) if validated else (must | listed[1], set())


def _names(values: Sequence[str | None]) -> set[str]:
    return {name.strip(' \t"').lower() for value in values if value for name in value.split(",")}


def not_of_the_same(kept: Head, not_modified: Head, now: float) -> str | None:
    """Why the 304 must not update the stored response (section 4.3.4); None where it may."""
    tags = [head.headers.get("etag") for head in (kept, not_modified)]
    if tags[0] and tags[0] == tags[1]:
        return None  # even where it is none by its grammar
    if tags[0] and tags[1] and tags[0] == f"W/{tags[1]}":
        return None  # the request had this tag alone, and is answered by weak comparison
    (old_tag, old_date), (new_tag, new_date) = validators(kept, now), validators(not_modified, now)
    same_date = new_date is not None and new_date == old_date
    if new_tag is not None and not new_tag.startswith("W/"):
        made = parse_date(kept.headers.get("date"), now)
        # A date is a strong validator where time has passed since (RFC 9110 section 8.8.2.2).
        strong = same_date and made is not None and new_date is not None and made > new_date
        return None if new_tag == old_tag or strong else "another strong validator"
    same_tag = new_tag is not None and (old_tag or "").removeprefix("W/") == new_tag.removeprefix("W/")
    new = new_tag is not None or new_date is not None
    return "no validator in common" if new and not (same_tag or same_date) else None


def promises_more(kept: Head, updated: Head) -> bool:
    """Whether stored bytes have got a strong entity tag that they did not come with.

    Bytes of another coding may have it, and would be joined to these (RFC 9110 section 8.8.3.3).
    """
    (old, _date), (new, _date) = (validators(head, 0) for head in (kept, updated))
    return new is not None and not new.startswith("W/") and new != old


def not_for(request: Request, stored: Stored) -> str | None:
    """Why a 304 to this request must not make the response of another variant its answer.

    None where it may: a strong tag is that of one representation (RFC 9110 section 8.8.1), but a response
    also has fields that a 304 leaves out (section 15.4.5), such as those for CORS.
    """
    headers = stored.head.headers
    tag = headers.get("etag") or "W/"
    if tag.startswith("W/"):
        return "a weak tag, which other variants may have"
    for name in split(headers.get("vary") or ""):
        same = canonical(name.lower(), request) == canonical(name.lower(), stored.request)
        if not name.lower().startswith("accept") and not same:
            return f"made for another {name}"
    members = [item.split(";") for item in split(request.headers.get("accept-encoding") or "")]
    wanted = {name.strip().lower() for name, *weight in members if not "".join(weight).endswith("q=0")}
    coding = headers.get("content-encoding")
    return None if coding is None or wanted & {coding, "*"} else "a coding that nobody asked for"


def validators(head: Head, now: float) -> tuple[str | None, float | None]:
    """Entity tag and modification date, each None where it is absent or invalid."""
    tag, modified = (head.headers.get(name) for name in ("etag", "last-modified"))
    valid = tag is not None and re.fullmatch(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"', tag)
    return tag if valid else None, parse_date(modified, now)
