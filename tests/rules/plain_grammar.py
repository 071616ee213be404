"""The grammar of the fields that a cache reads, out of RFC 9110, 9111 and 8941, small and slow."""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence

from pyproxycache.messages import Request

INFINITE = 2**31
CONTENT_NEGOTIATION = {"accept", "accept-charset", "accept-encoding", "accept-language"}
NO_LISTS = {"authorization", "cookie", "from", "host", "referer", "user-agent"}

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
DIRECTIVE = re.compile(rf'({TOKEN})(?:=(?:({TOKEN})|"((?:[^"\\]|\\.)*)"))?', re.ASCII)

KEY = r"[a-z*][a-z0-9_.*-]*"
ITEM = r'(?:-?\d+(?:\.\d+)?|"(?:[ !#-\[\]-~]|\\["\\])*"|[A-Za-z*][!#$%&\'*+.^_`|~:/0-9A-Za-z-]*|\?[01])'
PARAMETERS = rf"(?:; *{KEY}(?:={ITEM})?)*"
MEMBER = rf"({KEY})(?:=({ITEM}))?{PARAMETERS}"

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
DATES = [
    rf"(?:mon|tue|wed|thu|fri|sat|sun), (?P<day>\d\d) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {TIME} gmt",
    rf"(?:mon|tues|wednes|thurs|fri|satur|sun)day, "
    rf"(?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {TIME} gmt",
    rf"(?:mon|tue|wed|thu|fri|sat|sun) (?P<month>[a-z]{{3}}) (?P<day>\d\d| \d) {TIME} (?P<year>\d{{4}})",
]


def split(text: str, *, salvage: bool = False) -> list[str]:
    """The members of a list, without white space around them; commas in quoted strings part nothing.

    A quotation mark without its other half takes all that follows, or is a character like others.
    """
    lone = '"' if salvage else '".*'
    members = re.findall(rf'(?:[^",]|"(?:[^"\\]|\\.)*"|{lone})+', text)
    return [member.strip(" \t") for member in members]


def cache_control(lines: Sequence[str], *, salvage: bool = False) -> tuple[tuple[str, str | None], ...]:
    """Directives in order, names in lower case, arguments unquoted; of broken ones the name, if any."""
    found = []
    for line in lines:
        for member in split(line, salvage=salvage):
            if match := DIRECTIVE.fullmatch(member):
                found.append((match[1].lower(), match[2] if match[2] is not None else match[3]))
            elif salvage and (match := re.match(TOKEN, member)):
                found.append((match[0].lower(), member))
    return tuple(found)


def dictionary(text: str) -> dict[str, str | None] | None:
    """The members of a structured dictionary, values as their text; None where it is invalid."""
    text = text.strip(" ")
    if not re.fullmatch(rf"{MEMBER}(?:[ \t]*,[ \t]*{MEMBER})*", text, re.ASCII):
        return None
    return {match[1]: match[2] for match in re.finditer(MEMBER, text, re.ASCII)}


def delta(text: str | None) -> int | None:
    """Delta-seconds, at most 2^31 (section 1.2.2); None where it is invalid."""
    return min(int(text), INFINITE) if text and re.fullmatch(r"[0-9]+", text) else None


def parse_date(text: str | None, now: float) -> float | None:
    """An HTTP-date of any of the three forms (RFC 9110 section 5.6.7); None where it is invalid."""
    for form in DATES:
        match = re.fullmatch(form, (text or "").lower(), re.ASCII)
        if match is None or match["month"] not in MONTHS:
            continue
        year, month = int(match["year"]), MONTHS.index(match["month"]) + 1
        day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
        century = len(match["year"]) == 2
        year += 2000 if century else 0
        if not (year and 1 <= day <= calendar.monthrange(year, month)[1] and hour < 24 and minute < 60):
            return None
        if second > 60:
            return None
        moment = calendar.timegm((year, month, day, hour, minute, second))
        if century and moment > now + 50 * 365.2425 * 86400:
            moment = calendar.timegm((year - 100, month, day, hour, minute, second))
        return float(moment)
    return None


def canonical(name: str, request: Request) -> object:
    """What two requests have in common where the field is the same to a server; None where it is absent."""
    lines = request.headers.lines(name)
    if not lines:
        return None
    text = ", ".join(lines)
    if name in NO_LISTS:
        return text.strip(" \t")
    members = tuple(member for member in split(text) if member)
    return frozenset(_preference(member) for member in members) if name in CONTENT_NEGOTIATION else members


def _preference(member: str) -> object:
    """A member of a field for content negotiation: what it is, and how much it is wanted."""
    what, *parameters = [part.strip(" \t").lower() for part in member.split(";")]
    quality = [part[2:] for part in parameters if part.startswith("q=")]
    others = frozenset(part for part in parameters if not part.startswith("q="))
    number = re.fullmatch(r"0(\.\d{0,3})?|1(\.0{0,3})?", quality[0]) if quality else None
    return what.removeprefix("x-"), others, float(quality[0]) if number else tuple(quality) or 1.0
