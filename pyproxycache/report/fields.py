"""The fields of log lines, without secrets, and escaped so that no client can forge a field or a line."""

from __future__ import annotations

import re

from pyproxycache.outcome import Outcome

_UNSAFE = re.compile(r'[^!-~]|["\\]')
_UNSAFE_IN_QUOTES = re.compile(r'[^ -~]|["\\]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

# In a target that did not parse, everything before the last @ may be a password.
_BEFORE_HOST = re.compile(r"\A(/?(?:https?(?::|%3A)(?:/|%2F){,2})?).*(?:@|%40)", re.IGNORECASE | re.DOTALL)
_USER_INFO = re.compile(r"\A([^/?#]*//)[^/?#]*@")


def resource(outcome: Outcome, query: bool) -> str:
    """The URL that was asked for, else the target as it was sent; with its query only if `query`.

    A request that is not HTTP gets what Squid logs for it.
    """
    text = str(outcome.url or _BEFORE_HOST.sub(r"\1-@", outcome.target) or "error:invalid-request")
    return text if query else _cut(text, r"\?")


def referer(outcome: Outcome, query: bool) -> str:
    """The Referer field without userinfo, and with query and fragment only if `query`."""
    text = _USER_INFO.sub(r"\1", outcome.referer)
    return text if query else _cut(text, r"[?#]")


def media_type(outcome: Outcome) -> str:
    """The media type of the answer, without parameters."""
    return outcome.content_type.partition(";")[0].strip()


def escaped(text: str) -> str:
    """The text as one word of ASCII, with blanks, quotes, backslashes and others as %XX; "-" if empty."""
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in _bytes(found[0])), text) or "-"


def quoted(text: str) -> str:
    r"""The text in double quotes, escaped by \" \\ \n \r \t \xHH as in Apache httpd; "-" if empty."""
    return f'"{_UNSAFE_IN_QUOTES.sub(_backslashed, text) or "-"}"'


def decoded(text: str) -> str:
    """Text that was decoded as Latin-1, decoded as UTF-8 instead if it is that."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _cut(text: str, mark: str) -> str:
    """The text up to and with the first mark, which shows that something was cut, as in Squid's log."""
    found = re.search(mark, text)
    return text if found is None else text[: found.end()]


def _backslashed(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT.get(character) or "".join(f"\\x{byte:02x}" for byte in _bytes(character))


def _bytes(character: str) -> bytes:
    """The bytes of the character as they were received: fields and targets are decoded as Latin-1."""
    return character.encode("latin-1" if character <= "\xff" else "utf-8", "replace")
