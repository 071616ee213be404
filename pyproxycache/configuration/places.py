"""How hosts, addresses, networks, URLs and paths are written in the configuration."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

from pyproxycache.configuration.refusals import refusal, refusal_of_place
from pyproxycache.errors import BadRequest
from pyproxycache.rules.host_patterns import host_pattern
from pyproxycache.rules.urls import parse_url
from pyproxycache.url import Url

_HOST = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_ADDRESS = re.compile(rf"(?P<host>{_HOST}|\[(?P<six>[^\]]*)\]|):(?P<port>\d{{1,5}})")


def is_host_and_port(text: str) -> bool:
    """Whether the text is a host with a port to connect to."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and match["host"] != "" and 0 < int(match["port"]) <= 65535


def read_network(value: Any) -> Any:
    """A network; an address alone is one, too."""
    if not isinstance(value, str):
        raise refusal(value, "a network, as in 192.168.0.0/16 or 'fd00::/8'")
    try:
        around = ip_interface(value).network
    except ValueError:
        raise refusal(value, "a network, as in 192.168.0.0/16 or 'fd00::/8'") from None
    try:
        return ip_network(value)
    except ValueError:
        raise refusal(value, f"a network, but an address in {around}: write that") from None


def read_exception(value: Any) -> Any:
    """A network, else a pattern of hosts other than "*"."""
    if isinstance(value, str) and "@" not in value and ("/" in value or ":" in value or _is_address(value)):
        return read_network(value)
    accepted = "an exception: a host, .example.org for a domain, or a network"
    if not isinstance(value, str) or value == "*":
        raise refusal_of_place(value, accepted)
    try:
        return host_pattern(value)
    except ValueError as error:
        raise refusal_of_place(value, f"{accepted} ({error})") from error


def read_host_pattern(value: Any) -> str:
    """A pattern as HostPatterns takes it."""
    accepted = "a host pattern: a host, .example.org for a domain with all below it, or '*' for all"
    if not isinstance(value, str):
        raise refusal(value, accepted)
    try:
        return host_pattern(value)
    except ValueError as error:
        raise refusal(value, f"{accepted} ({error})") from error


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def read_address(value: Any) -> str:
    """An address to listen on, as gunicorn takes it; a port alone means all addresses, IPv4 and IPv6."""
    accepted = "127.0.0.1:3128, '[::1]:3128', ':3128' for all, or unix:/run/proxy.sock"
    refused = refusal_of_place(value, f"an address, as in {accepted}")
    if not isinstance(value, str):
        raise refused
    if value.startswith("unix:/"):
        return value
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match["port"]) > 65535:
        raise refused
    if int(match["port"]) == 0:
        # Neither clients nor the guard, which protects the cache's own ports, would know the port.
        raise ValueError(f"{value!r} leaves the port to the system: name one, from 1 to 65535")
    if match["six"] is not None:
        try:
            IPv6Address(match["six"])
        except ValueError:
            raise refused from None
    return value if match["host"] else f"[::]:{match['port']}"


def read_tcp_address(value: Any) -> str:
    """An address to listen on by TCP."""
    address = read_address(value)
    if address.startswith("unix:"):
        raise ValueError(f"{value!r} is a Unix socket, to which no connection is redirected: name a port")
    return address


def read_url(value: Any) -> Url:
    """A URL with http or https."""
    if not isinstance(value, str):
        raise refusal(value, "a URL, as in http://host:port: put it in quotes")
    try:
        return parse_url(value)
    except (BadRequest, ValueError) as error:
        raise refusal_of_place(value, f"a URL, as in http://host:port ({error})") from error


def read_origin_url(value: Any) -> Url:
    """The URL of an origin, perhaps with a path."""
    parsed = read_url(value)
    if "?" in parsed.target:  # paths are written behind it
        raise refusal(value, "an origin's URL: http://host:port, a path if wanted, and no query")
    return parsed


def read_proxy_url(value: Any) -> Url:
    """The URL of a proxy."""
    parsed = read_url(value)
    if parsed.target != "/":
        raise refusal(value, "a proxy's URL: http://host:port with no path")
    return parsed


def read_parent_url(value: Any) -> Url:
    """The URL of a proxy that this one asks in its turn."""
    parsed = read_proxy_url(value)
    if parsed.scheme != "http":
        raise refusal(value, "a URL with http: the parent is asked without TLS, tunnels for https included")
    return parsed


def read_path(value: Any) -> Path:
    """An absolute path of this machine; ~ stands for the user's home folder."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise refusal(value, "a path, as in /var/cache/pyproxycache")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:
        raise refusal(value, f"a path: {error}") from error
