"""Patterns of hosts: a name, a domain with all names below it, an address, or all."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

import idna

_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.|\Z))+(?<!\.)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def host_pattern(text: str) -> str:
    """The pattern in the form in which hosts are compared: lower case, A-labels, no final dot, no brackets.

    "example.org" is that host, ".example.org" the domain and all names below it, "*" any host. An address
    is a host, too. Raises ValueError if it is none of these.
    """
    if text == "*":
        return text
    address = _address(text)
    if address is not None:
        return address
    dot, name = ("." if text.startswith(".") else ""), text.removeprefix(".").removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise ValueError(f"it is no valid international name: {error}") from error
    name = name.lower()
    if _NAME.fullmatch(name) is None:
        raise ValueError("it is no valid name")
    # Such a name is read as an IPv4 address by many (URL Standard, "ends in a number").
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise ValueError("it ends in a number, and is no address that is written in full")
    return dot + name


class HostPatterns:
    """Hosts that fit one of these patterns, each in the form that host_pattern() gives."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = frozenset(patterns)

    def fits(self, host: str) -> bool:
        """Whether the host fits, a name in A-labels or an address, as URLs, CONNECT and SNI have them."""
        return "*" in self._patterns or self.names(host)

    def names(self, host: str) -> bool:
        """The same without "*"."""
        if not self._patterns:
            return False
        address = _address(host)
        if address is not None:
            return address in self._patterns
        name = host.lower().removesuffix(".")
        if not name:
            return False
        below = "." + name
        while below:
            if below in self._patterns:
                return True
            below = below[below.find(".", 1) :] if "." in below[1:] else ""
        return name in self._patterns


def _address(host: str) -> str | None:
    """The address as Python writes it, without brackets; None if the host is none."""
    try:
        return str(ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host))
    except ValueError:
        return None
