"""Where files are if the configuration does not say: folders of the service, or of the user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyproxycache.errors import ConfigError


def default_store_path(environ: Mapping[str, str]) -> Path:
    """The folder that systemd made for the service, else one in the user's cache folder.

    Raises ConfigError if the user has no home folder.
    """
    service = environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    user = Path(environ.get("XDG_CACHE_HOME", ""))
    try:
        return (user if user.is_absolute() else Path("~/.cache").expanduser()) / "pyproxycache"
    except RuntimeError as error:
        raise ConfigError("store.path: this user has no home folder: name one") from error


def default_authority_path(environ: Mapping[str, str]) -> Path:
    """The folder of the certificate authority: of the service's state, else of the user's data.

    Raises ConfigError if the user has no home folder.
    """
    service = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service) / "ca"
    user = Path(environ.get("XDG_DATA_HOME", ""))
    try:
        data = user if user.is_absolute() else Path("~/.local/share").expanduser()
    except RuntimeError as error:
        raise ConfigError("this user has no home folder: name one for the authority") from error
    return data / "pyproxycache" / "ca"
