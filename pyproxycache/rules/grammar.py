"""The syntax of field values: lists, quoted strings, types, dates; and which fields are hop-by-hop."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from functools import wraps
from typing import Any, TypeVar, cast

from pyproxycache.messages import Headers

MAX_DELTA = 2**31
REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""The statuses of redirects to the URL in Location (RFC 9110 section 15.4)."""

_LONGEST_REMEMBERED = 512
_MOST_REMEMBERED = 1024

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Hop-by-hop fields (RFC 9110 sections 7.6.1 and 11.7, RFC 9111 section 3.1), in lower case."""

# A Connection option that names one of these has no effect: senders must not name them, and the caching
# rules need them.
_NEVER_NOMINATED = frozenset({"age", "cache-control", "content-length", "date", "expires", "host", "vary"})

_LIST_ITEM = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>[a-z]{3})"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATE_FORMATS = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        rf"(?:mon|tue|wed|thu|fri|sat|sun), (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} gmt",
        rf"(?:mon|tues|wednes|thurs|fri|satur|sun)day, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} gmt",
        rf"(?:mon|tue|wed|thu|fri|sat|sun) {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)
_CONTENT_RANGE = re.compile(r"bytes[ \t]+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE | re.ASCII)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def cached_while_short(function: _Function) -> _Function:
    """Decorate a function of strings, or tuples of strings, so that it remembers its last results.

    Results of long strings are not remembered, as clients could fill the memory with them.
    """
    remembered: dict[tuple[str | tuple[str, ...], ...], Any] = {}

    @wraps(function)
    def call(*texts: str | tuple[str, ...]) -> Any:
        try:
            return remembered[texts]
        except KeyError:
            pass
        result = function(*texts)
        length = sum(len(t) if isinstance(t, str) else sum(map(len, t)) for t in texts)
        if length <= _LONGEST_REMEMBERED:
            if len(remembered) >= _MOST_REMEMBERED:
                remembered.clear()
            remembered[texts] = result
        return result

    return cast(_Function, call)


def split_list(text: str) -> list[str]:
    """The members of a comma-separated list, trimmed, without empty ones (RFC 9110 section 5.6.1)."""
    members = _LIST_ITEM.findall(text) if '"' in text else text.split(",")
    return [member for raw in members if (member := raw.strip(" \t"))]


def unquote(text: str) -> str:
    """The content of a quoted string; other text is returned unchanged (RFC 9110 section 5.6.4)."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _QUOTED_PAIR.sub(r"\1", text[1:-1])
    return text


def split_parameter(text: str) -> tuple[str, str | None] | None:
    """The lower-case name and the unquoted value of `name=value`; the value is None for a name alone.

    None if the text does not start with a token. If the name is not followed by "=" at once, all of the
    rest is the value, so that no parser accepts it.
    """
    match = _TOKEN.match(text)
    if match is None:
        return None
    rest = text[match.end() :]
    if not rest:
        return match[0].lower(), None
    return match[0].lower(), unquote(rest[1:]) if rest[0] == "=" else rest


def delta_seconds(text: str) -> int | None:
    """A non-negative whole number of seconds, at most 2**31; None if invalid (RFC 9111 section 1.2.2)."""
    if not (text.isascii() and text.isdigit()):
        return None
    # int() refuses thousands of digits; the limit has ten.
    digits = text.lstrip("0")
    return MAX_DELTA if len(digits) > 10 else min(int(digits or "0"), MAX_DELTA)


@cached_while_short
def http_date(text: str) -> float | None:
    """Seconds since the epoch from a date in any of the three formats; None if it is invalid.

    RFC 9110 section 5.6.7. Case does not matter, and the zone has to be GMT (RFC 9111 section 4.2).
    """
    match = next((found for form in _DATE_FORMATS if (found := form.fullmatch(text))), None)
    if match is None or match["month"].lower() not in _MONTHS or int(match["second"]) > 60:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        # A fixed window instead of "50 years from now", as rules have no clock.
        year += 1900 if year >= 70 else 2000
    month = _MONTHS.index(match["month"].lower()) + 1
    day, hour, minute = int(match["day"]), int(match["hour"]), int(match["minute"])
    try:
        start = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    # Added by hand: a leap second (60) is valid.
    return start.timestamp() + int(match["second"])


def format_http_date(t: float) -> str:
    """The time (seconds since the epoch) as an IMF-fixdate (RFC 9110 section 5.6.7)."""
    return formatdate(int(t), usegmt=True)


def parse_content_range(text: str) -> tuple[int, int, int | None] | None:
    """First and last position and complete length (None for "*") from a Content-Range.

    None if it is invalid or has no range ("bytes */N"). RFC 9110 section 14.4.
    """
    match = _CONTENT_RANGE.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if first > last or (total is not None and last >= total):
        return None
    return first, last, total


def end_to_end(headers: Headers) -> Headers:
    """The fields without HOP_BY_HOP and those that Connection names, for requests and responses alike.

    RFC 9110 section 7.6.1.
    """
    options = headers.get("connection")
    if options is None:
        return headers.lacking(HOP_BY_HOP)
    nominated = {option.lower() for option in split_list(options)}
    return headers.lacking((nominated - _NEVER_NOMINATED) | HOP_BY_HOP)


def without_nominated(headers: Headers) -> Headers:
    """The fields without those that Connection names, which are for this recipient, nor their names there.

    What is added under one of these names later goes on.
    """
    options = split_list(headers.get("connection") or "")
    nominated = {option.lower() for option in options} - _NEVER_NOMINATED - HOP_BY_HOP - {"close"}
    if not nominated:
        return headers
    others = ", ".join(option for option in options if option.lower() not in nominated)
    headers = headers.lacking(nominated | {"connection"})
    return headers.with_field("Connection", others) if others else headers


def media_type(headers: Headers) -> str:
    """The media type of the content, in lower case and without parameters (RFC 9110 section 8.3.1).

    "" where no Content-Type tells it.
    """
    return (headers.get("content-type") or "").partition(";")[0].strip().lower()
