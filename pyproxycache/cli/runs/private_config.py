"""The configuration of a private server: the user's, for clients of one run alone."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from pyproxycache.cli.runs.authorities import authorities_before, certificates, pem_of
from pyproxycache.cli.runs.run_folder import write_file
from pyproxycache.cli.runs.surroundings import parent_of
from pyproxycache.configuration.config import Config
from pyproxycache.errors import ConfigError
from pyproxycache.options import (
    LOOPBACK,
    AdminOptions,
    InterceptOptions,
    KissCacheOptions,
    ListenerOptions,
    LogOptions,
    ParentOptions,
    TransparentOptions,
)

_ALL_PORTS = tuple(range(1, 1 << 16))
_APT = "_apt"
_DRAIN_SECONDS = 1.0
"""How long the end may wait for downloads that nobody asks for any more."""


def private_config(
    config: Config,
    environ: Mapping[str, str],
    folder: Path,
    address: str,
    *,
    authority: Path,
    accounts: tuple[str, ...],
    offline: bool,
) -> Config:
    """The configuration of a server on the address, for programs of this user and of `accounts`.

    It intercepts all hosts but those that the configuration excepts, by the authority in that folder. To
    origins it goes as programs in this environment would: by their proxy, if the configuration has no
    parent, and trusting whom they trust. Files for it go into `folder`. Raises ConfigError or OSError.
    """
    fetch = replace(
        config.fetch,
        ca_file=_trusted(config, environ, folder),
        offline=offline or config.fetch.offline,
        drain=min(config.fetch.drain, _DRAIN_SECONDS),
        tls_verify=True,  # programs cannot do it themselves any more
    )
    return replace(
        config,
        listen=(ListenerOptions(address=address),),
        allow=LOOPBACK,
        allow_accounts=(str(os.geteuid()), *_own_accounts(), *accounts),
        upstream=None,
        routes={},
        hosts={},
        events=None,
        transparent=TransparentOptions(),
        proxy_auth=None,
        workers=1,  # enough for one command, and what is learned of its programs is learned once
        parent=config.parent or _parent(environ, folder),
        fetch=fetch,
        connect=replace(config.connect, ports=_ALL_PORTS),  # the command could connect to them without us
        intercept=InterceptOptions(hosts=("*",), exceptions=config.intercept.exceptions, ca=authority),
        kisscache=KissCacheOptions(enabled=False),
        admin=AdminOptions(),
        log=LogOptions(level="warning", access="-", format="json", query=True),
    )


def _own_accounts() -> tuple[str, ...]:
    """Accounts that root's programs become by themselves: apt's, for downloads."""
    if os.geteuid() != 0:
        return ()
    with suppress(KeyError):
        return (pwd.getpwnam(_APT).pw_name,)
    return ()


def _trusted(config: Config, environ: Mapping[str, str], folder: Path) -> Path | None:
    """A file with the authorities that are trusted besides the system's; None for none."""
    found = authorities_before(environ)
    if config.fetch.ca_file is not None:
        try:
            found += certificates(config.fetch.ca_file.read_bytes())
        except OSError as error:
            raise ConfigError(f"fetch.ca_file: {config.fetch.ca_file}: {error.strerror}") from error
    return write_file(folder / "origins.pem", pem_of(found)) if found else None


def _parent(environ: Mapping[str, str], folder: Path) -> ParentOptions | None:
    """The parent that the environment names."""
    try:
        parent = parent_of(environ)
    except ValueError as error:
        raise ConfigError(f"the environment's proxy cannot be the parent of the cache: {error}") from error
    if parent is None:
        return None
    credentials = write_file(folder / "parent", parent.credentials + "\n") if parent.credentials else None
    return ParentOptions(url=parent.url, credentials=credentials, exceptions=parent.exceptions)
