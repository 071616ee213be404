"""How names, paths, packages and credentials of mirrors are written in the configuration.

Each function takes plain YAML data, and raises ValueError, which names the value and what is accepted.
"""

from __future__ import annotations

import re
from typing import Any

from pyproxycache.configuration.places import read_path
from pyproxycache.configuration.refusals import refusal
from pyproxycache.mirrors.repositories import TAKEN_NAMES

_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_MIRROR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DATABASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_URL_PATH = re.compile(r"/[!-\"$->@-~]*")
_PACKAGES = re.compile(r"[A-Za-z0-9@*_][A-Za-z0-9@*/._~:+-]{0,254}")
_BLOCKED = re.compile(r"[A-Za-z0-9@_][A-Za-z0-9@/._~:+-]{0,254}(?:==[A-Za-z0-9.+!_~:-]{1,128})?")


def read_mirror_name(value: Any) -> str:
    """The name of a mirror, which no path of the cache's own begins with."""
    if not isinstance(value, str) or not _MIRROR.fullmatch(value) or value in TAKEN_NAMES:
        quotes = "" if isinstance(value, str) else "text: put it in quotes; "
        accepted = f"{quotes}a mirror's name: letters, digits and .-_, and none of {', '.join(TAKEN_NAMES)}"
        raise refusal(value, accepted)
    return value


def read_database_name(value: Any) -> str:
    """The name of a database of Go's checksums."""
    if not isinstance(value, str) or not _DATABASE.fullmatch(value):
        raise refusal(value, "the name of a checksum database, as in sum.example.org")
    return value


def read_url_path(value: Any) -> str:
    """The path of a URL."""
    if not isinstance(value, str) or not _URL_PATH.fullmatch(value):
        raise refusal(value, "the path of a URL, as in /debian/")
    return value


def read_credentials(value: Any) -> str:
    """Where credentials are: the path of a file, env:VARIABLE or netrc."""
    if value == "netrc" or (isinstance(value, str) and _VARIABLE.fullmatch(value)):
        return str(value)
    accepted = "the path of a file with user:password or a token, as in /etc/me, env:VARIABLE or netrc"
    if isinstance(value, str) and "/" not in value:
        # It may be the password itself, which nobody is to read in a log.
        raise ValueError(f"it is not {accepted}")
    try:
        return str(read_path(value))
    except ValueError:
        raise ValueError(f"it is not {accepted}") from None


def read_package_pattern(value: Any) -> str:
    """The name of a package, in which * is any text."""
    if not isinstance(value, str) or not _PACKAGES.fullmatch(value):
        raise refusal(value, "a package's name, in which * is any text, as in @example/*")
    return value


def read_blocked_package(value: Any) -> str:
    """The name of a package, alone or with "==" and a version."""
    if not isinstance(value, str) or not _BLOCKED.fullmatch(value) or "@" in value[1:]:
        raise refusal(value, "a package's name, or its name and version, as in example==1.0")
    return value
