"""A server that runs already, as programs of a run or of a shell may use it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import click
import requests

from pyproxycache.cli.address import CacheAddress, cache_url, usable_address, usable_listener
from pyproxycache.cli.cache_session import TIMEOUTS, session_with
from pyproxycache.cli.running import running
from pyproxycache.cli.runs.authorities import certificates
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import parse
from pyproxycache.errors import ConfigError, reason

server_option = click.option(
    "--server",
    metavar="URL",
    envvar="PYPROXYCACHE_PROXY",
    help="The server to use, as in http://cache:3128.",
)
authority_option = click.option(
    "--ca",
    "authority_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The certificate of the server's authority, if the server is not to be asked for it.",
)

_AUTHORITY = "/ca.pem"
_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where a server is reached, and the certificate of its authority, in PEM.

    None: it intercepts nothing.
    """

    url: str
    authority: bytes | None

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.scheme == "https" else 80)


def configuration_beside(config: Config) -> Config | None:
    """The configuration of the server that runs on this configuration's cache folder; None if none does.

    It is known by its file in that folder, which is this user's: whoever else listens on a port is not
    trusted by it. Raises ConfigError if it cannot be read here.
    """
    try:
        text = running(config.store.path)
    except OSError as error:
        raise ConfigError(f"the running server: {error.filename}: {reason(error)}") from error
    return None if text is None else parse(text, "the running server")


def server_of(config: Config) -> RunningServer | None:
    """The server that runs on this configuration's cache folder, if programs here can use it.

    Raises ConfigError if its configuration or its authority cannot be had.
    """
    server = configuration_beside(config)
    if server is None or not server.is_forward or server.proxy_auth is not None:
        return None
    listener = usable_listener(server.listen)
    address = usable_address((listener.address,))
    if address is None or listener.tls is not None:
        return None
    url = f"http://{address}"
    return RunningServer(url, _asked_authority(url) if server.intercept.hosts else None)


def server_at(text: str, authority_file: Path | None) -> RunningServer:
    """The server that the user names, with the authority that the file has, or else that it says it has.

    Raises ConfigError; also where the authority would come over a network on which others could replace it.
    """
    try:
        url = cache_url(text)
    except ValueError as error:
        raise ConfigError(f"--server: {error}") from error
    if authority_file is not None:
        try:
            content = authority_file.read_bytes()
        except OSError as error:
            raise ConfigError(f"--ca: {authority_file}: {error.strerror}") from error
        if not certificates(content):
            raise ConfigError(f"--ca: {authority_file} has no certificate in PEM")
        return RunningServer(url, content)
    authority = _asked_authority(url)
    if authority is not None and not _is_safe(url):
        raise ConfigError(
            f"{url}{_AUTHORITY} comes without protection, and whoever could change it on its way could "
            "read all that is intercepted: save it, compare its fingerprint with the one that the server's "
            "operator knows, and name the file with --ca"
        )
    return RunningServer(url, authority)


def _is_safe(url: str) -> bool:
    """Whether nobody between here and there can change what comes from the URL."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _asked_authority(url: str) -> bytes | None:
    """The certificate that the server gives away; None if it has none. Raises ConfigError."""
    address = f"{url}{_AUTHORITY}"
    try:
        with session_with(CacheAddress(url)).get(address, timeout=TIMEOUTS, stream=True) as answer:
            content = answer.raw.read(_MOST)
    except (requests.RequestException, OSError) as error:
        raise ConfigError(f"no cache answers at {url}: {reason(_innermost(error))}") from error
    if "pyproxycache" not in answer.headers.get("Via", "") + answer.headers.get("Server", ""):
        raise ConfigError(f"what answers at {url} is no pyproxycache")
    if answer.status_code == 404:
        return None
    if answer.status_code != 200 or not certificates(content):
        raise ConfigError(f"{address} is no certificate (status {answer.status_code})")
    return bytes(content)


def _innermost(error: Exception) -> Exception:
    while isinstance(error.__context__, Exception):
        error = error.__context__
    return error
