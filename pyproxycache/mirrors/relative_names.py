"""URLs of files that indexes name by paths below a folder."""

from __future__ import annotations

import re
from urllib.parse import quote

_LONGEST = 2048
_SENT_AS_THEY_ARE = "/!$&'()*+,;=:@~^_-.[]{}|"
_UPWARD = re.compile(r"(?:^|/)\.\.(?:/|$)")


def is_relative(path: str) -> bool:
    """Whether it is a path below a folder: not absolute, not upward, of 2048 characters at most."""
    return bool(path) and path[0] != "/" and len(path) <= _LONGEST and not _UPWARD.search(path)


def as_path(path: str, also: str = "") -> str:
    """The path of a file in a URL, in which only what has to be is percent-encoded.

    Characters in `also` are left as they are, too.
    """
    return quote(path.encode("utf-8", "surrogateescape"), safe=_SENT_AS_THEY_ARE + also)


def as_apt_asks(path: str) -> str:
    """The path as apt asks for it, which encodes more than it has to, in hex of lower case."""
    return re.sub(r"[+~ %]|[^\x21-\x7e]", lambda one: "".join(map("%{:02x}".format, _bytes(one[0]))), path)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def folder_of(url: str) -> str:
    """The URL up to its last slash, which relative references in its document go out from; no query."""
    path = url.partition("?")[0]
    return path[: path.rfind("/") + 1]
