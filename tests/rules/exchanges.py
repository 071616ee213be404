"""Random requests and responses: fields with valid, odd and broken values, and clocks that go wrong.

Each is decoded from bytes, of which 0 is the plainest choice: quick to make, and it shrinks well.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Any, TypeVar

from hypothesis import strategies as st
from judge import Stored
from sample import NOW, URL

from pyproxycache.messages import Head, Headers, Request

Choice = TypeVar("Choice")
Lines = list[tuple[str, str]]

NUMBERS = ("60", "3600", "0", "1", "5", "10", "86400", "2147483647", "2147483648", "99999999999")
ODD_NUMBERS = ('"60"', '"5"', "", "abc", "-1", "1.5", "0x10", "5 5", "5s", "1e3", "+5", "\uff10\uff15")
BARE = (
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "no-cache",
    "no-store",
    "private",
    "must-understand",
    "immutable",
    "foo",
    "max-age",
    "s-maxage",
)
BROKEN = (
    "max-age= 60",
    "max-age =60",
    '"max-age=60"',
    "=60",
    "max-age=60;x",
    'foo="max-age=60, no-cache"',
    'foo="unclosed',
    r'foo="\", no-store"',
    "no-store;x",
    "max-age==60",
    "",
)
AGES = (*NUMBERS, *ODD_NUMBERS, "0, 7200", "7200, 0", "7200;a=b", ",5")
FOOS = ("1", "2", "", "1,2", "1, 2", "1 , 2", "a", "A", '"a,b"', '"a, b"', "1;q=0.5")
VARYING = ("foo", "accept-language", "foo", "accept-encoding", "accept-language", "origin", "cookie")
LANGUAGES = (
    "en",
    "EN",
    "en, de",
    "de, en",
    "de,en;q=1.0",
    "en;q=0.5, de",
    "en; q=0.50,de",
    "*",
    "",
    "en;q=2",
)
ELAPSED = st.sampled_from([0, 0.5, 1, 4.9, 5, 5.1, 9, 59, 60, 61, 3599, 3600, 7300, 2.0**31, 2.0**33])


class Dice:
    """Choices out of bytes; when they are used up, always the first one."""

    def __init__(self, rolls: bytes) -> None:
        self._rolls = iter(rolls)

    def pick(self, *choices: Choice) -> Choice:
        return choices[next(self._rolls, 0) % len(choices)]

    def once_in(self, times: int) -> bool:
        """True so often; never where the bytes are used up."""
        return self.pick(*range(times)) == times - 1

    def spell(self, text: str) -> str:
        """The text in any case."""
        return self.pick(str, str, str, str.upper, str.title)(text)

    def number(self) -> str:
        return self.pick(*ODD_NUMBERS) if self.once_in(5) else self.pick(*NUMBERS)

    def lines(self, name: str, member: Callable[[], str]) -> Lines:
        """A list field: one line or two, with white space and empty members as its grammar allows."""
        text = self.pick(", ", ",", " ,\t", ", ,", "\n").join(
            member() for _ in range(self.pick(1, 1, 2, 2, 3))
        )
        return [(name, line) for line in text.split("\n")]


def response_directive(dice: Dice) -> str:
    match dice.pick(*"llllllssssbbbfx"):
        case "l":
            return f"{dice.spell(dice.pick('max-age', 'max-age', 's-maxage'))}={dice.number()}"
        case "s":
            return f"{dice.spell(dice.pick('stale-while-revalidate', 'stale-if-error'))}={dice.number()}"
        case "b":
            return dice.spell(dice.pick(*BARE))
        case "f":
            fields = dice.pick('"foo"', '"set-cookie, FOO"', "foo", '""')
            return f"{dice.pick('no-cache', 'private')}={fields}"
        case _:
            return dice.pick(*BROKEN)


def request_directive(dice: Dice) -> str:
    match dice.pick(*"nnnb"):
        case "n":
            name = dice.pick("max-age", "max-stale", "min-fresh", "min-fresh", "stale-if-error")
            return f"{dice.spell(name)}={dice.number()}"
        case _:
            return dice.spell(dice.pick("max-stale", "foo", "only-if-cached", "no-cache", "no-store"))


def date(dice: Dice, *offsets: float) -> str:
    """An HTTP-date that far from NOW, in good form more often than not."""
    seconds = NOW + dice.pick(*offsets)
    imf = formatdate(seconds, usegmt=True)
    weekday, day, month, year, time, _zone = imf.replace(",", "").split()
    full = {"Tue": "Tues", "Wed": "Wednes", "Thu": "Thurs", "Sat": "Satur"}.get(weekday, weekday)
    return dice.pick(
        *[imf] * 8,
        f"{full}day, {day}-{month}-{year[2:]} {time} GMT",
        f"{weekday} {month} {int(day):2d} {time} {year}",
        imf.lower(),
        imf.replace("GMT", "+0000"),
        imf.replace("GMT", "EST"),
        imf.replace(", ", " "),
        str(int(seconds)),
        "0",
        "",
    )


def response_headers(dice: Dice) -> Headers:
    lines: Lines = []
    if not dice.once_in(5):
        lines.append(("Date", date(dice, 0, 0, 0, -5, -60, -3600, 5, 3600)))
    if not dice.once_in(4):
        lines += dice.lines("Cache-Control", lambda: response_directive(dice))
    if dice.once_in(3):
        lines.append(("Expires", date(dice, 3600, 60, 5, 0, -60, 2**31, 1e10)))
    if dice.once_in(3):
        lines.append(("Last-Modified", date(dice, -86400, -3600, -10, 0, 100)))
    if dice.once_in(5):
        lines += [("Age", dice.pick(*AGES)) for _line in range(dice.pick(1, 1, 2))]
    if dice.once_in(3):
        lines.append(("ETag", dice.pick('"1"', '"2"', 'W/"1"', 'W/"2"', "1", '"1', "")))
    if dice.once_in(3):
        lines += dice.lines(
            "Vary",
            lambda: dice.spell(dice.pick(*VARYING, "*", "no such")),
        )
    if dice.once_in(4):
        lines.append(("Content-Encoding", dice.pick("gzip", "br")))
    if dice.once_in(6):
        member = dice.pick("max-age=60", "max-age=60;a=b", "public", "&&", 'max-age="60"', "")
        lines += dice.lines("CDN-Cache-Control", lambda: member or response_directive(dice))
    if dice.once_in(5):
        lines.append(("Content-Location", dice.pick(URL.target, str(URL), "a.deb", "/other")))
    if dice.once_in(5):
        lines.append(
            dice.pick(("Set-Cookie", "a=b"), ("Foo", "1"), ("Connection", "Foo"), ("Pragma", "no-cache"))
        )
    return Headers(lines)


def request_headers(dice: Dice) -> Headers:
    lines: Lines = []
    if dice.once_in(2):
        lines += dice.lines("Cache-Control", lambda: request_directive(dice))
    if dice.once_in(8):
        lines.append(("Pragma", dice.pick("no-cache", "No-Cache", "foo")))
    if dice.once_in(6):
        lines.append(("Authorization", "Basic YTpi"))
    if dice.once_in(2):
        lines += [("Foo", dice.pick(*FOOS)) for _line in range(dice.pick(1, 1, 2))]
    if dice.once_in(2):
        lines.append(("Accept-Language", dice.pick(*LANGUAGES)))
    if dice.once_in(3):
        lines.append(("Accept-Encoding", dice.pick("gzip", "br, gzip", "identity", "gzip;q=0", "*")))
    if dice.once_in(6):
        lines.append(("Origin", dice.pick("http://a.example", "http://b.example")))
    if dice.once_in(6):
        lines.append(("Cookie", dice.pick("a=b, c=d", "a=b,c=d")))
    if dice.once_in(6):
        lines.append(("Range", dice.pick("bytes=2-3", "bytes=0-1", "bytes=2-", "bytes=-2", "bytes=0-9")))
    if dice.once_in(6):
        lines.append(("If-None-Match", dice.pick('"1"', 'W/"1"', "*")))
    return Headers(lines)


def _request(dice: Dice) -> Request:
    method = dice.pick(*["GET"] * 8, "HEAD", "HEAD", "POST", "PUT", "OPTIONS", "FOO")
    return Request(method, URL, request_headers(dice))


def _head(dice: Dice) -> Head:
    status = dice.pick(*[200] * 10, 203, 204, 299, 301, 302, 404, 410, 500, 503, 599, 206, 206, 304)
    headers = response_headers(dice)
    return Head(
        status, "", headers.with_line("Content-Range", "bytes 2-5/10") if status == 206 else headers
    )


def _exchange(dice: Dice) -> Stored:
    received = NOW + dice.pick(0, 0, 0, 0.5, 3)
    delay = dice.pick(0, 0, 0, 0.3, 1, 5, 61)
    method = dice.pick(*["GET"] * 10, "HEAD", "POST")
    head = _head(dice)
    return Stored(Request(method, URL, request_headers(dice)), head, received - delay, received)


@st.composite
def _decoded(draw: st.DrawFn, decode: Callable[[Dice], Any], size: int) -> Any:
    return decode(Dice(draw(st.binary(min_size=size, max_size=size))))


REQUESTS: st.SearchStrategy[Request] = _decoded(_request, 34)
EXCHANGES: st.SearchStrategy[Stored] = _decoded(_exchange, 80)
NOT_MODIFIED: st.SearchStrategy[Head] = _decoded(lambda dice: Head(304, "", response_headers(dice)), 50)
