"""Paths as origins may read them that leave out what tells them nothing."""

from __future__ import annotations

import re

# Parameters of a segment, and what is no part of a name; then what stands for one slash, or for none.
_NO_NAME = re.compile(r";[^/]*|[\x00-\x1f\x7f]|\s+(?=/|\Z)")
_ONE_SLASH = re.compile(r"/(?:\.?(?:/|\Z))+")


def plain_path(decoded: str) -> str:
    """The path without %-encoding as origins may read it that leave out what tells them nothing.

    Some take `a.jar;x`, `a.jar/`, `./a.jar` and `\\a.jar` for the file `a.jar`.
    """
    return _ONE_SLASH.sub("/", _NO_NAME.sub("", decoded.replace("\\", "/"))).rstrip("/")
