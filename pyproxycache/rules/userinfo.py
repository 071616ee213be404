"""User name and password in a URL (RFC 3986 section 3.2.1), which are sent as a field instead."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

_WITH_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#]*)@(.*)", re.DOTALL)
# For text that did not parse: everything that may be userinfo, percent-encoded or not.
_ANY_USERINFO = re.compile(r"((?::|%3A)(?:/|%2F){1,2})(?:(?!%2F|%3F|%23)[^/?#\s])*(?:@|%40)", re.IGNORECASE)


def split_userinfo(url: str) -> tuple[str, str]:
    """The absolute URL without its userinfo, and the userinfo as it was written ("" if there is none)."""
    match = _WITH_USERINFO.fullmatch(url)
    return (url, "") if match is None else (match[1] + match[3], match[2])


def basic_credentials(userinfo: str) -> str:
    """The Authorization value for the userinfo (RFC 7617 section 2)."""
    user, _colon, password = userinfo.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {b64encode(pair).decode('ascii')}"


def without_userinfo(text: str) -> str:
    """The text without anything in its URLs that may be a password, for messages and logs."""
    return _ANY_USERINFO.sub(r"\1", text)
