"""User name and password written into a URL (RFC 3986 section 3.2.1): taken out, and sent as a field."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

_WITH_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#]*)@(.*)", re.DOTALL)
# In text that was not understood: everything that may belong to it, encoded or not.
_ANY_USERINFO = re.compile(r"((?::|%3A)(?:/|%2F){1,2})(?:(?!%2F|%3F|%23)[^/?#\s])*(?:@|%40)", re.IGNORECASE)


def split_userinfo(url: str) -> tuple[str, str]:
    """The absolute URL without its userinfo, and that userinfo as it was written ("" where it has none)."""
    match = _WITH_USERINFO.fullmatch(url)
    return (url, "") if match is None else (match[1] + match[3], match[2])


def basic_credentials(userinfo: str) -> str:
    """The value of Authorization that the userinfo stands for (RFC 7617 section 2)."""
    user, _colon, password = userinfo.partition(":")
    pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"Basic {b64encode(pair).decode('ascii')}"


def without_userinfo(text: str) -> str:
    """Text for people in which URLs may stand, without what can be a password."""
    return _ANY_USERINFO.sub(r"\1", text)
