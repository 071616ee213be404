"""Takes secrets out of what an event tells: values of fields, and of parameters in URLs."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from urllib.parse import unquote_plus

from pyproxycache.messages import Headers
from pyproxycache.report.fields import decoded

REDACTED = "[redacted]"

_SEPARATOR = re.compile(r"([&;#])")
_USER_INFO = re.compile(r"\A([^/?#]*//)[^/?#]*@")
_WITH_URLS = {"referer"}


def redacted_fields(
    headers: Headers, names: AbstractSet[str], parameters: AbstractSet[str]
) -> dict[str, str]:
    """The fields by their names in lower case, repeated lines joined, without the values of those `names`.

    In fields that have URLs, the values of those query `parameters` are missing.
    """
    fields: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if key in names:
            fields[key] = REDACTED
            continue
        text = redacted_url(value, parameters) if key in _WITH_URLS else value
        if not text.isascii():
            text = decoded(text)
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields


def redacted_url(url: str, parameters: AbstractSet[str]) -> str:
    """The URL without user and password, and without the values of those query `parameters`."""
    if "@" in url:
        url = _USER_INFO.sub(r"\1", url)
    before, mark, query = url.partition("?")
    if not mark or not parameters:
        return url
    return before + mark + "".join(_redacted(part, parameters) for part in _SEPARATOR.split(query))


def _redacted(part: str, parameters: AbstractSet[str]) -> str:
    name, mark, _value = part.partition("=")
    # As a server reads it: a name may be percent-encoded.
    return f"{name}={REDACTED}" if mark and unquote_plus(name).lower() in parameters else part
