"""The credentials by which this proxy authenticates itself to the parent, and to upstreams of mirrors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import quote

from pyproxycache.configuration.secrets import text_of_file
from pyproxycache.errors import ConfigError
from pyproxycache.mirror_options import MirrorOptions
from pyproxycache.options import ParentOptions
from pyproxycache.rules.userinfo import basic_credentials
from pyproxycache.upstream.authorizations import UpstreamCredentials
from pyproxycache.url import Url

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


def parent_authorization(parent: ParentOptions | None) -> str:
    """The Proxy-Authorization for the parent (RFC 7617); "" where no credentials are configured.

    Raises ConfigError if the file with user and password cannot be used.
    """
    if parent is None or parent.credentials is None:
        return ""
    path = parent.credentials
    try:
        user, colon, password = path.read_text(encoding="utf-8").strip("\r\n").partition(":")
    except FileNotFoundError as error:
        if ":" in path.name:  # it may be the password itself, which nobody is to read in a log
            text = "there is no such file; it names a file with one line, user:password"
            raise ConfigError(f"parent.credentials: {text}") from None
        raise ConfigError(f"parent.credentials: {path}: {error.strerror}") from error
    except OSError as error:
        raise ConfigError(f"parent.credentials: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"parent.credentials: {path}: is not UTF-8 text") from error
    if not user or not colon or not f"{user}{password}".isprintable():
        raise ConfigError(f"parent.credentials: {path}: is not one line, user:password")
    return basic_credentials(f"{quote(user)}:{quote(password)}")


def upstream_credentials(
    mirrors: Mapping[str, MirrorOptions], environ: Mapping[str, str] = os.environ
) -> dict[Url, UpstreamCredentials]:
    """The cache's own credentials for the upstreams of mirrors, by the upstream's URL.

    Raises ConfigError if there are none where an upstream says that they are, or others for the same one.
    """
    found: dict[Url, UpstreamCredentials] = {}
    for name, mirror in mirrors.items():
        for number, upstream in enumerate(mirror.upstream):
            if upstream.credentials is None:
                continue
            key = f"mirrors.{name}.upstream[{number}].credentials"
            one = _credentials(key, upstream.credentials, upstream.url.host, environ)
            if found.setdefault(upstream.url, one) != one:
                raise ConfigError(f"{key}: another mirror has other credentials for the same URL")
    return found


def _credentials(key: str, place: str, host: str, environ: Mapping[str, str]) -> UpstreamCredentials:
    if place == "netrc":
        return UpstreamCredentials(_of_netrc(key, host, environ))
    if place.startswith("env:"):
        variable = place.removeprefix("env:")
        text = environ.get(variable)
        if text is None:
            raise ConfigError(f"{key}: the variable {variable} is not set")
        return UpstreamCredentials(_authorization(f"{key}: the variable {variable}", text))
    path = Path(place)
    return UpstreamCredentials(_authorization(f"{key}: {path}", text_of_file(key, path)))


def _authorization(what: str, text: str) -> str:
    """The Authorization by user:password (RFC 7617) or a token (RFC 6750)."""
    text = text.strip("\r\n")
    user, colon, password = text.partition(":")
    if user and colon and text.isprintable():
        return basic_credentials(f"{quote(user)}:{quote(password)}")
    if not _TOKEN.fullmatch(text):
        raise ConfigError(f"{what}: is not one line, user:password or a token")
    return f"Bearer {text}"


def _of_netrc(key: str, host: str, environ: Mapping[str, str]) -> str:
    path = Path(environ.get("NETRC") or "~/.netrc")
    try:
        path = path.expanduser()
        text_of_file(key, path)
        entry = netrc(str(path)).authenticators(host)
    except (NetrcParseError, RuntimeError) as error:
        line = getattr(error, "lineno", None)  # the rest of its text may quote a password
        where = f"line {line} " if line else ""
        raise ConfigError(f"{key}: {path}: {where}is not what netrc files have") from None
    if entry is None or not entry[2]:
        raise ConfigError(f"{key}: {path}: has no login and password for {host}")
    return basic_credentials(f"{quote(entry[0])}:{quote(entry[2])}")
