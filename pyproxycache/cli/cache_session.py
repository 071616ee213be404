"""The HTTP session in which a command asks the cache."""

from __future__ import annotations

import os
import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from pyproxycache import __version__
from pyproxycache.cli.address import CacheAddress
from pyproxycache.cli.common import PROBLEMS, fail
from pyproxycache.errors import reason

_BUNDLE = "REQUESTS_CA_BUNDLE"
TIMEOUTS = (10, 300)
"""Seconds to connect, and for each wait for bytes."""


def session_with(address: CacheAddress) -> requests.Session:
    """A session for one thread, which asks the cache alone and as it is."""
    session = _Session()
    session.trust_env = False  # ask the cache, not a proxy that the environment names
    session.verify = os.environ.get(_BUNDLE) or True
    if address.fingerprint is not None:
        session.verify = False  # by authorities; the certificate itself is compared
        session.mount("https://", _Fingerprinted(address.fingerprint))
    session.headers["Accept-Encoding"] = "identity"
    session.headers["User-Agent"] = f"pyproxycache/{__version__}"
    return session


def check_reachable(cache: str) -> None:
    """End the command with a line if nobody accepts connections at the cache's URL."""
    url = urlsplit(cache)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname, port), TIMEOUTS[0]).close()
    except OSError as error:
        fail(
            f"no cache answers at {cache} ({reason(error)}): start it with `pyproxycache serve`, or name"
            " another one with --proxy",
            PROBLEMS,
        )


class _Session(requests.Session):
    """A session that leaves all redirects to its caller, also those to what is no URL."""

    def get_redirect_target(self, _resp: requests.Response) -> str | None:
        return None


class _Fingerprinted(HTTPAdapter):
    """Asks a cache that is known by its certificate, whatever names and authorities that has."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, assert_fingerprint=self._fingerprint, **options)
