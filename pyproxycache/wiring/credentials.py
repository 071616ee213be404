"""The credentials by which this proxy authenticates itself to the parent."""

from __future__ import annotations

from urllib.parse import quote

from pyproxycache.errors import ConfigError
from pyproxycache.options import ParentOptions
from pyproxycache.rules.userinfo import basic_credentials


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
