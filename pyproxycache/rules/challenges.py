"""Challenges of origins that want credentials (RFC 9110 section 11.6.1), and how tokens are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from pyproxycache.errors import BadRequest
from pyproxycache.messages import Head
from pyproxycache.rules.grammar import split_list, unquote
from pyproxycache.rules.urls import parse_url, sendable
from pyproxycache.url import Url

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEMBER = re.compile(
    rf"(?:(?P<scheme>{_TOKEN})(?:[ \t]+|\Z))?"
    rf"(?:(?P<name>{_TOKEN})[ \t]*=[ \t]*(?P<value>\"(?:[^\"\\]|\\.)*\"|{_TOKEN}|)[ \t]*\Z)?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge: its scheme in lower case, and its parameters by their names in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The first value of the parameter, "" if it is absent."""
        return next((value for key, value in self.parameters if key == name), "")


def challenges(head: Head) -> tuple[Challenge, ...]:
    """The challenges in a response's WWW-Authenticate, in their order; what is none is left out."""
    found: list[Challenge] = []
    for line in head.headers.lines("www-authenticate"):
        for member in split_list(line):
            match = _MEMBER.match(member)
            if match is None:
                continue
            if match["scheme"]:
                found.append(Challenge(match["scheme"].lower()))
            if match["name"] and found:
                parameter = (match["name"].lower(), unquote(match["value"]))
                last = found[-1]
                found[-1] = Challenge(last.scheme, (*last.parameters, parameter))
    return tuple(found)


def demanded(head: Head, upstream: Url) -> tuple[bool, Url | None]:
    """What a 401 of the upstream wants: whether user and password, and the URL that gives a token.

    The URL is None if no token is wanted. Raises BadRequest as token_url() does.
    """
    told = challenges(head)
    bearer = next((one for one in told if one.scheme == "bearer" and one.get("realm")), None)
    takes_basic = any(one.scheme == "basic" for one in told)
    return takes_basic, None if bearer is None else token_url(bearer, upstream)


def token_url(challenge: Challenge, asked: Url) -> Url:
    """The URL that gives the token for which the origin of the URL asked has asked, by a GET.

    As registries of images have it (the token authentication of Distribution). Raises BadRequest if the
    challenge names no such URL, or one that would have credentials for https sent without it.
    """
    realm = challenge.get("realm")
    url = parse_url(sendable(realm))
    if asked.scheme == "https" != url.scheme:
        raise BadRequest("the URL is not an https one, as that of the upstream is")
    fields = [("service", challenge.get("service"))]
    fields += [("scope", scope) for scope in challenge.get("scope").split()]
    query = urlencode([field for field in fields if field[1]])
    joint = "&" if url.query is not None else "?"
    return Url(url.scheme, url.host, url.port, f"{url.target}{joint}{query}" if query else url.target)
